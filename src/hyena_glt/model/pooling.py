"""Vectors of a row's positions to one vector a row."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hyena_glt.config.tasks import PoolingKind


class Pool(nn.Module):
    """Mean, maximum, last, or a weighed mean, over the valid positions alone.

    Attention has one learned query q: weights are softmax(x . q / sqrt(D)). The query starts at
    zero, so that attention starts as the mean. Aligned has learned weights for each of
    ``length_bp`` places, counted from a row's first valid one, and for each channel: the mean of
    w_i * x_i. Weights start at one, so that it starts as the mean, too.
    """

    def __init__(self, kind: PoolingKind, width: int, length_bp: int | None = None) -> None:
        super().__init__()
        self.kind = kind
        self.query = nn.Parameter(torch.zeros(width)) if kind == "attention" else None
        self.places: nn.Parameter | None = None
        if kind == "aligned":
            assert length_bp is not None
            self.places = nn.Parameter(torch.ones(length_bp, width))

    def forward(
        self, x_BLD: Float[Tensor, "B L D"], valid: Bool[Tensor, "B L"]
    ) -> Float[Tensor, "B D"]:
        """Return one vector a row, in fp32 at least.

        What stands where ``valid`` is false changes nothing, be it NaN, and has no gradient.
        Raises ValueError for a row without a valid position, and where aligned for one with more
        than there are places.
        """
        check_rows_have_positions(valid)
        x_BLD = x_BLD.to(torch.promote_types(x_BLD.dtype, torch.float32))
        if self.kind == "max":
            return x_BLD.masked_fill(~valid[..., None], -torch.inf).amax(1)
        if self.kind == "last":
            index = torch.arange(valid.shape[1], device=valid.device)
            last = torch.where(valid, index, -1).amax(1)
            return x_BLD.gather(1, last[:, None, None].expand(-1, 1, x_BLD.shape[2]))[:, 0]
        x_BLD = x_BLD.masked_fill(~valid[..., None], 0)
        if self.places is not None:
            x_BLD = x_BLD * self._weights(self.places, valid)
        if self.query is None:
            return x_BLD.sum(1) / valid.sum(1, keepdim=True)
        # Sums of products, not matrix products: those would be rounded under autocast.
        score = (x_BLD * self.query).sum(-1) / math.sqrt(len(self.query))
        share = score.masked_fill(~valid, -torch.inf).softmax(1)
        return (share[..., None] * x_BLD).sum(1)

    def _weights(
        self, places: Float[Tensor, "P D"], valid: Bool[Tensor, "B L"]
    ) -> Float[Tensor, "B L D"]:
        """Return the weights of each position's place; of what isn't valid, those of any."""
        place = (valid.cumsum(1) - 1).clamp(min=0)
        if not torch.compiler.is_compiling() and int(place.max()) >= len(places):
            row = int(place.amax(1).argmax())
            raise ValueError(
                f"row {row} has {int(place.max()) + 1} bases, and pooling.length_bp is "
                f"{len(places)}; raise it, or leave longer sequences out"
            )
        return nn.functional.embedding(place, places)


def check_rows_have_positions(valid: Bool[Tensor, "B L"]) -> None:
    """Raise ValueError for a row without a valid position; compiled calls don't look."""
    if torch.compiler.is_compiling():
        return
    empty = ~valid.any(1)
    if bool(empty.any()):
        row = int(empty.nonzero()[0])
        raise ValueError(f"row {row} has no valid position to pool; leave empty sequences out")
