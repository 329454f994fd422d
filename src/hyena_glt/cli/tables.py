"""What ``hyena-glt score`` writes."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from hyena_glt.api import LoadedModel
from hyena_glt.errors import SequenceError, SequenceFileError, StorageError
from hyena_glt.io import IndexedFasta, Record, read_bed, read_fasta, replacing_file
from hyena_glt.tokenize import Alphabet, decode, encode

GROUP_BP = 1_000_000  # bases held at once, a longer record apart
COLUMNS = ("name", "length_bp", "scored_bp", "loglik_nats", "bits_per_base")
PER_BASE_COLUMNS = ("name", "position", "base", "surprisal_bits")
NOT_SCORED = "NA"


class Tally:
    """What has been scored in all."""

    def __init__(self) -> None:
        self.sequences = self.length_bp = self.scored_bp = 0
        self.bits = 0.0

    def add(self, length_bp: int, scored_bp: int, bits: float) -> None:
        """Count one sequence."""
        self.sequences += 1
        self.length_bp += length_bp
        self.scored_bp += scored_bp
        self.bits += bits

    def as_dict(self) -> dict[str, int | float | None]:
        """Return the counts and the bits per scored base, None where there is none."""
        return {
            "sequences": self.sequences,
            "length_bp": self.length_bp,
            "scored_bp": self.scored_bp,
            "bits_per_base": self.bits / self.scored_bp if self.scored_bp else None,
        }

    def __str__(self) -> str:
        bits = f"{self.bits / self.scored_bp:.4f}" if self.scored_bp else NOT_SCORED
        return (
            f"{self.sequences:,} sequences, {self.scored_bp:,} of {self.length_bp:,} bp scored, "
            f"{bits} bits per base"
        )


def write_scores(
    model: LoadedModel,
    fasta: Path,
    out: Path,
    bed: Path | None,
    per_base: bool,
    both_strands: bool,
) -> Tally:
    """Write the scores of the records of ``fasta``, or its intervals in ``bed``; return the sum.

    Sequences are read, scored and written in groups; the table takes its place when it is whole.
    """
    _check_out(out, fasta, bed)
    alphabet = model.network.alphabet
    if both_strands:
        alphabet.reverse_complement(encode(""))  # refuses a protein before any work
    records = _records(fasta, alphabet) if bed is None else _cut(fasta, bed, alphabet)
    write = _write_bases if per_base else _write_totals
    tally = Tally()
    with replacing_file(out) as aside, aside.open("w", encoding="utf-8") as file:
        _write_row(file, PER_BASE_COLUMNS if per_base else COLUMNS)
        for group in _groups(records):
            write(file, model, group, both_strands, tally)
    return tally


def _check_out(out: Path, *inputs: Path | None) -> None:
    for path in inputs:
        if path is not None and path.exists() and out.exists() and out.samefile(path):
            raise StorageError(f"{out}: is an input of this command; choose another --out")


def _records(path: Path, alphabet: Alphabet) -> Iterator[Record]:
    for record in read_fasta(path):
        _validate(record, alphabet, str(path))
        yield record


def _cut(path: Path, bed: Path, alphabet: Alphabet) -> Iterator[Record]:
    """The intervals of ``bed`` as records, each on its strand."""
    intervals = read_bed(bed)
    with IndexedFasta(path) as genome:
        for interval in intervals:
            where = f"{bed}: line {interval.line}"
            try:
                letters = genome.fetch(interval.contig, interval.start, interval.end)
            except SequenceFileError as error:
                raise SequenceFileError(f"{where}: {error}") from None
            record = Record(interval.name, "", letters)
            _validate(record, alphabet, f"{where}: {path}")
            if interval.strand == "-":
                letters = decode(alphabet.reverse_complement(encode(letters)))
            yield Record(interval.name, "", letters)


def _validate(record: Record, alphabet: Alphabet, where: str) -> None:
    try:
        alphabet.validate(encode(record.sequence), record.name)
    except SequenceError as error:
        raise SequenceError(f"{where}: {error}") from None


def _groups(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Records in their order, about GROUP_BP of them at a time."""
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


def _write_totals(
    file: TextIO, model: LoadedModel, group: list[Record], both_strands: bool, tally: Tally
) -> None:
    scores = model.score([record.sequence for record in group], both_strands)
    for record, score in zip(group, scores, strict=True):
        tally.add(score.length_bp, score.scored_bp, -score.loglik_nats / math.log(2))
        bits = repr(score.bits_per_base) if score.scored_bp else NOT_SCORED
        # repr: the shortest text that reads back as the same number; no base adds up to 0, not -0.
        loglik = repr(score.loglik_nats + 0.0)
        _write_row(file, (record.name, score.length_bp, score.scored_bp, loglik, bits))


def _write_bases(
    file: TextIO, model: LoadedModel, group: list[Record], both_strands: bool, tally: Tally
) -> None:
    surprisals = model.surprisal_bits([record.sequence for record in group], both_strands)
    for record, surprisal in zip(group, surprisals, strict=True):
        bits = surprisal.tolist()
        known = [value for value in bits if not math.isnan(value)]
        tally.add(len(bits), len(known), math.fsum(known))
        for position, (base, value) in enumerate(zip(record.sequence, bits, strict=True)):
            text = NOT_SCORED if math.isnan(value) else f"{value:.6f}"
            _write_row(file, (record.name, position, base, text))


def _write_row(file: TextIO, cells: Iterable[object]) -> None:
    file.write("\t".join(map(str, cells)) + "\n")
