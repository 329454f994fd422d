"""The inner convolutions of the Hyena mixers."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from hyena_glt.config import LongConfig, MediumConfig, ShortConfig
from hyena_glt.nn.span import Span
from hyena_glt.ops import fir, last_positions, modal


class ExplicitFilter(nn.Module):
    """y = h * x, with one free number a tap: S, and M under a decay window.

    ``two_sided`` gives it W - 1 taps ahead, which a two-sided call adds: y[t] += sum_{j >= 1}
    ahead[j] * x[t + j], under the same window.

    With ``decay``, h[g, j] = taps[g, j] * exp(-rate[g] * j / W) and the rates run over groups from
    0.1 to 10**1.5; a skip term adds skip[d] * x[d, t]. Differs from StripedHyena 2: the window
    spans the filter's own width, not the training length, so that it decays as the paper's text
    says and no filter depends on a maximum length.
    """

    decay: Tensor | None

    def __init__(
        self,
        dim: int,
        width: int,
        group_size: int = 1,
        decay: bool = False,
        two_sided: bool = False,
    ) -> None:
        super().__init__()
        self.width = width
        self.group_size = group_size
        groups = dim // group_size
        self.taps = nn.Parameter(torch.randn(groups, width) / math.sqrt(width))
        self.ahead = None
        if two_sided:
            self.ahead = nn.Parameter(torch.randn(groups, width - 1) / math.sqrt(width))
        self.skip = nn.Parameter(torch.ones(dim)) if decay else None
        window = None
        if decay:
            rate = torch.logspace(-1, 1.5, groups)[:, None]
            window = torch.exp(-rate * torch.arange(width) / width)
        self.register_buffer("decay", window, persistent=False)

    def filter(self, two_sided: bool = False) -> Float[Tensor, "G W"]:
        """Return the taps of every group, current tap first; two-sided, the furthest ahead."""
        taps = self.taps if self.decay is None else self.taps * self.decay
        if two_sided:
            assert self.ahead is not None
            ahead = self.ahead if self.decay is None else self.ahead * self.decay[:, 1:]
            taps = torch.cat([ahead.flip(1), taps], 1)
        return taps

    def begin(self, like: Float[Tensor, "B D"]) -> Float[Tensor, "B D past"]:
        """Return the state before the first position: an empty past."""
        return like.new_zeros(*like.shape, self.width - 1)

    def forward(
        self, x_BDL: Float[Tensor, "B D L"], span: Span, state: Tensor | None
    ) -> tuple[Float[Tensor, "B D L"], Tensor | None]:
        """Return (y, the last W - 1 values of each row)."""
        taps = self.filter(span.two_sided).to(x_BDL.dtype)
        if span.two_sided:
            x_BDL = _without_padding(x_BDL, span.length)
            y_BDL = fir(x_BDL, taps, None, ahead=self.width - 1)
        else:
            y_BDL = fir(x_BDL, taps, state)
        if self.skip is not None:
            y_BDL = y_BDL + self.skip[:, None].to(x_BDL.dtype) * x_BDL
        if state is None:
            return y_BDL, None
        past, length = self.width - 1, x_BDL.shape[2]
        if span.full:
            kept = [state[..., length:], x_BDL[..., max(0, length - past) :]]
            return y_BDL, torch.cat(kept, 2)
        return y_BDL, last_positions(torch.cat([state, x_BDL], 2), span.length, past)


class ModalFilter(nn.Module):
    """y = h * x + skip * x, with h[d, t] = sum_n residue[d, n] * exp(-rate[d, n] * t): L.

    Time constants 1 / rate start log-uniform from 1 to ``slowest`` positions in every channel.
    Differs from StripedHyena 2, whose constants start between 27 and 272. ``two_sided`` gives it a
    second set, which a two-sided call adds: y[d, t] += sum_{j >= 1} h'[d, j - 1] * x[d, t + j].
    """

    def __init__(self, dim: int, config: LongConfig, two_sided: bool = False) -> None:
        super().__init__()
        self.chunk = config.chunk
        constant = torch.logspace(0, math.log10(config.slowest), config.poles)
        # Each exponential starts with the same expected energy: sum_t pole**2t = 1 / (1 - pole**2).
        energy = 1 / (1 - torch.exp(-2 / constant))
        scale = torch.rsqrt(energy * config.poles)
        self.log_rate = nn.Parameter(-constant.log().repeat(dim, 1))
        self.residue = nn.Parameter(torch.randn(dim, config.poles) * scale)
        self.skip = nn.Parameter(torch.ones(dim))
        self.log_rate_ahead = self.residue_ahead = None
        if two_sided:
            self.log_rate_ahead = nn.Parameter(self.log_rate.detach().clone())
            self.residue_ahead = nn.Parameter(torch.randn(dim, config.poles) * scale)

    def log_pole(self) -> Float[Tensor, "D N"]:
        """Return the logarithm of the poles, negative: they are in (0, 1) whatever is learned."""
        return -torch.exp(_exact(self.log_rate))

    def begin(self, like: Float[Tensor, "B D"]) -> Float[Tensor, "B D N"]:
        """Return the state before the first position, in fp32 at least."""
        return _exact(like.new_zeros(*like.shape, self.residue.shape[1]))

    def forward(
        self, x_BDL: Float[Tensor, "B D L"], span: Span, state: Tensor | None
    ) -> tuple[Float[Tensor, "B D L"], Tensor | None]:
        """Return (y, state after each row's last position), which is in fp32 at least."""
        with torch.autocast(x_BDL.device.type, enabled=False):
            y_BDL, state = modal(
                x_BDL, self.log_pole(), _exact(self.residue), state, span.length, self.chunk
            )
            if span.two_sided:
                y_BDL = y_BDL + self._from_ahead(_without_padding(x_BDL, span.length))
            y_BDL = y_BDL + self.skip[:, None].to(x_BDL.dtype) * x_BDL
        return y_BDL, state

    def _from_ahead(self, x_BDL: Float[Tensor, "B D L"]) -> Float[Tensor, "B D L"]:
        """Return what the positions after each add: the filter, run from the row's end."""
        assert self.log_rate_ahead is not None
        assert self.residue_ahead is not None
        turned = F.pad(x_BDL[..., 1:], (0, 1)).flip(2)
        log_pole, residue = -torch.exp(_exact(self.log_rate_ahead)), _exact(self.residue_ahead)
        return modal(turned, log_pole, residue, None, chunk=self.chunk)[0].flip(2)


Filter = ExplicitFilter | ModalFilter


def build_filter(
    config: ShortConfig | MediumConfig | LongConfig, dim: int, two_sided: bool
) -> Filter:
    """Return the filter of a Hyena mixer's config."""
    if isinstance(config, ShortConfig):
        return ExplicitFilter(dim, config.width, two_sided=two_sided)
    if isinstance(config, MediumConfig):
        return ExplicitFilter(dim, config.width, config.group_size, True, two_sided)
    return ModalFilter(dim, config, two_sided)


def _without_padding(
    x_BDL: Float[Tensor, "B D L"], length: Int[Tensor, " B"]
) -> Float[Tensor, "B D L"]:
    """Return ``x_BDL`` with zeros after each row's end, where a two-sided filter would look."""
    index = torch.arange(x_BDL.shape[2], device=x_BDL.device)
    return x_BDL.masked_fill((index >= length[:, None])[:, None], 0)


def _exact(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Return ``x`` in fp32, or in fp64 where it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
