"""Linear floors: counts of k-mers, letters at their places, and windows around a base.

Classes are learned by logistic regression, numbers by ridge regression. How strongly weights are
held down is chosen on validation by the metric that the set reports.
"""

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64, Integer

from hyena_glt.config.tasks import TaskConfig
from hyena_glt.data.examples import Dataset, Row
from hyena_glt.errors import RecipeError
from hyena_glt.finetune import Answers, measure
from hyena_glt.finetune.answers import target_of
from hyena_glt.finetune.setup import answer_names
from hyena_glt.io.examples import Target
from hyena_glt.tokenize import Alphabet, alphabet
from hyena_glt.train.best import is_lower_better

KS: Final = {"dna": (3, 4, 5), "rna": (3, 4, 5), "protein": (1, 2)}
REACH_BP: Final = 10  # to either side of a base that is labelled
MOST_BASES: Final = 100_000  # of training that a base's class is learned from, drawn
STRENGTHS: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C; ridge's alpha is 1 / C
_ITERATIONS = 200
_ROWS_AT_A_TIME = 512

Features = Callable[[Sequence[Row]], Float32[np.ndarray, "N F"]]


class LinearFit(NamedTuple):
    """A floor's answers to the test part, in its order, and what it took."""

    answers: Answers
    parameters: int
    strength: float  # the C that validation chose
    validation: dict[str, float]
    examples: int  # rows, or bases where they are labelled, that it was fitted to


def fit_linear(kind: str, dataset: Dataset, task: TaskConfig, metric: str, seed: int) -> LinearFit:
    """Return the answers of a linear floor: ``kind`` is ``kmer`` or ``onehot``.

    ``onehot`` needs sequences of one length; classes of bases are learned from the letters of a
    window by either. Raises RecipeError for a task that a linear floor can't answer, sequences of
    several lengths, and a metric that isn't measured.
    """
    target = target_of(task)
    if target == "signal":
        raise RecipeError("the linear floors have no answer for tracks")
    letters = alphabet(dataset.manifest.config.modality)
    parts = [list(dataset.part(part)) for part in ("train", "validation", "test")]
    if target == "bases":
        return _fit_bases(parts, letters, dataset, task, metric, seed)
    features = _features(kind, parts, letters)
    train, validation, test = parts
    x_train, y_train = features(train), _targets(train, target)
    known = ~np.isnan(y_train.astype(np.float64)).reshape(len(train), -1).any(1)
    x_validation = features(validation)

    def score(model: _Scaled) -> dict[str, float]:
        values = list(_predicted(model, x_validation, target))
        targets = [np.asarray(row.target) for row in validation]
        return measure(task, Answers(values, targets, None), answer_names(dataset))

    best = _chosen(x_train[known], y_train[known], target, score, metric)
    values = list(_predicted(best.model, features(test), target))
    answers = Answers(values, [np.asarray(row.target) for row in test], None)
    size = _size(x_train.shape[1], target, len(answer_names(dataset)))
    return LinearFit(answers, size, best.strength, best.found, int(known.sum()))


def kmer_counts(
    sequences: Sequence[np.ndarray], letters: Alphabet, ks: Sequence[int]
) -> Float32[np.ndarray, "N F"]:
    """Return how often each word of each k stands in each sequence, unknown letters in none."""
    size = len(letters.letters)
    blocks = [np.zeros((len(sequences), size**k), np.float32) for k in ks]
    for row, sequence in enumerate(sequences):
        index = letters.letter_index(sequence).astype(np.int64)
        for k, block in zip(ks, blocks, strict=True):
            if len(index) < k:
                continue
            words = np.lib.stride_tricks.sliding_window_view(index, k)
            words = words[(words >= 0).all(1)]
            codes = words @ (size ** np.arange(k - 1, -1, -1))
            block[row] = np.bincount(codes, minlength=size**k)
    return np.concatenate(blocks, axis=1)


def window_letters(
    sequence: np.ndarray, letters: Alphabet, reach_bp: int
) -> Float32[np.ndarray, "L F"]:
    """Return for each base which letter stands at each place of the window around it, as 0 and 1.

    Places beyond the ends and unknown letters are 0 throughout.
    """
    size = len(letters.letters)
    index = letters.letter_index(sequence).astype(np.int64)
    padded = np.pad(index, reach_bp, constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach_bp + 1)
    found = windows[..., None] == np.arange(size)
    return np.asarray(found.reshape(len(sequence), -1), np.float32)


class _Scaled(NamedTuple):
    """A model of features less their training mean, over their training deviation."""

    scaler: Any
    model: Any


class _Choice(NamedTuple):
    model: _Scaled
    strength: float
    found: dict[str, float]


def _features(kind: str, parts: Sequence[Sequence[Row]], letters: Alphabet) -> Features:
    """Return what turns rows into numbers; of pairs the alternative's less the reference's."""
    ks = KS[letters.modality]

    def counts(sequences: Sequence[np.ndarray]) -> Float32[np.ndarray, "N F"]:
        return kmer_counts(sequences, letters, ks)

    def places(sequences: Sequence[np.ndarray]) -> Float32[np.ndarray, "N F"]:
        index = letters.letter_index(np.stack(sequences))
        found = index[..., None] == np.arange(len(letters.letters))
        return np.asarray(found.reshape(len(sequences), -1), np.float32)

    if kind == "onehot":
        lengths = {
            len(sequence)
            for part in parts
            for row in part
            for sequence in (row.sequence, row.alternative)
            if sequence is not None
        }
        if len(lengths) > 1:
            raise RecipeError(
                f"sequences have {min(lengths)} to {max(lengths)} letters, and letters at their "
                "places need one length"
            )
    of = places if kind == "onehot" else counts

    def features(rows: Sequence[Row]) -> Float32[np.ndarray, "N F"]:
        found = of([row.sequence for row in rows])
        alternatives = [row.alternative for row in rows if row.alternative is not None]
        return of(alternatives) - found if alternatives else found

    return features


