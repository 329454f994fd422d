"""Rows of unequal length: a row's valid positions come first, padding comes after."""

import torch
from jaxtyping import Int, Shaped
from torch import Tensor


def last_positions(
    x_BDL: Shaped[Tensor, "B D L"], length: Int[Tensor, " B"], width: int
) -> Shaped[Tensor, "B D {width}"]:
    """Return each row's last ``width`` positions.

    ``x_BDL`` opens with ``width`` positions of the past, of which ``length`` valid ones follow, so
    ``length`` may be 0: the result is ``x[..., length : length + width]``, row by row.
    """
    index = length[:, None] + torch.arange(width, device=x_BDL.device)
    return x_BDL.gather(2, index[:, None, :].expand(-1, x_BDL.shape[1], -1))
