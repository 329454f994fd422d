"""A mixture reads each genome in its share, evenly, and keeps their parts apart."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hyena_glt.config import Recipe
from hyena_glt.data import (
    Region,
    Window,
    held_windows,
    open_sources,
    splits_of,
    training_windows,
)
from hyena_glt.errors import RecipeError
from hyena_glt.tokenize import decode

MakeRecipe = Callable[..., Recipe]
BY_CONTIG = "{by: contig, validation: [v]}"


@pytest.fixture
def fasta(tmp_path: Path) -> Callable[..., str]:
    """Write a genome whose contigs hold one letter each; return its path."""

    def write(name: str, **contigs: str) -> str:
        text = "".join(f">{contig}\n{letters}\n" for contig, letters in contigs.items())
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def mixture(*sources: str) -> list[str]:
    settings = ["data.genome=null", "data.split=null", "data.reverse_complement=false"]
    return [*settings, f"data.mixture=[{', '.join(sources)}]"]


def source(genome: str, weight: float, split: str = BY_CONTIG, contigs: str = "null") -> str:
    return f"{{genome: {genome}, weight: {weight}, split: {split}, contigs: {contigs}}}"


def letter(window: Window) -> str:
    return decode(window.ids)[0]


@pytest.fixture
def recipe(tiny: MakeRecipe, fasta: Callable[..., str]) -> Recipe:
    one = fasta("one.fa", t="A" * 100, v="C" * 400)
    other = fasta("other.fa", t="G" * 240, v="T" * 400)
    return tiny(*mixture(source(one, 3), source(other, 1)), "train.validation_bases=192")


@pytest.mark.slow
def test_windows_are_drawn_by_weight_from_the_seed_and_the_index_alone(
    recipe: Recipe, tmp_path: Path
) -> None:
    sources = open_sources(recipe, tmp_path / "cache")
    windows = training_windows(sources, recipe, 2000)
    letters = "".join(letter(windows[i]) for i in range(2000))
    assert len(windows) == 2000
    assert Counter(letters)["A"] == pytest.approx(1500, abs=70)
    assert set(letters) == {"A", "G"}
    shorter = training_windows(sources, recipe, 500)
    assert "".join(letter(shorter[i]) for i in reversed(range(500)))[::-1] == letters[:500]
    other_seed = recipe.model_copy(update={"seed": 2})
    others = training_windows(sources, other_seed, 500)
    assert "".join(letter(others[i]) for i in range(500)) != letters[:500]


def test_within_a_genome_every_base_is_read_evenly(
    tiny: MakeRecipe, fasta: Callable[..., str], tmp_path: Path
) -> None:
    """A genome of ten windows, whose letters say which: each pass over it reads all of them."""
    blocks = {f"t{i}": "ACGTRYSWKM"[i] * 24 for i in range(10)}
    one = fasta("one.fa", **blocks, v="C" * 40)
    other = fasta("other.fa", t="N" * 100, v="T" * 40)
    recipe = tiny(*mixture(source(one, 1), source(other, 2)))
    windows = training_windows(open_sources(recipe, tmp_path / "cache"), recipe, 300)
    letters = [letter(windows[i]) for i in range(300)]
    of_one = [found for found in letters if found != "N"]
    assert len(of_one) > 60
    for start in range(0, len(of_one) - 10, 10):
        assert set(of_one[start : start + 10]) == set("ACGTRYSWKM")


def test_validation_gives_each_genome_its_share_of_the_bases(
    recipe: Recipe, tmp_path: Path
) -> None:
    held = held_windows(open_sources(recipe, tmp_path / "cache"), recipe)
    assert Counter(letter(window) for window in held) == {"C": 6, "T": 2}


def test_parts_are_named_by_genome_and_one_genome_may_stand_twice(
    tiny: MakeRecipe, fasta: Callable[..., str], tmp_path: Path
) -> None:
    path = fasta("one.fa", a="A" * 100, v="C" * 30, b="G" * 200, w="T" * 30)
    halves = [
        source(path, 1, contigs="[a, v]"),
        source(path, 1, "{by: contig, validation: [w]}", "[b, w]"),
    ]
    sources = open_sources(tiny(*mixture(*halves)), tmp_path / "cache")
    (split,) = splits_of(sources).values()
    assert split.train == (Region("a", 0, 100), Region("b", 0, 200))
    assert split.validation == (Region("v", 0, 30), Region("w", 0, 30))


def test_one_file_under_two_names_is_refused(
    tiny: MakeRecipe, fasta: Callable[..., str], tmp_path: Path
) -> None:
    contigs: dict[str, Any] = {"t": "A" * 100, "v": "C" * 30}
    one, other = fasta("one.fa", **contigs), fasta("other.fa", **contigs)
    with pytest.raises(RecipeError, match=r"one\.fa and .*other\.fa hold the same bytes"):
        open_sources(tiny(*mixture(source(one, 1), source(other, 1))), tmp_path / "cache")
