"""Takes positions of one rate; gives positions of the same rate: mixers, blocks and stacks."""

from hyena_glt.nn.block import Block, GatedMLP
from hyena_glt.nn.mixers import Attention, Hyena, build_mixer
from hyena_glt.nn.span import Span
from hyena_glt.nn.stack import Stack
from hyena_glt.nn.state import select_rows, state_bytes

__all__ = [
    "Attention",
    "Block",
    "GatedMLP",
    "Hyena",
    "Span",
    "Stack",
    "build_mixer",
    "select_rows",
    "state_bytes",
]
