import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from hyena_glt.evaluate.intervals import Metric, Replicates, replicates_of
from hyena_glt.evaluate.paired import mcnemar, paired_bootstrap, paired_differences, paired_t


def mean_of(values: np.ndarray) -> Metric:
    return lambda rows: float(values[rows].mean())


def test_a_difference_that_each_row_has_is_found_though_rows_differ_more() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 100, 200)  # the same for both: it cancels in pairs
    a, b = hard + rng.normal(1, 1, 200), hard
    found = paired_bootstrap(mean_of(a), mean_of(b), 200)
    difference = a - b
    error = difference.std() / np.sqrt(200)
    assert found.value == pytest.approx(difference.mean())
    assert found.low == pytest.approx(difference.mean() - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(difference.mean() + 1.96 * error, abs=0.2 * error)
    assert found.p == pytest.approx(2 / 1001)


def test_p_counts_the_replicates_on_the_far_side_of_0() -> None:
    # Of six replicates two are on the far side (one of them 0), one is undefined.
    differences = iter([3.0, -1.0, 0.0, 2.0, np.nan, 4.0, 1.0])
    found = paired_bootstrap(lambda _: next(differences), lambda _: 0.0, 5, replicates=6)
    assert found.value == 1
    assert found.left_out == 1
    assert found.p == pytest.approx(2 * (1 + 2) / (1 + 5))


def test_models_that_are_the_same_have_p_1() -> None:
    values = np.arange(10.0)
    found = paired_bootstrap(mean_of(values), mean_of(values), 10, replicates=20)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=20)
def test_exchanging_the_models_turns_the_sign(seed: int, grouped: bool) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.3, 1, 12), rng.normal(0, 1, 12)
    groups = np.arange(12) // 3 if grouped else None
    found = paired_bootstrap(mean_of(a), mean_of(b), 12, groups=groups, replicates=40)
    back = paired_bootstrap(mean_of(b), mean_of(a), 12, groups=groups, replicates=40)
    assert back.value == pytest.approx(-found.value)
    assert [back.low, back.high] == pytest.approx([-found.high, -found.low])
    assert back.p == found.p
    over_seeds, back_over_seeds = paired_t(a, b), paired_t(b, a)
    assert back_over_seeds.value == pytest.approx(-over_seeds.value)
    assert back_over_seeds.low == pytest.approx(-over_seeds.high)
    assert back_over_seeds.p == pytest.approx(over_seeds.p)


def test_p_is_uniform_where_nothing_differs() -> None:
    rng = np.random.default_rng(5)
    p = []
    for number in range(60):
        a, b = rng.normal(size=(2, 40))
        p.append(paired_bootstrap(mean_of(a), mean_of(b), 40, replicates=30, seed=number).p)
    assert np.mean(np.array(p) < 0.2) == pytest.approx(0.2, abs=0.12)
    assert np.mean(p) == pytest.approx(0.5, abs=0.1)


def test_groups_count_as_wholes() -> None:
    # Fifty copies of each of four differences, three of one sign: rows are sure, groups aren't.
    values, groups = np.repeat([1.0, 1.0, 1.0, -1.0], 50), np.repeat(np.arange(4), 50)
    zero = mean_of(np.zeros(200))
    assert paired_bootstrap(mean_of(values), zero, 200, replicates=200).p < 0.02
    assert paired_bootstrap(mean_of(values), zero, 200, groups=groups, replicates=200).p > 0.2


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (5, 0, 2 / 32),
        (1, 4, 2 * (1 + 5) / 32),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
        (3, 3, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_counted_by_hand(only_a: int, only_b: int, p: float) -> None:
    # Those that both have right or wrong don't matter.
    a = np.array([True] * only_a + [False] * only_b + [True] * 7 + [False] * 4)
    b = np.array([False] * only_a + [True] * only_b + [True] * 7 + [False] * 4)
    found, back = mcnemar(a, b), mcnemar(b, a)
    assert (found.only_a, found.only_b) == (only_a, only_b) == (back.only_b, back.only_a)
    assert found.p == pytest.approx(p)
    assert back.p == found.p


def test_t_over_seeds_as_scipy_has_it() -> None:
    a, b = np.array([0.81, 0.84, 0.79, 0.9, 0.83]), np.array([0.8, 0.8, 0.81, 0.82, 0.8])
    found, expected = paired_t(a, b), ttest_rel(a, b)
    assert found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert [found.low, found.high] == pytest.approx([low, high])
    assert found.value == pytest.approx(0.028)
    # Differences 1, 2, 3: t = 2 / (1 / sqrt 3) with 2 degrees, p = 1 - t / sqrt(t**2 + 2).
    assert paired_t(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0])).p == pytest.approx(
        1 - np.sqrt(12 / 14)
    )


def test_t_of_one_seed_and_of_seeds_alike() -> None:
    one = paired_t(np.array([0.8]), np.array([0.7]))
    assert one.value == pytest.approx(0.1)
    assert np.isnan([one.low, one.high, one.p]).all()
    assert paired_t(np.ones(3), np.ones(3)).p == 1
    assert paired_t(np.array([2.0, 3.0]), np.array([1.0, 2.0])).p == 0


def test_pairs_need_as_many_of_both() -> None:
    with pytest.raises(ValueError, match="2 examples of a and 3 of b"):
        inspect.unwrap(mcnemar)(np.ones(2, bool), np.ones(3, bool))
    with pytest.raises(ValueError, match="1 seeds of a and 2 of b"):
        inspect.unwrap(paired_t)(np.ones(1), np.ones(2))


def test_metrics_together_have_the_difference_that_each_has_alone() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 25))

    def both(values: np.ndarray) -> Replicates:
        def metrics(rows: np.ndarray) -> dict[str, float]:
            # Undefined without row 0, which a third of the samples lack.
            spread = float(values[rows].std()) if 0 in rows else float("nan")
            return {"mean": float(values[rows].mean()), "spread": spread, "never": float("nan")}

        return replicates_of(metrics, 25, replicates=60)

    found = paired_differences(both(a), both(b))
    assert found["mean"] == paired_bootstrap(mean_of(a), mean_of(b), 25, replicates=60)
    assert 5 < found["spread"].left_out < 40
    assert found["spread"].low < found["spread"].value < found["spread"].high
    assert np.isnan([found["never"].low, found["never"].p]).all()


def test_replicates_of_another_number_are_no_pairs() -> None:
    one = Replicates({"mean": 0.0}, {"mean": np.zeros(3)})
    other = Replicates({"mean": 0.0}, {"mean": np.zeros(4)})
    with pytest.raises(ValueError, match="3 replicates of a and 4 of b"):
        paired_differences(one, other)
