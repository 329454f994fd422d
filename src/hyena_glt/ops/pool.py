"""Pool the positions of each patch: mean and max.

Patches are contiguous. A call's first patch may have been open when the call began: its sum,
maximum and count so far come in with ``state``. The patch that is open when the call ends goes out
with the next state and never reaches the backbone.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hyena_glt.patch import Patches


class PoolState(NamedTuple):
    """The open patch so far."""

    total: Float[Tensor, "B D"]
    maximum: Float[Tensor, "B D"]  # -inf while the patch is empty
    length: Int[Tensor, " B"]  # its positions


def pool_patches(
    h_BLD: Float[Tensor, "B L D"],
    patches: Patches,
    length: Int[Tensor, " B"],
    state: PoolState | None,
) -> tuple[Float[Tensor, "B P D"], Float[Tensor, "B P D"], PoolState | None]:
    """Return (mean, max, next state) of the patches that this call closes; zeros in padding.

    ``state`` None starts a row and asks for no state back.
    """
    batch, total, dim = h_BLD.shape
    index = torch.arange(total, device=h_BLD.device)
    # One slot more takes the open tail of a row that closes P patches, one more the padding.
    slots = patches.capacity + 2
    slot = torch.where(index < length[:, None], patches.seg, slots - 1)
    wide = slot[..., None].expand(-1, -1, dim)
    totals = h_BLD.new_zeros(batch, slots, dim).scatter_add(1, wide, h_BLD)
    maxima = h_BLD.new_full((batch, slots, dim), -torch.inf)
    maxima = maxima.scatter_reduce(1, wide, h_BLD, "amax")
    counts = torch.zeros(batch, slots, dtype=torch.long, device=h_BLD.device)
    counts = counts.scatter_add(1, slot, torch.ones_like(slot))
    if state is not None:
        totals = torch.cat([totals[:, :1] + state.total[:, None], totals[:, 1:]], 1)
        maxima = torch.cat([torch.maximum(maxima[:, :1], state.maximum[:, None]), maxima[:, 1:]], 1)
        counts = torch.cat([counts[:, :1] + state.length[:, None], counts[:, 1:]], 1)
    closed = torch.arange(patches.capacity, device=h_BLD.device) < patches.closed[:, None]
    mean = totals[:, : patches.capacity] / counts[:, : patches.capacity, None].clamp(min=1)
    mean = torch.where(closed[..., None], mean, 0)
    maximum = torch.where(closed[..., None], maxima[:, : patches.capacity], 0)
    if state is None:
        return mean, maximum, None
    tail = patches.closed[:, None]
    pick = tail[..., None].expand(-1, 1, dim)
    after = PoolState(
        totals.gather(1, pick)[:, 0], maxima.gather(1, pick)[:, 0], counts.gather(1, tail)[:, 0]
    )
    return mean, maximum, after


def pool_patches_reference(
    h_BLD: Float[Tensor, "B L D"], patches: Patches, length: Int[Tensor, " B"]
) -> tuple[Float[Tensor, "B P D"], Float[Tensor, "B P D"]]:
    """The definition, patch by patch, of fresh rows. Reference for :func:`pool_patches`."""
    zero = h_BLD.new_zeros(h_BLD.shape[2])
    means, maxima = [], []
    for row in range(h_BLD.shape[0]):
        mean, maximum = [], []
        for j in range(patches.capacity):
            if j < int(patches.closed[row]):
                inside = patches.seg[row, : int(length[row])] == j
                h_nD = h_BLD[row, : int(length[row])][inside]
                mean.append(h_nD.mean(0))
                maximum.append(h_nD.amax(0))
            else:
                mean.append(zero)
                maximum.append(zero)
        means.append(torch.stack(mean))
        maxima.append(torch.stack(maximum))
    return torch.stack(means), torch.stack(maxima)
