"""Differences are paired, and their intervals as wide as few seeds make them."""

import numpy as np
import pytest
from patching.differences import bits_at, paired_difference, t_quantile


@pytest.mark.parametrize(("nu", "quantile"), [(1, 12.7062), (2, 4.30265), (10, 2.22814)])
def test_quantiles_are_those_of_the_tables(nu: float, quantile: float) -> None:
    assert t_quantile(nu) == pytest.approx(quantile, rel=1e-4)


def test_what_blocks_share_cancels() -> None:
    rng = np.random.default_rng(0)
    blocks = rng.normal(1.9, 0.1, (1, 50))
    noise = rng.normal(0, 1e-3, (3, 50))
    difference = paired_difference(blocks - 0.02 + noise, np.repeat(blocks, 3, 0))
    assert difference.low < -0.02 < difference.high
    assert difference.high - difference.low < 0.005


def test_equal_differences_leave_no_doubt() -> None:
    other = np.array([[1.5, 1.75], [2.0, 1.0]])
    assert paired_difference(other - 0.25, other) == (-0.25, -0.25, -0.25)


def test_few_seeds_that_disagree_make_a_wide_interval() -> None:
    one = np.array([[-0.01], [-0.02], [-0.03]]) + np.zeros((3, 64))
    difference = paired_difference(one, np.zeros((3, 64)))
    half = 4.30265 * 0.01 / np.sqrt(3)  # t of two degrees of freedom, by the seeds alone
    assert difference.mean == pytest.approx(-0.02)
    assert difference.high == pytest.approx(-0.02 + half, rel=1e-4)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        d = rng.normal(0, 1, (3, 1)) + rng.normal(0, 2, (1, 20)) + rng.normal(0, 1, (3, 20))
        difference = paired_difference(d, np.zeros_like(d))
        held += difference.low <= 0 <= difference.high
    assert held / 300 >= 0.94


def test_one_seed_gives_no_interval() -> None:
    with pytest.raises(ValueError, match=r"found \(1, 9\)"):
        paired_difference(np.zeros((1, 9)), np.zeros((1, 9)))


def test_bits_after_so_many_bases_are_read_between_points_of_the_curve() -> None:
    curve = [(100, 2.0), (200, 1.0)]
    assert bits_at(curve, 150) == 1.5
    assert bits_at(curve, 990) == 1.0
    assert bits_at(curve, 90) is None
