"""Both strands of a row: the other one, and answers about it brought back to the first.

Base i of n stands at row position i + 1; on the other strand its partner stands at n - i. BOS
stays at position 0.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def turned(length: Int[Tensor, " B"], total: int) -> Int[Tensor, "B {total}"]:
    """Return which position stands at each position once a row's bases are turned round."""
    index = torch.arange(total, device=length.device).expand(len(length), total)
    inside = (index > 0) & (index < length[:, None])
    return torch.where(inside, length[:, None] - index, index)


def other_strand(
    ids: Int[Tensor, "B L"], length: Int[Tensor, " B"], partner: Int[Tensor, " ids"]
) -> Int[Tensor, "B L"]:
    """Return the reverse complement of each row; ``partner[id]`` pairs with the letter ``id``."""
    return partner[ids.gather(1, turned(length, ids.shape[1]))]


def comes_second(ids: Int[Tensor, "B L"], other: Int[Tensor, "B L"]) -> Bool[Tensor, " B"]:
    """Return whether a row stands after its other strand in the order of their ids.

    Read in that order, a row and its reverse complement are one and the same batch, to the last
    bit of every product.
    """
    first = (ids != other).int().argmax(1, keepdim=True)
    return (ids.gather(1, first) > other.gather(1, first))[:, 0]


def join_strands(
    forward: Float[Tensor, "B L V"],
    other: Float[Tensor, "B L V"],
    length: Int[Tensor, " B"],
    partner_letter: Int[Tensor, " V"],
) -> Float[Tensor, "B L V"]:
    """Return the mean of what both strands' rows say of each base's letter.

    A sum of two is the same either way round, so that the answer for a row's reverse complement is
    the complement of the answer for the row, turned round.
    """
    index = turned(length, other.shape[1])[..., None].expand_as(other)
    return (forward + other.gather(1, index)[..., partner_letter]) / 2
