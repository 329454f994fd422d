"""Takes logits, targets and weights; gives sums, and the shares in which they make the loss."""

from hyena_glt.objective.likelihood import Loss, base_loss
from hyena_glt.objective.shares import kind_shares, named_bits

__all__ = ["Loss", "base_loss", "kind_shares", "named_bits"]
