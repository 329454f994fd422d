import inspect
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn import metrics as sk

from hyena_glt.errors import HyenaGLTError
from hyena_glt.evaluate.metrics import (
    base_metrics,
    classification_metrics,
    confusion,
    multilabel_metrics,
    per_class,
    per_group,
    pr_curve,
    regression_metrics,
    reliability,
    roc_curve,
)

SEEDS = st.integers(0, 2**32 - 1)


def softmax(rng: np.random.Generator, rows: int, classes: int) -> np.ndarray:
    # Few distinct logits: probabilities tie.
    exp = np.exp(rng.integers(-2, 3, (rows, classes))).astype(np.float32)
    return np.asarray(exp / exp.sum(axis=1, keepdims=True))


def sample(seed: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Forty rows with each class among their labels."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, 40 - classes)])
    return labels, softmax(rng, 40, classes)


@settings(max_examples=6)
@given(SEEDS)
def test_two_classes_as_sklearn_counts_them(seed: int) -> None:
    labels, probabilities = sample(seed, 2)
    predicted = probabilities.argmax(axis=1)
    found = classification_metrics(labels, probabilities)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    assert found["mcc"] == pytest.approx(sk.matthews_corrcoef(labels, predicted))
    assert found["f1_macro"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert found["f1_class1"] == pytest.approx(sk.f1_score(labels, predicted))
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(labels, probabilities[:, 1]))
    each = [sk.average_precision_score(labels == code, probabilities[:, code]) for code in (0, 1)]
    assert found["auprc"] == pytest.approx(np.mean(each))
    assert found["auprc_class1"] == pytest.approx(each[1])
    assert found["brier"] == pytest.approx(
        sk.brier_score_loss(labels, probabilities[:, 1].astype(float))
    )
    assert found["nll_nats"] == pytest.approx(
        -np.mean(np.log(probabilities[np.arange(40), labels])), rel=1e-5
    )


@settings(max_examples=6)
@given(SEEDS)
def test_four_classes_as_sklearn_counts_them(seed: int) -> None:
    labels, probabilities = sample(seed, 4)
    predicted = probabilities.argmax(axis=1)
    exact = probabilities.astype(float)
    exact /= exact.sum(axis=1, keepdims=True)
    found = classification_metrics(labels.astype(np.uint8), exact)
    assert found["f1_macro"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert found["mcc"] == pytest.approx(sk.matthews_corrcoef(labels, predicted))
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(labels, exact, multi_class="ovr"))
    one_hot = np.eye(4)[labels]
    assert found["auprc"] == pytest.approx(sk.average_precision_score(one_hot, exact))
    assert found["nll_nats"] == pytest.approx(sk.log_loss(labels, exact))
    assert found["brier"] == pytest.approx(np.mean(np.sum((exact - one_hot) ** 2, axis=1)))
    assert "f1_class1" not in found


def test_the_mistakes_of_class_0_count() -> None:
    # Class 0 is never predicted: its f1 is 0; class 1 has precision 1/2, recall 1, f1 2/3.
    labels = np.array([0, 1, 2, 2])
    probabilities = np.eye(3)[[1, 1, 2, 2]]
    assert classification_metrics(labels, probabilities)["f1_macro"] == pytest.approx(
        (0 + 2 / 3 + 1) / 3
    )


def test_calibration_error_counted_by_hand() -> None:
    # Bin (12/15, 13/15]: two rows of 0.85, one right: |0.5 - 0.85|. Bin (9/15, 10/15]: one of 0.65,
    # right: 0.35. In all (2 * 0.35 + 1 * 0.35) / 3.
    labels = np.array([0, 1, 1])
    p1 = np.array([0.15, 0.15, 0.65])
    probabilities = np.stack([1 - p1, p1], axis=1)
    assert classification_metrics(labels, probabilities)["ece"] == pytest.approx(0.35)
    confidence, accuracy, count = reliability(labels, probabilities)
    assert count.tolist() == [0] * 9 + [1, 0, 0, 2, 0, 0]
    assert confidence[[9, 12]] == pytest.approx([0.65, 0.85])
    assert accuracy[[9, 12]].tolist() == [1.0, 0.5]
    assert np.isnan(confidence[0])
    assert np.isnan(accuracy[0])


def test_a_confidence_at_an_edge_belongs_to_the_bin_below() -> None:
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]])
    assert reliability(np.array([0, 1, 0]), probabilities, bins=4)[2].tolist() == [0, 1, 1, 1]


