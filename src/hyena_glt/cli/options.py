"""Arguments and options that verbs share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

RecipeSource = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A YAML file, or the name of a recipe in the package: demo."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Changes to the recipe, such as train.lr=1e-3."),
]
CheckpointFolder = Annotated[
    Path, typer.Argument(metavar="CKPT", help="A checkpoint: a folder that 'train' wrote.")
]
Device = Annotated[
    Literal["cpu", "cuda", "mps"], typer.Option(help="Where to compute; refused if it isn't there.")
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON on stdout, an error too; no progress."),
]
