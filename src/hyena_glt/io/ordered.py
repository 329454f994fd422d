"""Lines of intervals, written in an order that every tool for genomes takes."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pysam

from hyena_glt.errors import StorageError
from hyena_glt.io.atomic import replacing_file

_HEADERS = ("track", "browser")


class GenomeOrder:
    """Checks that each contig comes in one stretch, and positions within it ascend.

    `length_bp` gives the contigs that there are and their lengths, None that any may come.
    """

    def __init__(self, path: Path, length_bp: Mapping[str, int] | None = None) -> None:
        self._path = path
        self._length_bp = length_bp
        self._seen: set[str] = set()
        self._contig: str | None = None
        self._free_from = 0

    def take(self, contig: str, start: int, end: int, *, overlapping: bool) -> None:
        """Pass over `[start, end)`; the next may begin at its end, or its start if `overlapping`.

        Raises StorageError if it comes too late, isn't on the contig, or its name can't be written.
        """
        where = f"{self._path}: found {contig}:{start}-{end}"
        if contig != self._contig:
            self._begin(contig)
        if start < self._free_from:
            remedy = "" if overlapping else ", and merge what overlaps"
            raise StorageError(
                f"{where}, expected a start of {self._free_from} or more; sort the input by contig "
                f"and start{remedy}"
            )
        length_bp = end if self._length_bp is None else self._length_bp[contig]
        if not start <= end <= length_bp:
            raise StorageError(
                f"{where}, expected start <= end <= {length_bp} (0-based, end not included); "
                "check that input and lengths are of one assembly"
            )
        self._free_from = start if overlapping else end

    def _begin(self, contig: str) -> None:
        if contig.split() != [contig] or contig.startswith("#") or contig in _HEADERS:
            raise StorageError(
                f"{self._path}: found a contig called {contig!r}, which a line of intervals can't "
                "begin with; rename it"
            )
        if contig in self._seen:
            raise StorageError(
                f"{self._path}: found {contig!r} again after {self._contig!r}, expected each "
                "contig in one stretch; sort the input by contig, and give each record its own name"
            )
        if self._length_bp is not None and contig not in self._length_bp:
            raise StorageError(
                f"{self._path}: found the contig {contig!r}, which has no length among the "
                f"{len(self._length_bp)} given; give the lengths of all contigs"
            )
        self._seen.add(contig)
        self._contig, self._free_from = contig, 0


def check_suffix(path: str | os.PathLike[str], *suffixes: str) -> None:
    """Raise StorageError where `path` ends in none of `suffixes`."""
    if not str(path).endswith(suffixes):
        raise StorageError(
            f"{path}: found the suffix {Path(path).suffix!r}, expected {' or '.join(suffixes)}; "
            "rename the output"
        )


@contextmanager
def replacing_lines(path: Path) -> Iterator[Any]:
    """A stream of bytes that takes the place of `path` at the end; bgzip where it ends in `.gz`.

    Raises StorageError as `replacing_file` does.
    """
    with replacing_file(path) as aside:
        # A pysam.BGZFile, which has no type information, or a binary file.
        compressed = path.suffix == ".gz"
        with pysam.BGZFile(str(aside), "wb", None) if compressed else aside.open("wb") as stream:
            yield stream
