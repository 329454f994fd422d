"""What ``hyena-glt score fasta --stream`` writes: the table of the plain verb, and a track."""

import math
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from hyena_glt.api import LoadedModel
from hyena_glt.cli.streams import check_stream_output, open_stream
from hyena_glt.cli.tables import Tally, base_lines, header_line, total_line
from hyena_glt.data import file_sha256
from hyena_glt.errors import PatcherError, StorageError
from hyena_glt.io import BedGraphPieces, GenomeOrder, Track, check_suffix, open_track
from hyena_glt.model import ModelState
from hyena_glt.score import (
    BitsPiece,
    ExactSum,
    SequenceScore,
    read_both_strands,
    stream_bits,
)
from hyena_glt.stream import (
    Progress,
    Step,
    Strand,
    StrandScores,
    put_in_place,
    stream_genome,
)
from hyena_glt.tokenize import decode, encode

_TABLE, _TRACK, _OTHER = "table.tsv", "surprisal.bedgraph", "other-strand"
_BITS = np.dtype("<f8")


def stream_scores(
    model: LoadedModel,
    path: Path,
    out: Path,
    *,
    per_base: bool,
    both_strands: bool | None,
    track_out: Path | None,
    resume: bool,
    track: Path | None = None,
) -> Tally:
    """Write the scores of all contigs of ``path`` in constant memory; return the sum.

    The other strand of a contig is read first, and its surprisal waits on disk, 8 bytes a base. A
    run that was killed goes on with ``resume``. ``track`` is for patches that read one, and read
    piece by piece where its format is. Raises as ``write_scores`` and ``open_stream`` do.
    """
    check_stream_output(out, path, track)
    if track_out is not None:
        check_suffix(track_out, ".bedgraph", ".bedGraph", ".bg", ".bdg")
        check_stream_output(track_out, path, track)
        if os.path.realpath(track_out) == os.path.realpath(out):
            raise StorageError(f"{track_out}: is --out too; choose another --track-out")
    both = read_both_strands(model.network, both_strands)
    if track is not None and not model.network.side_information:
        raise PatcherError(f"--track {track}: none of the model's patches read one; leave it out")
    alphabet = model.network.alphabet
    if both:
        alphabet.reverse_complement(encode(""))  # refuses a protein before any work
    settings = {
        "per_base": per_base,
        "both_strands": both,
        "track": None if track is None else file_sha256(track),
        "track_out": track_out,
        "compile": model.compiled,
    }
    with (
        nullcontext() if track is None else open_track(track) as scores,
        open_stream(
            "score fasta",
            model.network,
            path,
            out,
            resume,
            settings,
            has_track=track is not None,
        ) as (genome, progress),
    ):
        if scores is not None:
            scores.check_lengths({contig: genome.length_bp(contig) for contig in genome.names})
        if track_out is not None:
            order = GenomeOrder(track_out)  # refuses a name that no line can begin with
            for contig in genome.names:
                order.take(contig, 0, genome.length_bp(contig), overlapping=False)
        job = _Scores(model, progress, per_base, both, scores, track_out is not None)
        stream_genome(job, genome, alphabet, both, progress)
        if not progress.is_placed:
            put_in_place(progress.files / _TABLE, out)
            if track_out is not None:
                put_in_place(progress.files / _TRACK, track_out)
        progress.clear(job.memory)
    return job.tally()


class _Scores:
    """Adds up the surprisal of a contig's bases, and writes it."""

    def __init__(
        self,
        model: LoadedModel,
        progress: Progress,
        per_base: bool,
        both: bool,
        scores: Track | None,
        with_track: bool,
    ) -> None:
        self._network, self._progress = model.network, progress
        self._per_base, self._both, self._with_track = per_base, both, with_track
        self._scores = scores  # what patches read
        self.memory: dict[str, Any] = {
            "done": [0, 0, 0, 0.0],  # sequences, bases, scored bases and their bits
            "contig": [0, 0],  # of the contig under way: scored bases, bits as an ExactSum
            "last": None,  # the track's last interval
        }
        if progress.is_finished:
            return  # the files may be in their place already
        for name, text in ((_TABLE, header_line(model, per_base)), (_TRACK, "")):
            if (name != _TRACK or with_track) and not progress.size_bytes(name):
                progress.append(name, text.encode())

    def begin(self) -> ModelState:
        """Return the state before a strand."""
        return self._network.begin(1)

    def read(self, strand: Strand, start: int, state: ModelState) -> Iterator[Step]:
        """Yield the surprisal of a strand, piece by piece."""
        scores = None if self._scores is None else StrandScores(self._scores, strand)
        for piece in stream_bits(self._network, strand, start, state, scores):
            yield Step(piece.start, piece, piece.end, piece.state)

    def take(self, strand: Strand, step: Step) -> None:
        """Count and write a piece; of the other strand, put it aside."""
        piece: BitsPiece = step.found
        if strand.other:
            self._progress.append(self._aside, piece.bits.astype(_BITS).tobytes())
            return
        bits = self._joined(strand, piece)
        known = bits[~np.isnan(bits)]
        scored_bp, units = self.memory["contig"]
        total = ExactSum(units)
        total.add(known)
        self.memory["contig"] = [scored_bp + len(known), total.units]
        if self._per_base:
            lines = base_lines(strand.contig, piece.start, decode(piece.ids), bits)
            self._progress.append(_TABLE, "".join(lines).encode())
        if self._with_track:
            track = BedGraphPieces(self.memory["last"])
            lines_read = track.lines(strand.contig, piece.start, bits.astype(np.float32))
            self._progress.append(_TRACK, lines_read)
            self.memory["last"] = track.last

    def end(self, strand: Strand) -> None:
        """Write and count the contig."""
        if strand.other:
            return
        if self._both:
            self._progress.discard(self._aside)
        scored_bp, units = self.memory["contig"]
        loglik_nats = -float(ExactSum(units)) * math.log(2)
        score = SequenceScore(strand.length_bp, scored_bp, loglik_nats)
        if not self._per_base:
            self._progress.append(_TABLE, total_line(strand.contig, score).encode())
        if self._with_track:
            self._progress.append(_TRACK, BedGraphPieces(self.memory["last"]).end(strand.contig))
        tally = self.tally()
        tally.add(strand.length_bp, scored_bp, -loglik_nats / math.log(2))
        done = [tally.sequences, tally.length_bp, tally.scored_bp, tally.bits]
        self.memory = {"done": done, "contig": [0, 0], "last": None}

    def tally(self) -> Tally:
        """Return what has been scored in all."""
        tally = Tally()
        tally.sequences, tally.length_bp, tally.scored_bp, tally.bits = self.memory["done"]
        return tally

    def _joined(self, strand: Strand, piece: BitsPiece) -> Float64[np.ndarray, " L"]:
        """Return the piece's surprisal; of both strands the mean at each base."""
        if not self._both:
            return piece.bits
        first = (strand.length_bp - piece.end) * _BITS.itemsize
        held = self._progress.read(self._aside, first, len(piece.bits) * _BITS.itemsize)
        return (piece.bits + np.frombuffer(held, _BITS)[::-1]) / 2

    @property
    def _aside(self) -> str:
        """The file in which the other strand of the contig under way waits."""
        return f"{_OTHER}.{self.memory['done'][0]}"
