"""What ``hyena-glt patch --stream`` writes: patches and tracks of whole chromosomes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import typer
from jaxtyping import Int64

from hyena_glt.cli.patch_files import check_folder
from hyena_glt.cli.patchers import Patched
from hyena_glt.cli.streams import open_stream
from hyena_glt.interpret import Lengths, MapPiece, MapState, begin_map, stream_map
from hyena_glt.io import BedGraphPieces, GenomeOrder, replacing_file
from hyena_glt.score import ExactSum
from hyena_glt.stream import Progress, Step, Strand, put_in_place, stream_genome


def stream_maps(own: Patched, path: Path, out: Path, resume: bool) -> dict[str, Any]:
    """Write the map of all contigs of ``path`` in the folder ``out``; return the summary.

    The folder takes its place when it is whole. Raises as ``write_maps`` and ``open_stream`` do;
    DirectionError for a bidirectional network.
    """
    network = own.network
    surprisal = own.checkpoint is not None
    begin_map(network, surprisal=surprisal)  # refuses a network that can't stream
    opened = open_stream("patch", network, path, out, resume, {}, parents=True)
    with opened as (genome, progress):
        if not progress.is_finished:
            check_folder(out)
        order = GenomeOrder(out)  # refuses a name that no line can begin with
        for contig in genome.names:
            order.take(contig, 0, genome.length_bp(contig), overlapping=False)
        job = _Maps(own, progress, surprisal)
        stream_genome(job, genome, network.alphabet, False, progress)
        length_bp = sum(map(genome.length_bp, genome.names))
        about = {"sequences": str(path), "contigs": len(genome.names), "length_bp": length_bp}
        summary = {**about, **job.summary(length_bp)}
        if progress.files.exists() and not progress.is_placed:
            text = json.dumps(summary, indent=2) + "\n"
            with replacing_file(progress.files / "summary.json") as aside:
                aside.write_text(text, encoding="utf-8")
        if not progress.is_placed:
            put_in_place(progress.files, out)
        progress.clear(job.memory)
    return summary


def show_stream_summary(out: Path, summary: dict[str, Any]) -> None:
    """Print the numbers of the summary in short."""
    typer.echo(f"{summary['contigs']:,} contigs, {summary['length_bp']:,} bp")
    for label, found in summary["patchers"].items():
        typer.echo(f"{label}: {found['patches']:,} patches, mean {found['mean_bp']:.2f} bp")
    for name, bits in summary["mean_bits"].items():
        typer.echo(f"mean {name}: {'NA' if bits is None else f'{bits:.4f}'} bits")
    typer.echo(f"{out}: all numbers in summary.json")


class _Maps:
    """Writes the patches of each stage and the scores of each base, and counts them."""

    def __init__(self, own: Patched, progress: Progress, surprisal: bool) -> None:
        self._network, self._progress, self._surprisal = own.network, progress, surprisal
        stages = range(1, len(own.network.patchers) + 1)
        self._labels = [own.label + (f", stage {n}" if n > 1 else "") for n in stages]
        self._beds = [f"patches{f'.stage{n}' if n > 1 else ''}.bed" for n in stages]
        scores = {"entropy": own.network.entropy is not None, "surprisal": surprisal}
        self._scores = [name for name, is_there in scores.items() if is_there]
        self.memory: dict[str, Any] = {
            "contigs": 0,
            # Of each stage: where its last patch ends, patches by length, closes, merged closes.
            "stages": [{"end": 0, "counts": [0], "closed": 0, "overflow": 0} for _ in stages],
            # Of each score: the track's last interval, the sum as an ExactSum, bases with a value.
            "scores": {name: {"last": None, "units": 0, "known": 0} for name in self._scores},
        }
        for name in (*self._beds, *map(_track, self._scores)):
            if not progress.is_finished:
                progress.append(name, b"")

    def begin(self) -> MapState:
        """Return the state before a strand."""
        return begin_map(self._network, surprisal=self._surprisal)

    def read(self, strand: Strand, start: int, state: MapState) -> Iterator[Step]:
        """Yield the map of a strand, piece by piece."""
        for piece in stream_map(
            self._network, strand, surprisal=self._surprisal, start=start, state=state
        ):
            yield Step(piece.start, piece, piece.following, piece.state)

    def take(self, strand: Strand, step: Step) -> None:
        """Write and count a piece's patches and scores."""
        piece: MapPiece = step.found
        for level, ends in enumerate(piece.closes):
            self._put(strand.contig, level, ends)
            stage = self.memory["stages"][level]
            stage["closed"] += len(ends)
            stage["overflow"] += piece.overflow[level]
        for name, bits in (("entropy", piece.entropy_bits), ("surprisal", piece.surprisal_bits)):
            if bits is None:
                continue
            score = self.memory["scores"][name]
            track = BedGraphPieces(score["last"])
            self._progress.append(_track(name), track.lines(strand.contig, piece.start, bits))
            known = bits[~np.isnan(bits)].astype(np.float64)
            total = ExactSum(score["units"])
            total.add(known)
            score.update(last=track.last, units=total.units, known=score["known"] + len(known))

    def end(self, strand: Strand) -> None:
        """Write the open patch, and what waits of the tracks."""
        for level, stage in enumerate(self.memory["stages"]):
            if stage["end"] < strand.length_bp:
                self._put(strand.contig, level, np.array([strand.length_bp]))
            stage["end"] = 0
            stage["closed"] += 1  # BOS's, a latent that the network above reads
        for name, score in self.memory["scores"].items():
            track = BedGraphPieces(score["last"])
            self._progress.append(_track(name), track.end(strand.contig))
            score["last"] = None
        self.memory["contigs"] += 1

    def summary(self, length_bp: int) -> dict[str, Any]:
        """Return the counts."""
        patchers = {}
        for label, stage in zip(self._labels, self.memory["stages"], strict=True):
            counts = np.array(stage["counts"], np.int64)
            found = Lengths(counts, length_bp, stage["closed"], stage["overflow"]).as_dict()
            # Of windows nothing has been counted.
            patchers[label] = {key: value for key, value in found.items() if key != "windows"}
        means = {
            name: float(ExactSum(score["units"])) / score["known"] if score["known"] else None
            for name, score in self.memory["scores"].items()
        }
        return {"patchers": patchers, "mean_bits": means}

    def _put(self, contig: str, level: int, ends: Int64[np.ndarray, " P"]) -> None:
        stage = self.memory["stages"][level]
        starts = np.concatenate([[stage["end"]], ends])[:-1].astype(np.int64)
        lines = [
            f"{contig}\t{start}\t{end}\t{end - start}bp\n"
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
        self._progress.append(self._beds[level], "".join(lines).encode())
        if not len(ends):
            return
        stage["end"] = int(ends[-1])
        lengths = np.bincount(ends - starts, minlength=len(stage["counts"]))
        lengths[: len(stage["counts"])] += stage["counts"]
        stage["counts"] = lengths.tolist()


def _track(name: str) -> str:
    return f"{name}.bedgraph"
