"""How far a figure can be trusted: intervals over examples, over groups of them, and over seeds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from hyena_glt.errors import HyenaGLTError

Metric = Callable[[Int64[np.ndarray, " _"]], float]
"""From the indices of rows, repeated where a row was drawn twice, to a figure of those rows."""

Counts = Float64[np.ndarray, "B R"]
"""How often each of B replicates drew each of R rows."""

CountedMetrics = Callable[[Counts], dict[str, Float64[np.ndarray, " B"]]]
"""From counts to each metric of each replicate."""

_BLOCK_CELLS = 1 << 20  # of counts, 8 MB


@dataclass(frozen=True)
class Interval:
    """A figure, the bounds of its interval, and the replicates left out of it as undefined."""

    value: float
    low: float
    high: float
    left_out: int = 0


class Replicates(NamedTuple):
    """Each metric of all rows, and of each bootstrap replicate of them, NaN where undefined."""

    values: dict[str, float]
    drawn: dict[str, Float64[np.ndarray, " _"]]


def bootstrap(
    metric: Metric,
    rows: int,
    *,
    groups: Shaped[np.ndarray, " N"] | None = None,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the metric of all rows with its percentile bootstrap interval.

    Each replicate draws as many rows as there are, with replacement; where `groups` names each
    row's group (gene, chromosome, family), as many groups as there are, each with all its rows, for
    rows of one group are not independent. The bounds are the (1 - level) / 2 and (1 + level) / 2
    quantiles of the replicates (Efron and Tibshirani 1993, chapter 13). Replicates of which the
    metric is NaN (a class wasn't drawn) are left out and counted.

    For one AUROC over groups `auroc.bootstrap_auroc` gives the same kind of interval much faster;
    it redraws where this leaves out.

    Raises `HyenaGLTError` if there are fewer than two rows or groups, or more than half of the
    replicates are NaN, and `ValueError` if `groups` isn't one a row, `replicates` is below 1 or
    `level` isn't between 0 and 1.
    """
    values = replicate_values(metric, rows, groups=groups, replicates=replicates, seed=seed)
    return percentile_interval(float(metric(np.arange(rows))), values, level)


