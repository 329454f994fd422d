"""Blocks in a row."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hyena_glt.config import MixersConfig
from hyena_glt.config.layout import parse_layout
from hyena_glt.nn.block import Block
from hyena_glt.nn.mixers import MixerState, build_mixer
from hyena_glt.nn.span import Span

StackState = tuple[MixerState, ...]


class Stack(nn.Module):
    """The blocks that a layout spells, at one rate. An empty layout is the identity."""

    def __init__(
        self,
        layout: str,
        dim: int,
        mlp_width: int,
        mixers: MixersConfig,
        spacing_bp: int,
        activation_checkpointing: bool = False,
        two_sided: bool = False,
    ) -> None:
        super().__init__()
        self.activation_checkpointing = activation_checkpointing
        self.blocks = nn.ModuleList(
            Block(dim, mlp_width, build_mixer(letter, dim, mixers, spacing_bp, two_sided))
            for letter in parse_layout(layout)
        )

    def begin(self, like: Float[Tensor, "B D"]) -> StackState:
        """Return the state before the first position."""
        return tuple(block.begin(like) for block in self.blocks if isinstance(block, Block))

    def forward(
        self, x_BLD: Float[Tensor, "B L D"], span: Span, state: StackState | None
    ) -> tuple[Float[Tensor, "B L D"], StackState | None]:
        """Return (y, state); ``state`` None starts a row and asks for none back."""
        recompute = self.activation_checkpointing and torch.is_grad_enabled()
        befores = [None] * len(self.blocks) if state is None else state
        after = []
        for block, before in zip(self.blocks, befores, strict=True):
            if recompute:
                x_BLD, mixer_state = checkpoint(block, x_BLD, span, before, use_reentrant=False)
            else:
                x_BLD, mixer_state = block(x_BLD, span, before)
            after.append(mixer_state)
        return x_BLD, None if state is None else tuple(after)
