"""Operators by themselves: milliseconds, forward and with gradients, and ratios to their peers.

    python benchmarks/operators.py                     # 1 kb to 64 kb in fp32
    python benchmarks/operators.py --long              # to 1 Mb, fp32 and bf16
    python benchmarks/operators.py --device cuda       # 1 kb to 64 kb in bf16, half a minute

Prints JSON, which ``--out`` keeps; a run that was stopped goes on with it. One row, 256 channels,
one thread; contenders take turns and medians are compared. On a GPU as many rows as make 512 k
positions, which fill it; ``of_copy`` is the rate at which a forward pass that read its input and
wrote its answer once would move bytes in that time, over the rate of a copy, and ``of_gemm`` the
rate of its matrix products over that of a large one, both of ours alone. Two groups:

    convolutions  alone. long: ours (chunked), fft (the filter by outer products of two short
                  tables, which is cheap, and an FFT in fp32), vortex (every exponential of every
                  tap, as StripedHyena 2's code does, and an FFT), direct (tap by tap). medium:
                  ours, library (its own gradients too), fft. All of a group compute the same,
                  which is checked.
    mixers        with their projections and gates: S, M, L, A (a window of 1,024), hyena2 (order 2,
                  implicit filter), attention (causal SDPA over all that came before).

Mixers stop at 8 kb (``--long``: attention at 64 kb, hyena2 at 256 kb), vortex at 64 kb, direct at
1 kb (8 kb). In bf16 an FFT is still in fp32, its input and answer aren't.
On a CPU it exits with 1 where the long convolution at the longest length of 64 kb or less takes
more than an eighth of vortex's time or half of fft's, or half of fft's forward alone.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any, NamedTuple

# Read when PyTorch is loaded, as the command line does.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import torch
import torch.nn.functional as F
from measuring.kept import Cells, add_out
from measuring.machine import here, precisions_of
from peers.hyena2 import Hyena2Operator
from peers.matrices import copy_peak_gb_s, gemm_peak_gflops, now_s, product_gflop
from torch import Tensor, nn

from hyena_glt.config import MixersConfig, Precision
from hyena_glt.nn import Span, build_mixer
from hyena_glt.ops import fir, modal, modal_fft

DIM = 256
POLES = 16
TAPS, GROUP = 128, 16
HEADS = 4
GPU_POSITIONS = 524_288
MIXERS = (*"SMLA", "hyena2", "attention")
OURS = {"ours", *"SMLA"}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Beyond ``most_length`` a contender takes minutes, or more memory than there is.
SHORT: dict[str, Any] = {
    "lengths": (1_024, 8_192, 65_536),
    "precisions": ("fp32",),
    "rounds": 3,
    "most_length": {"vortex": 65_536, "direct": 1_024, **dict.fromkeys(MIXERS, 8_192)},
}
LONG: dict[str, Any] = {
    "lengths": (1_024, 8_192, 65_536, 262_144, 1_048_576),
    "precisions": ("fp32", "bf16"),
    "rounds": 3,
    "most_length": {"vortex": 65_536, "direct": 8_192, "attention": 65_536, "hyena2": 262_144},
}
GPU: dict[str, Any] = {
    "lengths": (1_024, 2_048, 8_192, 32_768, 65_536),
    "precisions": ("bf16",),
    "rounds": 7,
    "most_length": {"direct": 0},
}
# Relative to the largest value; bf16 has 8 bits.
MOST_ERROR = {torch.float32: 1e-4, torch.bfloat16: 0.05}
LEAST_FASTER = {("vortex", "with_gradients"): 8.0, ("fft", "with_gradients"): 2.0}
LEAST_FASTER["fft", "forward"] = 2.0

Function = Callable[..., Tensor]
ContendersOf = Callable[[int, int, torch.dtype], Mapping[str, "Contender"]]


class Contender(NamedTuple):
    """A function of inputs that all of its group share."""

    function: Function
    inputs: Sequence[Tensor]


def outer_product_taps(log_pole: Tensor, residue: Tensor, length: int, block: int = 256) -> Tensor:
    """Return the taps of a modal filter from powers within a block and of blocks."""
    within = torch.exp(log_pole[..., None] * torch.arange(block)) * residue[..., None]
    of_block = torch.exp(log_pole[..., None] * block * torch.arange(-(-length // block)))
    return torch.as_tensor(torch.bmm(of_block.mT, within).flatten(1)[:, :length])


def convolve_fft(x: Tensor, taps: Tensor) -> Tensor:
    """Return the causal convolution by FFT, in fp32."""
    length = x.shape[2]
    spectrum = torch.fft.rfft(x.float(), n=2 * length) * torch.fft.rfft(taps.float(), n=2 * length)
    return torch.as_tensor(torch.fft.irfft(spectrum, n=2 * length)[..., :length].to(x.dtype))


def convolve_tap_by_tap(x: Tensor, log_pole: Tensor, residue: Tensor) -> Tensor:
    """Return the causal convolution by its definition: quadratic, with the library's gradients."""
    length = x.shape[2]
    taps = outer_product_taps(log_pole, residue, length).flip(1)[:, None].to(x.dtype)
    return F.conv1d(F.pad(x, (length - 1, 0)), taps, groups=DIM)


