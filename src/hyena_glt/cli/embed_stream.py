"""What ``hyena-glt embed --stream`` writes: a vector a bin of bases, or a vector a patch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer
from jaxtyping import Float, Int64

from hyena_glt.api import LoadedModel
from hyena_glt.cli.embeddings import check_suffix
from hyena_glt.cli.streams import check_stream_output, open_stream
from hyena_glt.embed import BasesRead, Layer, PatchesRead, Probe, ProbeState
from hyena_glt.io import NpzWriter, TableWriter
from hyena_glt.model import most_exact
from hyena_glt.score import read_both_strands
from hyena_glt.stream import Progress, Step, Strand, put_in_place, stream_genome
from hyena_glt.tokenize import encode

_PLACES, _VECTORS, _OTHER = "places", "vectors", "other-strand"
_PLACE = np.dtype([("contig", "<i8"), ("start", "<i8"), ("end", "<i8")])
_COPIED_BYTES = 1 << 22  # of vectors, in memory at once

Vectors = Float[np.ndarray, "N D"]


@dataclass
class StreamTally:
    """What has been embedded in all."""

    layer: Layer
    per: str  # what has a vector
    vectors: int
    contigs: int
    length_bp: int

    def as_dict(self) -> dict[str, Any]:
        """Return the counts and what the numbers are."""
        return {
            "sequences": self.contigs,
            "length_bp": self.length_bp,
            "vectors": self.vectors,
            "per": self.per,
            "layer": self.layer.name,
            "width": self.layer.width,
        }

    def __str__(self) -> str:
        return (
            f"{self.contigs:,} contigs, {self.length_bp:,} bp, layer {self.layer.name}: "
            f"{self.vectors:,} vectors of {self.layer.width:,} numbers, one a {self.per}"
        )


def check_pool(pool: str, bin_bp: int | None, both_strands: bool | None) -> None:
    """Raise BadParameter for a pool that doesn't stream."""
    if pool not in ("mean", "patch") or (pool == "mean") == (bin_bp is None):
        raise typer.BadParameter(
            "--stream writes the means of bins or a vector a patch: give --bin-bp or --pool patch"
        )
    if pool == "patch" and both_strands:
        raise typer.BadParameter("--pool patch is of one strand; leave out --both-strands")


def stream_embeddings(
    model: LoadedModel,
    path: Path,
    out: Path,
    *,
    layer: str,
    bin_bp: int | None,
    both_strands: bool | None,
    resume: bool,
) -> StreamTally:
    """Write a vector for every ``bin_bp`` bases, or for every patch; return the counts.

    A bin's is the mean over its bases, of both strands the mean of both. Patches are one strand's.
    The vectors wait on disk and become the file at the end. Raises as ``write_embeddings`` and
    ``open_stream`` do.
    """
    check_suffix(out)
    check_stream_output(out, path)
    probe = Probe(model.network, layer, None)
    probe.begin()  # refuses a network that can't stream
    per = f"patch of stage {probe.patch_rate}" if bin_bp is None else f"bin of {bin_bp:,} bp"
    alphabet = model.network.alphabet
    both = bin_bp is not None and read_both_strands(model.network, both_strands)
    if both:
        alphabet.reverse_complement(encode(""))  # refuses a protein before any work
    settings = {"layer": probe.layer.name, "bin_bp": bin_bp, "both_strands": both}
    opened = open_stream("embed", model.network, path, out, resume, settings)
    with opened as (genome, progress):
        job: _Bins | _Patches = _Patches(probe, progress)
        if bin_bp is not None:
            job = _Bins(probe, progress, bin_bp, both)
        stream_genome(job, genome, alphabet, both, progress)
        contigs = genome.names
        vectors = progress.size_bytes(_PLACES) // _PLACE.itemsize
        if not progress.is_placed:
            progress.read(_PLACES, 0, 0)  # refuses files that are gone
            # Not beside the output: what a kill leaves of it goes with the folder.
            whole = progress.files / f"whole{out.suffix}"
            _convert(progress, whole, contigs, probe)
            put_in_place(whole, out)
        length_bp = sum(map(genome.length_bp, contigs))
        progress.clear(job.memory)
    return StreamTally(probe.layer, per, vectors, len(contigs), length_bp)


class _Patches:
    """Writes the vector of each patch."""

    def __init__(self, probe: Probe, progress: Progress) -> None:
        self._probe, self._progress = probe, progress
        self.memory: dict[str, Any] = {"contig": 0, "closed": 0}  # its number, its last patch's end

    def begin(self) -> ProbeState:
        """Return the state before a strand."""
        return self._probe.begin()

    def read(self, strand: Strand, start: int, state: ProbeState) -> Iterator[Step]:
        """Yield the patches of a strand, piece by piece."""
        for piece in self._probe.stream_patches(strand, start, state):
            yield Step(start, piece, piece.following, piece.state)

    def take(self, strand: Strand, step: Step) -> None:
        """Write the patches that a piece closes."""
        piece: PatchesRead = step.found
        starts = np.concatenate([[self.memory["closed"]], piece.ends])[:-1]
        vectors = self._probe.array(piece.values)
        _put(self._progress, self.memory["contig"], starts, piece.ends, vectors)
        if len(piece.ends):
            self.memory["closed"] = int(piece.ends[-1])

    def end(self, strand: Strand) -> None:
        """The open patch has no vector: nothing read it."""
        self.memory = {"contig": self.memory["contig"] + 1, "closed": 0}


