"""A genome for random access, whatever its file, with the names that other files call it by."""

import os
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from hyena_glt.errors import SequenceFileError
from hyena_glt.io.container import container_of
from hyena_glt.io.indexed_fasta import IndexedFasta
from hyena_glt.io.record import checked_length_bp, same_contig
from hyena_glt.io.twobit import SIGNATURE, TwoBitGenome


class Reference:
    """A genome in FASTA (plain or bgzip) or 2bit, told by its content, open for random access.

    `circular` names the contigs whose end joins their start. It can be pickled and used after a
    fork.

    Raises SequenceFileError if the file is neither, is damaged, or has no contig of such a name;
    StorageError if an index is missing and can't be written beside it.
    """

    path: Path
    names: tuple[str, ...]  # the contigs, in the order of the file
    renamed: dict[str, str]  # what `resolve` took for what: another file's name to the genome's

    def __init__(self, path: str | os.PathLike[str], circular: Collection[str] = ()) -> None:
        # Absolute, so that a copy works in a process with another working folder.
        self.path = Path(path).absolute()
        self._genome = TwoBitGenome(self.path) if _is_twobit(self.path) else IndexedFasta(self.path)
        self.names = self._genome.names
        self.renamed = {}
        self._length_bp = {name: self._genome.length_bp(name) for name in self.names}
        for contig in circular:
            checked_length_bp(self.path, self._length_bp, contig)
        self._circular = frozenset(circular)

    def length_bp(self, contig: str) -> int:
        """The length of a contig in bases; SequenceFileError, with names like it, if none is."""
        return checked_length_bp(self.path, self._length_bp, contig)

    def is_circular(self, contig: str) -> bool:
        """Whether a contig's end joins its start; SequenceFileError if there is none."""
        self.length_bp(contig)
        return contig in self._circular

    def resolve(self, contig: str) -> str:
        """The genome's name for a contig that another file calls `contig`, noted in `renamed`.

        The same name, or else the one that differs by a prefix `chr` alone: `1` is `chr1`, and
        `MT` is `chrM`.

        Raises SequenceFileError if there is none, with names like it, or more than one.
        """
        if contig in self._length_bp:
            return contig
        if contig not in self.renamed:
            self.renamed[contig] = same_contig(self.path, self._length_bp, contig)
        return self.renamed[contig]

    def fetch(self, contig: str, start: int, end: int) -> str:
        """The letters of `[start, end)`, 0-based, case kept: exactly `end - start` of them.

        On a circular contig `start` may be negative and `end` past its length, for at most one
        turn: on `ACGT`, `[-1, 2)` is `TAC` and `[2, 5)` is `GTA`.

        Raises SequenceFileError if there is no such contig or the interval isn't on it.
        """
        if not self.is_circular(contig):
            return self._genome.fetch(contig, start, end)
        length_bp = self.length_bp(contig)
        if not (-length_bp <= start <= end <= 2 * length_bp and end - start <= length_bp):
            raise SequenceFileError(
                f"{self.path}: found the interval {contig}:{start}-{end}, expected at most one "
                f"turn of the circle of {length_bp} bp, begun at most one turn away; shorten it"
            )
        first = start % length_bp
        last = first + end - start
        turned = self._genome.fetch(contig, 0, last - length_bp) if last > length_bp else ""
        return self._genome.fetch(contig, first, min(last, length_bp)) + turned

    def window(self, contig: str, start: int, end: int) -> tuple[int, str]:
        """The first position of `[start, end)` that is there, and the letters from it on.

        A linear contig cuts the interval at its ends. A circular one wraps it as `fetch` does, so
        the position may be negative, and where it is longer than one turn keeps the turn in its
        middle.

        Raises SequenceFileError if there is no such contig or nothing of the interval is on it.
        """
        length_bp = self.length_bp(contig)
        if contig in self._circular:
            over_bp = max(0, end - start - length_bp)
            first = start + over_bp // 2
            return first, self.fetch(contig, first, end - (over_bp - over_bp // 2))
        first, last = max(0, start), min(end, length_bp)
        if first > last or (first == last and start != end):
            raise SequenceFileError(
                f"{self.path}: found the window {contig}:{start}-{end}, of which nothing is on the "
                f"contig of {length_bp} bp; check that both files are of one assembly"
            )
        return first, self._genome.fetch(contig, first, last)

    def close(self) -> None:
        """Close the file; a later `fetch` from FASTA is a ValueError."""
        if isinstance(self._genome, IndexedFasta):
            self._genome.close()

    def __enter__(self) -> "Reference":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[type["Reference"], tuple[Path, frozenset[str]]]:
        return type(self), (self.path, self._circular)


def _is_twobit(path: Path) -> bool:
    container_of(path)
    with path.open("rb") as file:
        head = file.read(4)
    return head in (SIGNATURE.to_bytes(4, "little"), SIGNATURE.to_bytes(4, "big"))
