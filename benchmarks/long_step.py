"""One training step on a row of 1,048,576 bases: seconds and peak memory, read in segments.

    python benchmarks/long_step.py                          # 64 kb, about a minute
    python benchmarks/long_step.py --long                   # 1 Mb, several minutes
    python benchmarks/long_step.py --variants exact recomputed --precision bf16

Prints JSON, which ``--out`` keeps; a run that was stopped goes on with it. The network is the
patched contender of train_step.py, 4 M parameters. A step is forward, backward, clipping and AdamW,
timed after one on a short row that makes the optimiser's averages. Each variant runs in a process
of its own, whose peak is the largest resident memory of its life:

    whole       the row at once, tens of kB a base; the long form leaves it out
    recomputed  the row at once, blocks recomputed in the backward pass: half of it; left out too
    exact       in segments, with the gradient of the whole row
    truncated   in segments, without a gradient from one into another

Before that the gradient of the exact variant is compared with the whole row's at 16 kb. Exits with
1 where the two differ, and where the exact variant takes more than 300 s or 16 GiB.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial
from typing import Any, NamedTuple

# Read when PyTorch is loaded, as the command line does.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import torch
from measuring.kept import Cells, add_out
from measuring.machine import here
from peers.contenders import contender_config, wake
from peers.memory import peak_mib
from torch import Tensor

from hyena_glt.config import SegmentGradient, TrainConfig
from hyena_glt.data import Batch
from hyena_glt.model import HyenaGLT
from hyena_glt.objective import base_loss
from hyena_glt.tokenize import BOS, alphabet
from hyena_glt.train.optimiser import build_optimisers
from hyena_glt.train.patches import PatchTally
from hyena_glt.train.segments import backward_in_segments

LONG_BP, SHORT_BP, CHECKED_BP, WARM_BP = 1_048_576, 65_536, 16_384, 4096
SEGMENT_BP, CHECKED_SEGMENT_BP = 16_384, 1000
THREADS = 2
MOST_S, MOST_MIB = 300, 16 * 1024
DIFFERENCE = {"fp64": 1e-8, "fp32": 1e-4}  # of a gradient: absolute; relative to its largest number
MIB = 1 << 20


class Variant(NamedTuple):
    """How a step reads its row."""

    gradient: SegmentGradient | None  # None: whole
    recomputes: bool


VARIANTS = {
    "whole": Variant(None, False),
    "recomputed": Variant(None, True),
    "exact": Variant("exact", False),
    "truncated": Variant("truncated", False),
}
LONG = ("exact", "truncated")


def random_row(length_bp: int) -> Batch:
    """Return a row of independent letters; all weigh the same."""
    generator = torch.Generator().manual_seed(1)
    target = torch.randint(4, (1, length_bp), generator=generator)
    letters = torch.tensor(list(b"ACGT"))[target]
    assert alphabet("dna").letters == "ACGT"
    ids = torch.cat([torch.tensor([[BOS]]), letters[:, :-1]], 1)
    return Batch(ids, torch.tensor([length_bp]), target, torch.ones(1, length_bp))


def network_of(recomputes: bool) -> HyenaGLT:
    """Return the network with live weights: as they start, heads and gates hide what is inside."""
    config = contender_config("patched")
    torch.manual_seed(0)
    network = HyenaGLT(
        config.model_copy(update={"activation_checkpointing": recomputes}), "dna"
    ).train()
    wake(network)
    return network


def backward(
    network: HyenaGLT, row: Batch, gradient: SegmentGradient | None, segment_bp: int
) -> float:
    """Add the gradient of the mean nll of ``row``; return it in nats a base."""
    share = 1 / row.weight.sum()
    if gradient is not None:
        tally = PatchTally()
        return float(share * backward_in_segments(network, row, segment_bp, gradient, share, tally))
    nll = base_loss(network(row.ids, row.length).logits, row.target, row.weight).nll_nats
    torch.autograd.backward(share * nll)
    return float(share * nll.detach())


def measure(name: str, length_bp: int, segment_bp: int, precision: str) -> dict[str, Any]:
    """Take a step in this process; return its seconds, nats a base and the peak of memory."""
    variant = VARIANTS[name]
    network = network_of(variant.recomputes)
    optimisers = build_optimisers(network, TrainConfig(bases=1))

    def step(row: Batch) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            nats = backward(network, row, variant.gradient, segment_bp)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        network.end_step()
        return nats

    step(random_row(WARM_BP))
    before_mib, row = peak_mib(), random_row(length_bp)
    start_s = time.perf_counter()
    nats = step(row)
    step_s = time.perf_counter() - start_s
    return {
        "step_s": round(step_s, 2),
        "kb_per_second": round(length_bp / step_s / 1000, 2),
        "peak_mib": peak_mib(),
        "before_mib": before_mib,
        "nats_per_base": round(nats, 6),
    }


def largest_difference(dtype: torch.dtype) -> float:
    """Return how the exact gradient differs from the whole's, absolute in fp64, else relative."""
    row = random_row(CHECKED_BP)
    row = row._replace(weight=row.weight.to(dtype))
    found: list[list[Tensor]] = []
    for gradient in (None, VARIANTS["exact"].gradient):
        network = network_of(recomputes=False).to(dtype)
        backward(network, row, gradient, CHECKED_SEGMENT_BP)
        found.append([p.grad for p in network.parameters() if p.grad is not None])
    pairs = list(zip(*found, strict=True))
    absolute = [float((one - other).abs().max()) for one, other in pairs]
    if dtype == torch.float64:
        return max(absolute)
    return max(a / float(one.abs().max()) for a, (one, _) in zip(absolute, pairs, strict=True))


