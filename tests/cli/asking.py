"""Asking the command line, and what to ask it about."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from typer.testing import Result

from hyena_glt.checkpoint import Checkpoint, Provenance, save_checkpoint
from hyena_glt.config import recipe_from
from hyena_glt.data import Region, Split
from hyena_glt.model import HyenaGLT

Run = Callable[..., Result]
RECIPE = """
name: tiny
seed: 1
modality: dna
data:
  genome: GENOME
  window_bp: 64
  split: {by: fraction, validation: 0.2, heldout: 0, guard_bp: 0}
model:
  embed: {exact_k: [2]}
  stages:
    - {width: 16, mlp_width: 16, encoder: S, patch: {kind: fixed, size_bp: 3}, decoder: S}
  backbone: {width: 16, mlp_width: 16, layout: SM}
train: {bases: 512, batch_windows: 2, validate_every_steps: 2, validation_bases: 64}
"""


def save(
    folder: Path, modality: str, direction: str = "causal", *, gate: float = 0.0, **model: Any
) -> Path:
    """Save an untrained network of ``modality`` in ``folder``; ``model`` is said of its recipe.

    Its ``gate`` is shut, as training finds it: what patches say is then left out.
    """
    data = yaml.safe_load(RECIPE)
    data["modality"] = modality
    data["model"] |= {"direction": direction, **model}
    if direction == "bidirectional":
        data["objective"] = {"kind": "masked"}
    if modality == "protein":
        data["model"]["embed"] = {}
        data["data"]["reverse_complement"] = False
    if any(stage["patch"]["kind"] == "track" for stage in data["model"]["stages"]):
        data["side_information"] = True
        data["data"]["track"] = "TRACK"
    recipe = recipe_from(data, "test")
    torch.manual_seed(0)
    network = HyenaGLT(recipe.model, recipe.modality)
    torch.nn.init.normal_(network.head.out.weight)
    torch.nn.init.constant_(network.hierarchy.gate, gate)
    if network.entropy is not None:
        network.entropy.fit([np.frombuffer(b"ACGTTGCATTTACGACG" * 20, np.uint8)])
    provenance = Provenance(
        command="none",
        data_sha256={},
        steps=3,
        training_bases=99,
        validation_bits_per_base=1.9,
    )
    splits = {"GENOME": Split((Region("chr", 0, 9),), (), ())}
    weights = network.state_dict()
    save_checkpoint(
        folder, Checkpoint(recipe=recipe, weights=weights, splits=splits, provenance=provenance)
    )
    return folder
