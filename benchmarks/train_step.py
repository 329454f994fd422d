"""Training steps beside their peers': bases a second and peak memory at equal parameters.

    python benchmarks/train_step.py                     # 1 kb and 8 kb in bf16, a minute
    python benchmarks/train_step.py --long              # 1 kb to 128 kb, fp32 too, two hours
    python benchmarks/train_step.py --compile           # all contenders under torch.compile
    python benchmarks/train_step.py --device cuda       # 1 kb to 128 kb in bf16 on a GPU, a minute

Prints JSON, which ``--out`` keeps; a run that was stopped goes on with it. A step is forward,
backward and AdamW on a batch of as many bases for all: patched Hyena-GLT (fixed patches of 8), flat
Hyena-GLT, an order-2 Hyena network and a Transformer with SDPA, which goes up to 32 kb, on a GPU to
128 kb. Contenders take turns within one process; a ratio is the median over rounds of a contender's
seconds over the patched network's beside it. Peak memory is that of a process of its own for each
contender and length, or on a GPU what a step takes above what is held between steps. A processor
without units for bf16 is measured in fp32. Exits with 1 where sizes differ by more than 3 %.
"""

import argparse
import os
from functools import partial
from statistics import median
from typing import Any, get_args

# Read when PyTorch is loaded, as the command line does.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import torch
from measuring.kept import Cells, add_out
from measuring.machine import here, precisions_of
from peers import CONTENDERS, OURS, REFERENCE, build_contender, size_of
from peers.matrices import gemm_peak_gflops, product_gflop, product_share
from peers.memory import MIB, peak_memory_mib
from peers.training import Trainee

from hyena_glt.config import Precision

THREADS = 2
LONGEST_BP = {"cpu": {"transformer": 32_768}, "cuda": {"transformer": 131_072}}
MOST_SIZES_DIFFER = 0.03
SHORT: dict[str, Any] = {
    "lengths_bp": (1024, 8192),
    "precisions": ("bf16",),
    "step_bases": 8192,
    "rounds": 3,
}
LONG: dict[str, Any] = {
    "lengths_bp": (1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072),
    "precisions": ("fp32", "bf16"),
    "step_bases": 32_768,
    "rounds": 5,
}


# A GPU is idle for most of a step of fewer bases.
GPU: dict[str, Any] = {
    "lengths_bp": (1024, 8192, 32_768, 131_072),
    "precisions": ("bf16",),
    "step_bases": 262_144,
    "rounds": 7,
}


def contenders_at(length_bp: int, device: str) -> list[str]:
    """Return who takes part at a length."""
    longest_bp = LONGEST_BP[device]
    return [name for name in CONTENDERS if length_bp <= longest_bp.get(name, length_bp)]


