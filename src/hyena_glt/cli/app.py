"""The command line: its verbs, wired."""

import json
import os
from typing import Annotated, Literal

import typer

from hyena_glt import __version__
from hyena_glt.cli.benchmark import benchmark
from hyena_glt.cli.data import inspect, prepare
from hyena_glt.cli.demo import demo
from hyena_glt.cli.embed import embed
from hyena_glt.cli.evaluate import evaluate
from hyena_glt.cli.finetune import finetune, predict
from hyena_glt.cli.generate import generate
from hyena_glt.cli.info import info
from hyena_glt.cli.patch import MapByDefault, calibrate, draw
from hyena_glt.cli.rank import rank
from hyena_glt.cli.score import fasta
from hyena_glt.cli.score_saturation import saturation
from hyena_glt.cli.score_vcf import vcf
from hyena_glt.cli.sweep import sweep
from hyena_glt.cli.train import train
from hyena_glt.cli.verbs import Verbs

app = typer.Typer(
    cls=Verbs,
    add_completion=False,
    no_args_is_help=True,
    # A traceback is for defects of ours, and then Python's own is best.
    pretty_exceptions_enable=False,
)
score_app = typer.Typer(no_args_is_help=True)
patch_app = typer.Typer(cls=MapByDefault)
data_app = typer.Typer(no_args_is_help=True)

app.command()(train)
app.command()(info)
app.add_typer(score_app, name="score")
score_app.command("fasta")(fasta)
score_app.command("vcf")(vcf)
score_app.command("saturation")(saturation)
app.add_typer(patch_app, name="patch")
patch_app.command("map")(draw)
patch_app.command("calibrate")(calibrate)
app.add_typer(data_app, name="data")
data_app.command()(inspect)
data_app.command()(prepare)
app.command()(finetune)
app.command()(predict)
app.command()(evaluate)
app.command()(benchmark)
app.command()(rank)
app.command()(sweep)
app.command()(embed)
app.command()(generate)


@score_app.callback()
def score() -> None:
    """Ask a model how likely sequences and variants are.

    Example: hyena-glt score fasta runs/demo/checkpoint genome.fa --out t.tsv
    """


@patch_app.callback()
def patch() -> None:
    """Draw a model's patches along sequences, or find a rule's threshold.

    Example: hyena-glt patch runs/demo/checkpoint genome.fa --out runs/map
    """


@data_app.callback()
def data() -> None:
    """Look at labelled sequences, and make them ready for training.

    Example: hyena-glt data inspect train.csv test.csv
    """


@app.command()
def schema(
    of: Annotated[
        Literal["recipe", "data", "finetune", "sweep", "suite"],
        typer.Argument(help="Of what 'train', 'data', 'finetune', 'sweep' or 'benchmark' takes."),
    ] = "recipe",
) -> None:
    """Print a JSON schema, with which editors complete and check YAML.

    Example: hyena-glt schema > recipe.schema.json
    """
    from hyena_glt import config
    from hyena_glt.config.suites import suite_schema
    from hyena_glt.config.sweep import sweep_schema

    schemas = {
        "recipe": config.recipe_schema,
        "data": config.dataset_schema,
        "finetune": config.finetune_schema,
        "sweep": sweep_schema,
        "suite": suite_schema,
    }
    typer.echo(json.dumps(schemas[of](), indent=2))


app.command()(demo)


def _show_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"hyena-glt {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def verbs(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Genome language models: single nucleotides in and out, patches inside.

    Example: hyena-glt train demo --out runs/mine
    """


def main() -> None:
    """Run the command line: exit code 0 on success, 1 on an error, 2 on wrong usage."""
    # Read when PyTorch is loaded: a thread that waits for its mate soon sleeps instead of spinning,
    # which costs a quiet machine 5 % and makes a busy one two to four times faster.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    app()
