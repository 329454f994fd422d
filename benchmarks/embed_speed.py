"""Bases embedded a second, beside the plain forward pass of the same bases.

    python benchmarks/embed_speed.py [CHECKPOINT]

Prints JSON, which ``--out`` keeps. Both alternate within one process, over the same rows in the
same pieces, and medians are compared, after a check that a sequence read in pieces gives the
numbers of one pass. The demo's checkpoint is the default; where there is none, an untrained network
of the demo's recipe computes the same amount. Mean pool, one strand, two threads. Exits with 1
below 30 kb a second.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np

ROUNDS = 5
THREADS = 2
TARGET_KB_PER_SECOND = 30
CHECKED_BP = 20_000
LARGEST_DIFFERENCE = 1e-4  # relative to the largest number of an embedding, fp32
CASES = {"200_x_1_kb": (200, 1_000), "1_x_100_kb": (1, 100_000)}

# Read when PyTorch is loaded, as the command line does.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import torch  # noqa: E402
from measuring.kept import add_out, show  # noqa: E402
from measuring.machine import here  # noqa: E402

from hyena_glt.api import load  # noqa: E402
from hyena_glt.config import load_recipe  # noqa: E402
from hyena_glt.data import rows_of  # noqa: E402
from hyena_glt.demo.run import demo_recipe_path  # noqa: E402
from hyena_glt.embed import Probe, embed_sequences, embed_stream, probe  # noqa: E402
from hyena_glt.model import HyenaGLT  # noqa: E402
from hyena_glt.stream import PIECE_BP  # noqa: E402
from hyena_glt.tokenize import encode  # noqa: E402


def network_at(checkpoint: Path) -> tuple[HyenaGLT, str]:
    """Return the checkpoint's network, or an untrained one of the demo's recipe, and what it is."""
    if checkpoint.exists():
        return load(checkpoint).network, str(checkpoint)
    recipe = load_recipe(demo_recipe_path())
    torch.manual_seed(0)
    network = HyenaGLT(recipe.model, recipe.modality).eval()
    return network, "untrained network of the demo's recipe"


def random_sequences(count: int, length_bp: int) -> list[str]:
    """Return sequences of independent letters."""
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list("ACGT"), length_bp)) for _ in range(count)]


@torch.no_grad()
def read_only(network: HyenaGLT, sequences: Sequence[str]) -> None:
    """Read the sequences in the rows and pieces that embedding takes, and keep nothing."""
    groups = Probe(network, "backbone.-1", None).groups([len(letters) for letters in sequences])
    for group in groups:
        rows = [encode(sequences[i]) for i in group]
        longest = max(len(row) for row in rows)
        state = network.begin(len(rows)) if longest >= PIECE_BP else None
        for start in range(0, longest, PIECE_BP):
            ids, length = rows_of(rows, start, start + PIECE_BP)
            state = network.one_strand(ids, length, state).state


@torch.no_grad()
def difference_in_pieces(network: HyenaGLT) -> float:
    """Return how a sequence in pieces differs from one pass, relative, pooled and by base."""
    sequences = random_sequences(1, CHECKED_BP)
    pooled = embed_sequences(network, sequences)
    streamed = np.concatenate([piece.values for piece in embed_stream(network, sequences)])
    with patch.object(probe, "PIECE_BP", 2 * CHECKED_BP):
        (whole,) = embed_sequences(network, sequences, pool="base")
    mean = whole.mean(axis=0, dtype=np.float64)
    return max(
        float(np.abs(streamed - whole).max() / np.abs(whole).max()),
        float(np.abs(pooled[0] - mean).max() / np.abs(mean).max()),
    )


def compare(network: HyenaGLT, sequences: list[str]) -> dict[str, float]:
    """Return medians of alternating runs, in kb a second."""
    total_kb = sum(len(letters) for letters in sequences) / 1000
    forms: dict[str, Callable[[], object]] = {
        "embed": lambda: embed_sequences(network, sequences),
        "forward": lambda: read_only(network, sequences),
    }
    rates: dict[str, list[float]] = {name: [] for name in forms}
    for form in forms.values():
        form()
    for _ in range(ROUNDS):
        for name, form in forms.items():
            start_s = time.perf_counter()
            form()
            rates[name].append(total_kb / (time.perf_counter() - start_s))
    embed, forward = median(rates["embed"]), median(rates["forward"])
    return {
        "kb_per_second": round(embed, 1),
        "forward_kb_per_second": round(forward, 1),
        "ratio_to_forward": round(embed / forward, 3),
        "ratio_to_target": round(embed / TARGET_KB_PER_SECOND, 2),
    }


def main() -> int:
    """Print the results; return 1 if one is below the target."""
    parser = argparse.ArgumentParser(description="Bases embedded a second.")
    parser.add_argument("checkpoint", nargs="?", type=Path, default=Path("runs/demo/checkpoint"))
    add_out(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    network, name = network_at(arguments.checkpoint)
    difference = difference_in_pieces(network)
    assert difference < LARGEST_DIFFERENCE, f"pieces differ from one pass by {difference}"
    results = {case: compare(network, random_sequences(*shape)) for case, shape in CASES.items()}
    about = {
        "network": name,
        "threads": THREADS,
        "machine": here(),
        "relative_difference_in_pieces": difference,
        "target_kb_per_second": TARGET_KB_PER_SECOND,
    }
    show({**about, "cases": results}, arguments.out)
    return int(any(result["ratio_to_target"] < 1 for result in results.values()))


if __name__ == "__main__":
    raise SystemExit(main())
