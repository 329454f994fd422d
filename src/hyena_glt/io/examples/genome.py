"""A genome's contigs by the names that other files and settings give them, and its windows."""

from collections.abc import Iterator
from typing import NamedTuple

from hyena_glt.errors import RecipeError, SequenceFileError
from hyena_glt.io.reference import Reference


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


def known_contig(reference: Reference, contig: str, where: str) -> str:
    """The genome's name for a contig that stands at `where`, a file and a line.

    Raises SequenceFileError that names `where` if the genome has none such, or more than one.
    """
    try:
        return reference.resolve(contig)
    except SequenceFileError as error:
        raise SequenceFileError(f"{where}: {error}") from None


def chosen_contigs(reference: Reference, names: tuple[str, ...] | None) -> tuple[str, ...]:
    """The genome's names for these contigs, or all of its contigs in their order for None.

    Raises SequenceFileError if the genome has no such contig; RecipeError if none is named, or one
    twice.
    """
    if names is None:
        return reference.names
    contigs = tuple(map(reference.resolve, names))
    if not contigs:
        raise RecipeError("contigs: found none, expected at least one; leave it out to take all")
    for place, contig in enumerate(contigs):
        if contig in contigs[:place]:
            raise RecipeError(
                f"contigs: found {names[contigs.index(contig)]!r} and {names[place]!r}, which are "
                f"one contig of {reference.path}; remove one of them"
            )
    return contigs


def tiles(reference: Reference, contig: str, window_bp: int) -> Iterator[GenomeWindow]:
    """The windows that tile a contig from its first base; the last is as long as what is left."""
    length_bp = reference.length_bp(contig)
    for start in range(0, length_bp, window_bp):
        end = min(start + window_bp, length_bp)
        sequence = reference.fetch(contig, start, end).encode("ascii")
        yield GenomeWindow(contig, start, end, sequence)
