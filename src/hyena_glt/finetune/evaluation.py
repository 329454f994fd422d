"""How well fine-tuned networks answer a part of a dataset, with intervals and where they err."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from hyena_glt.config.examples import Part
from hyena_glt.config.tasks import PairTaskConfig, SignalTaskConfig
from hyena_glt.data.examples import Dataset, Rows
from hyena_glt.data.examples.dataset import Row
from hyena_glt.errors import CheckpointError, RecipeError
from hyena_glt.evaluate.counted import (
    counted_classification,
    counted_multilabel,
    counted_per_class,
)
from hyena_glt.evaluate.intervals import (
    Replicates,
    intervals_of,
)
from hyena_glt.evaluate.metrics import (
    confusion,
    pr_curve,
    reliability,
    roc_curve,
)
from hyena_glt.evaluate.paired import mcnemar, paired_differences
from hyena_glt.finetune.answers import Answers, measure, target_of
from hyena_glt.finetune.apart import (
    Resampling,
    class_figures,
    group_figures,
    segment_figures,
    without_codons,
)
from hyena_glt.finetune.predict import Predictor, predict
from hyena_glt.finetune.setup import answer_names
from hyena_glt.io.examples import Example

HARDEST = 20
_STRATA = 5
_MOST_POINTS = 1000

_PLACE = re.compile(r".*:(\d+)-(\d+)(?:\([+.]\))?")  # a window's name, on the strand given


class Evaluation(NamedTuple):
    """``report`` is plain data, as JSON holds it; NaN is None. The rest is of each row."""

    report: dict[str, Any]
    rows: list[Row]
    values: list[np.ndarray]  # what was answered
    # How well, higher is better; report["score"] says what it is. NaN where no label is known.
    scores: Float64[np.ndarray, " R"]


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    part: Part = "test",
    *,
    against: Mapping[str, Predictor] | None = None,
    both_strands: bool = False,
    replicates: int | None = None,
    seed: int = 0,
) -> Evaluation:
    """Return what the networks answer to a part of ``dataset``, compared with its labels.

    Intervals are 95 % of ``replicates`` bootstrap samples of whole examples: 1,000, and 100 where
    bases or bins are answered. Where examples of the part share a group, whole groups are drawn
    instead, an example without one by itself; of a single group intervals are NaN.
    ``report["resampled"]`` says which, and ``report["units"]`` of how many. Each class has its
    figures with intervals of the same samples, each chromosome and each group its mean score with
    one over its own examples. Other networks, by a
    name each, answer the same part ``against`` these: ``report["against"]`` has the differences,
    with intervals and p of the same samples, and McNemar's test where each example has one class
    and is drawn alone.

    Examples without a known label have no score: strata leave them out, and ``report["unscored"]``
    counts them.

    Raises RecipeError where the dataset's labels or bins aren't those of a task, where it has pairs
    and the task hasn't or the reverse, and where the part is empty; CheckpointError where a
    network's classes are others, or its modality. What pretraining has seen isn't looked at:
    `check_overlap` does.
    """
    _check_fit(predictor, dataset, "the network")
    for name, other in (against or {}).items():
        _check_fit(other, dataset, f"the network {name}")
    if replicates is None:
        replicates = 100 if dataset.manifest.target in ("bases", "signal") else 1000
    held = dataset.part(part)
    rows = list(held)
    if not rows:
        raise RecipeError(f"{dataset.folder}: its part {part} is empty; evaluate another")
    targets = [np.asarray(row.target) for row in rows]
    values = answers_to_rows(predictor, rows, both_strands)
    groups, units = _groups(held)
    resampling = Resampling(len(rows), groups, replicates, seed)
    drawn = _replicates(predictor, values, targets, resampling)
    scores, what = _scores(predictor, values, targets)
    intervals = intervals_of(drawn)
    report: dict[str, Any] = {
        "dataset": str(dataset.folder),
        "part": part,
        "examples": len(rows),
        "task": predictor.task.model_dump(mode="json"),
        "answers": list(predictor.names),
        "networks": len(predictor.networks),
        "both_strands": both_strands,
        "replicates": replicates,
        "resampled": "examples" if groups is None else "groups",
        "units": units,
        "metrics": {name: asdict(interval) for name, interval in intervals.items()},
        "score": what,
        "unscored": int(np.isnan(scores).sum()),
        "by_length": _strata([len(row.sequence) for row in rows], scores),
        "by_gc": _strata([_gc(row) for row in rows], scores),
        "hardest": _hardest(predictor, rows, values, scores),
    }
    if all(row.contig is not None for row in rows):
        contigs = [str(row.contig) for row in rows]
        report["by_contig"] = group_figures(scores, contigs, replicates, seed)
    if groups is not None:
        report["by_group"] = group_figures(scores, list(held.groups()), replicates, seed)
    report |= _in_detail(predictor, rows, values, targets, drawn, resampling)
    if against:
        report["against"] = {}
        for name, other in against.items():
            answers = answers_to_rows(other, rows, both_strands)
            others = _replicates(other, answers, targets, resampling)
            report["against"][name] = _comparison(drawn, others)
            # McNemar's test takes examples as independent, which those of a group aren't.
            if target_of(predictor.task) == "class" and groups is None:
                right = _scores(other, answers, targets)[0] > 0
                report["against"][name]["mcnemar"] = asdict(mcnemar(scores > 0, right))
    return Evaluation(_plain(report), rows, values, scores)


def answers_to_rows(
    predictor: Predictor, rows: Iterable[Row], both_strands: bool
) -> list[Float[np.ndarray, "..."]]:
    """Return the answer to each row of a dataset, as `predict` gives it to new sequences."""
    found = predict(predictor, (_example(row) for row in rows), both_strands=both_strands)
    return [prediction.values for prediction in found]


def _groups(held: Rows) -> tuple[Int64[np.ndarray, " R"] | None, int]:
    """Return each row's group as a number, None where each row is alone; and how many to draw."""
    numbers: dict[str | int, int] = {}
    codes = [
        numbers.setdefault(row if group is None else group, len(numbers))
        for row, group in enumerate(held.groups())
    ]
    alone = len(numbers) == len(codes)
    return None if alone else np.array(codes, dtype=np.int64), len(numbers)


