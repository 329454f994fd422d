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
BothStrands = Annotated[
    bool | None,
    typer.Option(
        "--both-strands/--one-strand",
        help="The mean of a sequence and its other strand; default: what the recipe's rc says.",
        show_default=False,
    ),
]
Genome = Annotated[
    Path,
    typer.Option(
        help="The genome: FASTA, plain or bgzip (an index is written beside it), or 2bit."
    ),
]
WindowBp = Annotated[
    int,
    typer.Option(min=1, help="Bases of the window around REF, cut at the ends of a contig."),
]
Circular = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A contig whose end joins its start; may be repeated."),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad",
        help="Leave out intervals that aren't on the genome, and list them, instead of stopping.",
    ),
]
