"""Paired differences between two rules, with intervals over blocks of sequence and seeds."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64


class Difference(NamedTuple):
    """Mean of one rule's bits per base less another's, and its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(
    one: Float64[np.ndarray, "S K"], other: Float64[np.ndarray, "S K"]
) -> Difference:
    """Return the difference of bits per base, by seed and block: the same in both rules.

    d[s, k] = one - other; S seeds and K blocks are drawn from many, crossed. With the variances of
    its means, V_s = var_s(mean_k d) / S and V_k = var_k(mean_s d) / K (denominators S - 1, K - 1),

        interval = mean(d) +- t(0.975, nu) * sqrt(V_s + V_k)
        nu = (V_s + V_k)^2 / (V_s^2 / (S - 1) + V_k^2 / (K - 1))

    (Satterthwaite). What seed and block share is in both variances, so that the interval is a
    little too wide, never too narrow, and with few seeds t is large: few seeds prove little.
    Raises ValueError for fewer than two seeds or blocks.
    """
    if one.shape != other.shape or min(one.shape) < 2:
        raise ValueError(
            f"found {one.shape} and {other.shape} (seeds, blocks); expected two of each, the same"
        )
    d = one - other
    seeds, blocks = d.shape
    of_seeds = float(d.mean(1).var(ddof=1)) / seeds
    of_blocks = float(d.mean(0).var(ddof=1)) / blocks
    mean, variance = float(d.mean()), of_seeds + of_blocks
    if variance == 0:
        return Difference(mean, mean, mean)
    nu = variance**2 / (of_seeds**2 / (seeds - 1) + of_blocks**2 / (blocks - 1))
    half = t_quantile(nu) * math.sqrt(variance)
    return Difference(mean, mean - half, mean + half)


def t_quantile(nu: float) -> float:
    """Return the 0.975 quantile of Student's t with ``nu`` degrees of freedom, nu >= 1."""
    # With t = sqrt(nu) * tan(x) the density is cos(x)^(nu - 1), up to a constant.
    x = np.linspace(0, math.pi / 2, 20_001)
    density = np.cos(x) ** (nu - 1)
    area = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return math.sqrt(nu) * math.tan(float(np.interp(0.95, area / area[-1], x)))


def bits_at(curve: Sequence[Sequence[float]], reached_bases: float) -> float | None:
    """Return validation bits after so many training bases, between points of the curve.

    A run that had ended by then gives its end; None before the first point.
    """
    bases = [point[0] for point in curve]
    if reached_bases < bases[0]:
        return None
    return float(np.interp(reached_bases, bases, [point[1] for point in curve]))
