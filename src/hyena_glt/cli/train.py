"""``hyena-glt train``: a recipe to a checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from hyena_glt.cli.options import Device, Json, Overrides, RecipeSource
from hyena_glt.cli.verbs import EXIT_TERMINATED, command_line, show_json, show_renamed

SUMMARY = (
    "{stopped} after {steps:,} steps, {training_bases:,} bases in {seconds:.0f} s: "
    "{validation_bits_per_base:.4f} bits per base on validation (step {best_step})\n{checkpoint}"
)
TERMINATED = "terminated after {steps:,} steps; the state is saved: go on with --resume"


def train(
    recipe: RecipeSource,
    overrides: Overrides = None,
    *,
    out: Annotated[Path, typer.Option(help="The run's folder; a new one, unless --resume.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest state in --out.")
    ] = False,
    init_from: Annotated[
        Path | None, typer.Option(metavar="CKPT", help="Start from this checkpoint's weights.")
    ] = None,
    device: Device = "cpu",
    seed: Annotated[int | None, typer.Option(help="Short for seed=N.")] = None,
    as_json: Json = False,
) -> None:
    """Train a model and keep the best network by validation in OUT/checkpoint.

    A run that is stopped goes on with --resume and replays to the same bits.
    Exit code 143 after SIGTERM, with the state saved.

    Example: hyena-glt train recipes/tiny.yaml train.lr=1e-3 --out runs/tiny
    """
    from hyena_glt.api import check_device
    from hyena_glt.cli.sources import read_recipe
    from hyena_glt.train import train as run

    changes = [*(overrides or ()), *([] if seed is None else [f"seed={seed}"])]
    resolved = read_recipe(recipe, changes)
    check_device(device)
    report = run(
        resolved,
        out,
        resume=resume,
        init_from=init_from,
        device=device,
        command=command_line(),
        progress=not as_json,
    )
    terminated = report.stopped == "terminated"
    if as_json:
        show_json(report.as_dict())
    else:
        show_renamed(report.renamed_contigs)
        typer.echo((TERMINATED if terminated else SUMMARY).format_map(report.as_dict()))
    if terminated:
        raise typer.Exit(EXIT_TERMINATED)
