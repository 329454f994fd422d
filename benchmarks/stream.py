"""A strand scored from disk in constant memory: seconds and peak memory against its length.

    python benchmarks/stream.py                             # 64 kb to 1 Mb, about a minute
    python benchmarks/stream.py --long                      # to 50 Mb, most of an hour
    python benchmarks/stream.py --long --dna chr20.fa --precision bf16 --checkpoint CKPT
    python benchmarks/stream.py --compile                   # after the first piece is compiled
    python benchmarks/stream.py --long --device cuda --precision bf16

Prints JSON, which ``--out`` keeps; a run that was stopped goes on with it. What is timed is what
``hyena-glt score fasta --stream --one-strand`` does, or with ``--verb embed`` ``hyena-glt embed
--stream --bin-bp 1000``: reading a FASTA file, the network, the table, the saves. Each length runs
in a process of its own, whose peak is the largest resident memory of its life, or on a GPU the
largest that its tensors took there; after that it measures its matrix products. The network is the
patched contender of train_step.py, 4 M parameters, fresh; letters are random, or the first ones of
``--dna``. Exits with 1 where the streamed likelihood isn't that of one pass in fp32, where the
slope of log time against log length is above 1.03, and where the peak of one longer than 1 Mb is
more than 5 % above that of 1 Mb.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

# Read when PyTorch is loaded, as the command line does.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import numpy as np
import torch
from measuring.kept import Cells, add_out
from measuring.machine import here
from peers.contenders import contender_config, wake
from peers.matrices import gemm_peak_gflops, product_gflop
from peers.memory import MIB, peak_mib

from hyena_glt.api import LoadedModel, load
from hyena_glt.checkpoint import Checkpoint, Provenance, save_checkpoint
from hyena_glt.cli.embed_stream import stream_embeddings
from hyena_glt.cli.score_stream import stream_scores
from hyena_glt.config import Precision, recipe_from
from hyena_glt.io import Reference
from hyena_glt.model import HyenaGLT
from hyena_glt.stream import PIECE_BP, Strand, read_pieces

SHORT_BP = (1 << 16, 1 << 18, 1 << 20)
LONG_BP = (*SHORT_BP, 4 << 20, 16 << 20, 50_000_000)
CHECKED_BP, WARM_BP, BIN_BP, LINE_BP = 40_000, 2 * PIECE_BP, 1_000, 60
THREADS = 2
MOST_SLOPE, MOST_GROWTH = 1.03, 1.05
LOGLIK_RELATIVE = {"fp32": 1e-6, "bf16": 0.01}


def save_fresh(folder: Path) -> None:
    """Save a network that nobody trained, with live weights."""
    recipe = recipe_from(
        {
            "name": "stream",
            "seed": 0,
            "modality": "dna",
            "data": {
                "genome": "builtin:ecoli_dh1",
                "window_bp": 1024,
                "split": {"by": "fraction", "validation": 0.1, "heldout": 0.1, "guard_bp": 0},
            },
            "model": contender_config("patched").model_dump(mode="json"),
            "train": {"bases": 1024},
        },
        "benchmark",
    )
    torch.manual_seed(0)
    network = HyenaGLT(recipe.model, recipe.modality)
    wake(network)
    provenance = Provenance(
        command="", data_sha256={}, steps=0, training_bases=0, validation_bits_per_base=None
    )
    weights = network.state_dict()
    save_checkpoint(
        folder, Checkpoint(recipe=recipe, weights=weights, splits={}, provenance=provenance)
    )


def write_dna(path: Path, length_bp: int, dna: Path | None) -> None:
    """Write a FASTA of one contig: random letters, or the first of the first contig of ``dna``."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(b">chr\n")
        for start in range(0, length_bp, LINE_BP * 10_000):
            end = min(start + LINE_BP * 10_000, length_bp)
            if dna is None:
                letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(4, size=end - start)]
                text = letters.tobytes()
            else:
                with Reference(dna) as genome:
                    text = genome.fetch(genome.names[0], start, end).encode()
            for first in range(0, len(text), LINE_BP):
                file.write(text[first : first + LINE_BP] + b"\n")


