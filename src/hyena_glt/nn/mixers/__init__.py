"""Sequence mixers: ``forward(x, span, state) -> (y, state)`` over any number of positions."""

from hyena_glt.nn.mixers.attention import Attention, AttentionState
from hyena_glt.nn.mixers.build import Mixer, MixerState, build_mixer
from hyena_glt.nn.mixers.filters import ExplicitFilter, ModalFilter
from hyena_glt.nn.mixers.hyena import Hyena, HyenaState

__all__ = [
    "Attention",
    "AttentionState",
    "ExplicitFilter",
    "Hyena",
    "HyenaState",
    "Mixer",
    "MixerState",
    "ModalFilter",
    "build_mixer",
]
