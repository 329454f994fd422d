"""Takes logits, targets and weights; gives a sum and the weight it is to be divided by."""

from hyena_glt.objective.causal import Loss, next_base_loss

__all__ = ["Loss", "next_base_loss"]