def stream(verb: str, model: LoadedModel, path: Path, out: Path) -> None:
    """Do what the command does."""
    if verb == "embed":
        stream_embeddings(
            model,
            path,
            out.with_suffix(".npz"),
            layer="backbone.-1",
            bin_bp=BIN_BP,
            both_strands=False,
            resume=False,
        )
        return
    stream_scores(
        model,
        path,
        out,
        per_base=False,
        both_strands=False,
        track_out=None,
        resume=False,
    )


def piece_gflop(model: LoadedModel, path: Path) -> float:
    """Return the FLOPs of the matrix products of one piece, in 1e9."""
    network = model.network
    with Reference(path) as genome, torch.no_grad():
        strand = Strand(genome, "chr", network.alphabet)
        piece = next(read_pieces(strand))
        ids = piece.ids.to(next(network.parameters()).device)
        return product_gflop(lambda: network(ids, state=network.begin(1)))


def measure(
    verb: str, checkpoint: Path, path: Path, precision: Precision, compiled: bool, device: str
) -> dict[str, Any]:
    """Stream a FASTA in this process; return its seconds, and what the machine can do at most."""
    model = load(checkpoint, device, precision, compiled)
    with Reference(path) as genome:
        length_bp = genome.length_bp("chr")
    warm = path.with_name("warm.fa")
    write_dna(warm, WARM_BP, path)
    out = path.with_suffix(".tsv")
    stream(verb, model, warm, out)
    start_s = time.perf_counter()
    stream(verb, model, path, out)
    took_s = time.perf_counter() - start_s
    found_mib = torch.cuda.max_memory_allocated() // MIB if device == "cuda" else peak_mib()
    peak_gflops = gemm_peak_gflops(precision, torch.device(device))
    gflop = piece_gflop(load(checkpoint, device, precision), path)
    gflops = gflop * length_bp / PIECE_BP / took_s
    return {
        "length_bp": length_bp,
        "seconds": round(took_s, 3),
        "kb_per_second": round(length_bp / took_s / 1000, 2),
        "peak_mib": found_mib,
        "product_gflops": round(gflops, 1),
        "gemm_peak_gflops": round(peak_gflops, 1),
        "share_of_peak": round(gflops / peak_gflops, 3),
    }


def relative_difference(
    checkpoint: Path, folder: Path, precision: Precision, compiled: bool, device: str
) -> float:
    """Return how the streamed log-likelihood differs from that of one pass in fp32."""
    path, out = folder / "checked.fa", folder / "checked.tsv"
    write_dna(path, CHECKED_BP, None)
    stream("score", load(checkpoint, device, precision, compiled), path, out)
    network = load(checkpoint).network
    streamed = float(out.read_text().splitlines()[1].split("\t")[3])
    with Reference(path) as genome, torch.no_grad():
        strand = Strand(genome, "chr", network.alphabet)
        piece = next(read_pieces(strand, end=CHECKED_BP, piece_bp=CHECKED_BP))
        logits = network(piece.ids).logits[0].double()
    letters = torch.from_numpy(network.alphabet.letter_index(piece.following).astype(int))
    whole = float(logits.log_softmax(-1).gather(1, letters[:, None]).sum())
    return abs(streamed / whole - 1)


def slope(places: list[dict[str, Any]]) -> float:
    """Return the slope of log seconds against log length, by least squares."""
    length, seconds = (np.log([at[name] for at in places]) for name in ("length_bp", "seconds"))
    return float(np.polyfit(length, seconds, 1)[0])


