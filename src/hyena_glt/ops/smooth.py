"""Smoothing along a row: a running mean whose share of the newest value differs by position.

    y[j] = share[j] * z[j] + (1 - share[j]) * y[j - 1]

H-Net's dechunking (arXiv 2507.07955, eq. 5) without the bounds on ``share``: where it is 1 a value
stands as it is, where it is 0 the one before it goes on.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def smooth(
    z_BPE: Float[Tensor, "B P E"], share: Float[Tensor, "B P"], before: Float[Tensor, "B E"]
) -> Float[Tensor, "B P E"]:
    """Return y, with ``before`` in the place of y[-1].

    Spans of one, two, four, ... positions are joined, in log2(P) rounds; what stands at j depends
    on the values up to j alone, to the last bit.
    """
    kept, total_BPE = (1 - share)[..., None], share[..., None] * z_BPE
    reach = 1
    while reach < z_BPE.shape[1]:
        total_BPE = total_BPE + kept * F.pad(total_BPE[:, :-reach], (0, 0, reach, 0))
        kept = kept * F.pad(kept[:, :-reach], (0, 0, reach, 0), value=1.0)
        reach *= 2
    return total_BPE + kept * before[:, None]


def smooth_reference(
    z_BPE: Float[Tensor, "B P E"], share: Float[Tensor, "B P"], before: Float[Tensor, "B E"]
) -> Float[Tensor, "B P E"]:
    """The definition, value by value. Reference for :func:`smooth`."""
    found = []
    for j in range(z_BPE.shape[1]):
        here = share[:, j, None]
        before = here * z_BPE[:, j] + (1 - here) * before
        found.append(before)
    return torch.stack(found, 1)
