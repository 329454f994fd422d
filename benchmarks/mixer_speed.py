"""Fast forms beside their references: milliseconds, ratios, and a check that both agree.

    python benchmarks/mixer_speed.py

Prints JSON. Contenders alternate within one process and medians are compared; ratios (reference
over fast) carry over to other machines better than times do. Exits with 1 where a fast form isn't.
"""

import json
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from hyena_glt.config import ModelConfig
from hyena_glt.model import HyenaGLT
from hyena_glt.ops import fir, modal, modal_fft
from hyena_glt.tokenize import BOS

ROUNDS = 7
Function = Callable[[], Tensor]


def forward_and_backward(function: Function, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Return the value and the gradients of a scalar of it."""
    y = function()
    return [y, *torch.autograd.grad(y.square().sum(), inputs)]


def compare(fast: Function, reference: Function, inputs: tuple[Tensor, ...]) -> dict[str, float]:
    """Return the medians of alternating runs, forward and backward, after checking values."""
    pairs = zip(
        forward_and_backward(fast, inputs), forward_and_backward(reference, inputs), strict=True
    )
    error = max(float(((a - b).abs().max() / b.abs().max()).detach()) for a, b in pairs)
    assert error < 1e-4, f"fast and reference disagree by {error}"
    times: dict[str, list[float]] = {"fast": [], "reference": []}
    for _ in range(ROUNDS):
        for name, function in (("fast", fast), ("reference", reference)):
            start = time.perf_counter()
            forward_and_backward(function, inputs)
            times[name].append(1e3 * (time.perf_counter() - start))
    fast_ms, reference_ms = median(times["fast"]), median(times["reference"])
    return {
        "fast_ms": round(fast_ms, 2),
        "reference_ms": round(reference_ms, 2),
        "ratio": round(reference_ms / fast_ms, 2),
        "relative_error": error,
    }


def fir_case(width: int) -> dict[str, float]:
    """Our gradients of a wide filter against the library's own."""
    x = torch.randn(8, 128, 1024, requires_grad=True)
    h = torch.randn(128, width, requires_grad=True)

    def library() -> Tensor:
        return F.conv1d(F.pad(x, (width - 1, 0)), h.flip(1)[:, None], groups=128)

    return compare(lambda: fir(x, h, None), library, (x, h))


def modal_case(length: int) -> dict[str, float]:
    """The chunked form against an FFT of the whole length."""
    x = torch.randn(1, 128, length, requires_grad=True)
    rate = torch.logspace(0, -3, 16).repeat(128, 1)
    log_pole = (-rate).requires_grad_()
    residue = (torch.randn(128, 16) / 16).requires_grad_()
    return compare(
        lambda: modal(x, log_pole, residue, None)[0],
        lambda: modal_fft(x, log_pole, residue),
        (x, log_pole, residue),
    )


@torch.no_grad()
def step_case() -> dict[str, float]:
    """A step's cost after 100 and after 20,000 bases: it doesn't depend on the position."""
    config = ModelConfig.model_validate(
        {
            "stages": [
                {
                    "width": 64,
                    "mlp_width": 64,
                    "encoder": "S",
                    "patch": {"kind": "fixed", "size_bp": 6},
                    "decoder": "M",
                }
            ],
            "backbone": {"width": 64, "mlp_width": 128, "layout": "SML"},
        }
    )
    network = HyenaGLT(config, "dna").eval()
    bases = torch.tensor(list(b"ACGT"))[torch.randint(4, (1, 20_000))]
    states = {}
    for name, length in (("near", 100), ("far", 20_000)):
        row = torch.cat([torch.tensor([[BOS]]), bases[:, :length]], 1)
        states[name] = network(row, state=network.begin(1)).state
    times: dict[str, list[float]] = {"near": [], "far": []}
    for position in range(60):
        for name in times:
            start = time.perf_counter()
            output = network(bases[:, position : position + 1], state=states[name])
            times[name].append(1e3 * (time.perf_counter() - start))
            states[name] = output.state
    near, far = median(times["near"]), median(times["far"])
    return {"near_ms": round(near, 3), "far_ms": round(far, 3), "ratio": round(near / far, 2)}


def main() -> int:
    """Print the results; return the exit code."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    results = {
        "fir_width_128_vs_library": fir_case(128),
        "modal_16384_vs_fft": modal_case(16_384),
        "step_near_vs_far": step_case(),
    }
    print(json.dumps(results, indent=2))
    return 0 if all(result["ratio"] > 0.8 for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