class _Bins:
    """Writes the mean of each bin of bases; on the other strand bins lie where they do on this."""

    def __init__(self, probe: Probe, progress: Progress, bin_bp: int, both: bool) -> None:
        self._probe, self._progress = probe, progress
        self._bin_bp, self._both = bin_bp, both
        # The contig's number, the bins of the strand that are whole, the sum of the open one.
        self.memory: dict[str, Any] = {"contig": 0, "bins": 0, "sum": None}

    def begin(self) -> ProbeState:
        """Return the state before a strand."""
        return self._probe.begin()

    def read(self, strand: Strand, start: int, state: ProbeState) -> Iterator[Step]:
        """Yield the vectors of a strand's bases, piece by piece."""
        for piece in self._probe.stream_bases(strand, start, state):
            yield Step(piece.start, piece, piece.following, piece.state)

    def take(self, strand: Strand, step: Step) -> None:
        """Add up a piece's vectors, and write the bins that it fills."""
        piece: BasesRead = step.found
        exact = most_exact(piece.values.device)
        end = piece.start + len(piece.values)
        at, means, ends = piece.start, [], []
        while at < end:
            edge = self._edge(strand, self.memory["bins"])
            part = piece.values[at - piece.start : edge - piece.start].sum(0, dtype=exact)
            total = part.cpu().numpy().astype(np.float64)
            if self.memory["sum"] is not None:
                total = np.array(self.memory["sum"]) + total
            at = min(edge, end)
            self.memory["sum"] = total.tolist() if at < edge else None
            if at == edge:
                means.append(total / (edge - self._edge(strand, self.memory["bins"] - 1)))
                ends.append(edge)
                self.memory["bins"] += 1
        if means:
            self._write(strand, np.array(ends), np.array(means).astype(self._probe.dtype))

    def end(self, strand: Strand) -> None:
        """Go on to the next strand."""
        if not strand.other:
            if self._both:
                self._progress.discard(self._aside)
            self.memory["contig"] += 1
        self.memory = {**self.memory, "bins": 0, "sum": None}

    def _write(self, strand: Strand, ends: Int64[np.ndarray, " N"], means: Vectors) -> None:
        if strand.other:
            self._progress.append(self._aside, means.tobytes())
            return
        starts = (ends - 1) // self._bin_bp * self._bin_bp
        if self._both:
            bins = -(-strand.length_bp // self._bin_bp)
            behind = bins - 1 - (int(ends[-1]) - 1) // self._bin_bp
            vector_bytes = means.nbytes // len(means)
            held = self._progress.read(self._aside, behind * vector_bytes, means.nbytes)
            other = np.frombuffer(held, means.dtype).reshape(means.shape)
            means = (means + other[::-1]) / 2
        _put(self._progress, self.memory["contig"], starts, ends, means)

    def _edge(self, strand: Strand, number: int) -> int:
        """Where the strand's bin ``number`` ends: bins begin at multiples of this strand's."""
        if number < 0:
            return 0
        if not strand.other:
            return min((number + 1) * self._bin_bp, strand.length_bp)
        bins = -(-strand.length_bp // self._bin_bp)
        return strand.length_bp - (bins - 1 - number) * self._bin_bp

    @property
    def _aside(self) -> str:
        """The file in which the means of the contig's other strand wait."""
        return f"{_OTHER}.{self.memory['contig']}"


def _put(
    progress: Progress,
    contig: int,
    starts: Int64[np.ndarray, " N"],
    ends: Int64[np.ndarray, " N"],
    vectors: Vectors,
) -> None:
    places = np.empty(len(ends), _PLACE)
    places["contig"], places["start"], places["end"] = contig, starts, ends
    progress.append(_PLACES, places.tobytes())
    progress.append(_VECTORS, np.ascontiguousarray(vectors, np.float32).tobytes())


def _rows(
    progress: Progress, width: int
) -> Iterator[tuple[np.ndarray[tuple[int], np.dtype[Any]], Vectors]]:
    """Yield (places, vectors) of what has been put, in order."""
    count = progress.size_bytes(_PLACES) // _PLACE.itemsize
    step = max(1, _COPIED_BYTES // (4 * width))
    for first in range(0, count, step):
        rows = min(step, count - first)
        places = progress.read(_PLACES, first * _PLACE.itemsize, rows * _PLACE.itemsize)
        vectors = progress.read(_VECTORS, first * 4 * width, rows * 4 * width)
        yield (
            np.frombuffer(places, _PLACE),
            np.frombuffer(vectors, np.float32).reshape(rows, width),
        )


def _convert(progress: Progress, out: Path, contigs: tuple[str, ...], probe: Probe) -> None:
    """Write ``out``, a piece in memory at once."""
    width = probe.layer.width
    if out.suffix == ".npz":
        with NpzWriter(out) as arrays:
            for places, vectors in _rows(progress, width):
                arrays.append("names", np.array([contigs[i] for i in places["contig"]]))
                arrays.append("starts", places["start"])
                arrays.append("ends", places["end"])
                arrays.append("embeddings", vectors)
        return
    numbers = [f"e{i}" for i in range(width)] if out.suffix == ".tsv" else []
    columns: dict[str, type | str] = {"name": str, "start": int, "end": int}
    columns |= dict.fromkeys(numbers, "f4") if numbers else {"embedding": f"f4*{width}"}
    with TableWriter(out, columns) as table:
        for places, vectors in _rows(progress, width):
            for (contig, start, end), vector in zip(places.tolist(), vectors, strict=True):
                cells = (
                    dict(zip(numbers, vector, strict=True)) if numbers else {"embedding": vector}
                )
                table.write({"name": contigs[contig], "start": start, "end": end, **cells})
