"""Lay the positions of each patch side by side, each at its place.

What pools a patch by mean and maximum no longer knows where in it a position stood; here place i of
a patch has channels of its own, as in Megabyte (Yu et al. 2023, arXiv:2305.07185). Places are those
of the grid on which patches close: a patch that a frame or the row's end cuts short has zeros at
the places that it lacks.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hyena_glt.patch import Patches


class Grid(NamedTuple):
    """Fixed patches: they close at base i, from 0, where (i + 1) % size_bp == frame."""

    size_bp: int
    frame: int
    step_bp: int  # bases between positions

    @property
    def places(self) -> int:
        """Positions of a patch."""
        return self.size_bp // self.step_bp

    def place(self, coordinate: Int[Tensor, "B L"]) -> Int[Tensor, "B L"]:
        """Return the place in its patch of what stands at each coordinate; of BOS, 0, it is 0."""
        place = (coordinate - 1 - self.frame) % self.size_bp // self.step_bp
        return torch.where(coordinate > 0, place, 0)


class AlignedState(NamedTuple):
    """The open patch so far."""

    h: Float[Tensor, "B N D"]  # its positions, each at its place; zeros elsewhere


def align_patches(
    h_BLD: Float[Tensor, "B L D"],
    patches: Patches,
    length: Int[Tensor, " B"],
    place: Int[Tensor, "B L"],
    places: int,
    state: AlignedState | None,
) -> tuple[Float[Tensor, "B P ND"], AlignedState | None]:
    """Return (positions side by side, next state) of the patches that this call closes.

    Channel i * D + d is channel d of the position at place i of the N ``places``; no two positions
    of a patch may have one ``place``. Zeros in padding. ``state`` None starts a row and asks for
    none back.
    """
    batch, total, dim = h_BLD.shape
    index = torch.arange(total, device=h_BLD.device)
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
    pick = patches.closed[:, None, None].expand(-1, 1, places * dim)
    return found, AlignedState(side_BPN.gather(1, pick).reshape(batch, places, dim))


def align_patches_reference(
    h_BLD: Float[Tensor, "B L D"],
    patches: Patches,
    length: Int[Tensor, " B"],
    place: Int[Tensor, "B L"],
    places: int,
) -> Float[Tensor, "B P ND"]:
    """The definition, position by position, of fresh rows. Reference for :func:`align_patches`."""
    zero = h_BLD.new_zeros(h_BLD.shape[2])
    rows = []
    for row in range(h_BLD.shape[0]):
        found = [[zero] * places for _ in range(patches.capacity)]
        for position in range(int(length[row])):
            patch = int(patches.seg[row, position])
            if patch < int(patches.closed[row]):
                found[patch][int(place[row, position])] = h_BLD[row, position]
        rows.append(torch.stack([torch.cat(each) for each in found]))
    return torch.stack(rows)
