"""Causal depthwise convolution with an explicit filter.

    y[b, d, t] = sum_{j < W} h[g, j] * x[b, d, t - j]        (channel d is of group g)

``h[..., 0]`` is the current tap, everywhere and at every length. ``past`` holds the W - 1 inputs
before the call, zeros at a row's start, so that a call shorter than the filter is no special case.
With ``ahead`` the filter also sees inputs to come: h[g, ahead] is the current tap,

    y[b, d, t] = sum_{j < W} h[g, j] * x[b, d, t + ahead - j]
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hyena_glt.ops.kernels import fir_form

# From this width on, the library's backward pass on a CPU costs more than ours.
_OWN_BACKWARD_WIDTH = 32
_BLOCK, _GRADIENT_BLOCK = 64, 128
_CACHED_NUMBERS = 1 << 18  # of a block of channels: in fp32 it stays in a core's cache


def fir(
    x_BDL: Float[Tensor, "B D L"],
    h_GW: Float[Tensor, "G W"],
    past: Float[Tensor, "B D W-1"] | None,
    ahead: int = 0,
) -> Float[Tensor, "B D L"]:
    """Convolve ``x`` with ``h``, each of whose G filters serves D / G channels in a row.

    The form is what :mod:`hyena_glt.ops.kernels` chooses. ``ahead`` goes with whole rows, where
    there is no ``past``. Gradients of gradients are there in some forms alone.
    """
    assert past is None or ahead == 0, "taps ahead see whole rows"
    dim, length = x_BDL.shape[1:]
    if past is None and max(ahead, h_GW.shape[1] - 1 - ahead) >= length:
        # Taps that reach beyond the row from all of its positions meet zeros alone.
        first = max(0, ahead - length + 1)
        h_GW, ahead = h_GW[:, first : ahead + length], ahead - first
    groups, width = h_GW.shape
    compiled = torch.compiler.is_compiling()
    learns = not compiled and torch.is_grad_enabled()
    learns = learns and (x_BDL.requires_grad or h_GW.requires_grad)
    form = fir_form(width, length, x_BDL.device.type, x_BDL.dtype, compiled, learns)
    if past is not None:
        past = past.to(x_BDL.dtype)
    if form == "taps":
        return fir_reference(x_BDL, h_GW, past, ahead)
    # The zeros around a whole row are put on inside, where no gradient is spent on them.
    around = (width - 1 - ahead, ahead)
    if past is not None:
        x_BDL, around = torch.cat([past, x_BDL], 2), (0, 0)
    if form == "step":
        exact = torch.promote_types(x_BDL.dtype, torch.float32)
        taps = h_GW.flip(1).repeat_interleave(dim // groups, 0).to(exact)
        return (F.pad(x_BDL, around) * taps).sum(2, keepdim=True).to(x_BDL.dtype)
    if form == "toeplitz":
        return torch.as_tensor(_Toeplitz.apply(x_BDL, h_GW, around))  # type: ignore[no-untyped-call]
    if form == "cached":
        h_DW = h_GW.repeat_interleave(dim // groups, 0)
        return torch.as_tensor(_CachedTaps.apply(x_BDL, h_DW, around))  # type: ignore[no-untyped-call]
    if x_BDL.is_cpu and width >= _OWN_BACKWARD_WIDTH:
        return torch.as_tensor(_WideFir.apply(x_BDL, h_GW, around))  # type: ignore[no-untyped-call]
    return _convolve(F.pad(x_BDL, around), h_GW)


def _convolve(
    padded_BDS: Float[Tensor, "B D S"], h_GW: Float[Tensor, "G W"]
) -> Float[Tensor, "B D S-W+1"]:
    dim = padded_BDS.shape[1]
    h_DW = h_GW.flip(1).repeat_interleave(dim // len(h_GW), 0)
    return F.conv1d(padded_BDS, h_DW[:, None], groups=dim)


def _seen_by(dy_BDL: Tensor, width: int, around: tuple[int, int]) -> Tensor:
    """Return what the filter, turned round, sees of ``dy`` from the inputs: not from the zeros."""
    return F.pad(dy_BDL, (width - 1 - around[0], width - 1 - around[1]))


class _WideFir(torch.autograd.Function):
    """The library's forward pass; a backward pass that is quicker than the library's.

    The gradient of the input is a convolution with the filter the other way round, that of the
    filter a matrix product.
    """

    @staticmethod
    def forward(ctx: Any, x_BDN: Tensor, h_GW: Tensor, around: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x_BDN, h_GW)
        ctx.around = around
        return _convolve(F.pad(x_BDN, around), h_GW)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy_BDL: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x_BDN, h_GW = ctx.saved_tensors
        groups, width = h_GW.shape
        dx = dh = None
        if ctx.needs_input_grad[0]:
            dx = _convolve(_seen_by(dy_BDL, width, ctx.around), h_GW.flip(1))
        if ctx.needs_input_grad[1]:
            block = min(_GRADIENT_BLOCK, dy_BDL.shape[2])
            dh = _filter_gradient(F.pad(x_BDN, ctx.around), dy_BDL, groups, block)
        return dx, None if dh is None else dh.to(h_GW.dtype), None


class _CachedTaps(torch.autograd.Function):
    """Tap by tap, in fp32 at least, over as many channels at a time as stay in the cache.

    The gradient of the input is the same with the filter the other way round; that of tap j is the
    sum of products j positions apart.
    """

    @staticmethod
    def forward(ctx: Any, x_BDN: Tensor, h_DW: Tensor, around: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x_BDN, h_DW)
        ctx.around = around
        padded_BDS = F.pad(x_BDN, around)
        batch, dim, total = padded_BDS.shape
        y_BDL = padded_BDS.new_empty(batch, dim, total - h_DW.shape[1] + 1)
        for channels in _cached_channels(padded_BDS):
            y_BDL[:, channels] = _tap_by_tap(*_exact(padded_BDS[:, channels], h_DW[channels]))
        return y_BDL

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy_BDL: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x_BDN, h_DW = ctx.saved_tensors
        padded_BDS = F.pad(x_BDN, ctx.around)
        width, length = h_DW.shape[1], dy_BDL.shape[2]
        dx, dh = torch.empty_like(x_BDN), torch.empty_like(h_DW)
        for channels in _cached_channels(padded_BDS):
            x, h, dy = _exact(padded_BDS[:, channels], h_DW[channels], dy_BDL[:, channels])
            if ctx.needs_input_grad[0]:
                dx[:, channels] = _tap_by_tap(_seen_by(dy, width, ctx.around), h.flip(1))
            if ctx.needs_input_grad[1]:
                for j in range(width):
                    start = width - 1 - j
                    dh[channels, j] = (dy * x[..., start : start + length]).sum((0, 2))
        wanted = ctx.needs_input_grad
        return dx if wanted[0] else None, dh if wanted[1] else None, None


def _cached_channels(padded_BDS: Tensor) -> Iterator[slice]:
    """Yield slices of channels, each of about as many numbers as stay in the cache."""
    batch, dim, total = padded_BDS.shape
    size = max(1, _CACHED_NUMBERS // (batch * total))
    return (slice(start, start + size) for start in range(0, dim, size))


def _exact(*tensors: Tensor) -> Iterator[Tensor]:
    """Yield the tensors in fp32, or in fp64 where they are."""
    return (x.to(torch.promote_types(x.dtype, torch.float32)) for x in tensors)


def _tap_by_tap(
    padded_BDS: Float[Tensor, "B D S"], h_DW: Float[Tensor, "D W"]
) -> Float[Tensor, "B D S-W+1"]:
    width = h_DW.shape[1]
    length = padded_BDS.shape[2] - width + 1
    y_BDL = padded_BDS[..., width - 1 :] * h_DW[:, :1]
    for j in range(1, width):
        start = width - 1 - j
        y_BDL.addcmul_(padded_BDS[..., start : start + length], h_DW[:, j, None])
    return y_BDL


class _Toeplitz(torch.autograd.Function):
    """Block by block: C outputs are a Toeplitz matrix times the C + W - 1 inputs that they see.

    All blocks and channels of a group are rows of one matrix product. One block's inputs overlap
    the next one's, so that any width goes with any block (StripedHyena 2's two blocks are enough
    for W <= C + 1 alone). The gradient of the input is the same convolution with the filter the
    other way round; that of the filter sums the products of inputs and gradients by their lag.
    """

    @staticmethod
    def forward(ctx: Any, x_BDN: Tensor, h_GW: Tensor, around: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x_BDN, h_GW)
        ctx.around = around
        with torch.autocast(x_BDN.device.type, enabled=False):
            return _blocked(F.pad(x_BDN, around), h_GW)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy_BDL: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x_BDN, h_GW = ctx.saved_tensors
        with torch.autocast(x_BDN.device.type, enabled=False):
            groups, width = h_GW.shape
            dx = dh = None
            if ctx.needs_input_grad[0]:
                dx = _blocked(_seen_by(dy_BDL, width, ctx.around), h_GW.flip(1))
            if ctx.needs_input_grad[1]:
                block = min(_BLOCK, dy_BDL.shape[2])
                dh = _filter_gradient(F.pad(x_BDN, ctx.around), dy_BDL, groups, block)
            return dx, None if dh is None else dh.to(h_GW.dtype), None


def _filter_gradient(
    padded_BDS: Float[Tensor, "B D S"], dy_BDL: Float[Tensor, "B D L"], groups: int, block: int
) -> Float[Tensor, "G W"]:
    """Return sum_{b, d, t} dy[b, d, t] * x[b, d, t - j] of each tap, in fp32 at least."""
    batch, dim, length = dy_BDL.shape
    width = padded_BDS.shape[2] - length + 1
    seen_GRK = _windows(padded_BDS, groups, width, block)
    whole = seen_GRK.shape[1] * groups * block // (batch * dim)
    dy = F.pad(dy_BDL, (0, whole - length)).unfold(2, block, block)
    dy_GRC = dy.unflatten(1, (groups, -1)).transpose(0, 1).reshape(groups, -1, block)
    dT = torch.bmm(seen_GRK.mT, dy_GRC)
    # Input m and output i stand W - 1 + i - m apart: a diagonal for each lag.
    by_lag = dT.as_strided((groups, width, block), (dT.stride(0), block, block + 1))
    exact = torch.promote_types(dy_BDL.dtype, torch.float32)
    return by_lag.sum(2, dtype=exact).flip(1)


def _blocked(
    padded_BDS: Float[Tensor, "B D S"], h_GW: Float[Tensor, "G W"]
) -> Float[Tensor, "B D S-W+1"]:
    batch, dim, total = padded_BDS.shape
    groups, width = h_GW.shape
    block = min(_BLOCK, total - width + 1)
    # T[m, i] = h[W - 1 + i - m], 0 outside the filter.
    toeplitz_GKC = F.pad(h_GW, (block - 1, block - 1)).unfold(1, block, 1).flip(1)
    y_GRC = torch.bmm(_windows(padded_BDS, groups, width, block), toeplitz_GKC)
    y_BDL = y_GRC.view(groups, batch, dim // groups, -1).transpose(0, 1).reshape(batch, dim, -1)
    return y_BDL[..., : total - width + 1]


def _windows(
    padded_BDS: Float[Tensor, "B D S"], groups: int, width: int, block: int
) -> Float[Tensor, "G R K"]:
    """Return what each block of each row and channel sees, group by group."""
    seen = block + width - 1
    blocks = -(-(padded_BDS.shape[2] - width + 1) // block)
    whole = F.pad(padded_BDS, (0, blocks * block + width - 1 - padded_BDS.shape[2]))
    windows = whole.unfold(2, seen, block).unflatten(1, (groups, -1))
    rows_GRK: Tensor = windows.transpose(0, 1).reshape(groups, -1, seen)
    return rows_GRK


def fir_reference(
    x_BDL: Float[Tensor, "B D L"],
    h_GW: Float[Tensor, "G W"],
    past: Float[Tensor, "B D W-1"] | None,
    ahead: int = 0,
) -> Float[Tensor, "B D L"]:
    """The definition, tap by tap, summed in fp32 at least. Reference for :func:`fir`."""
    width, length = h_GW.shape[1], x_BDL.shape[2]
    h_DW = h_GW.repeat_interleave(x_BDL.shape[1] // h_GW.shape[0], 0)
    if past is None:
        x_BDL = F.pad(x_BDL, (width - 1 - ahead, ahead))
    else:
        x_BDL = torch.cat([past, x_BDL], 2)
    exact = torch.promote_types(x_BDL.dtype, torch.float32)
    y_BDL = torch.zeros_like(x_BDL[..., width - 1 :], dtype=exact)
    for j in range(width):
        start = width - 1 - j
        y_BDL = y_BDL + h_DW[:, j, None].to(exact) * x_BDL[..., start : start + length]
    return y_BDL.to(x_BDL.dtype)
