"""BED, written a line at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from hyena_glt.io.ordered import GenomeOrder, check_suffix, replacing_lines

_LARGEST_SCORE = 1000


class BedWriter:
    """A BED file under way, whole at the end of `with` or not there at all.

    `columns` is how many a line has: 3 for contig, start and end, 4 with a name, 5 with a score,
    6 with a strand. A path in `.gz` is written as bgzip.

    Raises StorageError at a suffix other than .bed and .bed.gz, and if the file can't be written.
    """

    def __init__(self, path: str | os.PathLike[str], columns: Literal[3, 4, 5, 6] = 3) -> None:
        check_suffix(path, ".bed", ".bed.gz")
        self.path = Path(path)
        self._columns = columns
        self._order = GenomeOrder(self.path)
        self._files = self._open()
        self._stream: Any = None

    def write(
        self,
        contig: str,
        start: int,
        end: int,
        name: str = ".",
        score: int = 0,
        strand: Literal["+", "-", "."] = ".",
    ) -> None:
        """Write the line of `[start, end)`, 0-based; intervals may overlap.

        Raises ValueError outside `with`, where there is no base between start and end, at a value
        that `columns` leaves out, a name that is empty or of several columns or lines, and a
        score outside 0 to 1000; StorageError at a start before the last one, and at a
        contig that came before.
        """
        if self._stream is None:
            raise ValueError(f"{self.path} isn't open; write inside `with`")
        if start >= end:
            raise ValueError(f"found start {start} and end {end}, expected start < end")
        if not name or any(mark in name for mark in "\t\n\r"):
            raise ValueError(f"found the name {name!r}, expected one line without tabs")
        if not 0 <= score <= _LARGEST_SCORE:
            raise ValueError(f"found the score {score}, expected 0 to {_LARGEST_SCORE}")
        cells = [contig, str(start), str(end), name, str(score), strand]
        if cells[self._columns :] != [".", "0", "."][self._columns - 3 :]:
            raise ValueError(f"found more values than {self._columns} columns hold")
        self._order.take(contig, start, end, overlapping=True)
        line = "\t".join(cells[: self._columns]) + "\n"
        self._stream.write(line.encode("utf-8", "surrogateescape"))

    def __enter__(self) -> "BedWriter":
        self._files.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, trace)

    @contextmanager
    def _open(self) -> Iterator[None]:
        with replacing_lines(self.path) as self._stream:
            try:
                yield
            finally:
                self._stream = None
