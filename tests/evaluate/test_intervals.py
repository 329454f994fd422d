import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from hyena_glt.errors import HyenaGLTError
from hyena_glt.evaluate.auroc import auroc, bootstrap_auroc
from hyena_glt.evaluate.intervals import (
    Interval,
    bootstrap,
    bootstrap_all,
    percentile_interval,
    replicate_values,
    seed_interval,
)


def test_the_interval_of_a_mean_has_the_width_of_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = bootstrap(lambda rows: float(values[rows].mean()), 400)
    error = values.std() / np.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)
    narrower = bootstrap(lambda rows: float(values[rows].mean()), 400, level=0.5)
    assert narrower.high - narrower.low == pytest.approx(2 * 0.674 * error, rel=0.1)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=20), st.integers(0, 1000))
@settings(max_examples=30)
def test_a_group_is_drawn_with_all_its_rows(names: list[int], seed: int) -> None:
    groups = np.array(names)
    found = set(names)
    if len(found) < 2:
        return
    drawn = []

    def metric(rows: np.ndarray) -> float:
        drawn.append(rows)
        return 0.0

    replicate_values(metric, len(groups), groups=groups, replicates=5, seed=seed)
    for rows in drawn:
        copies = np.bincount(rows, minlength=len(groups))
        per_group = {name: set(copies[groups == name].tolist()) for name in found}
        assert all(len(counts) == 1 for counts in per_group.values())
        assert sum(counts.pop() for counts in per_group.values()) == len(found)


def test_groups_that_differ_widen_the_interval() -> None:
    # Twenty copies of each of ten values: two hundred rows tell no more than ten.
    groups = np.repeat(np.arange(10), 20)
    values = groups.astype(float)

    def metric(rows: np.ndarray) -> float:
        return float(values[rows].mean())

    by_row = bootstrap(metric, 200)
    by_group = bootstrap(metric, 200, groups=groups)
    ratio = (by_group.high - by_group.low) / (by_row.high - by_row.low)
    assert ratio == pytest.approx(np.sqrt(20), rel=0.1)


def test_the_auroc_over_groups_has_the_interval_of_its_own_bootstrap() -> None:
    rng = np.random.default_rng(3)
    groups, labels = np.repeat(np.arange(30), 4), np.arange(120) % 2 == 0
    scores = rng.normal(size=120) + 0.5 * labels + rng.normal(size=30)[groups]

    def metric(rows: np.ndarray) -> float:
        return auroc(scores[rows][labels[rows]], scores[rows][~labels[rows]])

    found = bootstrap(metric, 120, groups=groups, replicates=600)
    expected = bootstrap_auroc(scores, labels, groups)
    assert found.value == pytest.approx(expected.estimate)
    assert found.low == pytest.approx(expected.low, abs=0.02)
    assert found.high == pytest.approx(expected.high, abs=0.02)


def test_the_same_seed_draws_the_same_rows() -> None:
    values = np.arange(20.0)

    def metric(rows: np.ndarray) -> float:
        return float(values[rows].mean())

    first = bootstrap(metric, 20, replicates=50)
    assert first == bootstrap(metric, 20, replicates=50)
    assert first != bootstrap(metric, 20, replicates=50, seed=1)


def test_undefined_replicates_are_left_out_and_counted() -> None:
    found = percentile_interval(2.0, np.array([1.0, np.nan, 3.0, 2.0]), level=0.5)
    assert found == Interval(2.0, 1.5, 2.5, left_out=1)
    # Row 0 isn't drawn with probability (3/4)**4 = 0.32.
    found = bootstrap(lambda rows: 1.0 if 0 in rows else np.nan, 4)
    assert (found.low, found.high) == (1, 1)
    assert found.left_out == pytest.approx(316, abs=50)
    # None of two rows is drawn with probability 0.0625.
    with pytest.raises(HyenaGLTError, match=r"undefined in 9\d\d of 1000 bootstrap replicates"):
        bootstrap(lambda rows: np.nan if 0 in rows or 1 in rows else 1.0, 4)


def test_half_of_the_replicates_may_be_undefined() -> None:
    numbers = iter(range(10))
    values = replicate_values(lambda _: [1.0, np.nan][next(numbers) % 2], 3, replicates=10)
    assert np.isnan(values).sum() == 5


@pytest.mark.parametrize(
    ("rows", "groups", "says"),
    [
        (0, None, "found 0 rows to draw from"),
        (1, None, "found 1 row to draw from, expected 2 or more"),
        (3, np.array(["chr1"] * 3), "found 1 group to draw from"),
    ],
)
def test_one_row_or_group_shows_no_spread(rows: int, groups: np.ndarray | None, says: str) -> None:
    with pytest.raises(HyenaGLTError, match=says):
        bootstrap(lambda _: 1.0, rows, groups=groups)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="found 2 groups for 3 rows"):
        bootstrap(lambda _: 1.0, 3, groups=np.array([0, 1]))
    with pytest.raises(ValueError, match="found 0 replicates"):
        bootstrap(lambda _: 1.0, 3, replicates=0)
    with pytest.raises(ValueError, match="the level 95"):
        bootstrap(lambda _: 1.0, 3, level=95.0, replicates=2)
    with pytest.raises(ValueError, match="0 seeds"):
        seed_interval(np.empty(0))
    with pytest.raises(ValueError, match="the level 1"):
        seed_interval(np.ones(2), level=1.0)


def test_the_interval_over_seeds_is_that_of_student() -> None:
    # Mean 2, s 1, s / sqrt(3) = 0.57735; t(2, 0.975) = 4.30265.
    found = seed_interval(np.array([1.0, 2.0, 3.0]))
    assert found.value == 2
    assert found.low == pytest.approx(2 - 4.30265 * 0.57735, abs=1e-4)
    values = np.array([0.81, 0.84, 0.79, 0.9])
    found = seed_interval(values, level=0.8)
    low, high = student.interval(0.8, 3, values.mean(), values.std(ddof=1) / 2)
    assert [found.low, found.high] == pytest.approx([low, high])


def test_one_seed_has_no_bounds() -> None:
    found = seed_interval(np.array([0.7]))
    assert found.value == 0.7
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_metrics_together_have_the_intervals_that_each_has_alone() -> None:
    x = np.random.default_rng(3).normal(size=30)

    def both(rows: np.ndarray) -> dict[str, float]:
        return {"mean": float(x[rows].mean()), "never": float("nan")}

    found = bootstrap_all(both, 30, replicates=50)
    assert found["mean"] == bootstrap(lambda rows: float(x[rows].mean()), 30, replicates=50)
    assert np.isnan([found["never"].low, found["never"].high]).all()
    assert found["never"].left_out == 50
