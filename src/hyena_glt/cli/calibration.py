"""What ``hyena-glt patch calibrate`` finds and shows."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from hyena_glt.calibrate import mean_patch_bp, prepared_alone, validation_sample
from hyena_glt.calibrate.sample import emissions_of
from hyena_glt.calibrate.search import reopened
from hyena_glt.cli.patchers import alone, patch_of, read_source
from hyena_glt.config import CalibratedPatchConfig, LearnedPatchConfig, Recipe
from hyena_glt.data import open_sources
from hyena_glt.errors import RecipeError
from hyena_glt.model import HyenaGLT


def calibrate_source(source: str, kind: str | None, mean_bp: float) -> dict[str, Any]:
    """Return the number that gives a rule's patches the mean ``mean_bp``, and what hangs on it.

    The rule is ``kind``, or that of the source's first stage. The number is found on the training
    regions of the recipe or checkpoint ``source``, and tried on its validation region. Raises
    RecipeError for a rule without a number, CalibrationError where none does.
    """
    recipe, checkpoint = read_source(source)
    if kind is None:
        patch, where = _reopened(recipe, mean_bp, source), source
    else:
        patch, where = patch_of(kind, mean_bp), f"--kind {kind}"
    prepared = prepared_alone(alone(recipe, patch, where), checkpoint)
    (found,) = prepared.calibrations
    whole = prepared.recipe
    network = HyenaGLT(whole.model, whole.modality)
    prepared.fill(network)
    with tempfile.TemporaryDirectory() as cache:
        fresh = validation_sample(whole, open_sources(whole, Path(cache)), network)
        fresh_bp = mean_patch_bp(emissions_of(network.patchers, fresh)[0])
    return {
        "source": source,
        **asdict(found),
        "fresh_mean_bp": fresh_bp,
        "fresh_sample_bp": fresh.bases,
        "patch": whole.model.stages[0].patch.model_dump(mode="json"),
    }


def show_calibration(found: Mapping[str, Any]) -> None:
    """Print the number, and how the mean patch moves with it."""
    table = Table(title=f"{found['kind']} patches of {found['wanted_bp']:g} bp")
    table.add_column(found["number"], justify="right")
    table.add_column("mean patch, bp", justify="right")
    table.add_column("measured on")
    bases = f"{found['sample_bp']:,} training bases"
    rows = [(value, mean_bp, bases) for value, mean_bp in found["sensitivity"]]
    rows.append((found["value"], found["mean_bp"], bases))
    for value, mean_bp, where in sorted(rows):
        bold = "bold" if value == found["value"] else ""
        table.add_row(f"{value:.6g}", f"{mean_bp:.3f}", where, style=bold)
    fresh = f"{found['fresh_sample_bp']:,} validation bases"
    table.add_row(f"{found['value']:.6g}", f"{found['fresh_mean_bp']:.3f}", fresh, style="bold")
    Console().print(table)
    if found["number"] == "merges":
        typer.echo("how many byte pairs are merged; the merges themselves are in --json")
    else:
        limits = ", ".join(f"{name}: {found['patch'][name]}" for name in ("min_bp", "max_bp"))
        typer.echo(f"in a recipe: {found['number']}: {found['value']}, {limits}")


def _reopened(recipe: Recipe, mean_bp: float, source: str) -> dict[str, Any]:
    """Return the first stage's rule with its number to be found; RecipeError if it has none."""
    patch = recipe.model.stages[0].patch
    if not isinstance(patch, CalibratedPatchConfig) or isinstance(patch, LearnedPatchConfig):
        raise RecipeError(
            f"{source}: its patches are of kind {patch.kind}, which has no number to calibrate; "
            "name a rule with --kind"
        )
    return reopened(patch, mean_bp).model_dump(mode="json")