def _replicates(
    predictor: Predictor,
    values: list[np.ndarray],
    targets: list[np.ndarray],
    resampling: Resampling,
) -> Replicates:
    """Return all metrics, of all rows and of bootstrap replicates of them or of their groups."""
    kind = target_of(predictor.task)
    if kind in ("class", "multilabel"):
        labels = np.stack(targets).astype(np.int64)
        counted = counted_classification if kind == "class" else counted_multilabel
        return resampling.counted(counted(labels, np.stack(values).astype(np.float64)))

    def measured(indices: Int64[np.ndarray, " n"]) -> dict[str, float]:
        picked = indices.tolist()
        some = Answers([values[i] for i in picked], [targets[i] for i in picked], None)
        return measure(predictor.task, some, predictor.names)

    return resampling.measured(measured)


def _comparison(drawn: Replicates, others: Replicates) -> dict[str, Any]:
    """Return each metric of the other network, and how far it is below this one's."""
    differences = paired_differences(drawn, others)
    return {
        "metrics": {
            name: {
                "other": others.values[name],
                "difference": found.value,
                "low": found.low,
                "high": found.high,
                "p": found.p,
                "left_out": found.left_out,
            }
            for name, found in differences.items()
            if name != "bases"  # how many there are, which is no merit
        }
    }


def _check_fit(predictor: Predictor, dataset: Dataset, network: str) -> None:
    manifest = dataset.manifest
    wanted = target_of(predictor.task)
    if manifest.target != wanted:
        raise RecipeError(
            f"{dataset.folder}: has labels of kind {manifest.target}, and {network} answers "
            f"{wanted}"
        )
    if predictor.alphabet.modality != manifest.config.modality:
        raise CheckpointError(
            f"{dataset.folder}: holds {manifest.config.modality}, and {network} reads "
            f"{predictor.alphabet.modality}; evaluate on a dataset of that"
        )
    if manifest.pairs != isinstance(predictor.task, PairTaskConfig):
        has, reads = "pairs of sequences", "one sequence an example"
        if not manifest.pairs:
            has, reads = reads, has
        raise RecipeError(f"{dataset.folder}: has {has}, and {network} reads {reads}")
    if isinstance(predictor.task, SignalTaskConfig) and predictor.task.bin_bp != manifest.bin_bp:
        raise RecipeError(
            f"{dataset.folder}: has bins of {manifest.bin_bp} bp, and {network} answers bins of "
            f"{predictor.task.bin_bp} bp; prepare the dataset with bins of these"
        )
    if answer_names(dataset) != predictor.names:
        raise CheckpointError(
            f"{dataset.folder}: its answers are {', '.join(answer_names(dataset))}, {network}'s "
            f"{', '.join(predictor.names)}; evaluate on a dataset of the same"
        )


