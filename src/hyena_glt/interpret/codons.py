"""What boundaries fall on, beside what shifted ones do: codon positions and ends of features."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64

from hyena_glt.interpret.annotation import Mark

SHIFTS = 200
_SEED = 0
_SEVERAL = -1  # two reading frames meet there
SIDES = ("start", "end")


class Against(NamedTuple):
    """A share beside those of shifted boundaries."""

    share: float
    baseline_mean: float
    baseline_low: float  # 2.5 % of the shifts lie below
    baseline_high: float  # 2.5 % lie above
    p: float  # share of shifts, and what was found, at least as far from the baseline's mean

    def as_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return self._asdict()


class Positions:
    """Adds up what boundaries fall on, contig by contig, and what they fall on when shifted.

    The boundaries of a contig are turned round as if it were a circle, ``shifts`` times by
    distances drawn evenly; their number and spacing stay, their places don't.
    """

    def __init__(self, shifts: int = SHIFTS) -> None:
        self.shifts = shifts
        self._random = np.random.default_rng(_SEED)
        # Row 0 is what was found, the others are the shifts'.
        self._codons = np.zeros((shifts + 1, 3), np.int64)
        self._hits: dict[tuple[str, str], Int64[np.ndarray, " S"]] = defaultdict(
            lambda: np.zeros(shifts + 1, np.int64)
        )
        self._edges: dict[tuple[str, str], int] = defaultdict(int)

    def add(self, boundaries: Int64[np.ndarray, " P"], length_bp: int, marks: list[Mark]) -> None:
        """Count a contig: its boundaries, all inside it, and its features."""
        if not length_bp or not marks:
            return
        by = [0, *self._random.integers(length_bp, size=self.shifts).tolist()]
        frames = codon_of_boundary(length_bp, marks)
        is_boundary = np.zeros(length_bp, bool)
        is_boundary[boundaries] = True
        if (frames > 0).any():
            for row, shift in enumerate(by):
                self._codons[row] += count_codons(boundaries, frames, shift)
        for key, edges in feature_edges(length_bp, marks).items():
            self._edges[key] += len(edges)
            for row, shift in enumerate(by):
                self._hits[key][row] += count_hits(edges, is_boundary, shift)

    def as_dict(self) -> dict[str, Any]:
        """Return shares of the boundaries in codons, and of features' ends that have a boundary."""
        inside = self._codons.sum(axis=1, keepdims=True)
        shares = self._codons / np.maximum(inside, 1)
        ends: dict[str, dict[str, Any]] = defaultdict(dict)
        for (kind, side), edges in self._edges.items():
            found = against(self._hits[kind, side] / edges)
            ends[kind][side] = {"places": edges, **found.as_dict()}
        return {
            "shifts": self.shifts,
            "codons": {
                "boundaries": int(inside[0, 0]),
                **{f"after_{i + 1}": against(shares[:, i]).as_dict() for i in range(3)},
            }
            if inside[0, 0]
            else None,
            "features": dict(ends),
        }


def codon_of_boundary(length_bp: int, marks: Iterable[Mark]) -> Int8[np.ndarray, " L"]:
    """Return behind which base of a codon each place stands, as the gene is read: 1, 2 or 3.

    Place p is between bases p - 1 and p. 3 is between two codons; 0 is outside of coding sequence
    or at its edge, and -1 where reading frames differ, on one strand or two. A coding feature
    without a phase is taken to start with a whole codon.
    """
    codon = np.zeros(length_bp, np.int8)
    coding = {
        (mark.start, mark.end, mark.strand, mark.phase or 0) for mark in marks if mark.kind == "CDS"
    }
    for start, end, strand, phase in coding:
        if strand not in ("+", "-"):
            continue
        # Behind the n-th base of the feature as it is read, n from 1.
        behind = ((np.arange(1, end - start) - phase - 1) % 3 + 1).astype(np.int8)
        here = codon[start + 1 : end]
        of_this = behind if strand == "+" else behind[::-1]
        # A place's frame is told by its strand too; where strands meet there are two frames.
        sign = of_this if strand == "+" else of_this + 3
        here[:] = np.where((here == 0) | (here == sign), sign, _SEVERAL)
    return np.where(codon > 3, codon - 3, codon)


def count_codons(
    boundaries: Int64[np.ndarray, " P"], frames: Int8[np.ndarray, " L"], shift: int
) -> Int64[np.ndarray, " 3"]:
    """Return how many boundaries, shifted along a circle, stand behind codon bases 1, 2 and 3."""
    cut = np.searchsorted(boundaries, len(frames) - shift)
    found = np.concatenate(
        [frames[boundaries[:cut] + shift], frames[boundaries[cut:] + shift - len(frames)]]
    )
    return np.bincount(found[found > 0], minlength=4)[1:4].astype(np.int64)


def feature_edges(
    length_bp: int, marks: Iterable[Mark]
) -> Mapping[tuple[str, str], Int64[np.ndarray, " E"]]:
    """Return the places inside the contig where features of each kind start and end, each once.

    Start and end are as the strand reads; a feature without a strand reads forward.
    """
    places: dict[tuple[str, str], set[int]] = defaultdict(set)
    for mark in marks:
        ends = (mark.end, mark.start) if mark.strand == "-" else (mark.start, mark.end)
        for side, place in zip(SIDES, ends, strict=True):
            if 0 < place < length_bp:
                places[mark.kind, side].add(place)
    return {key: np.array(sorted(found), np.int64) for key, found in sorted(places.items())}


def count_hits(
    edges: Int64[np.ndarray, " E"], is_boundary: Bool[np.ndarray, " L"], shift: int
) -> int:
    """Return how many places have a boundary, once boundaries are shifted along a circle."""
    # A negative index counts from the contig's end, as on a circle.
    return int(is_boundary[edges - shift].sum())


def against(shares: Float64[np.ndarray, " S"]) -> Against:
    """Return the first of ``shares`` beside the others, the baseline's.

    p is two-sided and never 0: what was found counts as one of the shifts.
    """
    found, baseline = shares[0], shares[1:]
    mean = float(baseline.mean())
    low, high = (float(x) for x in np.quantile(baseline, [0.025, 0.975]))
    # A hair of tolerance: equal shares may differ in the last bit of their distance.
    far = np.abs(baseline - mean) >= abs(found - mean) - 1e-12
    return Against(float(found), mean, low, high, (1 + int(far.sum())) / (1 + len(baseline)))
