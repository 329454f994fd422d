"""What ``hyena-glt score`` writes."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from jaxtyping import Float64

from hyena_glt.api import LoadedModel
from hyena_glt.cli.records import groups, open_records
from hyena_glt.io import Record, Track, check_output, open_track, replacing_file
from hyena_glt.score import SequenceScore, Tracks, read_both_strands
from hyena_glt.tokenize import encode

COLUMNS = ("name", "length_bp", "scored_bp", "loglik_nats", "bits_per_base")
PER_BASE_COLUMNS = ("name", "position", "base", "surprisal_bits")
LIKELIHOODS = ("loglik_nats", "bits_per_base", "surprisal_bits")
NOT_SCORED = "NA"


class Tally:
    """What has been scored in all."""

    def __init__(self) -> None:
        self.sequences = self.length_bp = self.scored_bp = 0
        self.bits = 0.0
        self.renamed: Mapping[str, str] = {}  # contigs: the BED file's name, the genome's
        self.skipped: list[str] = []  # what is wrong with each interval that was left out

    def add(self, length_bp: int, scored_bp: int, bits: float) -> None:
        """Count one sequence."""
        self.sequences += 1
        self.length_bp += length_bp
        self.scored_bp += scored_bp
        self.bits += bits

    def as_dict(self) -> dict[str, Any]:
        """Return the counts and the bits per scored base, None where there is none."""
        return {
            "sequences": self.sequences,
            "length_bp": self.length_bp,
            "scored_bp": self.scored_bp,
            "bits_per_base": self.bits / self.scored_bp if self.scored_bp else None,
            "renamed_contigs": dict(self.renamed),
            "intervals_left_out": self.skipped,
        }

    def __str__(self) -> str:
        bits = f"{self.bits / self.scored_bp:.4f}" if self.scored_bp else NOT_SCORED
        return (
            f"{self.sequences:,} sequences, {self.scored_bp:,} of {self.length_bp:,} bp scored, "
            f"{bits} bits per base"
        )


def write_scores(
    model: LoadedModel,
    path: Path,
    out: Path,
    bed: Path | None,
    per_base: bool,
    both_strands: bool | None,
    circular: Sequence[str] = (),
    skip_bad: bool = False,
    track: Path | None = None,
) -> Tally:
    """Write the scores of the records of ``path``, or its intervals in ``bed``; return the sum.

    A model whose patches read a ``track`` has one of the records; its likelihoods are conditional
    on it, and their columns are called so.

    Sequences are read, scored and written in groups; the table takes its place when it is whole.
    Intervals may run over the end of ``circular`` contigs; with ``skip_bad`` those that aren't on
    the genome are left out and listed.
    """
    check_output(out, path, bed, track)
    alphabet = model.network.alphabet
    if read_both_strands(model.network, both_strands):
        alphabet.reverse_complement(encode(""))  # refuses a protein before any work
    write = _write_bases if per_base else _write_totals
    tally = Tally()
    with (
        open_records(
            path, bed, alphabet, alphabet.validate, circular, tally.skipped if skip_bad else None
        ) as (records, tally.renamed),
        nullcontext() if track is None else open_track(track) as opened,
        replacing_file(out) as aside,
        aside.open("w", encoding="utf-8") as file,
    ):
        file.write(header_line(model, per_base))
        for group in groups(records):
            scores = None if opened is None else _tracks(opened, group)
            write(file, model, group, both_strands, tally, scores)
    return tally


def header_line(model: LoadedModel, per_base: bool) -> str:
    """Return the table's first line."""
    columns: tuple[str, ...] = PER_BASE_COLUMNS if per_base else COLUMNS
    if model.network.side_information:
        columns = tuple(f"conditional_{c}" if c in LIKELIHOODS else c for c in columns)
    return _line(columns)


def total_line(name: str, score: SequenceScore) -> str:
    """Return the line of a sequence."""
    bits = repr(score.bits_per_base) if score.scored_bp else NOT_SCORED
    # repr: the shortest text that reads back as the same number; no base adds up to 0, not -0.
    loglik = repr(score.loglik_nats + 0.0)
    return _line((name, score.length_bp, score.scored_bp, loglik, bits))


def base_lines(
    name: str, start: int, letters: str, bits: Float64[np.ndarray, " L"]
) -> Iterator[str]:
    """Yield a line a base, of which the first stands at ``start``."""
    for position, (base, value) in enumerate(zip(letters, bits.tolist(), strict=True), start):
        text = NOT_SCORED if math.isnan(value) else f"{value:.6f}"
        yield _line((name, position, base, text))


def _tracks(track: Track, group: list[Record]) -> Tracks:
    """The scores of whole records, which are the track's contigs."""
    return [track.fetch(track.resolve(record.name), 0, len(record.sequence)) for record in group]


def _write_totals(
    file: TextIO,
    model: LoadedModel,
    group: list[Record],
    both_strands: bool | None,
    tally: Tally,
    tracks: Tracks | None,
) -> None:
    scores = model.score([record.sequence for record in group], both_strands, tracks)
    for record, score in zip(group, scores, strict=True):
        tally.add(score.length_bp, score.scored_bp, -score.loglik_nats / math.log(2))
        file.write(total_line(record.name, score))


def _write_bases(
    file: TextIO,
    model: LoadedModel,
    group: list[Record],
    both_strands: bool | None,
    tally: Tally,
    tracks: Tracks | None,
) -> None:
    sequences = [record.sequence for record in group]
    surprisals = model.surprisal_bits(sequences, both_strands, tracks)
    for record, surprisal in zip(group, surprisals, strict=True):
        known = surprisal[~np.isnan(surprisal)]
        tally.add(len(surprisal), len(known), math.fsum(known))
        file.writelines(base_lines(record.name, 0, record.sequence, surprisal))


def _line(cells: Iterable[object]) -> str:
    return "\t".join(map(str, cells)) + "\n"
