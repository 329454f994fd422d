"""Bases decoded a second, and what is remembered, at positions far apart.

    python benchmarks/decode.py              # up to 100 kb, a minute
    python benchmarks/decode.py --long       # up to 1 Mb, a quarter of an hour
    python benchmarks/decode.py --long --device cuda

Prints JSON, which ``--out`` keeps; a run that was stopped goes on with it. The patched network
carries its state, after a prompt read in pieces; rows of a batch close their patches in turns. The
Transformer of as many parameters has a key-value cache, allocated once, in a loop of our own; its
cache is random numbers, whose cost is the same, and left out where it is larger than
``--cache-gib``. Each block of steps draws letters from the predictions. Contenders and positions
take turns and medians are compared, after a check that steps give what one pass gives. Exits with 1
where they don't.
"""

import argparse
import os
from functools import partial
from statistics import median
from typing import Any

# Read when PyTorch is loaded, as the command line does.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import torch
from measuring.kept import Cells, add_out
from measuring.machine import here
from peers import build_contender, size_of, wake
from peers.decoding import Cached, Decoder, Stepped, difference_of_steps, states_at
from peers.matrices import now_s
from peers.transformer import Transformer

from hyena_glt.model import HyenaGLT

THREADS = 2
STEPS = 32  # of a block; a multiple of the patch, so that each has its share of closes
BATCHES = (1, 64)
CHECKED_BP = 200
MOST_DIFFERENCE = 1e-4  # of fp32 logits
GIB = 1 << 30
SHORT: dict[str, Any] = {"positions": (1000, 10_000, 100_000), "rounds": 3, "cache_gib": 2}
LONG: dict[str, Any] = {"positions": (1000, 10_000, 100_000, 1_000_000), "rounds": 7}
LONG["cache_gib"] = 12


def seconds(decoder: Decoder) -> float:
    """Return the time of a block."""
    start_s = now_s(decoder.device)
    decoder.block(STEPS)
    return now_s(decoder.device) - start_s


def by_position(
    decoders: dict[int, Stepped], batch: int, rounds: int
) -> tuple[dict[int, dict[str, int]], float]:
    """Return (what each position gives, speed at the last over that at the first)."""
    for decoder in decoders.values():
        decoder.block(STEPS)
    turns = [{at: seconds(decoder) for at, decoder in decoders.items()} for _ in range(rounds)]
    found = {
        at: {
            "bases_per_second": round(batch * STEPS / median(turn[at] for turn in turns)),
            "bytes_per_row": decoder.bytes_per_row(),
        }
        for at, decoder in decoders.items()
    }
    first, last = min(decoders), max(decoders)
    return found, round(median(turn[first] / turn[last] for turn in turns), 3)


def beside_transformer(
    ours: Stepped, transformer: Transformer, batch: int, position: int, form: dict[str, Any]
) -> dict[str, Any]:
    """Return the Transformer's speed and memory, and how much faster ours is beside it."""
    cache_bytes = batch * transformer.cache_bytes(position + STEPS)
    if cache_bytes > form["cache_gib"] * GIB:
        return {
            "bytes_per_row": transformer.cache_bytes(position),
            "left_out": f"its cache takes {cache_bytes / GIB:.1f} GiB",
        }
    theirs = Cached(transformer, batch, position, STEPS)
    theirs.block(STEPS)
    turns = [(seconds(ours), seconds(theirs)) for _ in range(form["rounds"])]
    return {
        "bases_per_second": round(batch * STEPS / median(theirs_s for _, theirs_s in turns)),
        "bytes_per_row": theirs.bytes_per_row(),
        "patched_is_faster_by": round(median(b / a for a, b in turns), 2),
    }


def measure_batch(
    network: HyenaGLT, transformer: Transformer, batch: int, form: dict[str, Any]
) -> dict[str, Any]:
    """Return the comparison at every position."""
    decoders = {
        position: Stepped(network, state, logits)
        for position, state, logits in states_at(network, form["positions"], batch)
    }
    speeds, ratio = by_position(decoders, batch, form["rounds"])
    places = [
        {
            "batch": batch,
            "position": position,
            "patched": speeds[position],
            "transformer": beside_transformer(decoder, transformer, batch, position, form),
        }
        for position, decoder in decoders.items()
    ]
    return {"places": places, "last_position_over_first": ratio}


def measure(form: dict[str, Any], cells: Cells, device: str) -> dict[str, Any]:
    """Return the comparison at every position and batch."""
    torch.manual_seed(0)
    network, transformer = build_contender("patched", 1), build_contender("transformer", 1)
    assert isinstance(network, HyenaGLT)
    assert isinstance(transformer, Transformer)
    for contender in (network, transformer):
        wake(contender.eval())
        contender.to(device)
    batches = {
        batch: cells.cell(
            f"{batch} rows", partial(measure_batch, network, transformer, batch, form)
        )
        for batch in BATCHES
    }
    few, many = (
        {at["position"]: at["patched"]["bases_per_second"] for at in batches[batch]["places"]}
        for batch in BATCHES
    )
    return {
        "largest_difference": {
            "patched": difference_of_steps(network, CHECKED_BP),
            "transformer": difference_of_steps(transformer, CHECKED_BP),
        },
        "sizes": {
            "patched": size_of(network)._asdict(),
            "transformer": size_of(transformer)._asdict(),
        },
        "decoding": [place for found in batches.values() for place in found["places"]],
        "last_position_over_first": {
            batch: found["last_position_over_first"] for batch, found in batches.items()
        },
        "batch_64_over_1": {at: round(many[at] / few[at], 2) for at in few},
    }


def parsed_arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description="Bases decoded a second, position by position.")
    parser.add_argument("--long", action="store_true", help="up to 1 Mb")
    parser.add_argument("--cache-gib", type=float, help="largest cache of the Transformer")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=THREADS, help="cores that compute")
    add_out(parser)
    return parser.parse_args()


def main() -> int:
    """Print the results; return 1 if steps don't give what one pass gives."""
    arguments = parsed_arguments()
    torch.set_num_threads(arguments.threads)
    form = LONG if arguments.long else SHORT
    if arguments.cache_gib is not None:
        form = {**form, "cache_gib": arguments.cache_gib}
    about = {
        "form": "long" if arguments.long else "short",
        "precision": "fp32",
        "device": arguments.device,
        "threads": arguments.threads,
        "steps_a_block": STEPS,
        "rounds": form["rounds"],
        "machine": here(arguments.device),
    }
    cells = Cells(arguments.out, about)
    found = cells.show(measure(form, cells, arguments.device))
    return int(max(found["largest_difference"].values()) > MOST_DIFFERENCE)


if __name__ == "__main__":
    raise SystemExit(main())
