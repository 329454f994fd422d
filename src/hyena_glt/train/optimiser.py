"""Which parameters move how, and how fast."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hyena_glt.config import TrainConfig
from hyena_glt.model import HyenaGLT
from hyena_glt.train.muon import Muon


def parameter_groups(network: HyenaGLT) -> tuple[list[Tensor], list[Tensor]]:
    """Return (matrices, all else).

    Matrices are the weights of linear layers inside the hierarchy: they decay and may go to Muon.
    Filters, poles, norms, gates, biases, embeddings, tables and the head's weights don't decay.
    """
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    inside = {id(p) for p in network.hierarchy.parameters()}
    linear = {id(m.weight) for m in network.modules() if isinstance(m, nn.Linear)}
    for parameter in network.parameters():
        is_matrix = id(parameter) in inside and id(parameter) in linear
        (matrices if is_matrix else others).append(parameter)
    return matrices, others


def build_optimisers(network: HyenaGLT, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Return AdamW over everything, or Muon over matrices and AdamW over the rest."""
    matrices, others = parameter_groups(network)
    groups = [{"params": others, "weight_decay": 0.0}]
    if config.optimiser == "muon":
        # Jordan et al. 2024; its decay is lr * weight_decay, as AdamW's.
        muon = Muon(matrices, lr=config.muon_lr, weight_decay=config.weight_decay, momentum=0.95)
        rest = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
        return [rest, muon]
    groups.append({"params": matrices, "weight_decay": config.weight_decay})
    return [torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)]


def rate_at(config: TrainConfig, steps: int) -> Callable[[int], float]:
    """Return the function from a step's number (0-based) to its share of the peak rate."""
    warmup = math.ceil(config.warmup_fraction * steps)
    decay_start = warmup
    if config.schedule == "constant_then_decay":
        decay_start = max(warmup, steps - round(config.decay_fraction * steps))
    low = config.final_lr_fraction

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if step < decay_start:
            return 1.0
        progress = min(1.0, (step - decay_start) / max(1, steps - decay_start))
        if config.schedule == "cosine":
            return low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2
        return 1 - (1 - low) * progress

    return rate


def warm_cosine(
    optimiser: torch.optim.Optimizer, warmup_fraction: float, steps: int
) -> dict[str, Any]:
    """Return the optimiser and its rates, as Lightning takes them: warm-up, a cosine to zero."""
    warmup = math.ceil(warmup_fraction * steps)

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        return (1 + math.cos(math.pi * progress)) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, share)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
