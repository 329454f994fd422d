"""Peak memory of training steps of one contender, in a process of its own.

From benchmarks/, ``python -m peers.memory CONTENDER LENGTH_BP ROWS PRECISION MODE THREADS``: JSON.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import torch

from hyena_glt.config import Precision
from peers.training import Trainee

MIB = 1 << 20


def peak_memory_mib(
    name: str, length_bp: int, rows: int, precision: Precision, compiled: bool, threads: int
) -> dict[str, int]:
    """Return ``peak_mib`` of a process that takes two steps, and ``above_start_mib`` of it.

    The start is the process with all libraries loaded and nothing built. Raises RuntimeError with
    the process's last words where it fails.
    """
    how = [precision, "compiled" if compiled else "eager", str(threads)]
    done = subprocess.run(
        [sys.executable, "-m", "peers.memory", name, str(length_bp), str(rows), *how],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(
            f"{name} at {length_bp} bp ended with status {done.returncode}: {done.stderr[-500:]}"
        )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def peak_mib() -> int:
    """Return the largest resident memory of this process (ru_maxrss begins at the parent's)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024 // MIB


def main() -> int:
    """Take two steps, so that the optimiser's averages are there, and print what they took."""
    name, length_bp, rows, precision, mode, threads = sys.argv[1:]
    assert precision in get_args(Precision)
    torch.set_num_threads(int(threads))
    start_mib = peak_mib()
    shape = (name, int(length_bp), int(rows))
    trainee = Trainee(*shape, "bf16" if precision == "bf16" else "fp32", mode == "compiled")
    for _ in range(2):
        trainee.step()
    most_mib = peak_mib()
    print(json.dumps({"peak_mib": most_mib, "above_start_mib": most_mib - start_mib}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
