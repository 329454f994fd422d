"""BED: intervals of a genome, read a line at a time."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hyena_glt.errors import SequenceFileError
from hyena_glt.io.container import container_of, read_lines

_NO_VALUE = ("", ".")


@dataclass(frozen=True, slots=True)
class Interval:
    """One line of a BED file: `[start, end)` of a contig, 0-based, as BED itself counts."""

    contig: str
    start: int
    end: int
    name: str  # the fourth column, or contig:start-end where there is none
    strand: Literal["+", "-"]  # the sixth column; + where there is none
    line: int  # in the file, from 1

    @property
    def length_bp(self) -> int:
        """How many bases the interval holds."""
        return self.end - self.start


def read_bed(path: str | os.PathLike[str]) -> Iterator[Interval]:
    """The intervals of a plain, gzip or bgzip BED file, one at a time, in the order of the file.

    Columns are split at tabs, or at white space in a line without tabs; those after the sixth are
    passed over, and so are blank lines, comments and the headers `track` and `browser`.
    `chr1 4 10 geneA 0 -` gives `Interval("chr1", 4, 10, "geneA", "-", 1)`.

    Raises SequenceFileError: at once if the file is missing, a folder or empty; at the line where
    it happens if it has too few columns, a start or end that is no number, no base between them,
    or a strand other than `+`, `-` and `.`; at the end if there was no interval.
    """
    path = Path(path)
    return _intervals(path, read_lines(path, container_of(path)))


def _intervals(path: Path, lines: Iterator[tuple[int, bytes]]) -> Iterator[Interval]:
    found = False
    for number, line in lines:
        if line.startswith(b"#") or line.split(maxsplit=1)[:1] in ([], [b"track"], [b"browser"]):
            continue
        try:
            interval = _interval(line, number)
        except ValueError as problem:
            raise SequenceFileError(f"{path}: line {number}: {problem}") from None
        found = True
        yield interval
    if not found:
        raise SequenceFileError(f"{path}: found no interval in it; give a BED file with lines")


def _interval(line: bytes, number: int) -> Interval:
    """The interval that `line` holds; ValueError with the problem if it holds none."""
    if not line.isascii() or b"\0" in line:
        raise ValueError("found bytes that are no text; give a BED file, plain, gzip or bgzip")
    text = line.decode("ascii")
    columns = text.split("\t") if "\t" in text else text.split()
    if len(columns) < 3:
        raise ValueError(f"found {len(columns)} columns, expected at least contig, start and end")
    contig, start, end = columns[0], _position(columns[1], "start"), _position(columns[2], "end")
    if start >= end:
        raise ValueError(
            f"found start {start} and end {end}, expected start < end (0-based, end not included)"
        )
    name, strand = (columns[i] if len(columns) > i else "" for i in (3, 5))
    if strand not in ("+", "-", *_NO_VALUE):
        raise ValueError(f"found the strand {strand!r}, expected '+', '-' or '.'")
    if name in _NO_VALUE:
        name = f"{contig}:{start}-{end}"
    return Interval(contig, start, end, name, "-" if strand == "-" else "+", number)


def _position(text: str, column: str) -> int:
    if not text.isdigit():
        raise ValueError(f"found the {column} {text!r}, expected a whole number from 0")
    return int(text)
