"""The wheel carries what an installed package needs."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_the_wheel_brings_the_genome_its_genes_and_the_recipe(unpacked: Path) -> None:
    package = unpacked / "hyena_glt"
    for name in (
        "py.typed",
        "demo/data/ecoli_dh1.2bit",
        "demo/data/ecoli_dh1.genes.gff3.gz",
        "demo/data/PROVENANCE.json",
        "demo/recipes/demo.yaml",
    ):
        assert (package / name).read_bytes() == (ROOT / "src/hyena_glt" / name).read_bytes()


@pytest.mark.slow
def test_the_demo_recipe_is_found_from_the_wheel_alone(unpacked: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hyena_glt.cli", "info", "demo", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert '"parameters"' in done.stdout
