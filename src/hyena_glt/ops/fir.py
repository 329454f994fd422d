"""Causal depthwise convolution with an explicit filter.

    y[b, d, t] = sum_{j < W} h[g, j] * x[b, d, t - j]        (channel d is of group g)

``h[..., 0]`` is the current tap, everywhere and at every length. ``past`` holds the W - 1 inputs
before the call, zeros at a row's start, so that a call shorter than the filter is no special case.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hyena_glt.ops.kernels import fir_form

# From this width on, the library's backward pass on a CPU costs more than ours.
_OWN_BACKWARD_WIDTH = 32
_BLOCK = 64


def fir(
    x_BDL: Float[Tensor, "B D L"], h_GW: Float[Tensor, "G W"], past: Float[Tensor, "B D W-1"] | None
) -> Float[Tensor, "B D L"]:
    """Convolve ``x`` with ``h``, each of whose G filters serves D / G channels in a row.

    The form is what :mod:`hyena_glt.ops.kernels` chooses.
    """
    dim, length = x_BDL.shape[1:]
    groups, width = h_GW.shape
    compiled = torch.compiler.is_compiling()
    form = fir_form(width, length, x_BDL.device.type, x_BDL.dtype, compiled)
    if past is not None:
        past = past.to(x_BDL.dtype)
    if form == "taps":
        return fir_reference(x_BDL, h_GW, past)
    padded = F.pad(x_BDL, (width - 1, 0)) if past is None else torch.cat([past, x_BDL], 2)
    if form == "step":
        exact = torch.promote_types(x_BDL.dtype, torch.float32)
        taps = h_GW.flip(1).repeat_interleave(dim // groups, 0).to(exact)
        return (padded * taps).sum(2, keepdim=True).to(x_BDL.dtype)
    if form == "toeplitz":
        return torch.as_tensor(_Toeplitz.apply(padded, h_GW))  # type: ignore[no-untyped-call]
    h_DW = h_GW.repeat_interleave(dim // groups, 0)
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


class _Toeplitz(torch.autograd.Function):
    """Block by block: C outputs are a Toeplitz matrix times the C + W - 1 inputs that they see.

    All blocks and channels of a group are rows of one matrix product. One block's inputs overlap
    the next one's, so that any width goes with any block (StripedHyena 2's two blocks are enough
    for W <= C + 1 alone). The gradient of the input is the same convolution with the filter the
    other way round; that of the filter sums the products of inputs and gradients by their lag.
    """

    @staticmethod
    def forward(ctx: Any, padded_BDS: Tensor, h_GW: Tensor) -> Tensor:
        ctx.save_for_backward(padded_BDS, h_GW)
        with torch.autocast(padded_BDS.device.type, enabled=False):
            return _blocked(padded_BDS, h_GW)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy_BDL: Tensor) -> tuple[Tensor | None, Tensor | None]:
        padded_BDS, h_GW = ctx.saved_tensors
        with torch.autocast(padded_BDS.device.type, enabled=False):
            groups, width = h_GW.shape
            dx = dh = None
            if ctx.needs_input_grad[0]:
                dx = _blocked(F.pad(dy_BDL, (width - 1, width - 1)), h_GW.flip(1))
            if ctx.needs_input_grad[1]:
                seen_GRK = _windows(padded_BDS, groups, width)
                whole = seen_GRK.shape[1] * groups * _BLOCK // (dy_BDL.shape[0] * dy_BDL.shape[1])
                dy = F.pad(dy_BDL, (0, whole - dy_BDL.shape[2])).unfold(2, _BLOCK, _BLOCK)
                dy_GRC = dy.unflatten(1, (groups, -1)).transpose(0, 1).reshape(groups, -1, _BLOCK)
                dT = torch.bmm(seen_GRK.mT, dy_GRC)
                # Input m and output i stand W - 1 + i - m apart: a diagonal for each lag.
                size = (groups, width, _BLOCK)
                by_lag = dT.as_strided(size, (dT.stride(0), _BLOCK, _BLOCK + 1))
                exact = torch.promote_types(h_GW.dtype, torch.float32)
                dh = by_lag.sum(2, dtype=exact).flip(1).to(h_GW.dtype)
            return dx, dh


def _blocked(
    padded_BDS: Float[Tensor, "B D S"], h_GW: Float[Tensor, "G W"]
) -> Float[Tensor, "B D S-W+1"]:
    batch, dim, total = padded_BDS.shape
    groups, width = h_GW.shape
    # T[m, i] = h[W - 1 + i - m], 0 outside the filter.
    toeplitz_GKC = F.pad(h_GW, (_BLOCK - 1, _BLOCK - 1)).unfold(1, _BLOCK, 1).flip(1)
    y_GRC = torch.bmm(_windows(padded_BDS, groups, width), toeplitz_GKC)
    y_BDL = y_GRC.view(groups, batch, dim // groups, -1).transpose(0, 1).reshape(batch, dim, -1)
    return y_BDL[..., : total - width + 1]


def _windows(padded_BDS: Float[Tensor, "B D S"], groups: int, width: int) -> Float[Tensor, "G R K"]:
    """Return what each block of each row and channel sees, group by group."""
    seen = _BLOCK + width - 1
    blocks = -(-(padded_BDS.shape[2] - width + 1) // _BLOCK)
    whole = F.pad(padded_BDS, (0, blocks * _BLOCK + width - 1 - padded_BDS.shape[2]))
    windows = whole.unfold(2, seen, _BLOCK).unflatten(1, (groups, -1))
    rows_GRK: Tensor = windows.transpose(0, 1).reshape(groups, -1, seen)
    return rows_GRK


def fir_reference(
    x_BDL: Float[Tensor, "B D L"], h_GW: Float[Tensor, "G W"], past: Float[Tensor, "B D W-1"] | None
) -> Float[Tensor, "B D L"]:
    """The definition, tap by tap, summed in fp32 at least. Reference for :func:`fir`."""
    width, length = h_GW.shape[1], x_BDL.shape[2]
    h_DW = h_GW.repeat_interleave(x_BDL.shape[1] // h_GW.shape[0], 0)
    if past is None:
        past = x_BDL.new_zeros(*x_BDL.shape[:2], width - 1)
    x_BDL = torch.cat([past, x_BDL], 2)
    exact = torch.promote_types(x_BDL.dtype, torch.float32)
    y_BDL = torch.zeros_like(x_BDL[..., width - 1 :], dtype=exact)
    for j in range(width):
        start = width - 1 - j
        y_BDL = y_BDL + h_DW[:, j, None].to(exact) * x_BDL[..., start : start + length]
    return y_BDL.to(x_BDL.dtype)