def _example(row: Row) -> Example:
    alternative = None if row.alternative is None else row.alternative.tobytes()
    return Example(
        row.name, row.sequence.tobytes(), None, row.where, None, None, row.contig, alternative
    )


def _scores(
    predictor: Predictor, values: list[np.ndarray], targets: list[np.ndarray]
) -> tuple[Float64[np.ndarray, " R"], str]:
    """Return a number a row that says how well it was answered, higher is better; and its name.

    NaN where a row has no known label.
    """
    kind = target_of(predictor.task)
    if kind == "class":
        right = [float(v.argmax() == int(t)) for v, t in zip(values, targets, strict=True)]
        return np.array(right), "accuracy"
    if kind == "multilabel":
        right = [
            float(((v >= 0.5) == (t > 0)).mean()) for v, t in zip(values, targets, strict=True)
        ]
        return np.array(right), "share of classes right"
    if kind == "bases":
        right = [float((v.argmax(1) == t).mean()) for v, t in zip(values, targets, strict=True)]
        return np.array(right), "share of bases right"
    errors = [-_mean_score(np.abs(v - t)) for v, t in zip(values, targets, strict=True)]
    return np.array(errors), "minus the mean absolute error"


def _mean_score(scores: Float64[np.ndarray, "..."]) -> float:
    """Return the mean of those that aren't NaN; NaN where all are."""
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if known.size else math.nan


def _strata(
    numbers: list[int] | list[float], scores: Float64[np.ndarray, " R"]
) -> list[dict[str, Any]]:
    """Return the mean score of rows in fifths by a number of theirs; equal ones stay together.

    Rows without the number or a score are left out. ``error`` is the mean's standard error.
    """
    found = np.array(numbers, dtype=np.float64)
    known: Bool[np.ndarray, " R"] = ~(np.isnan(found) | np.isnan(scores))
    if not known.any():
        return []
    edges = np.unique(np.quantile(found[known], np.linspace(0, 1, _STRATA + 1)))
    place = np.clip(np.searchsorted(edges, found, side="right") - 1, 0, max(0, len(edges) - 2))
    strata: list[dict[str, Any]] = []
    for stratum in np.unique(place[known]).tolist():
        inside = known & (place == stratum)
        strata.append(
            {
                "from": float(found[inside].min()),
                "to": float(found[inside].max()),
                "examples": int(inside.sum()),
                "score": float(scores[inside].mean()),
                "error": float(scores[inside].std() / math.sqrt(inside.sum())),
            }
        )
    return strata


def _gc(row: Row) -> float:
    """Return the share of G and C among A, C, G, T and U; NaN where there are none."""
    upper = row.sequence & 0xDF
    strong = int(((upper == ord("G")) | (upper == ord("C"))).sum())
    weak = int(np.isin(upper, (ord("A"), ord("T"), ord("U"))).sum())
    return strong / (strong + weak) if strong + weak else math.nan


def _hardest(
    predictor: Predictor,
    rows: list[Row],
    values: list[np.ndarray],
    scores: Float64[np.ndarray, " R"],
) -> list[dict[str, Any]]:
    """Return the rows that were answered worst: of classes those whose own had the least chance.

    Rows without a score aren't among them.
    """
    kind = target_of(predictor.task)
    chance = scores
    if kind == "class":
        chance = np.array([v[int(np.asarray(r.target))] for v, r in zip(values, rows, strict=True)])
    worst = np.argsort(chance, kind="stable")[: min(HARDEST, int((~np.isnan(chance)).sum()))]
    found = []
    for row in worst.tolist():
        about: dict[str, Any] = {"name": rows[row].name, "where": rows[row].where}
        about["score"] = float(chance[row])
        if kind == "class":
            about["label"] = predictor.names[int(np.asarray(rows[row].target))]
            about["answer"] = predictor.names[int(values[row].argmax())]
        elif kind == "values":
            for name, label, answer in zip(
                predictor.names, np.asarray(rows[row].target), values[row], strict=True
            ):
                about |= {f"label {name}": float(label), f"answer {name}": float(answer)}
        found.append(about)
    return found


