"""What patches amount to: how long they are, how evenly they lie, how well two maps agree."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from hyena_glt.interpret.patch_map import PatchMap
from hyena_glt.tokenize import Alphabet

WINDOW_BP = 8_192
QUANTILES = {"p1": 0.01, "p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
SHORT_BP, LONG_BP = 4, 12  # patches of these lengths and between are of one size for a network
DELETION_BINS_BP = (0, 50, 200, 1_000, 4_000)  # behind a missing base; each ends with its last
_BEFORE_BP = 2_048  # of a window with a deletion, for rules that count from an anchor
_SITES = 32
_ROWS = 8  # windows in memory at once

Closes = Int64[np.ndarray, "..."]
# From documents to the closes of each, stage by stage.
Rule = Callable[[Sequence[UInt8[np.ndarray, "..."]]], list[list[Closes]]]


@dataclass
class Lengths:
    """Adds up the maps of one stage, contig by contig."""

    counts: Int64[np.ndarray, " N"] = field(default_factory=lambda: np.zeros(1, np.int64))
    length_bp: int = 0
    closed: int = 0  # BOS's closes with them: latents that the network above reads
    overflow: int = 0
    windows: int = 0
    in_windows: int = 0
    busiest: int = 0

    def add(self, found: PatchMap) -> None:
        """Count the patches of the next contig; the open one at its end is a patch too."""
        lengths = np.bincount(found.ends - found.starts)
        counts = np.zeros(max(len(lengths), len(self.counts)), np.int64)
        counts[: len(self.counts)] = self.counts
        counts[: len(lengths)] += lengths
        self.counts = counts
        self.length_bp += found.length_bp
        self.closed += len(found.closes) + 1
        self.overflow += found.overflow
        whole = found.length_bp // WINDOW_BP
        if whole:
            inside = found.closes[found.closes <= whole * WINDOW_BP] - 1
            patches = np.bincount(inside // WINDOW_BP, minlength=whole)
            self.windows += whole
            self.in_windows += int(patches.sum())
            self.busiest = max(self.busiest, int(patches.max()))

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers of the summary; None where there is nothing to count."""
        patches = int(self.counts.sum())
        mean = self.in_windows / self.windows if self.windows else 0.0
        return {
            "patches": patches,
            "mean_bp": self.length_bp / patches if patches else None,
            "length_quantiles_bp": length_quantiles(self.counts),
            f"share_{SHORT_BP}_to_{LONG_BP}_bp": share_between(self.counts, SHORT_BP, LONG_BP),
            "bases_per_latent": self.length_bp / self.closed if self.closed else None,
            "windows": {
                "window_bp": WINDOW_BP,
                "windows": self.windows,
                "mean_patches": mean if self.windows else None,
                "most_patches": self.busiest if self.windows else None,
                "most_over_mean": self.busiest / mean if mean else None,
            },
            "overflow": self.overflow,
        }


def length_quantiles(counts: Int64[np.ndarray, " N"]) -> dict[str, int] | None:
    """Return quantiles and the largest of lengths that occur ``counts[length]`` times.

    A quantile q is the shortest length that a share q of the patches doesn't exceed. None without
    patches.
    """
    total = int(counts.sum())
    if not total:
        return None
    reached = np.cumsum(counts)
    # Rounded up in whole numbers: 0.05 * 20 may be a hair above 1 in floating point.
    ranks = {name: -(-total * round(share * 100) // 100) for name, share in QUANTILES.items()}
    found = {name: int(np.searchsorted(reached, rank)) for name, rank in ranks.items()}
    return {**found, "max": int(np.flatnonzero(counts)[-1])}


def share_between(counts: Int64[np.ndarray, " N"], least_bp: int, most_bp: int) -> float | None:
    """Return the share of patches of ``least_bp`` to ``most_bp`` bases, both with them."""
    total = int(counts.sum())
    return int(counts[least_bp : most_bp + 1].sum()) / total if total else None


@dataclass
class Agreement:
    """How many boundaries two sets share, contig by contig."""

    shared: int = 0
    either: int = 0

    def add(self, one: Closes, other: Closes) -> None:
        """Count two sets of positions, each ascending and without repeats."""
        shared = len(np.intersect1d(one, other, assume_unique=True))
        self.shared += shared
        self.either += len(one) + len(other) - shared

    @property
    def jaccard(self) -> float | None:
        """Shared boundaries over those that either has; None where neither has any."""
        return self.shared / self.either if self.either else None


@dataclass
class DeletionAgreement:
    """How boundaries behind a missing base agree with those of the whole sequence.

    A window is read twice, once without one base, each time as a document of its own. Boundaries
    behind the base are shifted back and compared by their distance from it.
    """

    bins: list[Agreement] = field(
        default_factory=lambda: [Agreement() for _ in DELETION_BINS_BP[1:]]
    )
    sites: int = 0

    def add(self, ids: UInt8[np.ndarray, " L"], rule: Rule, stage: int, alphabet: Alphabet) -> None:
        """Compare up to ``_SITES`` windows of a contig, evenly apart; none of a short one.

        A window with a base that is no letter (N) is left out: an even run has nothing by which
        boundaries could fall back into step.
        """
        span_bp = _BEFORE_BP + DELETION_BINS_BP[-1] + 1
        windows = min(_SITES, len(ids) // span_bp)
        evenly = np.linspace(0, len(ids) - span_bp, windows).astype(np.int64)
        cuts = [ids[start : start + span_bp] for start in evenly]
        known = [window for window in cuts if (alphabet.letter_index(window) >= 0).all()]
        for first in range(0, len(known), _ROWS):
            whole = known[first : first + _ROWS]
            cut = [np.delete(window, _BEFORE_BP) for window in whole]
            for one, other in zip(rule(whole)[stage - 1], rule(cut)[stage - 1], strict=True):
                self._compare(one - _BEFORE_BP - 1, other - _BEFORE_BP)
        self.sites += len(known)

    def _compare(self, whole: Closes, cut: Closes) -> None:
        """Count the boundaries of one window, as distances behind the missing base."""
        for agreement, (start, end) in zip(self.bins, pairwise(DELETION_BINS_BP), strict=True):
            agreement.add(
                whole[(whole > start) & (whole <= end)], cut[(cut > start) & (cut <= end)]
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the Jaccard agreement in each bin, and how many windows there were."""
        return {
            "windows": self.sites,
            "jaccard": {
                f"{start}_to_{end}_bp": agreement.jaccard
                for agreement, (start, end) in zip(
                    self.bins, pairwise(DELETION_BINS_BP), strict=True
                )
            },
        }
