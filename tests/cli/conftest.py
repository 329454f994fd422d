"""A tiny checkpoint, a tiny genome, and the command line to ask with."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from cli.asking import RECIPE, Run, save
from hyena_glt.cli import app


@pytest.fixture
def run() -> Run:
    """Return a call of the command line with a user's mistakes looked at, not raised."""

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return call


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint that nobody trained, with an opinion all the same."""
    return save(tmp_path_factory.mktemp("model") / "checkpoint", "dna")


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    """Return a FASTA file of two contigs and one of N alone."""
    path = tmp_path / "genome.fa"
    lines = [">chr1 first", "ACGTTGCATTNACGacgtRA", "CCATG", ">chr2", "TTTGGGCAC", ">gap", "NNN"]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Return a recipe whose genome is beside it."""
    genome = tmp_path / "train.fa"
    letters = torch.randint(4, (600,), generator=torch.Generator().manual_seed(0))
    genome.write_text(">chr\n" + "".join("ACGT"[i] for i in letters.tolist()) + "\n")
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace("GENOME", str(genome)))
    return path
