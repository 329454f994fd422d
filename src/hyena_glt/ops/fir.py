"""Causal depthwise convolution with an explicit filter.

    y[b, d, t] = sum_{j < W} h[d, j] * x[b, d, t - j]

``h[..., 0]`` is the current tap, everywhere and at every length. ``past`` holds the W - 1 inputs
before the call, zeros at a row's start, so that a call shorter than the filter is no special case.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def fir(
    x_BDL: Float[Tensor, "B D L"], h_DW: Float[Tensor, "D W"], past: Float[Tensor, "B D W-1"] | None
) -> Float[Tensor, "B D L"]:
    """Convolve ``x`` with ``h`` by the library's depthwise convolution."""
    width = h_DW.shape[1]
    x_BDL = F.pad(x_BDL, (width - 1, 0)) if past is None else torch.cat([past, x_BDL], 2)
    return F.conv1d(x_BDL, h_DW.flip(1)[:, None], groups=h_DW.shape[0])


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
