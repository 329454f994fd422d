"""Causal depthwise convolution with an explicit filter.

    y[b, d, t] = sum_{j < W} h[d, j] * x[b, d, t - j]

``h[..., 0]`` is the current tap, everywhere and at every length. ``past`` holds the W - 1 inputs
before the call, zeros at a row's start, so that a call shorter than the filter is no special case.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

# From this width on, the library's backward pass on a CPU costs more than ours:
# benchmarks/mixer_speed.py, "fir".
_OWN_BACKWARD_WIDTH = 32


def fir(
    x_BDL: Float[Tensor, "B D L"], h_DW: Float[Tensor, "D W"], past: Float[Tensor, "B D W-1"] | None
) -> Float[Tensor, "B D L"]:
    """Convolve ``x`` with ``h`` by the library's depthwise convolution.

    On a CPU the gradients of a wide filter are our own.
    """
    width = h_DW.shape[1]
    padded = F.pad(x_BDL, (width - 1, 0)) if past is None else torch.cat([past, x_BDL], 2)
    if x_BDL.is_cpu and width >= _OWN_BACKWARD_WIDTH:
        return torch.as_tensor(_WideFir.apply(padded, h_DW))  # type: ignore[no-untyped-call]
    return _convolve(padded, h_DW)


def _convolve(padded: Tensor, h_DW: Tensor) -> Tensor:
    return F.conv1d(padded, h_DW.flip(1)[:, None], groups=h_DW.shape[0])


class _WideFir(torch.autograd.Function):
    """The library's forward pass; a backward pass whose cost doesn't grow with the width.

    The gradient of the input is a convolution with the filter the other way round. That of tap j,
    sum_{b, t} g[b, d, t] * x[b, d, t - j], is a correlation, taken by FFT (in fp32 at least).
    """

    @staticmethod
    def forward(ctx: Any, padded: Tensor, h_DW: Tensor) -> Tensor:
        ctx.save_for_backward(padded, h_DW)
        return _convolve(padded, h_DW)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        padded, h_DW = ctx.saved_tensors
        width = h_DW.shape[1]
        grad_padded = grad_h = None
        if ctx.needs_input_grad[0]:
            around = F.pad(grad, (width - 1, width - 1))
            grad_padded = F.conv1d(around, h_DW[:, None], groups=h_DW.shape[0])
        if ctx.needs_input_grad[1]:
            exact = torch.promote_types(grad.dtype, torch.float32)
            size = -(-padded.shape[2] // 64) * 64  # lengths with small factors make quick FFTs
            spectrum = torch.fft.rfft(grad.to(exact), n=size).conj()
            spectrum = (spectrum * torch.fft.rfft(padded.to(exact), n=size)).sum(0)
            lags = torch.fft.irfft(spectrum, n=size)[:, :width]
            grad_h = lags.flip(1).to(h_DW.dtype)
        return grad_padded, grad_h


def fir_reference(
    x_BDL: Float[Tensor, "B D L"], h_DW: Float[Tensor, "D W"], past: Float[Tensor, "B D W-1"] | None
) -> Float[Tensor, "B D L"]:
    """The definition, tap by tap. Reference for :func:`fir`."""
    width, length = h_DW.shape[1], x_BDL.shape[2]
    if past is None:
        past = x_BDL.new_zeros(*x_BDL.shape[:2], width - 1)
    x_BDL = torch.cat([past, x_BDL], 2)
    y_BDL = torch.zeros_like(x_BDL[..., width - 1 :])
    for j in range(width):
        start = width - 1 - j
        y_BDL = y_BDL + h_DW[:, j, None] * x_BDL[..., start : start + length]
    return y_BDL
