"""Scores of bases as intervals of equal scores: what bedGraph and bigWig have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from hyena_glt.io.ordered import GenomeOrder


class Intervals(NamedTuple):
    """Intervals of a contig that don't overlap, in order, each with the score of its bases."""

    starts: Int64[np.ndarray, " N"]
    ends: Int64[np.ndarray, " N"]
    values: Float32[np.ndarray, " N"]


class TrackWriter(ABC):
    """A track under way, whole at the end of `with` or not there at all."""

    def __init__(self, path: Path, length_bp: Mapping[str, int] | None) -> None:
        self.path = path
        self._order = GenomeOrder(path, length_bp)
        self._files = self._open()
        self._is_open = False
        # The last interval so far, which the next piece may lengthen.
        self._contig = ""
        self._last = intervals_of(0, np.empty(0, dtype=np.float32))

    def write(self, contig: str, start: int, values: Float32[np.ndarray, " L"]) -> None:
        """Write the scores of bases `start`, `start + 1` ... of a contig; NaN where there is none.

        Neighbours of one score, of two calls too, become one interval.

        Raises ValueError outside `with`, and at values that aren't finite float32 numbers or NaN;
        StorageError at a piece that begins before the last one ended, at a contig that came
        before, and beyond a contig's end where lengths are known.
        """
        if not self._is_open:
            raise ValueError(f"{self.path} isn't open; write inside `with`")
        if values.dtype != np.float32 or values.ndim != 1:
            raise ValueError(f"found {values.dtype} of shape {values.shape}, expected float32 (L,)")
        if np.isinf(values).any():
            place = start + int(np.isinf(values).argmax())
            raise ValueError(f"found an infinite value at {contig}:{place}, expected finite or NaN")
        self._order.take(contig, start, start + len(values), overlapping=False)
        if contig != self._contig:
            self._flush()
            self._contig = contig
        joined = joined_intervals(self._last, intervals_of(start, values))
        self._last = Intervals(*(column[-1:] for column in joined))
        if len(joined.starts) > 1:
            self._put(contig, Intervals(*(column[:-1] for column in joined)))

    @abstractmethod
    def _open(self) -> AbstractContextManager[None]:
        """The files that take their place at the end."""

    @abstractmethod
    def _put(self, contig: str, intervals: Intervals) -> None:
        """Write intervals that nothing lengthens any more."""

    def _flush(self) -> None:
        if len(self._last.starts):
            self._put(self._contig, self._last)
            self._last = Intervals(*(column[:0] for column in self._last))

    def __enter__(self) -> "TrackWriter":
        self._files.__enter__()
        self._is_open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_open = False
        self._files.__exit__(kind, error, trace)


def intervals_of(start: int, values: Float32[np.ndarray, " L"]) -> Intervals:
    """The runs of one score in `values`. Scores are compared as bits: -0.0 isn't 0.0."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    edges = np.flatnonzero(bits[1:] != bits[:-1]) + 1
    starts = np.concatenate([[0], edges]).astype(np.int64)[: len(values)]
    ends = np.concatenate([edges, [len(values)]]).astype(np.int64)[: len(values)]
    there = ~np.isnan(values[starts])
    return Intervals(start + starts[there], start + ends[there], values[starts[there]])


def joined_intervals(first: Intervals, then: Intervals) -> Intervals:
    """Both, with the last of `first` and the first of `then` as one where they continue."""
    meet = len(first.starts) and len(then.starts) and first.ends[-1] == then.starts[0]
    one = meet and first.values[-1:].tobytes() == then.values[:1].tobytes()
    cut = 1 if one else 0
    return Intervals(
        np.concatenate([first.starts, then.starts[cut:]]),
        np.concatenate([first.ends[: len(first.ends) - cut], then.ends]),
        np.concatenate([first.values, then.values[cut:]]),
    )
