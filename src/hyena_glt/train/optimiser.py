"""Which parameters move how, and how fast."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hyena_glt.config import TrainConfig
from hyena_glt.model import HyenaGLT
from hyena_glt.train.muon import Muon

MUON_MOMENTUM = 0.95  # Jordan et al. 2024
Groups = list[dict[str, Any]]  # of an optimiser: params, lr, weight_decay


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
        # Its decay is lr * weight_decay, as AdamW's.
        muon = Muon(
            matrices, lr=config.muon_lr, weight_decay=config.weight_decay, momentum=MUON_MOMENTUM
        )
        rest = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
        return [rest, muon]
    groups.append({"params": matrices, "weight_decay": config.weight_decay})
    return [torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)]


class Joined(torch.optim.Optimizer):
    """Optimisers that step as one, for an engine that takes one.

    Groups are theirs, in order; one that is added later would be of none of them.
    """

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = tuple(parts)
        groups = [group for part in self.parts for group in part.param_groups]
        super().__init__([{"params": group["params"]} for group in groups], {})
        self.param_groups = groups  # the same objects, so that a rate that is set here is theirs

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take a step of each, on gradients computed once; return what ``closure`` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Give each its state back."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


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


def warm_cosine(adamw: Groups, muon: Groups, warmup_fraction: float, steps: int) -> dict[str, Any]:
    """Return AdamW, joined with Muon where it has groups, and their rates, as Lightning takes them.

    Rates warm up and fall along a cosine to zero.
    """
    optimiser: torch.optim.Optimizer = torch.optim.AdamW(adamw, fused=True)
    if muon:
        optimiser = Joined([optimiser, Muon(muon, momentum=MUON_MOMENTUM)])
    warmup = math.ceil(warmup_fraction * steps)

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        return (1 + math.cos(math.pi * progress)) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, share)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
