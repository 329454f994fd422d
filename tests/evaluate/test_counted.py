"""Metrics of many replicates at once are those of scikit-learn, one replicate after the other."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyena_glt.evaluate.counted import (
    counted_classification,
    counted_multilabel,
    counted_per_class,
)
from hyena_glt.evaluate.intervals import Replicates, counted_replicates, replicates_of
from hyena_glt.evaluate.metrics import classification_metrics, multilabel_metrics, per_class

SEEDS = st.integers(0, 2**32 - 1)


def agree(found: Replicates, plain: Replicates) -> None:
    assert list(found.values) == list(plain.values)
    for name, value in plain.values.items():
        np.testing.assert_allclose(found.values[name], value, rtol=0, atol=1e-12, err_msg=name)
        drawn = found.drawn[name]
        np.testing.assert_allclose(drawn, plain.drawn[name], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.slow
@settings(max_examples=8)
@given(SEEDS, st.integers(2, 4), st.integers(2, 12), st.booleans())
def test_classes_with_ties_and_some_not_drawn(
    seed: int, classes: int, rows: int, grouped: bool
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    odds = 2.0 ** rng.integers(-2, 3, (rows, classes))  # few values: probabilities tie
    odds[rng.random((rows, classes)) < 0.1] = 0
    odds[:, 0] += odds.sum(axis=1) == 0
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    groups = np.arange(rows) // 2 if grouped and rows > 2 else None
    found = counted_replicates(
        counted_classification(labels, probabilities), rows, groups=groups, replicates=5, seed=seed
    )
    plain = replicates_of(
        lambda drawn: classification_metrics(labels[drawn], probabilities[drawn]),
        rows,
        groups=groups,
        replicates=5,
        seed=seed,
    )
    agree(found, plain)


@pytest.mark.slow
@settings(max_examples=8)
@given(SEEDS, st.integers(1, 4), st.integers(2, 12))
def test_several_classes_a_row(seed: int, classes: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (rows, classes))
    probabilities = rng.integers(0, 5, (rows, classes)) / 4
    found = counted_replicates(
        counted_multilabel(labels, probabilities), rows, replicates=5, seed=seed
    )
    plain = replicates_of(
        lambda drawn: multilabel_metrics(labels[drawn], probabilities[drawn]),
        rows,
        replicates=5,
        seed=seed,
    )
    agree(found, plain)


@settings(max_examples=8)
@given(SEEDS, st.integers(2, 4), st.integers(2, 12), st.booleans())
def test_each_class(seed: int, classes: int, rows: int, several: bool) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (rows, classes)) if several else rng.integers(0, classes, rows)
    odds = rng.integers(1, 5, (rows, classes)) / 4
    probabilities = odds if several else odds / odds.sum(axis=1, keepdims=True)
    names = "abcd"[:classes]

    def plain(drawn: np.ndarray) -> dict[str, float]:
        table = per_class(labels[drawn], probabilities[drawn], names)
        metrics = ("precision", "recall", "f1", "auroc", "auprc")
        return {f"{metric}/{name}": table[name][metric] for metric in metrics for name in names}

    found = counted_replicates(
        counted_per_class(labels, probabilities, names), rows, replicates=5, seed=seed
    )
    agree(found, replicates_of(plain, rows, replicates=5, seed=seed))


def test_a_class_that_isnt_drawn_counted_by_hand() -> None:
    labels, first = np.array([0, 1, 1]), np.array([0.8, 0.8, 0.2])
    metrics = counted_classification(labels, np.stack([first, 1 - first], axis=1))
    found = metrics(np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 1.0], [2.0, 0.0, 1.0]]))
    # Of the negative row and the positive two: a tie and a win; then none is negative; then a win.
    assert found["auroc"][[0, 2]].tolist() == [0.75, 1]
    assert np.isnan(found["auroc"][1])
    assert np.isnan(found["mcc"][1])
    assert found["accuracy"].tolist() == pytest.approx([2 / 3, 1 / 3, 1])
    # Twice the row called 0 by mistake: precision of 1 is 1, its recall 1/3.
    assert found["f1_class1"][1] == pytest.approx(0.5)


def test_blocks_are_joined_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    import hyena_glt.evaluate.intervals as intervals

    def metrics(counts: np.ndarray) -> dict[str, np.ndarray]:
        sizes.append(len(counts))
        return {"first": counts[:, 0]}

    sizes: list[int] = []
    whole = counted_replicates(metrics, 5, replicates=7)
    monkeypatch.setattr(intervals, "_BLOCK_CELLS", 15)
    sizes.clear()
    assert np.array_equal(
        counted_replicates(metrics, 5, replicates=7).drawn["first"], whole.drawn["first"]
    )
    assert sizes == [3, 3, 1, 1]


@pytest.mark.parametrize(
    ("of", "labels"), [(counted_classification, [0, 2]), (counted_multilabel, [[0, 2], [0, 0]])]
)
def test_what_is_no_label_is_refused(of: Callable[..., object], labels: list[object]) -> None:
    with pytest.raises(ValueError, match="the label 2 in row"):
        of(np.array(labels), np.full((2, 2), 0.5))
