"""bigWig: scores of bases, compressed and indexed, any interval of which is read without the rest.

A bigWig holds float32 numbers, and the names and lengths of the contigs that have any.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Float32

from hyena_glt.errors import SequenceFileError, StorageError
from hyena_glt.io.atomic import replacing_file
from hyena_glt.io.ordered import check_suffix
from hyena_glt.io.track_writer import Intervals, TrackWriter

_LIMIT_BP = 2**32
_ROW = np.dtype([("start", "<u4"), ("end", "<u4"), ("value", "<f4")])
_COPIED_ROWS = 1 << 16

Row = tuple[str, int, int, float]


class BigWig:
    """A bigWig file, open for random access; each process after a fork opens it for itself.

    Raises SequenceFileError if the file is no bigWig, or one that is cut off or damaged.
    """

    has_lengths = True

    def __init__(self, path: Path) -> None:
        self._path = path
        # A pybigtools.BBIReader, which has no type information.
        self._reader: Any = None
        self._reader_pid = 0
        self._closed = False
        self.length_bp: dict[str, int] = self._read("its contigs", lambda reader: reader.chroms())

    def fetch(self, contig: str, start: int, end: int) -> Float32[np.ndarray, " L"]:
        """The scores of `[start, end)`, NaN where the file has none."""
        if start == end:
            return np.empty(0, dtype=np.float32)
        scores: np.ndarray = self._read(
            f"{contig}:{start}-{end}",
            lambda reader: reader.values(contig, start, end, fillna=None),
        )
        return scores.astype(np.float32)

    def close(self) -> None:
        """Close the file; a later `fetch` is a ValueError."""
        self._reader = None
        self._closed = True

    def _read(self, what: str, ask: Any) -> Any:
        if self._closed:
            raise ValueError(f"{self._path} is closed")
        try:
            # A reader from before a fork shares its file position with the parent's.
            if self._reader is None or self._reader_pid != os.getpid():
                self._reader = _open_reader(self._path)
                self._reader_pid = os.getpid()
            return ask(self._reader)
        except BaseException as error:
            if not _is_of_reader(error):
                raise
            raise SequenceFileError(
                f"{self._path}: can't read {what} ({error}); the file is no bigWig, or cut off or "
                "damaged: fetch or make it again"
            ) from error


class BigWigWriter(TrackWriter):
    """A bigWig file under way, whole at the end of `with` or not there at all.

    `length_bp` gives the length of every contig that may come. Intervals are kept in a temporary
    file beside it until the end, 12 bytes each, and then written by the contigs' names, the order
    that bigWig's own tools write. Contigs without a score aren't in the file.

    Raises StorageError at a suffix other than .bw and .bigWig, at a contig longer than the format
    can hold, if no base had a score (a bigWig holds one at least), and if the file can't be
    written.
    """

    def __init__(self, path: str | os.PathLike[str], length_bp: Mapping[str, int]) -> None:
        check_suffix(path, ".bw", ".bigWig")
        for contig, length in length_bp.items():
            if length >= _LIMIT_BP:
                raise StorageError(
                    f"{path}: found {contig!r} of {length} bp, expected less than 4 Gbp in a "
                    "bigWig; write a bedGraph"
                )
        self._length_bp = length_bp
        super().__init__(Path(path), length_bp)
        self._rows: dict[str, tuple[int, int]] = {}  # of each contig: the first, and how many
        self._kept: IO[bytes] | None = None

    @contextmanager
    def _open(self) -> Iterator[None]:
        with (
            replacing_file(self.path) as aside,
            tempfile.TemporaryFile(dir=self.path.resolve().parent) as self._kept,
        ):
            yield
            self._flush()
            if not self._rows:
                raise StorageError(
                    f"{self.path}: found no score to write, and a bigWig holds one at least; "
                    "write a bedGraph, or check the input"
                )
            _convert(self.path, aside, self._length_bp, self._sorted_rows(self._kept))

    def _put(self, contig: str, intervals: Intervals) -> None:
        assert self._kept is not None
        rows = np.empty(len(intervals.starts), dtype=_ROW)
        rows["start"], rows["end"], rows["value"] = intervals
        first, count = self._rows.get(contig, (self._kept.tell() // _ROW.itemsize, 0))
        self._rows[contig] = first, count + len(rows)
        self._kept.write(rows.tobytes())

    def _sorted_rows(self, kept: IO[bytes]) -> Iterator[Row]:
        for contig in sorted(self._rows):
            first, count = self._rows[contig]
            kept.seek(first * _ROW.itemsize)
            for done in range(0, count, _COPIED_ROWS):
                raw = kept.read(min(_COPIED_ROWS, count - done) * _ROW.itemsize)
                rows = np.frombuffer(raw, dtype=_ROW)
                columns = (rows[name].tolist() for name in _ROW.fields or ())
                yield from zip(repeat(contig), *columns, strict=False)


def _open_reader(path: Path) -> Any:
    # Only needed here: few commands read a bigWig.
    import pybigtools

    reader = pybigtools.open(str(path))
    if not reader.is_bigwig:
        raise ValueError("it is a bigBed")
    return reader


def _is_of_reader(error: BaseException) -> bool:
    """Whether pybigtools raised it, whose panics at damaged data are no Exception."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _convert(path: Path, aside: Path, length_bp: Mapping[str, int], rows: Iterator[Row]) -> None:
    """Write `rows` as a bigWig. pybigtools ends in silence where it fails, so all is checked."""
    import pybigtools

    failed: list[BaseException] = []
    covered_bp = 0

    def watched() -> Iterator[Row]:
        nonlocal covered_bp
        try:
            for row in rows:
                covered_bp += row[2] - row[1]
                yield row
        except BaseException as error:
            failed.append(error)
            raise

    try:
        pybigtools.open(str(aside), "w").write(dict(length_bp), watched())
        if not failed:
            written_bp = _open_reader(aside).info()["summary"]["basesCovered"]
            if written_bp != covered_bp:
                raise ValueError(f"{written_bp} of {covered_bp} bases are in it")
    except BaseException as error:
        if failed or not _is_of_reader(error):
            raise
        raise StorageError(
            f"{path}: can't be written ({error}); most likely the disk, or that of temporary "
            "files, is full: free some space there, or choose another place"
        ) from error
    if failed:
        raise failed[0]
