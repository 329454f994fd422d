"""How well letters are predicted, wherever a position has a target."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


class Loss(NamedTuple):
    """Parts of a weighted mean. Parts of an accumulation group add up before the division."""

    nll_nats: Float[Tensor, ""]  # sum of weight * negative log-likelihood
    weight: Float[Tensor, ""]  # sum of weights


def base_loss(
    logits: Float[Tensor, "B L V"], target: Int[Tensor, "B L"], weight: Float[Tensor, "B L"]
) -> Loss:
    """Return sum(weight * nll) and sum(weight), in fp32 at least.

    The target of a position is the base that follows it in a causal row, and the base under the
    mask there in a masked one. ``target`` -1 (N, padding, a base that is seen) is outside both
    sums, whatever its weight.
    """
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    nll = F.cross_entropy(exact.flatten(0, 1), target.flatten(), ignore_index=-1, reduction="none")
    counted = torch.where(target.flatten() >= 0, weight.flatten().to(exact.dtype), 0)
    return Loss((counted * nll).sum(), counted.sum())
