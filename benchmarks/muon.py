"""A step of our Muon beside torch's, over the matrices of the pretraining recipe's network.

    python benchmarks/muon.py [--threads N]

Prints JSON, which ``--out`` keeps: medians of alternating steps in milliseconds, and torch's time
over ours. Both move copies of the same matrices by the same gradients, and the moves are compared.
Where the processor has units for bf16 both are one code, and the ratio is 1. Exits with 1 where
ours takes longer than torch's by more than a tenth.
"""

import argparse
import time
from statistics import median

import torch
from answering.plan import RECIPES, ROOT
from measuring.kept import add_out, show
from measuring.machine import here

from hyena_glt.config import load_recipe
from hyena_glt.model import HyenaGLT
from hyena_glt.train.muon import Muon
from hyena_glt.train.optimiser import parameter_groups

ROUNDS = 7
MOST_SLOWER = 1.1
MOST_ERROR = 0.05  # of the largest move: bf16 has 8 bits


def main() -> int:
    """Print the report; 1 if ours is the slower one, else 0."""
    parser = argparse.ArgumentParser(description="A step of our Muon beside torch's.")
    parser.add_argument("--threads", type=int, default=1)
    add_out(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    recipe = load_recipe(ROOT / RECIPES["causal"])
    matrices = [matrix.detach() for matrix in parameter_groups(HyenaGLT(recipe.model, "dna"))[0]]
    gradients = [torch.randn_like(matrix) for matrix in matrices]
    kinds: dict[str, type[torch.optim.Muon]] = {"ours": Muon, "torch": torch.optim.Muon}
    moved = {kind: [torch.nn.Parameter(m.clone()) for m in matrices] for kind in kinds}
    optimisers = {name: kind(moved[name], lr=recipe.train.muon_lr) for name, kind in kinds.items()}
    for parameters in moved.values():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
    ms: dict[str, list[float]] = {name: [] for name in kinds}
    for round_number in range(ROUNDS + 1):
        for name, optimiser in optimisers.items():
            start = time.perf_counter()
            optimiser.step()
            ms[name].append(1e3 * (time.perf_counter() - start))
        if round_number == 0:
            check(matrices, moved["ours"], moved["torch"])
    ratios = [theirs / ours for ours, theirs in zip(ms["ours"], ms["torch"], strict=True)]
    report = {
        "machine": here(),
        "threads": arguments.threads,
        "matrices": len(matrices),
        "parameters": sum(matrix.numel() for matrix in matrices),
        "ours_ms": round(median(ms["ours"][1:]), 2),
        "torch_ms": round(median(ms["torch"][1:]), 2),
        "torch_over_ours": round(median(ratios[1:]), 2),
    }
    show(report, arguments.out)
    return int(median(ratios[1:]) * MOST_SLOWER < 1)


def check(
    before: list[torch.Tensor], ours: list[torch.nn.Parameter], theirs: list[torch.nn.Parameter]
) -> None:
    """Compare the first moves."""
    for matrix, mine, other in zip(before, ours, theirs, strict=True):
        largest = (other - matrix).abs().max()
        if (mine - other).abs().max() > MOST_ERROR * largest:
            raise SystemExit("the two move a matrix otherwise: no speed is reported")


if __name__ == "__main__":
    raise SystemExit(main())
