"""Another rule's patches have the mean asked for, however the recipe is trained."""

import json
from pathlib import Path

import pytest

from cli.asking import Run
from cli.test_patch import ends, long_fasta
from hyena_glt.cli.patchers import alone, patch_of
from hyena_glt.config import CalibratedPatchConfig, load_recipe

SHORTER = "{window_schedule: [{window_bp: 16, until: 0.5}], "
SEGMENTS = "{segment_bp: 16, segment_gradient: truncated, "


def changed(recipe: Path, *changes: tuple[str, str]) -> Path:
    text = recipe.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    recipe.write_text(text)
    return recipe


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "train"), [("bpe", SEGMENTS), ("budget", SHORTER)])
def test_another_rule_is_drawn_however_a_recipe_is_trained(
    kind: str, train: str, run: Run, recipe: Path, fasta: Path, tmp_path: Path
) -> None:
    changed(recipe, ("train: {", f"train: {train}"))
    command = ("patch", recipe, fasta, "--out", tmp_path / "map", "--kind", kind)
    result = run(*command, "--mean-bp", {"bpe": 2, "budget": 6}[kind])
    assert result.exit_code == 0, result.output
    assert ends(tmp_path / f"map/patches.{kind}.bed", "chr1")[-1] == 25


@pytest.mark.parametrize("kind", ["entropy", "entropy_jump", "entropy_dual", "budget"])
def test_limits_go_with_the_mean_and_are_the_kinds_own_for_6(kind: str, recipe: Path) -> None:
    changed(recipe, ("window_bp: 64", "window_bp: 256"))

    def limits(mean_bp: float) -> tuple[int, int]:
        found = alone(load_recipe(recipe), patch_of(kind, mean_bp), "test").model.stages[0].patch
        assert isinstance(found, CalibratedPatchConfig)
        assert found.mean_bp == mean_bp
        return found.min_bp, found.max_bp

    least_bp = 3 if kind == "budget" else 2
    assert limits(6.0) == (least_bp, 24)
    assert limits(30.0) == (least_bp, 120)
    assert limits(100.0) == (least_bp, 256)  # no longer than a window
    assert limits(1.5) == (1, 24)


def test_a_rules_own_limits_stay(recipe: Path) -> None:
    whole = load_recipe(recipe)
    patch = {"kind": "entropy", "mean_bp": 9.0, "min_bp": 2, "max_bp": 11}
    found = alone(whole, patch, "test").model.stages[0].patch
    assert isinstance(found, CalibratedPatchConfig)
    assert (found.min_bp, found.max_bp) == (2, 11)


@pytest.mark.slow
@pytest.mark.parametrize("mean_bp", [2, 40])
def test_short_and_long_means_are_calibrated_and_shown_with_their_limits(
    mean_bp: int, run: Run, recipe: Path, tmp_path: Path
) -> None:
    genome = long_fasta(tmp_path / "long.fa", 20_000)
    changed(recipe, (str(tmp_path / "train.fa"), str(genome)), ("window_bp: 64", "window_bp: 256"))
    command = ("patch", "calibrate", recipe, "--kind", "budget", "--mean-bp", mean_bp)
    found = run(*command, "--json")
    assert found.exit_code == 0, found.output
    calibration = json.loads(found.stdout)
    assert calibration["mean_bp"] == pytest.approx(mean_bp, rel=0.02)
    limits = {2: "min_bp: 1, max_bp: 24", 40: "min_bp: 3, max_bp: 160"}[mean_bp]
    assert f"budget_bits: {calibration['value']}, {limits}" in run(*command).stdout
