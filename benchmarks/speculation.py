"""What speculation could save at most, were the local decoder the draft.

    python benchmarks/speculation.py         # a few seconds

Prints JSON, which ``--out`` keeps. A step that closes no patch runs the local encoder and decoder
alone, in ``t`` ms; one that closes a patch runs the backbone for one latent too, in ``b`` ms more:
a patch of S bases takes S t + b. Speculation would draft the bases of k patches with the decoder on
a latent that stays as it was, and then run the backbone for k latents in one call, in ``b_k`` ms.
Drafts cost what steps cost, S t a patch, for they are the steps. Were every draft right, and
checking and undoing it free, k patches would take k S t + b_k, so that no lossless speculation of
this kind is faster by more than

    k (S t + b) / (k S t + b_k),  and with a free backbone by more than  1 + b / (S t).

Rows of a batch close their patches together, where a backbone's call is cheapest a row.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

# Read when PyTorch is loaded, as the command line does.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import torch
from measuring.kept import add_out, show
from measuring.machine import here
from peers import REFERENCE, build_contender, wake
from peers.training import random_rows

from hyena_glt.model import HyenaGLT, ModelState, Output
from hyena_glt.nn import Span, Stack

THREADS = 1
BATCHES = (1, 64)
PATCHES = (1, 2, 4, 8)  # whose latents the backbone reads in one call
READ_PATCHES = 16  # before the steps
ROUNDS = 41


def state_after(network: HyenaGLT, batch: int, positions: int) -> ModelState:
    """Return the state of rows that hold so many positions, BOS's with them."""
    ids, _ = random_rows(batch, positions)
    output: Output = network(ids, state=network.begin(batch))
    assert output.state is not None
    return output.state


def calls(network: HyenaGLT, batch: int, patch_bp: int) -> dict[str, Callable[[], Any]]:
    """Return what is timed: both kinds of a step, and the backbone for k latents."""
    letter = torch.full((batch, 1), ord("A"))
    # Position n S ends a patch, and the state before it holds n S positions, BOS's with them.
    closing = state_after(network, batch, READ_PATCHES * patch_bp)
    open_ = state_after(network, batch, READ_PATCHES * patch_bp + 1)
    backbone = network.hierarchy.inner
    assert isinstance(backbone, Stack)
    width = network.config.backbone.width

    def span(patches: int) -> Span:
        closes = (READ_PATCHES + torch.arange(patches)) * patch_bp
        return Span(closes.expand(batch, -1), torch.full((batch,), patches), full=True)

    def think(patches: int) -> Callable[[], Any]:
        latents, places = torch.randn(batch, patches, width), span(patches)
        return lambda: backbone(latents, places, closing.hierarchy.inner)

    found: dict[str, Callable[[], Any]] = {
        "open": partial(network, letter, state=open_),
        "closing": partial(network, letter, state=closing),
    }
    return found | {f"backbone {patches}": think(patches) for patches in PATCHES}


def median_ms(timed: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median of each call; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in timed}
    for number in range(rounds + 1):
        for name, call in timed.items():
            start_s = time.perf_counter()
            call()
            if number:  # the first round warms up
                taken[name].append(1000 * (time.perf_counter() - start_s))
    return {name: median(times) for name, times in taken.items()}


def bounds(ms: dict[str, float], patch_bp: int) -> dict[str, Any]:
    """Return what steps and backbone take, and the most that speculation could be faster by."""
    drafts_ms, extra_ms = patch_bp * ms["open"], max(0.0, ms["closing"] - ms["open"])
    together = {k: k * drafts_ms + ms[f"backbone {k}"] for k in PATCHES}
    return {
        "ms": {name: round(value, 3) for name, value in ms.items()},
        "most_faster_by": {
            k: round(k * (drafts_ms + extra_ms) / total_ms, 3) for k, total_ms in together.items()
        },
        "most_with_a_free_backbone": round(1 + extra_ms / drafts_ms, 3),
    }


@torch.no_grad()
def measure(batches: tuple[int, ...] = BATCHES, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return the bounds of each batch."""
    torch.manual_seed(0)
    network = build_contender(REFERENCE, 1)
    assert isinstance(network, HyenaGLT)
    wake(network.eval())
    patch_bp = network.patchers[0].max_bp
    return {
        "patch_bp": patch_bp,
        "batches": {
            batch: bounds(median_ms(calls(network, batch, patch_bp), rounds), patch_bp)
            for batch in batches
        },
    }


def main() -> int:
    """Print the bounds."""
    parser = argparse.ArgumentParser(description="What speculation could save at most.")
    add_out(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    about = {"precision": "fp32", "threads": THREADS, "rounds": ROUNDS, "machine": here()}
    show({**about, **measure()}, arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
