"""bedGraph: scores of bases as lines of intervals, read into memory and written as they come."""

import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from hyena_glt.errors import SequenceFileError
from hyena_glt.io.container import container_of, read_lines
from hyena_glt.io.ordered import check_suffix, replacing_lines
from hyena_glt.io.track_writer import (
    Intervals,
    TrackWriter,
    intervals_of,
    joined_intervals,
)

_SUFFIXES = (".bedgraph", ".bedGraph", ".bg", ".bdg")
_HEADERS = (b"track", b"browser")
_WIGGLE = (b"fixedStep", b"variableStep")
_LONGEST_NUMBER = 18  # digits that 64 bits always hold


class BedGraph:
    """A plain, gzip or bgzip bedGraph file, in memory: 20 bytes an interval.

    Lines may come in any order. Columns are split at white space; blank lines, comments and the
    headers `track` and `browser` are passed over.

    Raises SequenceFileError if the file is missing, empty or without an interval; at a line with
    other than four columns, a start or end that is no number, no base between them, or a score
    that is no number; and where two lines overlap, naming both.
    """

    has_lengths = False  # `length_bp` holds how far the scores reach

    def __init__(self, path: Path) -> None:
        lines: dict[str, _Lines] = {}
        for number, line in read_lines(path, container_of(path)):
            columns = line.split()
            if not columns or columns[0].startswith(b"#") or columns[0] in _HEADERS:
                continue
            try:
                contig, start, end, value = _cells(columns)
            except ValueError as problem:
                raise SequenceFileError(f"{path}: line {number}: {problem}") from None
            if contig not in lines:
                lines[contig] = _Lines(array("q"), array("q"), array("f"), array("q"))
            starts, ends, values, numbers = lines[contig]
            starts.append(start)
            ends.append(end)
            values.append(value)
            numbers.append(number)
        if not lines:
            raise SequenceFileError(f"{path}: found no interval in it; give a bedGraph with lines")
        self._intervals = {contig: _sorted(path, contig, lines.pop(contig)) for contig in [*lines]}
        self.length_bp = {name: int(found.ends[-1]) for name, found in self._intervals.items()}

    def fetch(self, contig: str, start: int, end: int) -> Float32[np.ndarray, " L"]:
        """The scores of `[start, end)`, NaN where no line has one."""
        starts, ends, values = self._intervals[contig]
        first = np.searchsorted(ends, start, side="right")
        stop = max(first, np.searchsorted(starts, end, side="left"))
        firsts = np.maximum(starts[first:stop], start) - start
        lengths = np.minimum(ends[first:stop], end) - start - firsts
        # Where each base of the intervals stands: its interval's first, and so many further.
        within = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
        scores = np.full(end - start, np.nan, dtype=np.float32)
        scores[np.repeat(firsts, lengths) + within] = np.repeat(values[first:stop], lengths)
        return scores

    def close(self) -> None:
        """Nothing is left open."""


class BedGraphWriter(TrackWriter):
    """A bedGraph file under way, whole at the end of `with` or not there at all.

    A path in `.gz` is written as bgzip. Scores have the fewest digits that give them back exactly.

    Raises StorageError at a suffix other than .bedgraph, .bedGraph, .bg and .bdg, or these and
    .gz, and if the file can't be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        check_suffix(path, *_SUFFIXES, *(f"{suffix}.gz" for suffix in _SUFFIXES))
        super().__init__(Path(path), None)
        self._stream: Any = None

    @contextmanager
    def _open(self) -> Iterator[None]:
        with replacing_lines(self.path) as stream:
            self._stream = stream
            yield
            self._flush()

    def _put(self, contig: str, intervals: Intervals) -> None:
        self._stream.write(_lines_of(contig, intervals))


class BedGraphPieces:
    """The lines of a bedGraph whose scores come in pieces, for a file that is written elsewhere.

    They are those of BedGraphWriter. ``last`` is what it remembers from piece to piece: the start,
    end and score of the last interval so far, which the next piece may lengthen.
    """

    def __init__(self, last: Sequence[int | float] | None = None) -> None:
        self.last = last

    def lines(self, contig: str, start: int, values: Float32[np.ndarray, " L"]) -> bytes:
        """The lines that the scores of bases `start` and on complete; NaN where there is none."""
        joined = joined_intervals(self._open_interval(), intervals_of(start, values))
        if len(joined.starts):
            begin, end, score = (column[-1].item() for column in joined)
            self.last = (begin, end, score)
        return _lines_of(contig, Intervals(*(column[:-1] for column in joined)))

    def end(self, contig: str) -> bytes:
        """The contig's last line, if any is open."""
        waiting = self._open_interval()
        self.last = None
        return _lines_of(contig, waiting)

    def _open_interval(self) -> Intervals:
        starts, ends, values = ([], [], []) if self.last is None else ([one] for one in self.last)
        return Intervals(
            np.array(starts, dtype=np.int64),
            np.array(ends, dtype=np.int64),
            np.array(values, dtype=np.float32),
        )