def rows_at(length_bp: int, step_bases: int) -> int:
    """Return how many rows make a step; one at least."""
    return max(1, step_bases // length_bp)


def compare_steps(
    length_bp: int, rows: int, precision: Precision, rounds: int, compiled: bool, device: str
) -> dict[str, Any]:
    """Return bases a second of each contender, and the patched network's speed over it."""
    names = contenders_at(length_bp, device)
    # The compiler keeps eight graphs of one function, and would run what comes after as written.
    torch.compiler.reset()
    trainees = {name: Trainee(name, length_bp, rows, precision, compiled, device) for name in names}
    for trainee in trainees.values():  # compiles, and makes the optimiser's averages
        trainee.step()
    turns = [{name: t.timed_step_s() for name, t in trainees.items()} for _ in range(rounds)]
    found: dict[str, Any] = {}
    for name in names:
        step_s = median(turn[name] for turn in turns)
        found[name] = {
            "bases_per_second": round(rows * length_bp / step_s),
            "fastest_bases_per_second": round(rows * length_bp / min(t[name] for t in turns)),
            "patched_is_faster_by": round(median(t[name] / t[REFERENCE] for t in turns), 3),
        }
    if device == "cuda":
        for name, trainee in trainees.items():
            found[name]["step_mib"] = gpu_step_mib(trainee)
    peak_gflops = gemm_peak_gflops(precision, torch.device(device))
    for name in OURS:
        step_s = median(turn[name] for turn in turns)
        found[name] |= about_products(trainees[name], step_s, peak_gflops)
    return found


def about_products(trainee: Trainee, step_s: float, peak_gflops: float) -> dict[str, float]:
    """Return what matrix products are of a step of ``step_s`` seconds.

    FLOPs are counted, and their share of the time is taken, in an eager step.
    """
    trainee.forward = trainee.network
    rate = product_gflop(trainee.step) / step_s
    found = {
        "products_gflops": round(rate, 1),
        "gemm_peak_gflops": round(peak_gflops, 1),
        "of_peak": round(rate / peak_gflops, 3),
    }
    if trainee.device.type == "cpu":
        found["eager_time_in_products"] = round(product_share(trainee.step), 3)
    return found


def gpu_step_mib(trainee: Trainee) -> int:
    """Return the GPU memory that a step takes at its peak, above what is held between steps."""
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    trainee.step()
    return (torch.cuda.max_memory_allocated() - held) // MIB


def compare_memory(
    length_bp: int, rows: int, precision: Precision, compiled: bool
) -> dict[str, Any]:
    """Return each contender's peak memory, and the patched network's share of it."""
    found: dict[str, Any] = {
        name: peak_memory_mib(name, length_bp, rows, precision, compiled, THREADS)
        for name in contenders_at(length_bp, "cpu")
    }
    for about in found.values():
        for key in ("peak_mib", "above_start_mib"):
            about[f"patched_over_{key}"] = round(found[REFERENCE][key] / about[key], 3)
    return found


def sizes() -> dict[str, dict[str, int]]:
    """Return each contender's parameters."""
    return {name: size_of(build_contender(name, 64))._asdict() for name in CONTENDERS}


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure what was asked for, and show it."""
    form = GPU if arguments.device == "cuda" else LONG if arguments.long else SHORT
    lengths_bp = arguments.lengths or form["lengths_bp"]
    precisions = precisions_of(form["precisions"], arguments.device)
    if arguments.precision is not None:
        precisions = (arguments.precision,)
    about = {
        "form": "long" if arguments.long or arguments.device == "cuda" else "short",
        "mode": "compiled" if arguments.compile else "eager",
        "device": arguments.device,
        "threads": THREADS,
        "rounds": form["rounds"],
        "machine": here(arguments.device),
        "sizes": sizes(),
    }
    cells = Cells(arguments.out, about)
    steps, memory = [], []
    for length_bp in lengths_bp:
        rows = rows_at(length_bp, form["step_bases"])
        for precision in precisions:
            place = {"length_bp": length_bp, "rows": rows, "precision": precision}
            shape = (length_bp, rows, precision)
            name = f"{rows} rows of {length_bp} bp, {precision}"
            how = (form["rounds"], arguments.compile, arguments.device)
            found = cells.cell(f"steps, {name}", partial(compare_steps, *shape, *how))
            steps.append({**place, "contenders": found})
            # The short form has it at its longest rows alone.
            if arguments.device == "cpu" and (arguments.long or length_bp == lengths_bp[-1]):
                measure = partial(compare_memory, *shape, arguments.compile)
                found = cells.cell(f"memory, {name}", measure)
                memory.append({**place, "contenders": found})
    return cells.show({"steps": steps, "memory": memory})


def parsed_arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description="Training steps beside their peers'.")
    parser.add_argument("--long", action="store_true", help="1 kb to 128 kb, in fp32 and bf16")
    parser.add_argument(
        "--lengths", type=int, nargs="+", metavar="BP", help="instead of the form's"
    )
    parser.add_argument("--precision", choices=get_args(Precision), help="this one alone")
    parser.add_argument("--compile", action="store_true", help="torch.compile, for all alike")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    add_out(parser)
    return parser.parse_args()


def main() -> int:
    """Print the results; return 1 if parameters differ by more than 3 %."""
    arguments = parsed_arguments()
    if arguments.long and arguments.device == "cuda":
        raise SystemExit("--long is of a CPU; a GPU has one form")
    torch.set_num_threads(THREADS)
    torch._dynamo.config.fail_on_recompile_limit_hit = True  # no contender runs as written
    found = report(arguments)
    parameters = [size["parameters"] for size in found["sizes"].values()]
    return int(max(parameters) / min(parameters) - 1 > MOST_SIZES_DIFFER)


if __name__ == "__main__":
    raise SystemExit(main())