def replicate_values(
    metric: Metric,
    rows: int,
    *,
    groups: Shaped[np.ndarray, " N"] | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Float64[np.ndarray, " replicates"]:
    """Return the metric of each bootstrap replicate, NaN where it is undefined.

    The rows drawn depend on `rows`, `groups`, `replicates` and `seed` alone. Raises what
    `bootstrap` raises.
    """
    _check_replicates(replicates)
    drawn = _draws(rows, groups, replicates, np.random.default_rng(seed))
    values = np.array([float(metric(indices)) for indices in drawn])
    undefined = int(np.isnan(values).sum())
    if 2 * undefined > replicates:
        raise HyenaGLTError(
            f"the metric is undefined in {undefined} of {replicates} bootstrap replicates of "
            f"{rows} rows, expected no more than half: too few examples or groups of some class; "
            "report the figure without an interval, or evaluate on more"
        )
    return values


def bootstrap_all(
    metrics: Callable[[Int64[np.ndarray, " _"]], dict[str, float]],
    rows: int,
    *,
    groups: Shaped[np.ndarray, " N"] | None = None,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return each of several metrics of all rows with its interval, from the same replicates.

    As `bootstrap`, but a metric that is undefined in more than half of the replicates has NaN
    bounds and no error, since others beside it are sound. Raises what `bootstrap` else raises.
    """
    _check_level(level)
    return intervals_of(
        replicates_of(metrics, rows, groups=groups, replicates=replicates, seed=seed), level
    )


def replicates_of(
    metrics: Callable[[Int64[np.ndarray, " _"]], dict[str, float]],
    rows: int,
    *,
    groups: Shaped[np.ndarray, " N"] | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Replicates:
    """Return several metrics of all rows and of the same replicates, one call of `metrics` each.

    The rows drawn are those of `replicate_values`. Raises what `bootstrap` raises, but for metrics
    that are undefined.
    """
    _check_replicates(replicates)
    drawn = _draws(rows, groups, replicates, np.random.default_rng(seed))
    found = [metrics(indices) for indices in drawn]
    values = {name: float(value) for name, value in metrics(np.arange(rows)).items()}
    return Replicates(
        values, {name: np.array([float(one[name]) for one in found]) for name in values}
    )


def counted_replicates(
    metrics: CountedMetrics,
    rows: int,
    *,
    groups: Shaped[np.ndarray, " N"] | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Replicates:
    """Return what `replicates_of` returns, of metrics that take many replicates at once.

    The rows drawn are the same; `evaluate.counted` has such metrics. Raises what `replicates_of`
    raises.
    """
    _check_replicates(replicates)
    drawn = _draws(rows, groups, replicates, np.random.default_rng(seed))
    blocks = []
    while block := list(islice(drawn, max(1, _BLOCK_CELLS // max(1, rows)))):
        counts = np.stack([np.bincount(indices, minlength=rows) for indices in block])
        blocks.append(metrics(counts.astype(np.float64)))
    values = {name: float(value[0]) for name, value in metrics(np.ones((1, rows))).items()}
    return Replicates(
        values, {name: np.concatenate([block[name] for block in blocks]) for name in values}
    )


def intervals_of(found: Replicates, level: float = 0.95) -> dict[str, Interval]:
    """Return each metric between quantiles of its replicates, as `bootstrap_all` does.

    Raises `ValueError` unless 0 < level < 1.
    """
    _check_level(level)
    intervals = {}
    for name, value in found.values.items():
        undefined = int(np.isnan(found.drawn[name]).sum())
        if 2 * undefined > len(found.drawn[name]):
            intervals[name] = Interval(value, np.nan, np.nan, undefined)
        else:
            intervals[name] = percentile_interval(value, found.drawn[name], level)
    return intervals


def percentile_interval(
    value: float, replicate_values: Float64[np.ndarray, " _"], level: float = 0.95
) -> Interval:
    """Return `value` between quantiles of the replicates that aren't NaN; see `bootstrap`.

    Raises `ValueError` unless 0 < level < 1 and a replicate isn't NaN.
    """
    _check_level(level)
    defined = replicate_values[~np.isnan(replicate_values)]
    if not defined.size:
        raise ValueError(f"none of {len(replicate_values)} replicates is defined; expected one")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), len(replicate_values) - len(defined))


def seed_interval(values: Float64[np.ndarray, " S"], *, level: float = 0.95) -> Interval:
    """Return the mean over seeds with Student's t interval; its bounds are NaN for one seed.

    mean -+ t(S - 1, (1 + level) / 2) * s / sqrt(S), s the standard deviation with S - 1. It says
    how far runs differ from each other, not how far the test examples carry.

    Raises `ValueError` if there is no value or `level` isn't between 0 and 1.
    """
    from scipy.special import stdtrit

    _check_level(level)
    if not len(values):
        raise ValueError("found the values of 0 seeds, expected 1 or more")
    mean = float(values.mean())
    if len(values) == 1:
        return Interval(mean, np.nan, np.nan)
    reach = float(
        stdtrit(len(values) - 1, (1 + level) / 2) * values.std(ddof=1) / np.sqrt(len(values))
    )
    return Interval(mean, mean - reach, mean + reach)


def _draws(
    rows: int,
    groups: Shaped[np.ndarray, " N"] | None,
    replicates: int,
    rng: np.random.Generator,
) -> Iterator[Int64[np.ndarray, " _"]]:
    """The indices of the rows of each replicate."""
    if groups is None:
        _check_units(rows, "row")
        return (rng.integers(rows, size=rows) for _ in range(replicates))
    if len(groups) != rows:
        raise ValueError(f"found {len(groups)} groups for {rows} rows, expected one a row")
    group = np.unique(groups, return_inverse=True)[1]
    size = np.bincount(group)
    _check_units(len(size), "group")
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(size)[:-1])
    return (
        np.concatenate([members[index] for index in rng.integers(len(size), size=len(size))])
        for _ in range(replicates)
    )


def _check_units(units: int, what: str) -> None:
    if units < 2:
        raise HyenaGLTError(
            f"found {units} {what}{'' if units == 1 else 's'} to draw from, expected 2 or more: an "
            f"interval shows how {what}s differ; report the figure without one"
        )


def _check_replicates(replicates: int) -> None:
    if replicates < 1:
        raise ValueError(f"found {replicates} replicates, expected 1 or more")


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"found the level {level}, expected one between 0 and 1, such as 0.95")
