"""The machine that a benchmark ran on."""

import os
from typing import Any

from patching.cells import machine


def here(device: str = "cpu") -> dict[str, Any]:
    """Return the processor, its cores, and versions."""
    return {**machine(device), "cores": os.cpu_count()}