def growth(places: list[dict[str, Any]]) -> float:
    """Return the peak of the longest over that of 1 Mb, or of the shortest."""
    at_1_mb = next((at for at in places if at["length_bp"] >= 1_000_000), places[0])
    first = at_1_mb if at_1_mb is not places[-1] else places[0]
    return float(places[-1]["peak_mib"] / first["peak_mib"])


def measure_alone(
    arguments: argparse.Namespace, checkpoint: Path, folder: Path, length_bp: int
) -> dict[str, Any]:
    """Return what :func:`measure` does in a process of its own."""
    path = folder / f"{length_bp}.fa"
    write_dna(path, length_bp, arguments.dna)
    command = [sys.executable, __file__, "--alone", str(path), "--verb", arguments.verb]
    command += ["--checkpoint", str(checkpoint), "--precision", arguments.precision]
    command += ["--threads", str(arguments.threads), "--device", arguments.device]
    command += ["--compile"] if arguments.compile else []
    found: dict[str, Any] = json.loads(subprocess.check_output(command, text=True))
    path.unlink()
    return found


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """Check the numbers, measure each length, and show it."""
    lengths_bp = arguments.lengths_bp or (LONG_BP if arguments.long else SHORT_BP)
    about = {
        "verb": arguments.verb,
        "network": "patched, fresh" if arguments.checkpoint is None else str(arguments.checkpoint),
        "letters": "random" if arguments.dna is None else arguments.dna.name,
        "precision": arguments.precision,
        "mode": "compiled" if arguments.compile else "eager",
        "device": arguments.device,
        "threads": arguments.threads,
        "piece_bp": PIECE_BP,
        "machine": here(arguments.device),
    }
    cells = Cells(arguments.out, about)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        folder = Path(name)
        checkpoint = arguments.checkpoint
        if checkpoint is None:
            checkpoint = folder / "checkpoint"
            save_fresh(checkpoint)
        how = (arguments.precision, arguments.compile, arguments.device)
        difference = relative_difference(checkpoint, folder, *how)
        places = [
            cells.cell(
                f"{length_bp} bp", partial(measure_alone, arguments, checkpoint, folder, length_bp)
            )
            for length_bp in lengths_bp
        ]
    return cells.show(
        {
            "loglik_relative_difference": difference,
            "lengths": places,
            "log_log_slope": round(slope(places), 4) if len(places) > 1 else None,
            "peak_growth": round(growth(places), 4),
        }
    )


def holds(found: dict[str, Any]) -> bool:
    """Return whether the likelihood agrees, time is linear and memory is flat."""
    agrees = found["loglik_relative_difference"] <= LOGLIK_RELATIVE[found["precision"]]
    linear = found["log_log_slope"] is None or found["log_log_slope"] <= MOST_SLOPE
    # Up to 1 Mb the allocator still fills what it will hold.
    is_far = max(at["length_bp"] for at in found["lengths"]) > LONG_BP[2]
    flat = found["peak_growth"] <= MOST_GROWTH or not is_far
    return bool(agrees and linear and flat)


def main() -> int:
    """Print the results; return the exit code."""
    parser = argparse.ArgumentParser(description="Streaming: time and memory against length.")
    parser.add_argument("--long", action="store_true", help="to 50 Mb")
    parser.add_argument("--lengths-bp", nargs="+", type=int)
    parser.add_argument("--verb", choices=("score", "embed"), default="score")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--compile", action="store_true", help="as --compile of score fasta")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dna", type=Path, help="FASTA or 2bit whose first contig is read")
    parser.add_argument("--scratch", type=Path, help="folder for files of the run")
    parser.add_argument("--threads", type=int, default=THREADS, help="cores that compute")
    add_out(parser)
    parser.add_argument("--alone", type=Path, help="measure one FASTA in this process")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.alone:
        asked = (arguments.verb, arguments.checkpoint, arguments.alone, arguments.precision)
        print(json.dumps(measure(*asked, arguments.compile, arguments.device)))
        return 0
    found = report(arguments)
    return 0 if holds(found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
