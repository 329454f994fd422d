"""The machine that a benchmark ran on."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import torch
from patching.cells import machine

from hyena_glt.config import Precision
from hyena_glt.model import has_bf16_units


def here(device: str = "cpu") -> dict[str, Any]:
    """Return the processor, its cores, what it computes with, and versions.

    Processors of one name differ by an order of magnitude in bf16.
    """
    return {
        **machine(device),
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bf16_units": has_bf16_units(device),
    }


def precisions_of(wanted: Sequence[Precision], device: str = "cpu") -> tuple[Precision, ...]:
    """Return what of ``wanted`` this machine has units for; fp32 where it has for none.

    Says on stderr what is left out: without units, bf16 takes hours where fp32 takes minutes.
    """
    if has_bf16_units(device) or "bf16" not in wanted:
        return tuple(wanted)
    left = tuple(precision for precision in wanted if precision != "bf16") or ("fp32",)
    print(f"no units for bf16 on this processor: {', '.join(left)} alone", file=sys.stderr)
    return left
