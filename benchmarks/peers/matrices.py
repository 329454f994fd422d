"""How much of a step is matrix multiplication, and how near to what the machine can do."""

import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from hyena_glt.config import Precision

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
PEAK_SIZES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}  # that fill the device
PEAK_RUNS = 4
COPIED_BYTES = 1 << 30


def gemm_peak_gflops(precision: Precision, device: torch.device) -> float:
    """Return the best rate of a square matrix product, in 1e9 FLOP/s."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    best = 0.0
    for size in PEAK_SIZES[device.type]:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        for _ in range(PEAK_RUNS):
            start_s = now_s(device)
            a @ b
            best = max(best, 2 * size**3 / (now_s(device) - start_s) / 1e9)
    return best


def copy_peak_gb_s(device: torch.device) -> float:
    """Return the best rate of a copy within the device's memory, bytes read and written."""
    source = torch.empty(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(PEAK_RUNS):
        start_s = now_s(device)
        target.copy_(source)
        best = max(best, 2 * COPIED_BYTES / (now_s(device) - start_s) / 1e9)
    return best


def now_s(device: torch.device) -> float:
    """Return the clock's time once the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def product_gflop(step: Callable[[], object]) -> float:
    """Return the FLOPs of a step's matrix products, in 1e9; attention and convolutions not."""
    with FlopCounterMode(display=False) as counter:
        step()
    counts = counter.get_flop_counts()["Global"]
    flops = (n for op, n in counts.items() if str(op).removeprefix("aten.") in PRODUCTS)
    return float(sum(flops)) / 1e9


def product_share(step: Callable[[], object]) -> float:
    """Return the share of a step's time on a CPU that is spent inside matrix products."""
    with profile(activities=[ProfilerActivity.CPU]) as record:
        step()
    rows = record.key_averages()
    names = {f"aten::{name}" for name in PRODUCTS}
    products = sum(row.self_cpu_time_total for row in rows if row.key in names)
    return float(products / sum(row.self_cpu_time_total for row in rows))