def _targets(rows: Sequence[Row], target: Target) -> np.ndarray:
    found = np.stack([np.asarray(row.target) for row in rows])
    return found if target == "values" else found.astype(np.int64)


def _chosen(
    x: Float32[np.ndarray, "N F"],
    y: np.ndarray,
    target: Target,
    score: Callable[[_Scaled], dict[str, float]],
    metric: str,
) -> _Choice:
    """Return the model of the strength that is best on validation; of equals the weakest."""
    from sklearn.preprocessing import StandardScaler

    sign = -1 if is_lower_better(metric) else 1
    scaler = StandardScaler().fit(x)
    scaled = scaler.transform(x)
    best: _Choice | None = None
    fitted = _model(target)
    for strength in STRENGTHS:
        fitted = _with_strength(fitted, target, strength)
        with warnings.catch_warnings():
            # Weights that haven't settled are one more candidate; a class that is always there is
            # answered as such.
            warnings.simplefilter("ignore")
            fitted.fit(scaled, y)
        # Copied, since the next strength goes on from these weights.
        model = _Scaled(scaler, copy.deepcopy(fitted))
        found = score(model)
        if metric not in found:
            raise RecipeError(
                f"metric {metric}: validation measures no such; expected one of "
                f"{', '.join(sorted(found))}"
            )
        # What isn't defined is better than nothing alone.
        value = sign * found[metric]
        if best is None or value > sign * best.found[metric] or np.isnan(best.found[metric]):
            best = _Choice(model, strength, found)
    assert best is not None, "there is a strength"
    return best


def _model(target: Target) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier

    if target == "values":
        return Ridge()
    logistic = LogisticRegression(max_iter=_ITERATIONS, warm_start=True)
    return OneVsRestClassifier(logistic) if target == "multilabel" else logistic


def _with_strength(model: Any, target: Target, strength: float) -> Any:
    if target == "values":
        return model.set_params(alpha=1 / strength)
    return model.set_params(**{"estimator__C" if target == "multilabel" else "C": strength})


def _predicted(
    fitted: _Scaled, x: Float32[np.ndarray, "N F"], target: Target
) -> Float64[np.ndarray, "N C"]:
    scaled = fitted.scaler.transform(x)
    if target == "values":
        return np.asarray(fitted.model.predict(scaled), np.float64).reshape(len(x), -1)
    return np.asarray(fitted.model.predict_proba(scaled), np.float64)


def _size(features: int, target: Target, answers: int) -> int:
    """Return how many weights and biases there are; of two classes one set."""
    sets = 1 if target in ("class", "bases") and answers == 2 else answers
    return sets * (features + 1)


def _fit_bases(
    parts: Sequence[Sequence[Row]],
    letters: Alphabet,
    dataset: Dataset,
    task: TaskConfig,
    metric: str,
    seed: int,
) -> LinearFit:
    """Fit a class for each base to windows of bases that are drawn from training."""
    train, validation, test = parts
    x, y = _drawn(train, letters, seed)
    names = answer_names(dataset)
    missing = [name for code, name in enumerate(names) if code not in y]
    if missing:
        raise RecipeError(
            f"class {missing[0]!r}: none of {len(y):,} bases drawn from training has it"
        )

    def answers(model: _Scaled, rows: Sequence[Row]) -> Answers:
        values = [part for row in _chunks(rows) for part in _of_rows(model, row, letters)]
        return Answers(values, [np.asarray(row.target) for row in rows], None)

    def score(model: _Scaled) -> dict[str, float]:
        return measure(task, answers(model, validation), names)

    best = _chosen(x, y, "bases", score, metric)
    found = answers(best.model, test)
    size = _size(x.shape[1], "bases", len(names))
    return LinearFit(found, size, best.strength, best.found, len(y))


def _drawn(
    rows: Sequence[Row], letters: Alphabet, seed: int
) -> tuple[Float32[np.ndarray, "N F"], Int64[np.ndarray, " N"]]:
    """Return windows and classes of `MOST_BASES` bases drawn from rows, all where there are fewer.

    Each row gives its share of them, so that long ones give more.
    """
    rng = np.random.default_rng(seed)
    total = sum(len(row.sequence) for row in rows)
    windows, classes = [], []
    for row in rows:
        length = len(row.sequence)
        count = length if total <= MOST_BASES else _share(length * MOST_BASES / total, rng)
        at = np.sort(rng.choice(length, min(count, length), replace=False))
        windows.append(window_letters(row.sequence, letters, REACH_BP)[at])
        classes.append(np.asarray(row.target)[at].astype(np.int64))
    return np.concatenate(windows), np.concatenate(classes)


def _share(wanted: float, rng: np.random.Generator) -> int:
    """Return ``wanted`` as a whole number whose mean it is."""
    return int(wanted) + int(rng.random() < wanted % 1)


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for first in range(0, len(rows), _ROWS_AT_A_TIME):
        yield rows[first : first + _ROWS_AT_A_TIME]


def _of_rows(model: _Scaled, rows: Sequence[Row], letters: Alphabet) -> list[np.ndarray]:
    windows = [window_letters(row.sequence, letters, REACH_BP) for row in rows]
    values = _predicted(model, np.concatenate(windows), "bases")
    ends: Integer[np.ndarray, " n"] = np.cumsum([len(row.sequence) for row in rows])
    return np.split(values, ends[:-1])
