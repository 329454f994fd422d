"""From a layout's letter to a mixer."""

from hyena_glt.config import MixersConfig
from hyena_glt.nn.mixers.attention import Attention, AttentionState
from hyena_glt.nn.mixers.filters import build_filter
from hyena_glt.nn.mixers.hyena import Hyena, HyenaState

Mixer = Hyena | Attention
MixerState = HyenaState | AttentionState


def build_mixer(
    letter: str, dim: int, config: MixersConfig, spacing_bp: int, two_sided: bool = False
) -> Mixer:
    """Return the mixer of ``letter``; neighbouring positions are ``spacing_bp`` apart at least.

    ``two_sided`` gives it the parameters that a two-sided call needs; attention needs none.
    """
    if letter == "A":
        return Attention(dim, config.A, spacing_bp)
    if letter == "S":
        return Hyena(dim, build_filter(config.S, dim, two_sided), two_sided)
    if letter == "M":
        return Hyena(dim, build_filter(config.M, dim, two_sided), two_sided)
    if letter == "L":
        return Hyena(dim, build_filter(config.L, dim, two_sided), two_sided)
    raise ValueError(f"no mixer has the letter {letter!r}")
