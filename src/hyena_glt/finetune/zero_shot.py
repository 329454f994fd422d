"""Ranking by what a pretrained network finds likely, with nothing trained.

A sequence's score is its mean log-likelihood a base; a pair's is the log-likelihood of the
alternative less that of the reference. Both in nats, from ``hyena_glt.score``.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from hyena_glt.errors import RecipeError, SequenceError
from hyena_glt.evaluate.auroc import auroc
from hyena_glt.evaluate.intervals import Interval, bootstrap_all
from hyena_glt.evaluate.metrics import regression_metrics
from hyena_glt.io.examples import Example, Schema
from hyena_glt.model import HyenaGLT
from hyena_glt.score import NOT_SCORED, read_both_strands, score_sequences
from hyena_glt.score.masked import masked_effects_nats
from hyena_glt.score.sites import Site, Window, plain, trimmed
from hyena_glt.stream import TWO_SIDED_BP
from hyena_glt.tokenize import encode

NO_SCORE = {  # why an example has none
    "no_letter": "no base of the sequence is a letter of the modality",
    "ambiguous_base": "a base that changes is no letter of the modality",
    "length_change": NOT_SCORED["length_change"],
}

_MASKED_BATCH_BP = 6_144  # positions in memory at once


class Ranked(NamedTuple):
    """An example's score, None where it has none, for ``reason`` (a key of ``NO_SCORE``).

    ``scored_bp``: letters that the score is of; of a pair the alternative's, under a bidirectional
    network those from the first base that changes to the last.
    """

    example: Example
    score_nats: float | None
    scored_bp: int
    reason: str | None = None


def rank(
    network: HyenaGLT,
    examples: Iterable[Example],
    *,
    both_strands: bool | None = None,
    batch_examples: int = 64,
) -> Iterator[Ranked]:
    """Yield each example with its score, in order; labels are not looked at.

    A pair (an example with an alternative) is scored by ln p(alternative) - ln p(reference) over
    all letters of each, anything else by the mean of ln p over its letters. ``both_strands`` takes
    the mean of both strands' log-likelihoods; None asks for it where the network's ``rc`` is
    ``average``. A bidirectional network scores pairs of one length alone, by the bases that change,
    masked.

    Raises SequenceError, with the place, for a letter that the modality doesn't have. Under a
    bidirectional network DirectionError for single sequences, and SequenceError for pairs that are
    proteins or too long. PatcherError where the network's patches read a track.
    """
    source = iter(examples)
    while batch := list(islice(source, batch_examples)):
        for example in batch:
            for letters in (example.sequence, example.alternative or b""):
                network.alphabet.validate(np.frombuffer(letters, np.uint8), example.where)
        pairs = [example.alternative is not None for example in batch]
        if network.direction == "bidirectional" and all(pairs):
            yield from _masked(network, batch, read_both_strands(network, both_strands))
        else:
            yield from _whole(network, batch, both_strands)


def ranking_metrics(
    ranked: Sequence[Ranked],
    schema: Schema,
    *,
    negate: bool = False,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return how well scores tell labels apart, each figure with its 95 % bootstrap interval.

    - of classes, one or any number an example: `auroc/NAME` and `auprc/NAME` of each class against
      the rest, where a high score speaks for the class;
    - of numbers: `spearman/NAME`.

    With ``negate`` a low score speaks for them, such as of variants that do harm. Examples without
    a score are left out. Replicates draw examples, or whole groups where every example has one.
    Empty where there are no labels, or fewer than two examples or groups to draw from; what is
    undefined (a class that all or none have) is NaN. Raises RecipeError for labels of bases or
    bins, of which one score says nothing.
    """
    if schema.target in ("bases", "signal"):
        raise RecipeError(
            f"found labels of kind {schema.target}, one for each base or bin; a ranking has one "
            "score a sequence: leave the labels out with --kind none"
        )
    known = [one for one in ranked if one.score_nats is not None]
    groups = [one.example.group for one in known]
    grouped = bool(known) and all(group is not None for group in groups)
    if schema.target == "none" or len(set(groups) if grouped else known) < 2:
        return {}
    scores = np.array([one.score_nats for one in known], dtype=np.float64) * (-1 if negate else 1)
    metrics = _of_numbers if schema.target == "values" else _of_classes
    return bootstrap_all(
        metrics(known, schema, scores),
        len(known),
        groups=np.array([str(group) for group in groups]) if grouped else None,
        replicates=replicates,
        seed=seed,
    )


_Metrics = Callable[[Int64[np.ndarray, " _"]], dict[str, float]]