def test_a_class_without_rows_leaves_undefined_what_needs_it() -> None:
    labels = np.array([1, 1, 2])
    probabilities = np.array([[0.1, 0.8, 0.1], [0.1, 0.2, 0.7], [0.1, 0.2, 0.7]])
    found = classification_metrics(labels, probabilities)
    undefined = {name for name, value in found.items() if np.isnan(value)}
    assert undefined == {"f1_macro", "auroc", "auprc"}
    # Once class 0 is predicted its f1 is 0, not 0 / 0.
    probabilities[0] = [0.8, 0.1, 0.1]
    assert classification_metrics(labels, probabilities)["f1_macro"] == pytest.approx(
        (0 + 0 + 2 / 3) / 3
    )


def test_labels_of_one_class_have_no_correlation_but_an_accuracy() -> None:
    found = classification_metrics(np.array([1, 1]), np.array([[0.1, 0.9], [0.8, 0.2]]))
    assert np.isnan(found["mcc"])
    assert np.isnan(found["auroc"])
    assert found["accuracy"] == 0.5
    # One class predicted throughout is as good as chance.
    assert classification_metrics(np.array([0, 1]), np.array([[0.9, 0.1]] * 2))["mcc"] == 0


def test_a_right_class_of_probability_0_costs_a_finite_loss() -> None:
    found = classification_metrics(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert found["nll_nats"] == pytest.approx(-np.log(np.finfo(float).eps) / 2)


@pytest.mark.parametrize(
    ("labels", "probabilities", "says"),
    [
        ([0, 1], [[0.5, 0.5], [0.5, 0.6]], "row 1 sums to 1.1"),
        ([0, 1], [[0.5, 0.5], [np.nan, 1.0]], "row 1, class 0 is nan"),
        ([0, 1], [[0.5, 0.5], [-1.0, 2.0]], "row 1, class 0 is -1.0; give probabilities"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "the label 2 in row 1; expected 0 to 1"),
        ([-1, 0], [[0.5, 0.5], [0.5, 0.5]], "the label -1 in row 0"),
        ([0], [[0.5, 0.5], [0.5, 0.5]], r"shapes \(1,\) and \(2, 2\)"),
        ([0, 0], [[1.0], [1.0]], "C >= 2"),
    ],
)
@pytest.mark.parametrize("measure", [classification_metrics, reliability])
def test_what_are_no_probabilities_is_refused(
    labels: list[int],
    probabilities: list[list[float]],
    says: str,
    measure: Callable[[np.ndarray, np.ndarray], object],
) -> None:
    # As it runs where shapes aren't checked.
    with pytest.raises(ValueError, match=says):
        inspect.unwrap(measure)(np.array(labels), np.array(probabilities))


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="R >= 1"):
        classification_metrics(np.empty(0, dtype=np.int64), np.empty((0, 2)))


def test_sums_within_the_tolerance_are_probabilities() -> None:
    probabilities = np.array([[0.00004, 1.00005], [0.5, 0.49995]])
    assert classification_metrics(np.array([1, 0]), probabilities)["accuracy"] == 1


@settings(max_examples=6)
@given(SEEDS)
def test_several_classes_a_row_as_sklearn_counts_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (30, 3))
    labels[:2] = [[0, 0, 0], [1, 1, 1]]
    probabilities = rng.integers(0, 5, (30, 3)) / 4
    predicted = probabilities >= 0.5
    found = multilabel_metrics(labels, probabilities)
    assert found["f1_macro"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert found["f1_micro"] == pytest.approx(sk.f1_score(labels, predicted, average="micro"))
    assert found["exact_match"] == pytest.approx(sk.accuracy_score(labels, predicted))
    assert found["accuracy"] == pytest.approx(1 - sk.hamming_loss(labels, predicted))
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(labels, probabilities))
    assert found["auprc"] == pytest.approx(sk.average_precision_score(labels, probabilities))
    assert found["brier"] == pytest.approx(np.mean((probabilities - labels) ** 2))


def test_several_classes_a_row_undefined_and_refused() -> None:
    labels, probabilities = np.array([[0, 1], [0, 0]]), np.array([[0.1, 0.9], [0.2, 0.1]])
    found = multilabel_metrics(labels == 1, probabilities)
    assert {name for name, value in found.items() if np.isnan(value)} == {
        "f1_macro",
        "auroc",
        "auprc",
    }
    assert found["f1_micro"] == 1
    assert multilabel_metrics(labels, probabilities, threshold=0.2)["f1_micro"] == 2 / 3
    with pytest.raises(ValueError, match="the label 2 in row 1, class 0; expected 0 or 1"):
        multilabel_metrics(np.array([[0, 1], [2, 0]]), probabilities)
    with pytest.raises(ValueError, match=r"row 0, class 1 is 1\.9"):
        multilabel_metrics(labels, probabilities + np.array([0.0, 1.0]))


