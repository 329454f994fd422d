"""The norm before each mixer and each MLP."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hyena_glt.ops import rms_norm

NORM_EPS = 1e-6


class RMSNorm(nn.Module):
    """y = x / sqrt(mean(x**2) + eps) * weight, at each position by itself."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x_BLD: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Return y, in the type of ``x_BLD``."""
        return rms_norm(x_BLD, self.weight, NORM_EPS)