def _of_classes(
    known: Sequence[Ranked], schema: Schema, scores: Float64[np.ndarray, " R"]
) -> _Metrics:
    labels = [one.example.label for one in known]
    sets = [{label} if isinstance(label, str) else set(label or ()) for label in labels]
    names = sorted(set().union(*sets))
    has = {name: np.array([name in found for found in sets]) for name in names}

    def metrics(rows: Int64[np.ndarray, " _"]) -> dict[str, float]:
        found = {}
        for name, truth in has.items():
            found[f"auroc/{name}"], found[f"auprc/{name}"] = _areas(truth[rows], scores[rows])
        return found

    return metrics


def _of_numbers(
    known: Sequence[Ranked], schema: Schema, scores: Float64[np.ndarray, " R"]
) -> _Metrics:
    targets = np.stack([np.asarray(one.example.label) for one in known]).astype(np.float64)
    answers = np.repeat(scores[:, None], targets.shape[1], axis=1)

    def metrics(rows: Int64[np.ndarray, " _"]) -> dict[str, float]:
        found = regression_metrics(targets[rows], answers[rows], schema.names)
        return {f"spearman/{name}": found[f"spearman/{name}"] for name in schema.names}

    return metrics


def _areas(truth: Bool[np.ndarray, " R"], scores: Float64[np.ndarray, " R"]) -> tuple[float, float]:
    """Return (AUROC, average precision), NaN where all or none are of the class."""
    from sklearn.metrics import average_precision_score

    if not 0 < truth.sum() < len(truth):
        return math.nan, math.nan
    return auroc(scores[truth], scores[~truth]), float(average_precision_score(truth, scores))


def _whole(
    network: HyenaGLT, batch: Sequence[Example], both_strands: bool | None
) -> Iterator[Ranked]:
    """Score by whole sequences, each distinct one read once."""
    letters = [
        sequence.decode("ascii")
        for example in batch
        for sequence in (example.sequence, example.alternative)
        if sequence is not None
    ]
    distinct = list(dict.fromkeys(letters))
    found = dict(zip(distinct, score_sequences(network, distinct, both_strands), strict=True))
    for example in batch:
        score = found[example.sequence.decode("ascii")]
        if example.alternative is None:
            if score.scored_bp == 0:
                yield Ranked(example, None, 0, "no_letter")
            else:
                mean = score.loglik_nats / score.scored_bp
                yield Ranked(example, mean, score.scored_bp)
            continue
        changed, _ = _changed(network, example)
        if not _is_definite(network, changed):
            yield Ranked(example, None, 0, "ambiguous_base")
            continue
        other = found[example.alternative.decode("ascii")]
        yield Ranked(example, other.loglik_nats - score.loglik_nats, other.scored_bp)


def _masked(network: HyenaGLT, batch: Sequence[Example], both_strands: bool) -> Iterator[Ranked]:
    """Score pairs by the bases that change, masked, as ``score_variants`` does."""
    if network.alphabet.modality == "protein":
        raise SequenceError(
            "found a bidirectional model of proteins, expected one of DNA or RNA, or a causal one: "
            "masked effects are of bases"
        )
    found: list[Ranked | Site] = []
    for example in batch:
        changed, site = _changed(network, example)
        assert example.alternative is not None
        if len(example.sequence) != len(example.alternative):
            found.append(Ranked(example, None, 0, "length_change"))
        elif not _is_definite(network, changed):
            found.append(Ranked(example, None, 0, "ambiguous_base"))
        else:
            if len(example.sequence) > TWO_SIDED_BP:
                raise SequenceError(
                    f"{example.where}: found {len(example.sequence):,} bp; a bidirectional model "
                    f"reads a sequence whole, and at most {TWO_SIDED_BP:,} bp of it: cut it"
                )
            found.append(site)
    sites = [one for one in found if isinstance(one, Site)]
    longest_bp = max((len(site.window.ref) for site in sites), default=1)
    step = max(1, _MASKED_BATCH_BP // longest_bp)
    effects: list[tuple[float, int]] = []
    for start in range(0, len(sites), step):
        answers = masked_effects_nats(network, sites[start : start + step], both_strands)
        effects += [effect for answer in answers for effect in answer.values()]
    in_turn = iter(effects)
    for example, one in zip(batch, found, strict=True):
        yield one if isinstance(one, Ranked) else Ranked(example, *next(in_turn))


def _changed(network: HyenaGLT, example: Example) -> tuple[str, Site]:
    """Return (letters of both sequences that differ, the pair as a site whose REF is all of it)."""
    assert example.alternative is not None
    protein = network.alphabet.modality == "protein"
    as_read: Callable[[str], str] = str.upper if protein else plain
    ref, alt = (as_read(s.decode("ascii")) for s in (example.sequence, example.alternative))
    left, right = trimmed(ref, alt)
    site = Site((example.name, 0, ""), Window("", ref, ""), {alt: None})
    return ref[left : len(ref) - right] + alt[left : len(alt) - right], site


def _is_definite(network: HyenaGLT, letters: str) -> bool:
    return bool((network.alphabet.letter_index(encode(letters)) >= 0).all())
