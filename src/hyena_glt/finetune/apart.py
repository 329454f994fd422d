"""How well each class, each segment's class and each group of examples is answered."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from hyena_glt.evaluate.intervals import (
    CountedMetrics,
    Interval,
    Replicates,
    counted_replicates,
    intervals_of,
    percentile_interval,
    replicates_of,
)
from hyena_glt.evaluate.metrics import per_class
from hyena_glt.evaluate.segments import (
    SEGMENT_COLUMNS,
    counted_segments,
    segment_counts,
    segment_scores,
)

_BLOCK_NUMBERS = 1 << 20  # drawn at once
_PLACE = re.compile(r"(?P<stem>.+)(?P<place>[123])(?P<strand>[+-])")

Figures = dict[str, Any]
"""Counts as they are, and figures as intervals, by their name."""


class Resampling:
    """Bootstrap samples of the rows of a part, or of groups of them: the same for all metrics.

    Of one group nothing says how others would differ: its samples are NaN.
    """

    def __init__(
        self, rows: int, groups: Int64[np.ndarray, " R"] | None, replicates: int, seed: int
    ) -> None:
        self.rows, self.groups, self.replicates, self.seed = rows, groups, replicates, seed
        self._is_one_group = groups is not None and not groups.any()

    def counted(self, metrics: CountedMetrics) -> Replicates:
        """Return metrics of all rows and of each sample, from how often it has each row."""
        if self._is_one_group:
            found = metrics(np.ones((1, self.rows)))
            return self._undefined({name: float(value[0]) for name, value in found.items()})
        return counted_replicates(
            metrics, self.rows, groups=self.groups, replicates=self.replicates, seed=self.seed
        )

    def measured(
        self, metrics: Callable[[Int64[np.ndarray, " _"]], dict[str, float]]
    ) -> Replicates:
        """Return metrics of all rows and of each sample, from the rows that it has."""
        if self._is_one_group:
            return self._undefined(metrics(np.arange(self.rows)))
        return replicates_of(
            metrics, self.rows, groups=self.groups, replicates=self.replicates, seed=self.seed
        )

    def _undefined(self, values: dict[str, float]) -> Replicates:
        return Replicates(values, dict.fromkeys(values, np.full(self.replicates, math.nan)))


def class_figures(
    labels: Int64[np.ndarray, "..."],
    chances: Float64[np.ndarray, "R C"],
    names: Sequence[str],
    drawn: Replicates,
) -> dict[str, Figures]:
    """Return what `per_class` says of each class, with intervals; ``drawn`` has METRIC/CLASS."""
    return _by_name(per_class(labels, chances, names), intervals_of(drawn))


def _by_name(
    table: dict[str, dict[str, float]], intervals: dict[str, Interval]
) -> dict[str, Figures]:
    return {
        name: {
            metric: int(value) if metric == "support" else asdict(intervals[f"{metric}/{name}"])
            for metric, value in of.items()
        }
        for name, of in table.items()
    }


def without_codons(names: Sequence[str]) -> tuple[tuple[str, ...], Int64[np.ndarray, " C"]]:
    """Return the classes that segments have, and the code among them of each of ``names``.

    `coding1+`, `coding2+` and `coding3+`, the places in a codon, are `coding+` where all are there:
    each of them alone never runs over more than a base.
    """
    found = [_PLACE.fullmatch(name) for name in names]
    places: dict[str, set[str]] = {}
    for match in found:
        if match is not None:
            places.setdefault(match["stem"] + match["strand"], set()).add(match["place"])
    whole = {name for name, seen in places.items() if len(seen) == len("123")}
    merged = [
        name if match is None or (stem := match["stem"] + match["strand"]) not in whole else stem
        for name, match in zip(names, found, strict=True)
    ]
    kept = tuple(dict.fromkeys(merged))
    return kept, np.array([kept.index(name) for name in merged])


def segment_figures(
    truth: Sequence[UInt8[np.ndarray, " _"]],
    called: Sequence[UInt8[np.ndarray, " _"]],
    runs: Sequence[Sequence[int]],
    names: Sequence[str],
    resampling: Resampling,
) -> dict[str, Figures]:
    """Return what `segment_scores` says of each class, with intervals over samples of the rows.

    ``truth`` and ``called`` hold the codes of each row; rows of one run follow one another, and
    segments run over them. In a sample a segment counts as often as the row where it begins.
    """
    order = [row for run in runs for row in run]
    true, predicted = (
        [np.concatenate([codes[row] for row in run]) for run in runs] for codes in (truth, called)
    )
    rows_bp = [len(truth[row]) for row in order]
    found = {}
    for code, name in enumerate(names):
        counts = np.zeros((len(truth), SEGMENT_COLUMNS), dtype=np.int64)
        counts[order] = segment_counts(true, predicted, code, rows_bp)
        intervals = intervals_of(resampling.counted(counted_segments(counts)))
        scores = asdict(segment_scores(true, predicted, code))
        found[name] = {
            figure: asdict(intervals[figure]) if figure in intervals else value
            for figure, value in scores.items()
        }
    return found


def group_figures(
    scores: Float64[np.ndarray, " R"],
    groups: Sequence[str | None],
    replicates: int,
    seed: int,
) -> dict[str, Figures]:
    """Return each group's examples with a score, and their mean with an interval over them.

    A group of one such example has no interval, one of none no mean either. Rows of no group, or
    without a score, are left out.
    """
    found: dict[str, Figures] = {}
    rows_of: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        if group is not None:
            rows_of.setdefault(group, []).append(row)
    for name in sorted(rows_of):
        of_group = scores[rows_of[name]]
        mean = _mean_score(of_group[~np.isnan(of_group)], replicates, seed)
        found[name] = {"examples": int((~np.isnan(of_group)).sum()), "score": asdict(mean)}
    return found


def _mean_score(scores: Float64[np.ndarray, " _"], replicates: int, seed: int) -> Interval:
    count = len(scores)
    if count < 2:
        return Interval(float(scores[0]) if count else math.nan, math.nan, math.nan, replicates)
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_NUMBERS // count)
    sizes = [min(block, replicates - first) for first in range(0, replicates, block)]
    drawn = [scores[rng.integers(count, size=(size, count))].mean(axis=1) for size in sizes]
    return percentile_interval(float(scores.mean()), np.concatenate(drawn))
