"""The inner convolutions of the Hyena mixers."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hyena_glt.config import LongConfig, MediumConfig, ShortConfig
from hyena_glt.ops import fir, last_positions, modal


class ExplicitFilter(nn.Module):
    """y = h * x, with one free number a tap: S, and M under a decay window.

    With ``decay``, h[g, j] = taps[g, j] * exp(-rate[g] * j / W) and the rates run over groups from
    0.1 to 10**1.5; a skip term adds skip[d] * x[d, t]. Differs from StripedHyena 2: the window
    spans the filter's own width, not the training length, so that it decays as the paper's text
    says and no filter depends on a maximum length.
    """

    decay: Tensor | None

    def __init__(self, dim: int, width: int, group_size: int = 1, decay: bool = False) -> None:
        super().__init__()
        self.width = width
        self.group_size = group_size
        groups = dim // group_size
        self.taps = nn.Parameter(torch.randn(groups, width) / math.sqrt(width))
        self.skip = nn.Parameter(torch.ones(dim)) if decay else None
        window = None
        if decay:
            rate = torch.logspace(-1, 1.5, groups)[:, None]
            window = torch.exp(-rate * torch.arange(width) / width)
        self.register_buffer("decay", window, persistent=False)

    def filter(self) -> Float[Tensor, "D W"]:
        """Return the taps of every channel, current tap first."""
        taps = self.taps if self.decay is None else self.taps * self.decay
        return taps.repeat_interleave(self.group_size, 0)

    def begin(self, like: Float[Tensor, "B D"]) -> Float[Tensor, "B D past"]:
        """Return the state before the first position: an empty past."""
        return like.new_zeros(*like.shape, self.width - 1)

    def forward(
        self, x_BDL: Float[Tensor, "B D L"], length: Int[Tensor, " B"], state: Tensor | None
    ) -> tuple[Float[Tensor, "B D L"], Tensor | None]:
        """Return (y, the last W - 1 values of each row)."""
        y_BDL = fir(x_BDL, self.filter().to(x_BDL.dtype), state)
        if self.skip is not None:
            y_BDL = y_BDL + self.skip[:, None].to(x_BDL.dtype) * x_BDL
        if state is None:
            return y_BDL, None
        return y_BDL, last_positions(torch.cat([state, x_BDL], 2), length, self.width - 1)


class ModalFilter(nn.Module):
    """y = h * x + skip * x, with h[d, t] = sum_n residue[d, n] * exp(-rate[d, n] * t): L.

    Time constants 1 / rate start log-uniform from 1 to ``slowest`` positions in every channel.
    Differs from StripedHyena 2, whose constants start between 27 and 272.
    """

    def __init__(self, dim: int, config: LongConfig) -> None:
        super().__init__()
        self.chunk = config.chunk
        constant = torch.logspace(0, math.log10(config.slowest), config.poles)
        self.log_rate = nn.Parameter(-constant.log().repeat(dim, 1))
        # Each exponential starts with the same expected energy: sum_t pole**2t = 1 / (1 - pole**2).
        energy = 1 / (1 - torch.exp(-2 / constant))
        scale = torch.rsqrt(energy * config.poles)
        self.residue = nn.Parameter(torch.randn(dim, config.poles) * scale)
        self.skip = nn.Parameter(torch.ones(dim))

    def log_pole(self) -> Float[Tensor, "D N"]:
        """Return the logarithm of the poles, negative: they are in (0, 1) whatever is learned."""
        return -torch.exp(self.log_rate)

    def begin(self, like: Float[Tensor, "B D"]) -> Float[Tensor, "B D N"]:
        """Return the state before the first position, in fp32 at least."""
        exact = torch.promote_types(like.dtype, torch.float32)
        return like.new_zeros(*like.shape, self.residue.shape[1], dtype=exact)

    def forward(
        self, x_BDL: Float[Tensor, "B D L"], length: Int[Tensor, " B"], state: Tensor | None
    ) -> tuple[Float[Tensor, "B D L"], Tensor | None]:
        """Return (y, state after each row's last position); runs in fp32 at least."""
        exact = x_BDL.to(torch.promote_types(x_BDL.dtype, torch.float32))
        with torch.autocast(x_BDL.device.type, enabled=False):
            y_BDL, state = modal(exact, self.log_pole(), self.residue, state, length, self.chunk)
            y_BDL = y_BDL + self.skip[:, None] * exact
        return y_BDL.to(x_BDL.dtype), state


Filter = ExplicitFilter | ModalFilter


def build_filter(config: ShortConfig | MediumConfig | LongConfig, dim: int) -> Filter:
    """Return the filter of a Hyena mixer's config."""
    if isinstance(config, ShortConfig):
        return ExplicitFilter(dim, config.width)
    if isinstance(config, MediumConfig):
        return ExplicitFilter(dim, config.width, config.group_size, decay=True)
    return ModalFilter(dim, config)
