"""The emission algebra: one boolean mask says where patches close; two cumsums say the rest.

    inc  = cumsum(emit)
    seg  = inc - emit      patch that position t is pooled into
    read = inc - 1         latent that output t may read: the last one closed at or before t

Row position 0 is BOS and always emits, so that a latent exists before it is read. In a call that
continues a row, patches are numbered from the first that is open when the call begins, and
``read`` is -1 until it closes: the latent closed before the call is read.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor


class PatcherState(NamedTuple):
    """Where the next position of each row stands in its document."""

    position: Int[Tensor, " B"]  # row positions read so far; 0 means that BOS comes next
    block_count: Int[Tensor, " B"]  # patches closed so far in the current block
    overflow: Int[Tensor, " B"]  # closes that the block's cap has merged so far
    open_bp: Int[Tensor, " B"]  # bases of the open patch, where the rule is dynamic; else 0
    past: Int[Tensor, "B past_bp"]  # the ids that the rule reaches back to; PAD before BOS
    carry: Int[Tensor, "B carried"]  # what else the rule remembers


class Emission(NamedTuple):
    """Where a stage closes patches in a call."""

    mask: Bool[Tensor, "B L"]
    capacity: int  # at least the closes of every row, and 1; no result depends on it
    overflow: Int[Tensor, " B"]  # closes of the call that a cap has merged


class Patches(NamedTuple):
    """The patches of one call, compacted to the left and padded at the row's end only."""

    seg: Int[Tensor, "B L"]
    read: Int[Tensor, "B L"]
    close: Int[Tensor, "B P"]  # index of the position that closes each patch; 0 in padding
    closed: Int[Tensor, " B"]  # patches closed in this call
    capacity: int  # P


def cut(emission: Emission) -> Patches:
    """Return the patches that ``emission`` closes."""
    emit, capacity = emission.mask, emission.capacity
    batch, length = emit.shape
    inc = emit.long().cumsum(1)
    read = inc - 1
    index = torch.arange(length, device=emit.device)
    # A close goes to its own slot; all else goes to one more slot, which is cut off.
    slot = torch.where(emit, read, capacity)
    close = torch.zeros(batch, capacity + 1, dtype=torch.long, device=emit.device)
    close = close.scatter(1, slot, index.expand(batch, length))[:, :capacity]
    return Patches(
        seg=inc - emit.long(),
        read=read,
        close=close,
        closed=inc[:, -1],
        capacity=capacity,
    )
