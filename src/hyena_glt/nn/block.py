"""A block: x + mixer(norm(x)), then x + mlp(norm(x))."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from hyena_glt.nn.mixers import Mixer, MixerState
from hyena_glt.nn.norm import RMSNorm
from hyena_glt.nn.span import Span


class GatedMLP(nn.Module):
    """y = (silu(x W_gate) * x W_up) W_down (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(dim, 2 * width, bias=False)
        self.down = nn.Linear(width, dim, bias=False)
        nn.init.normal_(self.gate_up.weight, std=1 / math.sqrt(dim))
        nn.init.normal_(self.down.weight, std=1 / math.sqrt(width))

    def forward(self, x_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return y at each position by itself."""
        gate, up = self.gate_up(x_BLD).chunk(2, -1)
        return torch.as_tensor(self.down(F.silu(gate) * up))


class Block(nn.Module):
    """Mix positions, then channels."""

    def __init__(self, dim: int, mlp_width: int, mixer: Mixer) -> None:
        super().__init__()
        self.mixer_norm = RMSNorm(dim)
        self.mixer = mixer
        self.mlp_norm = RMSNorm(dim)
        self.mlp = GatedMLP(dim, mlp_width)

    def begin(self, like: Float[Tensor, "B D"]) -> MixerState:
        """Return the mixer's state before the first position."""
        return self.mixer.begin(like)

    def forward(
        self, x_BLD: Float[Tensor, "B L D"], span: Span, state: MixerState | None
    ) -> tuple[Float[Tensor, "B L D"], MixerState | None]:
        """Return (y, the mixer's state)."""
        mixed, state = self.mixer(self.mixer_norm(x_BLD), span, state)
        x_BLD = x_BLD + mixed
        return x_BLD + self.mlp(self.mlp_norm(x_BLD)), state
