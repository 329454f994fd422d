"""A genome's contigs by the names that other files and settings give them, and its windows."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from hyena_glt.errors import RecipeError, SequenceFileError
from hyena_glt.io.container import container_of
from hyena_glt.io.fasta import read_fasta
from hyena_glt.io.record import check_interval, checked_length_bp, same_contig
from hyena_glt.io.reference import Reference


@runtime_checkable
class Genome(Protocol):
    """What examples are read from: a `Reference`, or a FASTA file in memory."""

    path: Path
    names: tuple[str, ...]  # the contigs, in the order of the file

    def length_bp(self, contig: str) -> int:
        """The length of a contig in bases; SequenceFileError, with names like it, if none is."""

    def resolve(self, contig: str) -> str:
        """The genome's name for a contig that another file calls `contig`, as `Reference` does."""

    def fetch(self, contig: str, start: int, end: int) -> str:
        """The letters of `[start, end)`, 0-based, case kept; SequenceFileError if they aren't."""


def open_genome(path: str) -> Genome:
    """The genome in a FASTA (plain, gzip, bgzip) or 2bit file.

    Plain gzip can't be read from its middle: it is decompressed into memory, a byte a base.

    Raises SequenceFileError and StorageError as `Reference` and `read_fasta` do.
    """
    if container_of(Path(path)) == "gzip":
        return _InMemory(Path(path))
    return Reference(path)


class _InMemory:
    """The records of a FASTA file."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._sequences = {record.name: record.sequence for record in read_fasta(path)}
        self._length_bp = {name: len(letters) for name, letters in self._sequences.items()}
        self._resolved = {name: name for name in self._sequences}
        self.names = tuple(self._sequences)

    def length_bp(self, contig: str) -> int:
        return checked_length_bp(self.path, self._length_bp, contig)

    def resolve(self, contig: str) -> str:
        if contig not in self._resolved:
            self._resolved[contig] = same_contig(self.path, self._length_bp, contig)
        return self._resolved[contig]

    def fetch(self, contig: str, start: int, end: int) -> str:
        check_interval(self.path, self._length_bp, contig, start, end)
        return self._sequences[contig][start:end]


class GenomeWindow(NamedTuple):
    """The letters of `[start, end)` of a contig, 0-based, as the genome's file has them."""

    contig: str
    start: int
    end: int
    sequence: bytes

    @property
    def name(self) -> str:
        """`contig:start-end`, 0-based and half-open."""
        return f"{self.contig}:{self.start}-{self.end}"


def known_contig(genome: Genome, contig: str, where: str) -> str:
    """The genome's name for a contig that stands at `where`, a file and a line.

    Raises SequenceFileError that names `where` if the genome has none such, or more than one.
    """
    try:
        return genome.resolve(contig)
    except SequenceFileError as error:
        raise SequenceFileError(f"{where}: {error}") from None


def chosen_contigs(genome: Genome, names: tuple[str, ...] | None) -> tuple[str, ...]:
    """The genome's names for these contigs, or all of its contigs in their order for None.

    Raises SequenceFileError if the genome has no such contig; RecipeError if none is named, or one
    twice.
    """
    if names is None:
        return genome.names
    contigs = tuple(map(genome.resolve, names))
    if not contigs:
        raise RecipeError("contigs: found none, expected at least one; leave it out to take all")
    for place, contig in enumerate(contigs):
        if contig in contigs[:place]:
            raise RecipeError(
                f"contigs: found {names[contigs.index(contig)]!r} and {names[place]!r}, which are "
                f"one contig of {genome.path}; remove one of them"
            )
    return contigs


def tiles(genome: Genome, contig: str, window_bp: int) -> Iterator[GenomeWindow]:
    """The windows that tile a contig from its first base; the last is as long as what is left."""
    length_bp = genome.length_bp(contig)
    for start in range(0, length_bp, window_bp):
        end = min(start + window_bp, length_bp)
        sequence = genome.fetch(contig, start, end).encode("ascii")
        yield GenomeWindow(contig, start, end, sequence)
