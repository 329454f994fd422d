"""How good predictions are: from arrays of labels and predictions to named numbers.

One rule holds throughout: what the data leave undefined is NaN, never 0 or an exception, and a mean
over classes or targets (macro) is NaN where it is undefined for any of them, so that a figure
always speaks of all classes. Class 0 is a class like the others.

| undefined (0 / 0) | where |
|---|---|
| recall, auprc of a class | no row has the class |
| precision of a class | no row is predicted as it |
| f1 of a class | no row has it, none is predicted as it |
| auroc of a class | no row has the class, or all have |
| mcc | all rows have one class (one class predicted throughout gives 0) |
| pearson, spearman | the targets or the predictions are constant |
| r2 | the targets are constant |
| all of a target | no row has a value of it |

Of several classes with the same probability the first is the one predicted.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Integer, Shaped

from hyena_glt.errors import HyenaGLTError
from hyena_glt.evaluate.auroc import auroc

_SUM_TOLERANCE = 1e-4
_MOST_POINTS = 500
_NUMBER_METRICS = ("pearson", "spearman", "r2", "rmse", "mae")


def classification_metrics(
    labels: Integer[np.ndarray, " R"], probabilities: Float[np.ndarray, "R C"]
) -> dict[str, float]:
    """Return figures for one class of C a row.

    - `accuracy`, `mcc` (Matthews correlation), `f1_macro`;
    - `auroc`: of class 1 where C = 2, else the mean of each class against the rest;
    - `auprc`: average precision of each class against the rest, the mean over all C, of two too;
    - `f1_class1` and `auprc_class1`, where C = 2;
    - `ece`: expected calibration error, 15 bins (see `reliability`): the mean over rows of
      |accuracy - confidence| of the row's bin (Guo et al. 2017, arXiv:1706.04599, eq. 3);
    - `nll_nats`: mean -ln p(label); a probability below 2.2e-16 counts as 2.2e-16;
    - `brier`: mean over rows of (p1 - label)**2 where C = 2, else of the sum over classes of
      (p - [label = class])**2.

    What is undefined is NaN; see the module.

    Raises `ValueError` unless there is a row and two classes or more, labels are 0 to C - 1 and
    each row of probabilities is in 0..1 and sums to 1 within 1e-4.
    """
    from sklearn.metrics import log_loss, matthews_corrcoef

    labels, probabilities = checked_classes(labels, probabilities)
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    truth = _one_hot(labels, classes)
    areas = [_auroc(*column) for column in zip(truth.T, probabilities.T, strict=True)]
    precisions = [
        _average_precision(*column) for column in zip(truth.T, probabilities.T, strict=True)
    ]
    f1 = _precision_recall_f1(truth, _one_hot(predicted, classes))[2]
    squares = (probabilities - truth) ** 2
    # log_loss warns of the rounding of float32 where a row isn't divided by its sum.
    normalised = probabilities / probabilities.sum(axis=1, keepdims=True)
    several_labels = np.any(labels != labels[0])
    metrics = {
        "accuracy": np.mean(predicted == labels),
        "mcc": matthews_corrcoef(labels, predicted) if several_labels else np.nan,
        "f1_macro": np.mean(f1),
        "auroc": areas[1] if classes == 2 else np.mean(areas),
        "auprc": np.mean(precisions),
        "ece": _ece(*reliability(labels, probabilities)),
        "nll_nats": log_loss(labels, normalised, labels=np.arange(classes)),
        "brier": np.mean(squares[:, 1] if classes == 2 else squares.sum(axis=1)),
    }
    if classes == 2:
        metrics |= {"f1_class1": f1[1], "auprc_class1": precisions[1]}
    return {name: float(value) for name, value in metrics.items()}


def multilabel_metrics(
    labels: Integer[np.ndarray, "R C"] | Bool[np.ndarray, "R C"],
    probabilities: Float[np.ndarray, "R C"],
    *,
    threshold: float = 0.5,
) -> dict[str, float]:
    """Return figures for any number of C classes a row; a class is predicted from `threshold` on.

    `accuracy` is the share of the R x C cells that are right, `exact_match` the share of rows that
    are right throughout; `f1_micro` counts all cells together; `f1_macro`, `auroc`, `auprc` are
    means over classes, and `brier` is the mean of (p - label)**2 over cells. What is undefined is
    NaN; see the module.

    Raises `ValueError` unless there is a row and a class, labels are 0 or 1 and probabilities are
    in 0..1.
    """
    truth, probabilities = checked_cells(labels, probabilities)
    predicted = probabilities >= threshold
    columns = list(zip(truth.T, probabilities.T, strict=True))
    positives = int(truth.sum()) + int(predicted.sum())
    metrics = {
        "accuracy": np.mean(predicted == truth),
        "exact_match": np.mean(np.all(predicted == truth, axis=1)),
        "f1_macro": np.mean(_precision_recall_f1(truth, predicted)[2]),
        "f1_micro": 2 * np.sum(predicted & truth) / positives if positives else np.nan,
        "auroc": np.mean([_auroc(*column) for column in columns]),
        "auprc": np.mean([_average_precision(*column) for column in columns]),
        "brier": np.mean((probabilities - truth) ** 2),
    }
    return {name: float(value) for name, value in metrics.items()}


def regression_metrics(
    targets: Float[np.ndarray, "R T"],
    predictions: Float[np.ndarray, "R T"],
    names: Sequence[str],
) -> dict[str, float]:
    """Return `pearson`, `spearman`, `r2`, `rmse` and `mae`, of each target and the mean over them.

    `pearson/NAME` is that of the target NAME and `pearson` the mean over targets; `rmse` and `mae`
    have the target's unit. r2 is 1 - SSE / SST, below 0 where the mean of the targets predicts
    better. Spearman is the Pearson correlation of ranks, ties sharing their mean rank. What is
    undefined is NaN; see the module.

    Raises `ValueError` if a value is NaN or infinite, there is no row or no target, the shapes
    differ, or `names` doesn't name each target once.
    """
    targets, predictions = _checked_values(targets, predictions)
    check_names(names, targets.shape[1])
    return _flat(_of_numbers(targets, predictions), names)


def regression_metrics_where_known(
    targets: Float[np.ndarray, "R T"],
    predictions: Float[np.ndarray, "R T"],
    names: Sequence[str],
) -> dict[str, float]:
    """Return what `regression_metrics` does, each target over the rows where it isn't NaN.

    The metrics of a target that no row has are NaN, and so are the means over targets then.

    Raises what `regression_metrics` else raises.
    """
    known = ~np.isnan(targets)
    if known.all():
        return regression_metrics(targets, predictions, names)
    _checked_values(np.where(known, targets, 0), predictions)
    check_names(names, targets.shape[1])
    undefined = dict.fromkeys(_NUMBER_METRICS, np.array([np.nan]))
    columns = [
        _of_numbers(
            targets[rows, number, None].astype(np.float64),
            predictions[rows, number, None].astype(np.float64),
        )
        if rows.any()
        else undefined
        for number, rows in enumerate(known.T)
    ]
    return _flat(
        {name: np.concatenate([of[name] for of in columns]) for name in _NUMBER_METRICS}, names
    )


def _of_numbers(
    targets: Float64[np.ndarray, "R T"], predictions: Float64[np.ndarray, "R T"]
) -> dict[str, Float64[np.ndarray, " T"]]:
    """Return each of `_NUMBER_METRICS` of each target."""
    from scipy.stats import rankdata

    error = predictions - targets
    variation = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    variation[np.ptp(targets, axis=0) == 0] = np.nan
    return {
        "pearson": _pearson(targets, predictions),
        "spearman": _pearson(rankdata(targets, axis=0), rankdata(predictions, axis=0)),
        "r2": 1 - (error**2).sum(axis=0) / variation,
        "rmse": np.sqrt((error**2).mean(axis=0)),
        "mae": np.abs(error).mean(axis=0),
    }


def base_metrics(
    labels: Integer[np.ndarray, " R"],
    probabilities: Float[np.ndarray, "R C"],
    classes: Sequence[str],
) -> dict[str, float]:
    """Return figures for a class for each base, over all bases but those of label -1.

    `bases` is the number of bases that count; `accuracy` and `mcc` are over them. `precision`,
    `recall`, `f1`, `auroc` and `auprc` are means over classes, and `f1/NAME` and so on those of the
    class NAME, which is `classes[label]`. What is undefined is NaN; see the module.

    Raises what `classification_metrics` raises, over the bases that count, and `ValueError` if
    `classes` doesn't name each class once.
    """
    from sklearn.metrics import matthews_corrcoef

    if labels.shape != probabilities.shape[:1]:
        raise ValueError(_shapes(labels, probabilities, "labels (R,), probabilities (R, C)"))
    counted = labels != -1
    labels, probabilities = checked_classes(labels[counted], probabilities[counted])
    table = per_class(labels, probabilities, classes)
    predicted = probabilities.argmax(axis=1)
    several_labels = np.any(labels != labels[0])
    by_metric = {
        metric: np.array([table[name][metric] for name in classes])
        for metric in ("precision", "recall", "f1", "auroc", "auprc")
    }
    return {
        "bases": float(len(labels)),
        "accuracy": float(np.mean(predicted == labels)),
        "mcc": float(matthews_corrcoef(labels, predicted)) if several_labels else np.nan,
    } | _flat(by_metric, classes)


def per_class(
    labels: Integer[np.ndarray, " R"] | Integer[np.ndarray, "R C"] | Bool[np.ndarray, "R C"],
    probabilities: Float[np.ndarray, "R C"],
    classes: Sequence[str],
    *,
    threshold: float = 0.5,
) -> dict[str, dict[str, float]]:
    """Return, for each class, its `support` (rows that have it) and how well it is told apart.

    `precision`, `recall`, `f1`, `auroc` and `auprc` are of the class against the rest. Labels (R,)
    are one class a row, and the most probable is predicted; labels (R, C) of 0 and 1 are any number
    of classes, each predicted from `threshold` on. What is undefined is NaN; see the module.

    Raises what `classification_metrics` or `multilabel_metrics` raises, and `ValueError` if
    `classes` doesn't name each class once.
    """
    if labels.ndim == 1:
        labels, probabilities = checked_classes(labels, probabilities)
        truth = _one_hot(labels, probabilities.shape[1])
        predicted = _one_hot(probabilities.argmax(axis=1), probabilities.shape[1])
    else:
        truth, probabilities = checked_cells(labels, probabilities)
        predicted = probabilities >= threshold
    check_names(classes, probabilities.shape[1])
    precision, recall, f1 = _precision_recall_f1(truth, predicted)
    return {
        name: {
            "support": float(truth[:, code].sum()),
            "precision": float(precision[code]),
            "recall": float(recall[code]),
            "f1": float(f1[code]),
            "auroc": _auroc(truth[:, code], probabilities[:, code]),
            "auprc": _average_precision(truth[:, code], probabilities[:, code]),
        }
        for code, name in enumerate(classes)
    }


def per_group(
    metric: Callable[[Int64[np.ndarray, " _"]], float], groups: Shaped[np.ndarray, " R"]
) -> dict[str, float]:
    """Return the metric of each group's rows, by the group's name in sorted order.

    `metric` is given the indices of the rows, ascending, as `intervals.bootstrap` does.

    >>> errors = np.array([1.0, 3.0, 8.0])
    >>> per_group(lambda rows: float(errors[rows].mean()), np.array(["chr1", "chr1", "chr2"]))
    {'chr1': 2.0, 'chr2': 8.0}
    """
    names, group = np.unique(groups, return_inverse=True)
    order = np.argsort(group, kind="stable")
    rows_of = np.split(order, np.cumsum(np.bincount(group))[:-1]) if len(groups) else []
    return {str(name): float(metric(rows)) for name, rows in zip(names, rows_of, strict=True)}


def reliability(
    labels: Integer[np.ndarray, " R"], probabilities: Float[np.ndarray, "R C"], bins: int = 15
) -> tuple[Float64[np.ndarray, " M"], Float64[np.ndarray, " M"], Int64[np.ndarray, " M"]]:
    """Return (mean confidence, accuracy, count) of the rows in each bin of confidence.

    Confidence is the probability of the predicted class. Bin m of M is (m / M, (m + 1) / M], so all
    are of one width; a bin without rows has NaN, NaN and 0.

    Raises what `classification_metrics` raises, and `ValueError` if there are no bins.
    """
    labels, probabilities = checked_classes(labels, probabilities)
    if bins < 1:
        raise ValueError(f"found {bins} bins, expected 1 or more")
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    which = np.searchsorted(np.arange(1, bins) / bins, confidence, side="left")
    count = np.bincount(which, minlength=bins)
    sums = np.array([np.bincount(which, value, minlength=bins) for value in (confidence, right)])
    means = np.divide(sums, count, out=np.full_like(sums, np.nan), where=count > 0)
    return means[0], means[1], count


def roc_curve(
    labels: Bool[np.ndarray, " R"], scores: Float[np.ndarray, " R"]
) -> tuple[Float64[np.ndarray, " K"], Float64[np.ndarray, " K"], Float64[np.ndarray, " K"]]:
    """Return (false-positive rate, true-positive rate, threshold) of at most 500 points.

    From (0, 0) at threshold infinity to (1, 1) at the lowest score; a row is called positive from
    the threshold on. Of longer curves points are taken evenly, both ends among them.

    Raises `HyenaGLTError` if a class is empty, and `ValueError` if a score is NaN or infinite.
    """
    from sklearn.metrics import roc_curve as curve

    _check_curve(labels, scores, needs_negatives=True)
    false_positive, true_positive, threshold = curve(labels, scores)
    return _thinned(false_positive, true_positive, threshold)


def pr_curve(
    labels: Bool[np.ndarray, " R"], scores: Float[np.ndarray, " R"]
) -> tuple[Float64[np.ndarray, " K"], Float64[np.ndarray, " K"], Float64[np.ndarray, " K"]]:
    """Return (precision, recall, threshold) of at most 500 points.

    From recall 1 at the lowest score to (1, 0) at threshold infinity; a row is called positive from
    the threshold on. Of longer curves points are taken evenly, both ends among them.

    Raises `HyenaGLTError` if no row is positive, and `ValueError` if a score is NaN or infinite.
    """
    from sklearn.metrics import precision_recall_curve

    _check_curve(labels, scores, needs_negatives=False)
    precision, recall, threshold = precision_recall_curve(labels, scores, drop_intermediate=True)
    return _thinned(precision, recall, np.append(threshold, np.inf))


def confusion(
    labels: Integer[np.ndarray, " R"], predicted: Integer[np.ndarray, " R"], classes: int
) -> Int64[np.ndarray, "C C"]:
    """Return how many rows of each class (row) were predicted as each class (column).

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]

    Raises `ValueError` if the lengths differ or a class isn't 0 to classes - 1.
    """
    if labels.shape != predicted.shape:
        raise ValueError(_shapes(labels, predicted, "one prediction for each label"))
    _check_codes(labels, classes, "label")
    _check_codes(predicted, classes, "prediction")
    cell = labels.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(cell, minlength=classes**2).reshape(classes, classes)


def _ece(
    confidence: Float64[np.ndarray, " M"],
    accuracy: Float64[np.ndarray, " M"],
    count: Int64[np.ndarray, " M"],
) -> float:
    return float(np.nansum(count * np.abs(accuracy - confidence)) / count.sum())


def _auroc(truth: Bool[np.ndarray, " R"], scores: Float64[np.ndarray, " R"]) -> float:
    return auroc(scores[truth], scores[~truth]) if 0 < truth.sum() < len(truth) else np.nan


def _average_precision(truth: Bool[np.ndarray, " R"], scores: Float64[np.ndarray, " R"]) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(truth, scores)) if truth.any() else np.nan


def _precision_recall_f1(
    truth: Bool[np.ndarray, "R C"], predicted: Bool[np.ndarray, "R C"]
) -> Float64[np.ndarray, "3 C"]:
    hits = (truth & predicted).sum(axis=0)
    has, called = truth.sum(axis=0), predicted.sum(axis=0)
    parts = np.stack([hits, hits, 2 * hits]).astype(np.float64)
    wholes = np.stack([called, has, called + has])
    ratios = np.divide(parts, wholes, out=np.full_like(parts, np.nan), where=wholes > 0)
    return np.asarray(ratios)


def _pearson(
    left: Float64[np.ndarray, "R T"], right: Float64[np.ndarray, "R T"]
) -> Float64[np.ndarray, " T"]:
    def direction(values: Float64[np.ndarray, "R T"]) -> Float64[np.ndarray, "R T"]:
        # A constant column is found before its mean is rounded; the rest can't overflow squared.
        spread = np.where(np.ptp(values, axis=0) == 0, np.nan, np.ptp(values, axis=0))
        scaled = (values - values.mean(axis=0)) / spread
        return np.asarray(scaled / np.linalg.norm(scaled, axis=0))

    return np.asarray(np.clip((direction(left) * direction(right)).sum(axis=0), -1, 1))


def _thinned(
    x: Float64[np.ndarray, " N"], y: Float64[np.ndarray, " N"], threshold: Float[np.ndarray, " N"]
) -> tuple[Float64[np.ndarray, " K"], Float64[np.ndarray, " K"], Float64[np.ndarray, " K"]]:
    kept = np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).round().astype(np.int64)
    return x[kept], y[kept], threshold[kept].astype(np.float64)


def _flat(
    by_metric: dict[str, Float64[np.ndarray, " _"]], names: Sequence[str]
) -> dict[str, float]:
    """`metric`, the mean, and `metric/name` for each name."""
    means = {metric: float(np.mean(values)) for metric, values in by_metric.items()}
    return means | {
        f"{metric}/{name}": float(value)
        for metric, values in by_metric.items()
        for name, value in zip(names, values, strict=True)
    }


def _one_hot(codes: Int64[np.ndarray, " R"], classes: int) -> Bool[np.ndarray, "R C"]:
    return np.asarray(codes[:, None] == np.arange(classes))


def checked_classes(
    labels: Integer[np.ndarray, "..."], probabilities: Float[np.ndarray, "..."]
) -> tuple[Int64[np.ndarray, " R"], Float64[np.ndarray, "R C"]]:
    """(labels, probabilities) of one class a row, as int64 and float64; ValueError if not that."""
    shape = probabilities.shape
    if len(shape) != 2 or labels.shape != shape[:1] or shape[0] < 1 or shape[1] < 2:
        raise ValueError(
            _shapes(labels, probabilities, "labels (R,), probabilities (R, C), R >= 1, C >= 2")
        )
    probabilities = probabilities.astype(np.float64)
    _check_codes(labels, shape[1], "label")
    _check_unit(probabilities)
    sums = probabilities.sum(axis=1)
    wrong = np.flatnonzero(np.abs(sums - 1) > _SUM_TOLERANCE)
    if wrong.size:
        raise ValueError(
            f"the probabilities of {wrong.size} of {shape[0]} rows don't sum to 1: row {wrong[0]} "
            f"sums to {sums[wrong[0]]:.6g}; give the softmax of the logits"
        )
    return labels.astype(np.int64), probabilities


def checked_cells(
    labels: Shaped[np.ndarray, "..."], probabilities: Float[np.ndarray, "..."]
) -> tuple[Bool[np.ndarray, "R C"], Float64[np.ndarray, "R C"]]:
    """(labels, probabilities) of any number of classes a row; ValueError if not that."""
    if probabilities.ndim != 2 or labels.shape != probabilities.shape or not labels.size:
        raise ValueError(_shapes(labels, probabilities, "both (R, C), R >= 1, C >= 1"))
    wrong = np.argwhere((labels != 0) & (labels != 1))
    if wrong.size:
        row, code = wrong[0]
        raise ValueError(
            f"found the label {labels[row, code]} in row {row}, class {code}; expected 0 or 1"
        )
    probabilities = probabilities.astype(np.float64)
    _check_unit(probabilities)
    return labels.astype(np.bool_), probabilities


def _checked_values(
    targets: Float[np.ndarray, "..."], predictions: Float[np.ndarray, "..."]
) -> tuple[Float64[np.ndarray, "R T"], Float64[np.ndarray, "R T"]]:
    """(targets, predictions) as float64; ValueError if their shapes or a value are wrong."""
    if targets.ndim != 2 or targets.shape != predictions.shape or not targets.size:
        raise ValueError(_shapes(targets, predictions, "both (R, T), R >= 1, T >= 1"))
    for what, values in (("target", targets), ("prediction", predictions)):
        wrong = np.argwhere(~np.isfinite(values))
        if wrong.size:
            row, column = wrong[0]
            raise ValueError(
                f"{len(wrong)} {what}s are no finite numbers: row {row}, column {column} is "
                f"{values[row, column]}; leave out rows without a value"
            )
    return targets.astype(np.float64), predictions.astype(np.float64)


def _check_codes(codes: Integer[np.ndarray, " R"], classes: int, what: str) -> None:
    wrong = np.flatnonzero((codes < 0) | (codes >= classes))
    if wrong.size:
        raise ValueError(
            f"found the {what} {codes[wrong[0]]} in row {wrong[0]}; "
            f"expected 0 to {classes - 1} for {classes} classes"
        )


def _check_unit(probabilities: Float64[np.ndarray, "R C"]) -> None:
    # Softmax of float32 may pass 1 by rounding; the comparison is false for NaN.
    inside = (probabilities >= 0) & (probabilities <= 1 + _SUM_TOLERANCE)
    wrong = np.argwhere(~inside)
    if wrong.size:
        row, code = wrong[0]
        raise ValueError(
            f"{len(wrong)} probabilities aren't in 0..1: row {row}, class {code} is "
            f"{probabilities[row, code]}; give probabilities, not logits"
        )


def check_names(names: Sequence[str], columns: int) -> None:
    """Raise ValueError unless ``names`` gives each of so many columns one of its own."""
    if len(names) != columns or len(set(names)) != columns:
        raise ValueError(f"found the names {list(names)}; expected {columns}, each another")


def _check_curve(
    labels: Bool[np.ndarray, " R"], scores: Float[np.ndarray, " R"], needs_negatives: bool
) -> None:
    wrong = np.flatnonzero(~np.isfinite(scores))
    if wrong.size:
        raise ValueError(f"{wrong.size} scores are no finite numbers; the first is row {wrong[0]}")
    positives = int(labels.sum())
    if positives == 0 or (needs_negatives and positives == len(labels)):
        raise HyenaGLTError(
            f"found {positives} positives and {len(labels) - positives} negatives; a curve needs "
            f"{'both' if needs_negatives else 'positives'}: leave this class out"
        )


def _shapes(left: np.ndarray, right: np.ndarray, expected: str) -> str:
    return f"found the shapes {left.shape} and {right.shape}; expected {expected}"
