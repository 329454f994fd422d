"""Takes positions of one rate; gives positions of the same rate: mixers, blocks and stacks."""

from hyena_glt.nn.block import Block, GatedMLP
from hyena_glt.nn.mixers import Attention, Hyena, build_mixer
from hyena_glt.nn.norm import RMSNorm
from hyena_glt.nn.span import Span
from hyena_glt.nn.stack import Stack
from hyena_glt.nn.state import (
    detached_state,
    join_rows,
    named_tensors,
    put_rows,
    select_rows,
    state_bytes,
    state_tensors,
    with_tensors,
)

__all__ = [
    "Attention",
    "Block",
    "GatedMLP",
    "Hyena",
    "RMSNorm",
    "Span",
    "Stack",
    "build_mixer",
    "detached_state",
    "join_rows",
    "named_tensors",
    "put_rows",
    "select_rows",
    "state_bytes",
    "state_tensors",
    "with_tensors",
]
