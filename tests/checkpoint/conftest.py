"""A checkpoint of a network with live weights, as data."""

from pathlib import Path

import pytest
import torch
from hyena_glt.checkpoint import Checkpoint, Provenance
from hyena_glt.config import load_recipe
from hyena_glt.data import Region, Split
from hyena_glt.model import HyenaGLT

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def checkpoint() -> Checkpoint:
    recipe = load_recipe(
        RECIPES / "tiny.yaml", ["model.embed={exact_k: [2], hashed_k: [9], hashed_rows: 50}"]
    )
    torch.manual_seed(4)
    network = HyenaGLT(recipe.model, recipe.modality)
    weights = {name: torch.randn_like(t) for name, t in network.state_dict().items()}
    return Checkpoint(
        recipe=recipe,
        weights=weights,
        split=Split((Region("chr1", 0, 90),), (Region("chr1", 95, 100),), ()),
        provenance=Provenance(
            command="hyena-glt train é",
            data_sha256={"genome.fa": "ab"},
            steps=7,
            training_bases=700,
            validation_bits_per_base=1.9,
        ),
    )
