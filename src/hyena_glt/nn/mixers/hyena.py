"""The Hyena mixer (Ku et al. 2025, arXiv:2503.01868, eq. 1).

    q, k, v = split(conv3(x W_in))      y = (q * (h * (k * v))) W_out

The products without a sign are elementwise; ``h *`` is the inner convolution, causal or two-sided,
whose filter makes the mixer short (S), medium (M) or long (L).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hyena_glt.nn.mixers.filters import ExplicitFilter, Filter
from hyena_glt.nn.span import Span

FEATURE_WIDTH = 3


class HyenaState(NamedTuple):
    """What a Hyena mixer remembers."""

    features: Float[Tensor, "B 3*D W"]  # the last two projected values
    inner: Tensor  # the inner filter's state


class Hyena(nn.Module):
    """Gates around a convolution. Differs from the paper: q, k, v are split in blocks."""

    def __init__(self, dim: int, inner: Filter, two_sided: bool = False) -> None:
        super().__init__()
        self.project = nn.Linear(dim, 3 * dim, bias=False)
        self.features = ExplicitFilter(3 * dim, FEATURE_WIDTH, two_sided=two_sided)
        with torch.no_grad():  # starts as the identity, nearly
            self.features.taps.mul_(0.3)[:, 0].add_(1)
            if self.features.ahead is not None:
                self.features.ahead.mul_(0.3)
        self.inner = inner
        self.out = nn.Linear(dim, dim)
        nn.init.normal_(self.project.weight, std=1 / math.sqrt(dim))
        nn.init.normal_(self.out.weight, std=1 / math.sqrt(dim))
        nn.init.zeros_(self.out.bias)

    def begin(self, like: Float[Tensor, "B D"]) -> HyenaState:
        """Return the state before the first position."""
        return HyenaState(self.features.begin(like.repeat(1, 3)), self.inner.begin(like))

    def forward(
        self, x_BLD: Float[Tensor, "B L D"], span: Span, state: HyenaState | None
    ) -> tuple[Float[Tensor, "B L D"], HyenaState | None]:
        """Return (y, state); ``state`` None starts a row and asks for none back."""
        # Channel-major inside: the GEMM makes the transpose, and convolutions run along memory.
        u_BDL = torch.matmul(self.project.weight, x_BLD.mT)
        features, inner = (None, None) if state is None else state
        u_BDL, features = self.features(u_BDL, span, features)
        q_BDL, k_BDL, v_BDL = u_BDL.chunk(3, 1)
        y_BDL, inner = self.inner(k_BDL * v_BDL, span, inner)
        y_BLD = self.out((q_BDL * y_BDL).mT)
        return y_BLD, None if state is None else HyenaState(features, inner)
