"""The sequences that a verb reads: the records of a file, or intervals of a genome."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hyena_glt.errors import SequenceError, SequenceFileError
from hyena_glt.io import Record, Reference, read_bed, read_sequences
from hyena_glt.tokenize import Alphabet, decode, encode

GROUP_BP = 1_000_000  # bases held at once, a longer record apart

Check = Callable[[np.ndarray, str], None]  # of ids and their record's name; raises SequenceError


@contextmanager
def open_records(
    path: Path,
    bed: Path | None,
    alphabet: Alphabet,
    check: Check,
    circular: Sequence[str] = (),
    skipped: list[str] | None = None,
) -> Iterator[tuple[Iterator[Record], Mapping[str, str]]]:
    """Open the FASTA or FASTQ file ``path``, or the genome ``path`` at the intervals of ``bed``.

    Gives the records, each on its strand, and the contigs that ``bed`` names otherwise than the
    genome, known when the records have been read. Intervals of ``circular`` contigs may run over
    the end. What is wrong with an interval that isn't on the genome is added to ``skipped``, where
    there is such a list. Raises SequenceFileError and SequenceError with
    the file and the record or the line where it happens.
    """
    if bed is None:
        yield _records(path, check), {}
        return
    with Reference(path, circular) as genome:
        yield _cut(genome, path, bed, alphabet, check, skipped), genome.renamed


def groups(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield the records in their order, about GROUP_BP of them at a time."""
    group: list[Record] = []
    held_bp = 0
    for record in records:
        group.append(record)
        held_bp += len(record.sequence)
        if held_bp >= GROUP_BP:
            yield group
            group, held_bp = [], 0
    if group:
        yield group


def _records(path: Path, check: Check) -> Iterator[Record]:
    for record in read_sequences(path):
        _checked(encode(record.sequence), record.name, str(path), check)
        yield record


def _cut(
    genome: Reference,
    path: Path,
    bed: Path,
    alphabet: Alphabet,
    check: Check,
    skipped: list[str] | None,
) -> Iterator[Record]:
    for interval in read_bed(bed):
        where = f"{bed}: line {interval.line}"
        try:
            contig = genome.resolve(interval.contig)
            letters = genome.fetch(contig, interval.start, interval.end)
        except SequenceFileError as error:
            if skipped is None:
                raise SequenceFileError(f"{where}: {error}") from None
            skipped.append(f"{where}: {error}")
            continue
        ids = encode(letters)
        _checked(ids, interval.name, f"{where}: {path}", check)
        if interval.strand == "-":
            letters = decode(alphabet.reverse_complement(ids))
        yield Record(interval.name, "", letters)


def _checked(ids: np.ndarray, name: str, where: str, check: Check) -> None:
    try:
        check(ids, name)
    except SequenceError as error:
        raise SequenceError(f"{where}: {error}") from None
