"""Settings of every test, and what rooms share: a small genome, recipes, a checkpoint.

The package is imported inside fixtures: this file is read before the hook that checks shapes.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import settings

if TYPE_CHECKING:
    from hyena_glt.checkpoint import Checkpoint
    from hyena_glt.config import DataConfig, Recipe
    from hyena_glt.data import Genome

# One thread: results don't depend on the machine, workers don't fight, and a fork is safe.
torch.set_num_threads(1)

# A failed assertion in the shared checks shows its values.
pytest.register_assert_rewrite("properties.checks")

# The same examples each time: a failure is a defect, not luck. Times vary on shared machines.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")

TINY = Path(__file__).parents[1] / "recipes" / "tiny.yaml"
TINIER = (
    "data.window_bp=24",
    "data.split={by: contig, validation: [chr2]}",
    "data.soft_mask_weight=0.25",
    "model.embed={exact_k: [2]}",
    "model.stages.0.width=8",
    "model.stages.0.mlp_width=8",
    "model.backbone={width: 8, mlp_width: 8, layout: ML}",
    "model.mixers={M: {width: 40, group_size: 2}, L: {poles: 2, slowest: 8}}",
    "train.bases=576",  # 8 steps of 3 windows of 24 bp
    "train.batch_windows=3",
    "train.validate_every_steps=3",
    "train.validation_bases=96",
    "train.save_every_steps=2",
)


def letters(length_bp: int, seed: int, share_of_a: float = 0.25) -> str:
    rest = (1 - share_of_a) / 3
    rng = np.random.default_rng(seed)
    return "".join(rng.choice(list("ACGT"), length_bp, p=[share_of_a, rest, rest, rest]))


@pytest.fixture
def no_shape_checks() -> Iterator[None]:
    """What checks shapes in the test run can't be compiled."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    torch.compiler.reset()
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """A file of real data by its name; the test is skipped where it isn't."""
    folder = Path(os.environ.get("HYENA_GLT_DATA", Path(__file__).parents[2] / "shared" / "data"))

    def find(name: str) -> Path:
        if not (folder / name).is_file():
            pytest.skip(f"needs {name}: name the folder that holds it in HYENA_GLT_DATA")
        return folder / name

    return find


@pytest.fixture(scope="session")
def small_fasta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Contigs rich in A, so that there is something to learn, with runs of N and of lower case."""
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    records = []
    for seed, (name, length_bp) in enumerate({"chr1": 700, "chr2": 300, "chr3": 90}.items()):
        bases = letters(length_bp, seed, share_of_a=0.7)
        bases = bases[:40] + "NNNNN" + bases[45:60] + bases[60:80].lower() + bases[80:]
        records.append(f">{name}\n{bases}\n")
    path.write_text("".join(records))
    return path


@pytest.fixture(scope="session")
def tiny(small_fasta: Path) -> "Callable[..., Recipe]":
    """recipes/tiny.yaml, made tinier, with further overrides."""

    def make(*overrides: str) -> "Recipe":
        from hyena_glt.config import load_recipe

        return load_recipe(TINY, [f"data.genome={small_fasta}", *TINIER, *overrides])

    return make


@pytest.fixture
def make_genome(tmp_path: Path) -> "Callable[..., Genome]":
    """A genome of contigs given by their letters or by their length."""

    def make(**contigs: str | int) -> "Genome":
        from hyena_glt.data import open_genome
        from hyena_glt.tokenize import alphabet

        records = [
            f">{name} of the test\n{bases if isinstance(bases, str) else letters(bases, seed)}\n"
            for seed, (name, bases) in enumerate(contigs.items())
        ]
        (tmp_path / "genome.fa").write_text("".join(records))
        return open_genome(str(tmp_path / "genome.fa"), alphabet("dna"), tmp_path / "cache")[0]

    return make


@pytest.fixture
def make_config() -> "Callable[..., DataConfig]":
    """A data section of windows of 10 bp, with further settings."""

    def make(**changes: object) -> "DataConfig":
        from hyena_glt.config import DataConfig

        split = {"by": "contig", "validation": ["chr2"]}
        return DataConfig.model_validate(
            {"genome": "genome.fa", "window_bp": 10, "split": split, **changes}
        )

    return make


@pytest.fixture
def checkpoint() -> "Checkpoint":
    """A checkpoint of a network with live weights, as data."""
    from hyena_glt.checkpoint import Checkpoint, Provenance
    from hyena_glt.config import load_recipe
    from hyena_glt.data import Region, Split
    from hyena_glt.model import HyenaGLT

    recipe = load_recipe(TINY, ["model.embed={exact_k: [2], hashed_k: [9], hashed_rows: 50}"])
    torch.manual_seed(4)
    network = HyenaGLT(recipe.model, recipe.modality)
    return Checkpoint(
        recipe=recipe,
        weights={name: torch.randn_like(t) for name, t in network.state_dict().items()},
        splits={"genome.fa": Split((Region("chr1", 0, 90),), (Region("chr1", 95, 100),), ())},
        provenance=Provenance(
            command="hyena-glt train é",
            data_sha256={"genome.fa": "ab"},
            steps=7,
            training_bases=700,
            validation_bits_per_base=1.9,
        ),
    )
