"""Metrics of many bootstrap replicates at once, from how often each row was drawn.

The same figures as `metrics.classification_metrics` and `metrics.multilabel_metrics` give for the
rows drawn, undefined (NaN) in the same places, a hundred times as fast: a replicate's confusions
and means are products of its counts with tables of the rows, and its areas under curves are
cumulative sums of its counts along one order of the rows.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer

from hyena_glt.evaluate.intervals import CountedMetrics, Counts
from hyena_glt.evaluate.metrics import check_names, checked_cells, checked_classes

_BINS = 15  # of confidence, as `metrics.reliability` has them


def counted_classification(
    labels: Integer[np.ndarray, " R"], probabilities: Float64[np.ndarray, "R C"]
) -> CountedMetrics:
    """Return the function from counts to what `classification_metrics` gives of the rows drawn.

    Raises what `classification_metrics` raises.
    """
    labels, probabilities = checked_classes(labels, probabilities)
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    truth = labels[:, None] == np.arange(classes)
    cells = _one_hot(labels * classes + predicted, classes**2)
    squares = (probabilities - truth) ** 2
    chance = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    chance = chance / probabilities.sum(axis=1)
    eps = np.finfo(np.float64).eps
    losses = np.stack(
        [
            -np.log(np.clip(chance, eps, 1 - eps)),
            squares[:, 1] if classes == 2 else squares.sum(axis=1),
        ],
        axis=1,
    )
    confidence = probabilities.max(axis=1)
    bins = np.searchsorted(np.arange(1, _BINS) / _BINS, confidence, side="left")
    # Of a bin |accuracy - confidence| times its rows is |sum of right - sum of confidence|.
    gaps = _one_hot(bins, _BINS) * ((predicted == labels) - confidence)[:, None]
    areas = [_areas(*column) for column in zip(truth.T, probabilities.T, strict=True)]

    def metrics(counts: Counts) -> dict[str, Float64[np.ndarray, " B"]]:
        rows = counts.sum(axis=1)
        confusion = (counts @ cells).reshape(-1, classes, classes)
        hits = np.diagonal(confusion, axis1=1, axis2=2)
        has, called = confusion.sum(axis=2), confusion.sum(axis=1)
        f1 = ratio(2 * hits, has + called)
        auroc, auprc = _stacked(areas, counts)
        nll, brier = (counts @ losses).T / rows
        found = {
            "accuracy": hits.sum(axis=1) / rows,
            "mcc": _mcc(hits.sum(axis=1), has, called),
            "f1_macro": f1.mean(axis=1),
            "auroc": auroc[:, 1] if classes == 2 else auroc.mean(axis=1),
            "auprc": auprc.mean(axis=1),
            "ece": np.abs(counts @ gaps).sum(axis=1) / rows,
            "nll_nats": nll,
            "brier": brier,
        }
        if classes == 2:
            found |= {"f1_class1": f1[:, 1], "auprc_class1": auprc[:, 1]}
        return found

    return metrics


def counted_multilabel(
    labels: Integer[np.ndarray, "R C"] | Bool[np.ndarray, "R C"],
    probabilities: Float64[np.ndarray, "R C"],
    *,
    threshold: float = 0.5,
) -> CountedMetrics:
    """Return the function from counts to what `multilabel_metrics` gives of the rows drawn.

    Raises what `multilabel_metrics` raises.
    """
    truth, probabilities = checked_cells(labels, probabilities)
    predicted = probabilities >= threshold
    classes = truth.shape[1]
    right = predicted == truth
    by_class = np.concatenate([predicted & truth, truth, predicted], axis=1).astype(np.float64)
    means = np.stack(
        [right.mean(axis=1), right.all(axis=1), ((probabilities - truth) ** 2).mean(axis=1)], axis=1
    )
    areas = [_areas(*column) for column in zip(truth.T, probabilities.T, strict=True)]

    def metrics(counts: Counts) -> dict[str, Float64[np.ndarray, " B"]]:
        hits, has, called = np.moveaxis((counts @ by_class).reshape(-1, 3, classes), 1, 0)
        accuracy, exact, brier = (counts @ means).T / counts.sum(axis=1)
        auroc, auprc = _stacked(areas, counts)
        return {
            "accuracy": accuracy,
            "exact_match": exact,
            "f1_macro": ratio(2 * hits, has + called).mean(axis=1),
            "f1_micro": ratio(2 * hits.sum(axis=1), (has + called).sum(axis=1)),
            "auroc": auroc.mean(axis=1),
            "auprc": auprc.mean(axis=1),
            "brier": brier,
        }

    return metrics


def counted_per_class(
    labels: Integer[np.ndarray, " R"] | Integer[np.ndarray, "R C"] | Bool[np.ndarray, "R C"],
    probabilities: Float64[np.ndarray, "R C"],
    classes: Sequence[str],
    *,
    threshold: float = 0.5,
) -> CountedMetrics:
    """Return the function from counts to what `per_class` gives of the rows drawn, as METRIC/CLASS.

    Supports, which are counts and no figures, are left out. Raises what `per_class` raises.
    """
    if labels.ndim == 1:
        labels, probabilities = checked_classes(labels, probabilities)
        columns = np.arange(probabilities.shape[1])
        truth = labels[:, None] == columns
        predicted = probabilities.argmax(axis=1)[:, None] == columns
    else:
        truth, probabilities = checked_cells(labels, probabilities)
        predicted = probabilities >= threshold
    check_names(classes, probabilities.shape[1])
    by_class = np.concatenate([predicted & truth, truth, predicted], axis=1).astype(np.float64)
    areas = [_areas(*column) for column in zip(truth.T, probabilities.T, strict=True)]

    def metrics(counts: Counts) -> dict[str, Float64[np.ndarray, " B"]]:
        sums = (counts @ by_class).reshape(-1, 3, len(classes))
        hits, has, called = np.moveaxis(sums, 1, 0)
        auroc, auprc = _stacked(areas, counts)
        found = {
            "precision": ratio(hits, called),
            "recall": ratio(hits, has),
            "f1": ratio(2 * hits, has + called),
            "auroc": auroc,
            "auprc": auprc,
        }
        return {
            f"{metric}/{name}": values[:, code]
            for metric, values in found.items()
            for code, name in enumerate(classes)
        }

    return metrics


_Areas = Callable[[Counts], tuple[Float64[np.ndarray, " B"], Float64[np.ndarray, " B"]]]


def _areas(truth: Bool[np.ndarray, " R"], scores: Float64[np.ndarray, " R"]) -> _Areas:
    """Return the function from counts to (AUROC, average precision) of each replicate."""
    order = np.argsort(-scores, kind="stable")
    positive = truth[order]
    # The last row of each run of equal scores, which are called together.
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)

    def areas(counts: Counts) -> tuple[Float64[np.ndarray, " B"], Float64[np.ndarray, " B"]]:
        drawn = counts[:, order]
        true = np.cumsum(drawn * positive, axis=1)[:, ends]
        called = np.cumsum(drawn, axis=1)[:, ends]
        steps = np.diff(true, axis=1, prepend=0)
        false = called - true
        has, lacks = true[:, -1], false[:, -1]
        # A positive wins against the negatives below it, and half against those beside it.
        lost = false - np.diff(false, axis=1, prepend=0) / 2
        auroc = 1 - ratio((steps * lost).sum(axis=1), has * lacks)
        precision = np.divide(true, called, out=np.zeros_like(true), where=called > 0)
        return auroc, ratio((steps * precision).sum(axis=1), has)

    return areas


def _stacked(
    areas: list[_Areas], counts: Counts
) -> tuple[Float64[np.ndarray, "B C"], Float64[np.ndarray, "B C"]]:
    """Return AUROC and average precision, a column a class."""
    auroc, auprc = zip(*(of_class(counts) for of_class in areas), strict=True)
    return np.stack(auroc, axis=1), np.stack(auprc, axis=1)


def _mcc(
    right: Float64[np.ndarray, " B"],
    has: Float64[np.ndarray, "B C"],
    called: Float64[np.ndarray, "B C"],
) -> Float64[np.ndarray, " B"]:
    """Return R_K (Gorodkin 2004): NaN where all rows have one class, 0 where one is predicted."""
    rows = has.sum(axis=1)
    covariance = right * rows - (has * called).sum(axis=1)
    of_labels, of_calls = (rows**2 - (sums**2).sum(axis=1) for sums in (has, called))
    spread = np.sqrt(of_labels * of_calls)
    found = np.divide(covariance, spread, out=np.zeros_like(rows), where=spread > 0)
    return np.where(of_labels > 0, found, np.nan)


def ratio(
    part: Float64[np.ndarray, "*shape"], whole: Float64[np.ndarray, "*shape"]
) -> Float64[np.ndarray, "*shape"]:
    """Return part / whole, NaN where there is nothing of the whole."""
    return np.asarray(np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0))


def _one_hot(codes: Int64[np.ndarray, " R"], size: int) -> Float64[np.ndarray, "R S"]:
    return np.asarray(codes[:, None] == np.arange(size), dtype=np.float64)
