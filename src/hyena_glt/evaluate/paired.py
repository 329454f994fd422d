"""Whether one model is better than another, on the same examples or over the same seeds.

Differences are a - b throughout; exchanging the models turns the signs and leaves p as it is.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from hyena_glt.evaluate.intervals import (
    Metric,
    Replicates,
    percentile_interval,
    replicate_values,
    seed_interval,
)


@dataclass(frozen=True)
class PairedDifference:
    """A difference a - b, its interval, its two-sided p, and the replicates left out of both."""

    value: float
    low: float
    high: float
    p: float
    left_out: int = 0


@dataclass(frozen=True)
class McNemar:
    """Examples that only a or only b has right, and the two-sided p of the two being as likely."""

    only_a: int
    only_b: int
    p: float


def paired_bootstrap(
    metric_a: Metric,
    metric_b: Metric,
    rows: int,
    *,
    groups: Shaped[np.ndarray, " N"] | None = None,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> PairedDifference:
    """Return metric_a - metric_b on the same rows, with interval and p over the same replicates.

    Rows or groups are drawn as in `intervals.bootstrap`, for both models at once. With d the
    difference in each of the R replicates where it is defined,

    p = min(1, 2 (1 + min(#[d <= 0], #[d >= 0])) / (1 + R)),

    twice the share of replicates on the far side of 0 (Efron and Tibshirani 1993, chapter 15.4;
    the added ones keep p above 0: Davison and Hinkley 1997, chapter 4.2). The least p that R = 1000
    can give is 0.002.

    Raises what `intervals.bootstrap` raises.
    """

    def difference(indices: Shaped[np.ndarray, " _"]) -> float:
        return float(metric_a(indices)) - float(metric_b(indices))

    values = replicate_values(difference, rows, groups=groups, replicates=replicates, seed=seed)
    return _paired(difference(np.arange(rows)), values, level)


def paired_differences(
    a: Replicates, b: Replicates, *, level: float = 0.95
) -> dict[str, PairedDifference]:
    """Return a - b of each metric that both have, as `paired_bootstrap` does of one.

    Both must come from the same rows, groups, replicates and seed, so that each replicate drew the
    same rows for both. A metric that is undefined in more than half of the replicates has NaN
    bounds and p, since others beside it are sound.

    Raises `ValueError` if one has more replicates, or `level` isn't between 0 and 1.
    """
    found = {}
    for name in a.values:
        if name not in b.values:
            continue
        drawn_a, drawn_b = a.drawn[name], b.drawn[name]
        if drawn_a.shape != drawn_b.shape:
            raise ValueError(
                f"found {len(drawn_a)} replicates of a and {len(drawn_b)} of b, expected the same"
            )
        value, values = a.values[name] - b.values[name], drawn_a - drawn_b
        undefined = int(np.isnan(values).sum())
        if 2 * undefined > len(values):
            found[name] = PairedDifference(value, np.nan, np.nan, np.nan, undefined)
        else:
            found[name] = _paired(value, values, level)
    return found


def _paired(value: float, values: Float64[np.ndarray, " _"], level: float) -> PairedDifference:
    """Return the difference with what its replicates say of it; half of them are defined."""
    interval = percentile_interval(value, values, level)
    far_side = min(int(np.sum(values <= 0)), int(np.sum(values >= 0)))
    p = min(1.0, 2 * (1 + far_side) / (1 + len(values) - interval.left_out))
    return PairedDifference(value, interval.low, interval.high, p, interval.left_out)


def mcnemar(correct_a: Bool[np.ndarray, " R"], correct_b: Bool[np.ndarray, " R"]) -> McNemar:
    """Return McNemar's exact test of equal accuracy on the same examples.

    Of the n examples that one model has right and the other wrong, either is as likely to be the
    one if the models are equally accurate: p is the two-sided binomial one of `only_a` in n at 1/2,
    and 1 where n = 0. Examples are taken as independent; for groups of them there is
    `paired_bootstrap`.

    Raises `ValueError` if the lengths differ.
    """
    from scipy.stats import binomtest

    if correct_a.shape != correct_b.shape:
        raise ValueError(
            f"found {len(correct_a)} examples of a and {len(correct_b)} of b, expected the same"
        )
    only_a, only_b = int(np.sum(correct_a & ~correct_b)), int(np.sum(correct_b & ~correct_a))
    discordant = only_a + only_b
    p = float(binomtest(only_a, discordant, 0.5).pvalue) if discordant else 1.0
    return McNemar(only_a, only_b, p)


def paired_t(
    values_a: Float64[np.ndarray, " S"],
    values_b: Float64[np.ndarray, " S"],
    *,
    level: float = 0.95,
) -> PairedDifference:
    """Return the mean of a - b over S seeds, with Student's t interval and paired two-sided t test.

    The value of one seed stands at the same place in both. Bounds and p are NaN for one seed; where
    all differences are the same, p is 1 if they are 0 and 0 if not.

    Raises `ValueError` if the lengths differ, there is no value, or `level` isn't between 0 and 1.
    """
    from scipy.special import stdtr

    if values_a.shape != values_b.shape:
        raise ValueError(
            f"found {len(values_a)} seeds of a and {len(values_b)} of b, expected the same"
        )
    differences = values_a - values_b
    interval = seed_interval(differences, level=level)
    seeds = len(differences)
    error = float(differences.std(ddof=1) / np.sqrt(seeds)) if seeds > 1 else np.nan
    if error == 0:
        p = 1.0 if interval.value == 0 else 0.0
    else:
        p = float(2 * stdtr(seeds - 1, -abs(interval.value / error)))
    return PairedDifference(interval.value, interval.low, interval.high, p)
