"""Lay the positions of each patch side by side, each at its place.

What pools a patch by mean and maximum no longer knows where in it a position stood; here place i of
a patch has channels of its own, as in Megabyte (Yu et al. 2023, arXiv:2305.07185). A patch that is
shorter than others has zeros at its last places.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hyena_glt.patch import Patches


class AlignedState(NamedTuple):
    """The open patch so far."""

    h: Float[Tensor, "B N D"]  # its positions, each at its place; zeros at places to come
    length: Int[Tensor, " B"]  # its positions


def align_patches(
    h_BLD: Float[Tensor, "B L D"],
    patches: Patches,
    length: Int[Tensor, " B"],
    places: int,
    state: AlignedState | None,
) -> tuple[Float[Tensor, "B P ND"], AlignedState | None]:
    """Return (positions side by side, next state) of the patches that this call closes.

    Channel i * D + d is channel d of the position at place i of the N ``places``; no patch may have
    more positions than that. Zeros in padding. ``state`` None starts a row and asks for none back.
    """
    batch, total, dim = h_BLD.shape
    index = torch.arange(total, device=h_BLD.device)
    opened = torch.zeros_like(length) if state is None else -state.length
    starts = torch.cat([opened[:, None], patches.close + 1], 1)
    place = index - starts.gather(1, patches.seg)
    # One patch more takes the open tail of a row that closes P patches, one place more the padding.
    end = (patches.capacity + 1) * places
    slot = torch.where(index < length[:, None], patches.seg * places + place, end)
    wide = slot[..., None].expand(-1, -1, dim)
    h_BSD = h_BLD.new_zeros(batch, end + 1, dim).scatter(1, wide, h_BLD)[:, :-1]
    if state is not None:
        h_BSD = torch.cat([h_BSD[:, :places] + state.h, h_BSD[:, places:]], 1)
    side_BPN = h_BSD.reshape(batch, patches.capacity + 1, places * dim)
    closed = torch.arange(patches.capacity, device=h_BLD.device) < patches.closed[:, None]
    found = torch.where(closed[..., None], side_BPN[:, :-1], 0)
    if state is None:
        return found, None
    tail = patches.closed[:, None]
    pick = tail[..., None].expand(-1, 1, places * dim)
    rest = side_BPN.gather(1, pick).reshape(batch, places, dim)
    return found, AlignedState(rest, length - starts.gather(1, tail)[:, 0])


def align_patches_reference(
    h_BLD: Float[Tensor, "B L D"], patches: Patches, length: Int[Tensor, " B"], places: int
) -> Float[Tensor, "B P ND"]:
    """The definition, patch by patch, of fresh rows. Reference for :func:`align_patches`."""
    rows = []
    for row in range(h_BLD.shape[0]):
        found = []
        for j in range(patches.capacity):
            inside = patches.seg[row, : int(length[row])] == j
            h_nD = h_BLD[row, : int(length[row])][inside]
            if j >= int(patches.closed[row]):
                h_nD = h_nD[:0]
            missing = h_BLD.new_zeros(places - len(h_nD), h_BLD.shape[2])
            found.append(torch.cat([h_nD, missing]).flatten())
        rows.append(torch.stack(found))
    return torch.stack(rows)