def measure_alone(name: str, length_bp: int, segment_bp: int, precision: str) -> dict[str, Any]:
    """Return what :func:`measure` does in a process of its own."""
    command = [sys.executable, __file__, "--alone", name, "--length-bp", str(length_bp)]
    command += ["--segment-bp", str(segment_bp), "--precision", precision]
    found: dict[str, Any] = json.loads(subprocess.check_output(command, text=True))
    return found


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """Check gradients, measure what was asked for, and show it."""
    length_bp = arguments.length_bp or (LONG_BP if arguments.long else SHORT_BP)
    names = arguments.variants or (LONG if arguments.long else tuple(VARIANTS))
    network = network_of(recomputes=False)
    assert network.embed.table is not None
    tables = network.embed.table.numel()
    place = {
        "length_bp": length_bp,
        "segment_bp": arguments.segment_bp,
        "precision": arguments.precision,
    }
    about = {
        **place,
        "threads": THREADS,
        "machine": here(),
        "parameters": sum(p.numel() for p in network.parameters()) - tables,
        "table_parameters": tables,
        "checked_bp": CHECKED_BP,
        "most_s": MOST_S,
        "most_mib": MOST_MIB,
    }
    cells = Cells(arguments.out, about)
    differences = {
        name: cells.cell(f"gradients, {name}", partial(largest_difference, dtype))
        for name, dtype in (("fp64", torch.float64), ("fp32", torch.float32))
    }
    steps = {name: cells.cell(name, partial(measure_alone, name, **place)) for name in names}
    return cells.show({"gradient_differences": differences, "steps": steps})


def holds(found: dict[str, Any]) -> bool:
    """Return whether gradients agree and the exact step keeps within its time and memory."""
    agree = all(found["gradient_differences"][name] <= most for name, most in DIFFERENCE.items())
    exact = found["steps"].get("exact", {"step_s": 0, "peak_mib": 0})
    return agree and exact["step_s"] <= MOST_S and exact["peak_mib"] <= MOST_MIB


def main() -> int:
    """Print the results; return the exit code."""
    parser = argparse.ArgumentParser(description="One training step on a long row.")
    parser.add_argument("--long", action="store_true", help=f"{LONG_BP:,} bases, in segments alone")
    parser.add_argument("--length-bp", type=int)
    parser.add_argument("--segment-bp", type=int, default=SEGMENT_BP)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--variants", nargs="+", choices=tuple(VARIANTS))
    parser.add_argument("--alone", choices=tuple(VARIANTS), help="measure one in this process")
    add_out(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    if arguments.alone:
        place = (arguments.length_bp or SHORT_BP, arguments.segment_bp, arguments.precision)
        print(json.dumps(measure(arguments.alone, *place)))
        return 0
    found = report(arguments)
    return 0 if holds(found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
