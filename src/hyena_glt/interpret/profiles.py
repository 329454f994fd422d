"""Means of a per-base score around landmarks, such as start codons, as their strand reads."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

from hyena_glt.interpret.annotation import Landmark

FLANK_BP = 100
LEAST_PLACES = 10  # a mean of fewer is noise
_NORMAL_95 = 1.96
_DECIMALS = 5


class Profile(NamedTuple):
    """The mean score at each distance from the landmarks; index FLANK_BP is the base behind them.

    A distance at which no landmark has a score is nan.
    """

    places: int
    mean: Float64[np.ndarray, " D"]
    margin: Float64[np.ndarray, " D"]  # half of the mean's 95 % interval


class Profiles:
    """Adds up windows of one score around landmarks, contig by contig.

    Strands are apart: a model that reads the contig forward meets a gene of the other strand from
    behind. Windows that run over the contig's end are left out.
    """

    def __init__(self, flank_bp: int = FLANK_BP) -> None:
        self.flank_bp = flank_bp
        self._sums: dict[tuple[str, str], _Sums] = defaultdict(lambda: _Sums(2 * flank_bp))

    def add(self, score: Float32[np.ndarray, " L"], landmarks: Iterable[Landmark]) -> None:
        """Take the windows of a contig's score; nan in it is no score."""
        for kind, position, strand in landmarks:
            window = score[max(0, position - self.flank_bp) : position + self.flank_bp]
            if len(window) == 2 * self.flank_bp:
                self._sums[kind, strand].add(window if strand == "+" else window[::-1])

    def of(self, kind: str, strand: str) -> Profile | None:
        """Return the profile of a kind of landmark on a strand; None under LEAST_PLACES of them."""
        found = self._sums.get((kind, strand))
        return None if found is None or found.places < LEAST_PLACES else found.profile()

    @property
    def kinds(self) -> list[str]:
        """The kinds of landmark that have a profile on a strand or both."""
        kinds = dict.fromkeys(kind for kind, _ in self._sums)
        return [kind for kind in kinds if self.of(kind, "+") or self.of(kind, "-")]

    def as_dict(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return by kind and strand the places, and the mean and its margin at each distance.

        The first number is that of the base ``flank_bp`` before the landmark, the next ones follow
        as the strand reads. They are rounded to 1/100,000; None is a distance without a score.
        Under LEAST_PLACES both are None.
        """
        found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for (kind, strand), sums in sorted(self._sums.items()):
            profile = self.of(kind, strand)
            found[kind][strand] = {
                "places": sums.places,
                "mean": None if profile is None else _rounded(profile.mean),
                "margin": None if profile is None else _rounded(profile.margin),
            }
        return dict(found)


class _Sums:
    """Sums of windows, from which a mean and its error follow."""

    def __init__(self, width: int) -> None:
        self.places = 0
        self.count: Int64[np.ndarray, " D"] = np.zeros(width, np.int64)
        self.total: Float64[np.ndarray, " D"] = np.zeros(width)
        self.squares: Float64[np.ndarray, " D"] = np.zeros(width)

    def add(self, window: Float32[np.ndarray, " D"]) -> None:
        known = ~np.isnan(window)
        values = np.where(known, window, 0).astype(np.float64)
        self.places += 1
        self.count += known
        self.total += values
        self.squares += values**2

    def profile(self) -> Profile:
        count = np.where(self.count, self.count, np.nan)
        mean = self.total / count
        # Of a sample, so that a single value has no interval.
        spread = np.maximum(self.squares / count - mean**2, 0) * count
        variance = spread / np.where(count > 1, count - 1, np.nan)
        return Profile(self.places, mean, _NORMAL_95 * np.sqrt(variance / count))


def _rounded(values: Float64[np.ndarray, " D"]) -> list[float | None]:
    return [None if np.isnan(value) else round(value, _DECIMALS) for value in values.tolist()]
