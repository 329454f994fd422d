"""What a processor makes of reduced precision."""

import warnings

import torch

from hyena_glt.config import Precision


def has_bf16_units(device: str) -> bool:
    """Return whether ``device`` multiplies bf16 matrices itself; of accelerators all are taken to.

    A processor without (x86 before AVX-512, many laptops' among them) has them converted entry by
    entry, which takes tens of times as long as fp32.
    """
    if not device.startswith("cpu"):
        return True
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def most_exact(device: torch.device) -> torch.dtype:
    """Return the most exact floating-point type that ``device`` computes in: MPS has no fp64."""
    return torch.float32 if device.type == "mps" else torch.float64


def warn_of_slow_bf16(precision: Precision, device: str) -> None:
    """Give a RuntimeWarning where bf16 is asked of a processor that has no units for it."""
    if precision == "bf16" and not has_bf16_units(device):
        warnings.warn(
            "this processor has no units for bf16, so that matrix products in bf16 take tens of "
            "times as long here as in fp32; going on as asked. Use precision fp32",
            RuntimeWarning,
            stacklevel=3,
        )
