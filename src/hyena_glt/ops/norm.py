"""Root-mean-square normalisation.

    y = x * r * weight,        r = 1 / sqrt(mean(x**2) + eps)

over the last axis (Zhang and Sennrich 2019, arXiv:1910.07467). On a CPU the library takes it apart
into many passes and keeps ``x`` and ``x * r``; this keeps ``x`` and one number a position, and its
gradient is one pass of the library's layer norm.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def rms_norm(
    x_BLD: Float[Tensor, "*B D"], weight_D: Float[Tensor, " D"], eps: float
) -> Float[Tensor, "*B D"]:
    """Return ``x`` over its root mean square, times ``weight``, in the type of ``x``.

    On other devices, in reduced precision and in a compiled call it is the library's.
    """
    exact = x_BLD.dtype == weight_D.dtype and x_BLD.dtype in (torch.float32, torch.float64)
    if x_BLD.is_cpu and exact and not torch.compiler.is_compiling():
        return torch.as_tensor(_RMSNorm.apply(x_BLD, weight_D, eps))  # type: ignore[no-untyped-call]
    return rms_norm_reference(x_BLD, weight_D, eps)


def rms_norm_reference(
    x_BLD: Float[Tensor, "*B D"], weight_D: Float[Tensor, " D"], eps: float
) -> Float[Tensor, "*B D"]:
    """The library's. Reference for :func:`rms_norm`."""
    return F.rms_norm(x_BLD, weight_D.shape, weight_D, eps)


class _RMSNorm(torch.autograd.Function):
    """Layer norm without its mean: the library's gradient of that, about a mean of zero.

    Layer norm's also takes the mean of g = dy * weight from each gradient, as r * mean(g), which
    stays here and is given back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
        r = square.div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, r)
        y: Tensor = (x * r).mul_(weight)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight, r = ctx.saved_tensors
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False]
        dx, dweight, _ = torch.ops.aten.native_layer_norm_backward(
            dy.contiguous(),
            x.contiguous(),
            weight.shape,
            torch.zeros_like(r),
            r,
            weight,
            None,
            wanted,
        )
        if dx is not None:
            dx.addcmul_(r, torch.mv(dy.reshape(-1, len(weight)), weight).view_as(r) / len(weight))
        return dx, dweight, None
