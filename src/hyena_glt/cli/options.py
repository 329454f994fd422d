"""Arguments and options that verbs share."""

import math
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
Precision = Annotated[
    Literal["fp32", "bf16"],
    typer.Option(
        help="Of matrix products; bf16 is faster where the processor has units for it, and numbers "
        "differ in the third digit."
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile calls whose shape comes again and again: minutes at the start, then about a "
        "fifth faster. Needs a C++ compiler.",
    ),
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
StrideBp = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Move the ends of windows outwards to multiples of so many bases: near sites share "
        "the reading of their windows.  [default: centred windows]",
        show_default=False,
    ),
]


def _finite(number: float) -> float:
    """Refuse inf and nan, which ``min`` lets through."""
    if not math.isfinite(number):
        raise typer.BadParameter(f"found {number}, expected a number of nats; 0: exact")
    return number


TailTolerance = Annotated[
    float,
    typer.Option(
        "--tail-tolerance",
        metavar="NATS",
        min=0,
        callback=_finite,
        help="Leave a window's end unread once |ALT - REF|, summed over 64 bases, is below it; 0: "
        "exact.",
    ),
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
Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Read contigs from disk in constant memory; progress is kept in OUT.part. FASTA "
        "(plain or bgzip, an index is written beside it) or 2bit.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="With --stream: go on from OUT.part, if a run was stopped."),
]