def _segments(
    rows: Sequence[Row],
    values: list[np.ndarray],
    targets: list[np.ndarray],
    names: Sequence[str],
    resampling: Resampling,
) -> dict[str, Any]:
    """Return what is told of segments; of the places in a codon the chances are added up."""
    kept, of = without_codons(names)
    together = np.eye(len(kept))[of]
    called = [(row @ together).argmax(1).astype(np.uint8) for row in values]
    # A base without a label, -1, is of no segment.
    code = np.append(of, -1)
    truth = [code[row].astype(np.uint8) for row in targets]
    return segment_figures(truth, called, stretches(rows), kept, resampling)


def _in_detail(
    predictor: Predictor,
    rows: Sequence[Row],
    values: list[np.ndarray],
    targets: list[np.ndarray],
    drawn: Replicates,
    resampling: Resampling,
) -> dict[str, Any]:
    """Return what is told of classes alone: each of them, confusions, curves, calibration.

    Segments run over windows of a genome that follow one another.

    Of numbers it is labels and answers, to be drawn.
    """
    kind, names = target_of(predictor.task), predictor.names
    if kind in ("values", "signal"):
        return {"points": _points(predictor.names, values, targets)}
    if kind == "bases":
        labels = np.concatenate(targets).astype(np.int64)
        chances = np.concatenate(values)
        labels, chances = labels[labels >= 0], chances[labels >= 0]
        found: dict[str, Any] = {
            "classes": class_figures(labels, chances, names, drawn),
            "segments": _segments(rows, values, targets, names, resampling),
        }
    else:
        labels = np.stack(targets).astype(np.int64)
        chances = np.stack(values).astype(np.float64)
        by_class = resampling.counted(counted_per_class(labels, chances, names))
        found = {"classes": class_figures(labels, chances, names, by_class)}
    found["curves"] = {}
    for code, name in enumerate(names):
        is_one = labels[:, code] > 0 if labels.ndim == 2 else labels == code
        if 0 < is_one.sum() < len(is_one):
            false, true, _ = roc_curve(is_one, chances[:, code])
            precision, recall, _ = pr_curve(is_one, chances[:, code])
            found["curves"][name] = {
                "roc": [false.tolist(), true.tolist()],
                "pr": [recall.tolist(), precision.tolist()],
            }
    if labels.ndim == 1:
        found["confusion"] = confusion(labels, chances.argmax(1), len(names)).tolist()
        confidence, accuracy, count = reliability(labels, chances)
        found["reliability"] = [confidence.tolist(), accuracy.tolist(), count.tolist()]
    return found


def stretches(rows: Sequence[Row]) -> list[list[int]]:
    """Return the numbers of rows that follow one another on a contig of one file, each row once.

    A row by itself is one that has no place there, that is read from the other strand, or beside
    which no other begins.
    """
    placed: list[tuple[str, str, int, int, int]] = []
    runs: list[list[int]] = []
    for number, row in enumerate(rows):
        place = None if row.contig is None else _PLACE.fullmatch(row.name)
        if place is None or row.contig is None:
            runs.append([number])
        else:
            file = row.where.partition(": ")[0]
            placed.append((file, row.contig, int(place[1]), int(place[2]), number))
    ending: dict[tuple[str, str, int], list[int]] = {}
    for file, contig, start, end, number in sorted(placed):
        run = ending.pop((file, contig, start), None)
        if run is None:
            run = []
            runs.append(run)
        run.append(number)
        ending.setdefault((file, contig, end), run)
    return runs


def _points(
    names: tuple[str, ...], values: list[np.ndarray], targets: list[np.ndarray]
) -> dict[str, list[list[float]]]:
    """Return [labels, answers] of each number, at most 1,000 taken evenly."""
    labels = np.concatenate([np.atleast_2d(row) for row in targets])
    answers = np.concatenate([np.atleast_2d(row) for row in values])
    found = {}
    for column, name in enumerate(names):
        known = np.flatnonzero(~np.isnan(labels[:, column]))
        step = max(1, -(-len(known) // _MOST_POINTS))
        rows = known[::step]
        found[name] = [labels[rows, column].tolist(), answers[rows, column].tolist()]
    return found


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON holds it: None for what isn't finite."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
