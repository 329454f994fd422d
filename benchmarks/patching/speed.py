"""How long a training step of each arm takes, beside the reference's, in one process."""

import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch

from hyena_glt.calibrate import prepare
from hyena_glt.data import Batch, Kind, collate, open_sources, training_windows
from hyena_glt.model import HyenaGLT
from hyena_glt.objective import base_loss
from hyena_glt.train.optimiser import build_optimisers
from patching.cells import recipe_of
from patching.plan import CANDIDATES, REFERENCE, Cell

ROUNDS = 9
GENOME = "ecoli_k12"


class Arm:
    """A network of the plan, ready to take steps on one batch."""

    def __init__(self, plan: Mapping[str, Any], phase: str, rule: str, cache: Path) -> None:
        recipe = recipe_of(plan, Cell(phase, GENOME, rule, 1), rule, None)
        sources = open_sources(recipe, cache)
        prepared = prepare(recipe, sources)
        self.network = HyenaGLT(prepared.recipe.model, recipe.modality)
        prepared.fill(self.network)
        self.optimisers = build_optimisers(self.network, recipe.train)
        rows = recipe.train.batch_windows
        windows = training_windows(sources, recipe, rows)
        batches: dict[Kind, Batch] = collate([windows[i] for i in range(rows)])
        ((self.kind, self.batch),) = batches.items()

    def step(self) -> float:
        """Take one step; return its seconds."""
        start = time.perf_counter()
        batch = self.batch
        output = self.network(batch.ids, batch.length, two_sided=self.kind == "masked")
        loss = base_loss(output.logits, batch.target, batch.weight)
        (loss.nll_nats / loss.weight).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        self.network.end_step()
        return time.perf_counter() - start


def step_speeds(plan: Mapping[str, Any], phase: str, cache: Path) -> dict[str, dict[str, float]]:
    """Return each arm's median step in seconds, and its speed over the reference's.

    One thread; arms take turns, so that what else the machine does is shared; the first round is
    not counted. A speed is the median over rounds of the ratio to the reference's step beside it.
    """
    torch.set_num_threads(1)
    rules = [
        rule
        for rule in plan["phases"][phase]["rules"]
        if f"{phase}/{GENOME}/{rule}" in plan["arms"]
    ]
    if len(rules) < len(plan["phases"][phase]["rules"]):
        rules += [rule for rule in CANDIDATES if rule not in rules]
    arms = {rule: Arm(plan, phase, rule, cache) for rule in rules}
    times = [{rule: arm.step() for rule, arm in arms.items()} for _ in range(ROUNDS + 1)][1:]
    return {
        rule: {
            "step_s": round(median(turn[rule] for turn in times), 4),
            "speed_of_reference": round(median(t[REFERENCE] / t[rule] for t in times), 4),
        }
        for rule in rules
    }