@settings(max_examples=6)
@given(SEEDS)
def test_regression_as_sklearn_and_scipy_have_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.integers(-3, 4, (25, 2)).astype(np.float32)
    targets[:2] = [[0, 5], [1, 6]]
    predictions = (targets + rng.integers(-2, 3, (25, 2))).astype(np.float32)
    predictions[:2] = [[0, 5], [1, 7]]
    found = regression_metrics(targets, predictions, ["promoter", "enhancer"])
    for column, name in enumerate(["promoter", "enhancer"]):
        one, other = targets[:, column].astype(float), predictions[:, column].astype(float)
        assert found[f"pearson/{name}"] == pytest.approx(pearsonr(one, other).statistic)
        assert found[f"spearman/{name}"] == pytest.approx(spearmanr(one, other).statistic)
        assert found[f"r2/{name}"] == pytest.approx(sk.r2_score(one, other))
        assert found[f"rmse/{name}"] == pytest.approx(sk.root_mean_squared_error(one, other))
        assert found[f"mae/{name}"] == pytest.approx(sk.mean_absolute_error(one, other))
    for metric in ("pearson", "spearman", "r2", "rmse", "mae"):
        pair = found[f"{metric}/promoter"], found[f"{metric}/enhancer"]
        assert found[metric] == pytest.approx(np.mean(pair))


def test_constant_values_have_no_correlation() -> None:
    # The mean of three 0.1 isn't 0.1 in float64.
    targets = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 4.0]])
    predictions = np.array([[1.0, 2.0], [2.0, 2.0], [3.0, 2.0]])
    found = regression_metrics(targets, predictions, ["a", "b"])
    for name in ("pearson/a", "spearman/a", "r2/a", "pearson/b", "spearman/b", "r2", "pearson"):
        assert np.isnan(found[name]), name
    # SSE 1 + 0 + 4, SST 14/3 about the mean 7/3.
    assert found["r2/b"] == pytest.approx(1 - 5 / (14 / 3))
    assert found["mae/b"] == pytest.approx(1)


@pytest.mark.parametrize("scale", [1e-200, 1e150])
def test_a_correlation_has_no_unit(scale: float) -> None:
    targets, predictions = np.array([[1.0], [2.0], [4.0]]), np.array([[1.0], [3.0], [2.0]])
    plain = regression_metrics(targets, predictions, ["a"])["pearson"]
    with np.errstate(over="ignore", under="ignore"):
        scaled = regression_metrics(targets, predictions * scale, ["a"])["pearson"]
    assert scaled == pytest.approx(plain)


def test_values_that_are_none_are_refused() -> None:
    good = np.array([[1.0], [2.0]])
    with pytest.raises(ValueError, match="1 targets are no finite numbers: row 1, column 0 is nan"):
        regression_metrics(np.array([[1.0], [np.nan]]), good, ["a"])
    with pytest.raises(ValueError, match="1 predictions are no finite numbers: row 0"):
        regression_metrics(good, np.array([[np.inf], [1.0]]), ["a"])
    with pytest.raises(ValueError, match="expected 1, each another"):
        regression_metrics(good, good, ["a", "b"])
    with pytest.raises(ValueError, match="shapes"):
        inspect.unwrap(regression_metrics)(good, good[:1], ["a"])


def test_bases_without_a_label_dont_count() -> None:
    labels = np.array([0, -1, 1, 1, -1, 2])
    probabilities = np.eye(3)[[0, 1, 1, 0, 0, 2]]
    probabilities[1] = np.nan  # what stands where nothing is labelled doesn't matter
    found = base_metrics(labels, probabilities, ["intron", "exon", "utr"])
    assert found["bases"] == 4
    assert found["accuracy"] == 0.75
    assert found["precision/intron"] == 0.5
    assert found["recall/intron"] == 1
    assert found["precision/exon"] == 1
    assert found["recall/exon"] == 0.5
    assert found["f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    # intron: 1 against 0, 1, 0: a tie of three pairs. exon: 1 and 0 against 0, 0: two ties of four.
    assert found["auroc/intron"] == pytest.approx(2.5 / 3)
    assert found["auroc/exon"] == 0.75
    kept = labels >= 0
    assert found["mcc"] == pytest.approx(sk.matthews_corrcoef(labels[kept], [0, 1, 0, 2]))
    with pytest.raises(ValueError, match="R >= 1"):
        base_metrics(np.array([-1]), np.array([[0.5, 0.5]]), ["a", "b"])
    with pytest.raises(ValueError, match="the label -2 in row 0"):
        base_metrics(np.array([-2]), np.array([[0.5, 0.5]]), ["a", "b"])


@settings(max_examples=6)
@given(SEEDS)
def test_the_table_of_classes_is_that_of_sklearn(seed: int) -> None:
    labels, probabilities = sample(seed, 3)
    table = per_class(labels, probabilities, ["a", "b", "c"])
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, predicted, labels=[0, 1, 2], zero_division=np.nan
    )
    for code, name in enumerate("abc"):
        row = table[name]
        assert row["precision"] == pytest.approx(precision[code], nan_ok=True)
        assert row["recall"] == pytest.approx(recall[code], nan_ok=True)
        assert row["f1"] == pytest.approx(f1[code], nan_ok=True)
        assert row["support"] == support[code]
        truth, scores = labels == code, probabilities[:, code]
        assert row["auroc"] == pytest.approx(sk.roc_auc_score(truth, scores))
        assert row["auprc"] == pytest.approx(sk.average_precision_score(truth, scores))