def long_contenders(rows: int, length: int, dtype: torch.dtype) -> dict[str, Contender]:
    """Return the long convolution's forms."""
    x = torch.randn(rows, DIM, length, dtype=dtype, requires_grad=True)
    log_pole = (-torch.logspace(0, -3.5, POLES).repeat(DIM, 1)).requires_grad_()
    residue = (torch.randn(DIM, POLES) / POLES).requires_grad_()
    inputs = (x, log_pole, residue)
    return {
        "ours": Contender(lambda x, p, r: modal(x, p, r, None)[0], inputs),
        "fft": Contender(lambda x, p, r: convolve_fft(x, outer_product_taps(p, r, length)), inputs),
        "vortex": Contender(modal_fft, inputs),
        "direct": Contender(convolve_tap_by_tap, inputs),
    }


def medium_contenders(rows: int, length: int, dtype: torch.dtype) -> dict[str, Contender]:
    """Return the medium convolution's forms."""
    x = torch.randn(rows, DIM, length, dtype=dtype, requires_grad=True)
    taps = (torch.randn(DIM // GROUP, TAPS) / TAPS**0.5).to(dtype).requires_grad_()

    def library(x: Tensor, taps: Tensor) -> Tensor:
        weight = taps.flip(1)[:, None].repeat_interleave(GROUP, 0)
        return F.conv1d(F.pad(x, (TAPS - 1, 0)), weight, groups=DIM)

    return {
        "ours": Contender(lambda x, h: fir(x, h, None), (x, taps)),
        "library": Contender(library, (x, taps)),
        "fft": Contender(lambda x, h: convolve_fft(x, h.repeat_interleave(GROUP, 0)), (x, taps)),
    }


class CausalAttention(nn.Module):
    """Attention over all that came before, by the library's fused kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.out = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Return y."""
        q, k, v = self.project(x_BLD).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return torch.as_tensor(self.out(y.transpose(1, 2).flatten(2)))


def mixer_contenders(rows: int, length: int, dtype: torch.dtype) -> dict[str, Contender]:
    """Return our mixers, the order-2 Hyena operator and attention."""
    x = torch.randn(rows, length, DIM, requires_grad=True)
    span = Span(torch.arange(length).expand(rows, -1), torch.full((rows,), length))
    bf16 = dtype == torch.bfloat16

    def contender(module: nn.Module, *further: Any) -> Contender:
        def run(x: Tensor, *parameters: Tensor) -> Tensor:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
                y = module(x, *further)
            return torch.as_tensor(y[0] if isinstance(y, tuple) else y)

        return Contender(run, (x, *(p for p in module.parameters() if p.requires_grad)))

    ours = {
        letter: contender(build_mixer(letter, DIM, MixersConfig(), 1), span, None)
        for letter in "SMLA"
    }
    return {
        **ours,
        "hyena2": contender(Hyena2Operator(DIM, length)),
        "attention": contender(CausalAttention()),
    }


def compare(
    contenders_of: Callable[[], Mapping[str, Contender]],
    rounds: int,
    same: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> dict[str, Any]:
    """Return medians of alternating runs, and each contender's time over that of ``ours``."""
    contenders = contenders_of()
    times: dict[str, dict[str, list[float]]] = {
        name: {"forward": [], "with_gradients": []} for name in contenders
    }
    found: dict[str, Any] = {}
    if same:
        found["largest_error"] = largest_error(contenders)
        if found["largest_error"] > MOST_ERROR[dtype]:
            raise SystemExit(f"contenders disagree by {found['largest_error']:.3g}")
    for _ in range(rounds + 1):
        for name, (function, inputs) in contenders.items():
            start_s = now_s(device)
            with torch.no_grad():
                function(*inputs)
            middle_s = now_s(device)
            y = function(*inputs)
            torch.autograd.grad(y, inputs, torch.ones(y.shape, dtype=y.dtype))
            times[name]["forward"].append(1e3 * (middle_s - start_s))
            times[name]["with_gradients"].append(1e3 * (now_s(device) - middle_s))
            del y
    for name, of in times.items():
        found[name] = {f"{kind}_ms": round(median(ms[1:]), 3) for kind, ms in of.items()}
        if same and name != "ours":
            for kind, ms in of.items():
                pairs = zip(ms[1:], times["ours"][kind][1:], strict=True)
                found[name][f"{kind}_over_ours"] = round(median(a / b for a, b in pairs), 2)
    if device.type == "cuda":
        precision: Precision = "bf16" if dtype == torch.bfloat16 else "fp32"
        found["copy_gb_s"] = round(copy_peak_gb_s(device), 1)
        found["gemm_gflops"] = round(gemm_peak_gflops(precision, device), 1)
        for name in OURS & contenders.keys():
            gb, gflop = work_of(contenders[name], dtype)
            forward_s = found[name]["forward_ms"] / 1e3
            found[name]["of_copy"] = round(gb / forward_s / found["copy_gb_s"], 3)
            found[name]["of_gemm"] = round(gflop / forward_s / found["gemm_gflops"], 3)
    return found


@torch.no_grad()
def work_of(contender: Contender, dtype: torch.dtype) -> tuple[float, float]:
    """Return (gigabytes that a forward pass can't do without, 1e9 FLOPs of its products)."""
    function, inputs = contender
    gb = 2 * inputs[0].numel() * dtype.itemsize / 1e9
    return gb, product_gflop(lambda: function(*inputs))


def largest_error(contenders: Mapping[str, Contender]) -> float:
    """Return how far values and gradients are from ours, relative to the largest of each."""
    results = {}
    for name, (function, inputs) in contenders.items():
        y = function(*inputs)
        generator = torch.Generator().manual_seed(0)
        direction = torch.randn(y.shape, generator=generator, device="cpu").to(y.device)
        results[name] = [y, *torch.autograd.grad((y * direction).sum(), inputs)]
    return max(
        float(((found - expected).abs().max() / expected.abs().max()).detach())
        for name in results
        for found, expected in zip(results[name], results["ours"], strict=True)
    )


def measured(
    lengths: Sequence[int],
    precisions: Sequence[str],
    rounds: int,
    most: Mapping[str, int],
    cells: Cells,
    device: torch.device,
) -> Iterator[dict[str, Any]]:
    """Yield what was found of each group, length and precision; some stop at ``most``."""
    groups: tuple[tuple[str, ContendersOf, bool], ...] = (
        ("long", long_contenders, True),
        ("medium", medium_contenders, True),
        ("mixers", mixer_contenders, False),
    )
    for length in lengths:
        for precision in precisions:
            dtype = PRECISIONS[precision]
            for group, contenders_of, same in groups:
                if group == "mixers" and all(length > most.get(name, length) for name in MIXERS):
                    continue
                shape = (rows_at(length, device), length, dtype)
                taking_part = partial(contenders_until, most, contenders_of, *shape)
                compared = partial(compare, taking_part, rounds, same, dtype, device)
                found = cells.cell(f"{group}, {length} bp, {precision}", compared)
                place = {"group": group, "length": length, "rows": shape[0]}
                yield {**place, "precision": precision, **found}


def contenders_until(
    most: Mapping[str, int],
    contenders_of: ContendersOf,
    rows: int,
    length: int,
    dtype: torch.dtype,
) -> dict[str, Contender]:
    """Return the contenders that take part at a length."""
    contenders = contenders_of(rows, length, dtype)
    return {name: of for name, of in contenders.items() if length <= most.get(name, length)}


def rows_at(length: int, device: torch.device) -> int:
    """Return how many rows are convolved: one on a CPU, as many as fill a GPU."""
    return 1 if device.type == "cpu" else max(1, GPU_POSITIONS // length)


def holds(results: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the long convolution is as much faster as it should be."""
    longest = max(
        (
            r
            for r in results
            if r["group"] == "long" and r["length"] <= LONG["most_length"]["vortex"]
        ),
        key=lambda r: (r["precision"] == "fp32", r["length"]),
    )
    return all(
        longest[name][f"{kind}_over_ours"] >= least for (name, kind), least in LEAST_FASTER.items()
    )


def main() -> int:
    """Print the results; return the exit code."""
    parser = argparse.ArgumentParser(description="Operators beside their peers.")
    parser.add_argument("--long", action="store_true", help="to 1 Mb, fp32 and bf16")
    parser.add_argument("--lengths", nargs="+", type=int)
    parser.add_argument("--precisions", nargs="+", choices=tuple(PRECISIONS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    add_out(parser)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda":
        torch.set_default_device(device)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if arguments.long and device.type == "cuda":
        parser.error("--long is of a CPU; a GPU has one form")
    form = GPU if device.type == "cuda" else LONG if arguments.long else SHORT
    rounds = arguments.rounds or form["rounds"]
    about = {"channels": DIM, "threads": 1, "rounds": rounds, "machine": here(arguments.device)}
    cells = Cells(arguments.out, {**about, "device": arguments.device})
    lengths = arguments.lengths or form["lengths"]
    precisions = arguments.precisions or precisions_of(form["precisions"], arguments.device)
    results = list(measured(lengths, precisions, rounds, form["most_length"], cells, device))
    cells.show({"results": results})
    return 0 if device.type == "cuda" or holds(results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
