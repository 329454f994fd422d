"""Any interval of a FASTA file, without reading the rest."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any

import pysam

from hyena_glt.errors import SequenceFileError
from hyena_glt.io.container import container_of
from hyena_glt.io.fasta_index import indexed_lengths_bp
from hyena_glt.io.record import check_interval, checked_length_bp


class IndexedFasta:
    """A plain or bgzip FASTA file, open for random access.

    The `.fai` index beside the file (for bgzip also `.gzi`) is made if it is missing or stale:
    older than the file, or of another length. It can be pickled and used after a fork, each
    process opening the file for itself; threads need one each.

    Raises SequenceFileError if the file is none that can be indexed (a plain gzip, say), and
    StorageError if the index can't be written beside it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # Absolute, so that a copy works in a process with another working folder.
        self._path = Path(path).absolute()
        container = container_of(self._path)
        if container == "gzip":
            raise SequenceFileError(
                f"{path}: found a plain gzip file, expected bgzip, which allows random access; "
                f"run: gunzip -c {path} | bgzip > {self._path.stem}.bgz"
            )
        self._length_bp = indexed_lengths_bp(self._path, container)
        # pysam has no type information: this is a pysam.FastaFile.
        self._handle: Any = None
        self._handle_pid = 0
        self._closed = False

    @property
    def names(self) -> tuple[str, ...]:
        """The records' names, in the order of the file."""
        return tuple(self._length_bp)

    def length_bp(self, name: str) -> int:
        """The length of a record in bases; SequenceFileError, with names like it, if none is."""
        return checked_length_bp(self._path, self._length_bp, name)

    def fetch(self, name: str, start: int, end: int) -> str:
        """The letters of `[start, end)`, 0-based, case kept: exactly `end - start` of them.

        Of `>chr1` over `ACgtN`, `fetch("chr1", 1, 4)` is `"Cgt"`.

        Raises SequenceFileError if there is no such record, the interval isn't inside it, or the
        file isn't what its index says.
        """
        check_interval(self._path, self._length_bp, name, start, end)
        if start == end:
            return ""
        try:
            sequence: str = self._open().fetch(name, start, end)
        except (OSError, ValueError, KeyError) as error:
            raise self._changed(f"can't read {name}:{start}-{end} ({error})") from error
        if len(sequence) != end - start:
            raise self._changed(f"found {len(sequence)} bases of {name}:{start}-{end}")
        return sequence

    def close(self) -> None:
        """Close the file; a later `fetch` is a ValueError."""
        self._handle = None
        self._closed = True

    def __enter__(self) -> "IndexedFasta":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[type["IndexedFasta"], tuple[Path]]:
        return type(self), (self._path,)

    def _open(self) -> Any:
        if self._closed:
            raise ValueError(f"{self._path} is closed")
        # A handle from before a fork shares its file position with the parent's.
        if self._handle is None or self._handle_pid != os.getpid():
            self._handle = pysam.FastaFile(str(self._path))
            self._handle_pid = os.getpid()
        return self._handle

    def _changed(self, found: str) -> SequenceFileError:
        return SequenceFileError(
            f"{self._path}: {found}, which its index promises; the file changed or is damaged: "
            f"fetch it again and remove {self._path.name}.fai"
        )
