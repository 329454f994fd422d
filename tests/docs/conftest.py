"""A folder that looks as if the demo had run in it."""

from pathlib import Path

import pytest
import torch

from hyena_glt.checkpoint import Checkpoint, Provenance, save_checkpoint
from hyena_glt.config import load_recipe
from hyena_glt.data import Region, Split
from hyena_glt.io import Record, write_fasta
from hyena_glt.model import HyenaGLT

ROOT = Path(__file__).parents[2]


@pytest.fixture
def demo_like_folder(tmp_path: Path) -> Path:
    recipe = load_recipe(ROOT / "recipes/tiny.yaml")
    torch.manual_seed(0)
    network = HyenaGLT(recipe.model, recipe.modality)
    torch.nn.init.normal_(network.head.out.weight)
    contig = "NC_017625.1"
    run = tmp_path / "runs/demo"
    provenance = Provenance(
        command="test", data_sha256={}, steps=0, training_bases=0, validation_bits_per_base=None
    )
    parts = [(Region(contig, 100 * i, 100 * i + 90),) for i in range(3)]
    checkpoint = Checkpoint(
        recipe=recipe,
        weights=network.state_dict(),
        split=Split(*parts),
        provenance=provenance,
    )
    save_checkpoint(run / "checkpoint", checkpoint)
    write_fasta(run / "heldout.fa", [Record("held:0-400", "", "ATGGCGTACG" * 40)])
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    return tmp_path
