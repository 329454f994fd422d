"""Which form of an operation runs: by what was measured, or as it is told.

    fir    library   the library's depthwise convolution; on a CPU with gradients of our own
           toeplitz  matrix products over blocks
           taps      tap by tap, which a compiler fuses with what stands around it
           cached    tap by tap over a few channels at a time, which stay in the cache of a CPU
           step      of one position, the sum itself: less than a call of the library costs
    modal  chunked   matrix products over chunks and a carried state
           fft       one Fourier transform of the whole row; has no state

``HYENA_GLT_KERNELS=fir=library,modal=fft`` in the environment when this is imported, or
:func:`using`, overrides. Forms differ in rounding alone.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch

from hyena_glt.errors import KernelError

Operation = Literal["fir", "modal"]

FORMS: dict[Operation, tuple[str, ...]] = {
    "fir": ("library", "toeplitz", "taps", "cached"),
    "modal": ("chunked", "fft"),
}
VARIABLE = "HYENA_GLT_KERNELS"
# Measured by benchmarks/operators.py. On a CPU a wide filter is quicker as a matrix product where
# the processor multiplies bf16 matrices; in fp32 the library is. CUDA: as StripedHyena 2 found
# (arXiv:2503.01868, section 3.2), not measured here.
_WIDE_TAPS = 32
_FUSED_TAPS = 16
# Long rows of many channels leave a CPU's cache, where the library's narrow filter goes slowly.
_CACHED_LEAST_LENGTH = {torch.bfloat16: 8192, torch.float32: 2048}
_CUDA_LEAST_LENGTH = 4096
# Gradients of a row of a few patches: one small matrix is quicker than the library, in fp32 too
# (AVX2, 9 to 25 positions, by hand; shorter than what the benchmark measures). Answers alone are
# left to the library, whose digits don't depend on how many rows there are.
_SHORT_ROW = 24


def fir_form(
    width: int, length: int, device: str, dtype: torch.dtype, compiled: bool, learns: bool = False
) -> str:
    """Return the form of a convolution with ``width`` taps over ``length`` positions.

    ``learns`` says whether it will be asked for gradients.
    """
    if (told := _told.get("fir")) is not None:
        return told
    if length == 1 and not compiled:
        return "step"
    if compiled and width <= _FUSED_TAPS:
        return "taps"
    short = device == "cpu" and dtype == torch.float32 and length <= _SHORT_ROW
    if short and learns and not compiled:
        return "toeplitz"
    if device == "cpu" and width <= _FUSED_TAPS:
        return "cached" if length >= _CACHED_LEAST_LENGTH.get(dtype, length + 1) else "library"
    if width < _WIDE_TAPS or dtype != torch.bfloat16:
        return "library"
    return "library" if device == "cuda" and length < _CUDA_LEAST_LENGTH else "toeplitz"


def modal_form() -> str:
    """Return the form of a long convolution: chunked, unless it is told another one."""
    return _told.get("modal", "chunked")


@contextmanager
def using(forms: Mapping[str, str]) -> Iterator[None]:
    """Use the given form of each operation inside ``with``; KernelError for one there isn't."""
    global _told
    before, _told = _told, _checked(forms, "using()")
    try:
        yield
    finally:
        _told = before


def _checked(forms: Mapping[str, str], where: str) -> dict[str, str]:
    known: Mapping[str, tuple[str, ...]] = {str(name): of for name, of in FORMS.items()}
    for name, form in forms.items():
        if form not in known.get(name, ()):
            expected = "; ".join(f"{name}={'|'.join(of)}" for name, of in known.items())
            raise KernelError(f"{where}: found {name}={form}, expected {expected}")
    return dict(forms)


def _from_environment() -> dict[str, str]:
    text = os.environ.get(VARIABLE, "")
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    return _checked({name.strip(): form.strip() for name, _, form in pairs}, VARIABLE)


_told = _from_environment()