def test_the_table_of_several_classes_a_row() -> None:
    table = per_class(
        np.array([[1, 0], [1, 0]]), np.array([[0.9, 0.6], [0.4, 0.1]]), ["splice", "tata"]
    )
    assert table["splice"]["recall"] == 0.5
    assert np.isnan(table["splice"]["auroc"])
    assert table["tata"]["support"] == 0
    assert table["tata"]["precision"] == 0
    assert np.isnan(table["tata"]["recall"])


def test_groups_get_their_own_rows() -> None:
    groups = np.array([3, 1, 3, 2, 1])
    seen = {}

    def metric(rows: np.ndarray) -> float:
        seen[int(groups[rows[0]])] = rows.tolist()
        return float(rows.sum())

    assert list(per_group(metric, groups).items()) == [("1", 5.0), ("2", 3.0), ("3", 2.0)]
    assert seen == {1: [1, 4], 2: [3], 3: [0, 2]}
    assert per_group(metric, groups[:0]) == {}


def test_a_confusion_has_the_truth_in_its_rows() -> None:
    labels, predicted = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 2, 1, 0, 0, 2])
    assert confusion(labels, predicted, 3).tolist() == [[1, 0, 1], [0, 1, 0], [2, 0, 1]]
    # Class 3 is there though no row has it; 19 * 20 passes uint8.
    assert confusion(labels, predicted, 4).shape == (4, 4)
    assert confusion(np.array([19], dtype=np.uint8), np.array([0]), 20)[19, 0] == 1
    with pytest.raises(ValueError, match="the prediction 2 in row 1; expected 0 to 1"):
        confusion(np.array([0, 1]), np.array([0, 2]), 2)


@pytest.mark.parametrize("rows", [60, 4000])
def test_curves_are_those_of_sklearn_and_short(rows: int) -> None:
    rng = np.random.default_rng(1)
    labels, scores = rng.random(rows) < 0.3, rng.random(rows)
    for ours, theirs in ((roc_curve, sk.roc_curve), (pr_curve, sk.precision_recall_curve)):
        x, y, threshold = ours(labels, scores)
        full = {(a, b) for a, b, *_ in zip(*theirs(labels, scores), strict=False)} | {(1.0, 0.0)}
        assert len(x) == len(y) == len(threshold) <= 500
        assert set(zip(x, y, strict=True)) <= full
    x, y, threshold = roc_curve(labels, scores)
    assert (x[0], y[0], threshold[0]) == (0, 0, np.inf)
    assert (x[-1], y[-1]) == (1, 1)
    assert np.trapezoid(y, x) == pytest.approx(sk.roc_auc_score(labels, scores), abs=2e-3)
    precision, recall, threshold = pr_curve(labels, scores)
    assert (precision[-1], recall[-1], threshold[-1]) == (1, 0, np.inf)
    assert recall[0] == 1
    middle = len(threshold) // 2
    called = scores >= threshold[middle]
    assert precision[middle] == pytest.approx(labels[called].mean())


def test_a_curve_needs_its_classes() -> None:
    scores = np.array([0.1, 0.2])
    with pytest.raises(HyenaGLTError, match="2 positives and 0 negatives; a curve needs both"):
        roc_curve(np.array([True, True]), scores)
    with pytest.raises(HyenaGLTError, match="0 positives and 2 negatives"):
        pr_curve(np.array([False, False]), scores)
    with pytest.raises(ValueError, match="the first is row 1"):
        roc_curve(np.array([True, False]), np.array([0.1, np.nan]))