def _lines_of(contig: str, intervals: Intervals) -> bytes:
    # A float32 as text has the digits that float32 needs; as a Python float it would have more.
    rows = zip(intervals.starts.tolist(), intervals.ends.tolist(), intervals.values, strict=True)
    text = "".join(f"{contig}\t{start}\t{end}\t{value!s}\n" for start, end, value in rows)
    return text.encode("utf-8", "surrogateescape")


class _Lines(NamedTuple):
    """Columns of a contig's lines as they are read, and the number of each line."""

    starts: "array[int]"
    ends: "array[int]"
    values: "array[float]"
    numbers: "array[int]"


def _cells(columns: list[bytes]) -> tuple[str, int, int, float]:
    """The cells of a line; ValueError with the problem if it holds others."""
    if columns[0] in _WIGGLE:
        raise ValueError("found wiggle, expected bedGraph; make it a bigWig with wigToBigWig")
    if not columns[0].isascii() or b"\0" in columns[0]:
        raise ValueError("found bytes that are no text; give a bedGraph, plain, gzip or bgzip")
    if len(columns) != 4:
        raise ValueError(f"found {len(columns)} columns, expected contig, start, end and score")
    contig, first, last, score = columns
    start, end = _position(first, "start"), _position(last, "end")
    if start >= end:
        raise ValueError(
            f"found start {start} and end {end}, expected start < end (0-based, end not included)"
        )
    try:
        if b"_" in score:  # which Python allows in numbers
            raise ValueError
        return contig.decode(), start, end, float(score)
    except ValueError:
        found = score.decode("ascii", "replace")
        raise ValueError(f"found the score {found!r}, expected a number") from None


def _position(text: bytes, column: str) -> int:
    if not text.isdigit() or len(text) > _LONGEST_NUMBER:
        found = text.decode("ascii", "replace")
        raise ValueError(f"found the {column} {found!r}, expected a whole number from 0")
    return int(text)


def _sorted(path: Path, contig: str, lines: _Lines) -> Intervals:
    starts, ends, numbers = (
        np.array(column, dtype=np.int64) for column in (lines.starts, lines.ends, lines.numbers)
    )
    values = np.array(lines.values, dtype=np.float32)
    if (starts[1:] < starts[:-1]).any():
        order = np.argsort(starts, kind="stable")
        starts, ends, numbers, values = starts[order], ends[order], numbers[order], values[order]
    _check_apart(path, contig, starts, ends, numbers)
    return Intervals(starts, ends, values)


def _check_apart(
    path: Path,
    contig: str,
    starts: Int64[np.ndarray, " N"],
    ends: Int64[np.ndarray, " N"],
    numbers: Int64[np.ndarray, " N"],
) -> None:
    """Raise SequenceFileError where two lines hold a base in common; starts ascend."""
    overlaps = np.flatnonzero(starts[1:] < ends[:-1])
    if overlaps.size:
        place = overlaps[0]
        one, other = sorted(numbers[place : place + 2].tolist())
        raise SequenceFileError(
            f"{path}: lines {one} and {other}: found {contig}:{starts[place]}-{ends[place]} and "
            f"{contig}:{starts[place + 1]}-{ends[place + 1]}, expected one score a base; "
            "remove one of them"
        )
