"""A genome of three contigs, and recipes that train on it in a fraction of a second."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hyena_glt.config import Recipe, load_recipe

REPOSITORY = Path(__file__).parents[2]
TINIER = (
    "data.window_bp=24",
    "data.split={by: contig, validation: [chr2]}",
    "data.soft_mask_weight=0.25",
    "model.embed={exact_k: [2]}",
    "model.stages.0.width=8",
    "model.stages.0.mlp_width=8",
    "model.backbone={width: 8, mlp_width: 8, layout: ML}",
    "model.mixers={M: {width: 4, group_size: 2}, L: {poles: 2, slowest: 8}}",
    "train.bases=576",  # 8 steps of 3 windows of 24 bp
    "train.batch_windows=3",
    "train.validate_every_steps=3",
    "train.validation_bases=96",
    "train.save_every_steps=2",
)

MakeRecipe = Callable[..., Recipe]


@pytest.fixture(scope="session")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Contigs rich in A, so that there is something to learn, with runs of N and of lower case."""
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    lines = []
    for name, length in (("chr1", 700), ("chr2", 300), ("chr3", 90)):
        bases = "".join(rng.choice(list("ACGT"), length, p=[0.6, 0.2, 0.1, 0.1]))
        bases = bases[:40] + "NNNNN" + bases[45:60] + bases[60:80].lower() + bases[80:]
        lines.append(f">{name}\n{bases}\n")
    path.write_text("".join(lines))
    return path


@pytest.fixture(scope="session")
def tiny(genome: Path) -> MakeRecipe:
    """recipes/tiny.yaml, made tinier, with further overrides."""

    def make(*overrides: str) -> Recipe:
        return load_recipe(
            REPOSITORY / "recipes" / "tiny.yaml", [f"data.genome={genome}", *TINIER, *overrides]
        )

    return make
