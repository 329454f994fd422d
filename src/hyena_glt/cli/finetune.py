"""``hyena-glt finetune`` and ``hyena-glt predict``: from a dataset to answers on new sequences."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyena_glt.cli.data import (
    OfGenome,
    Paths,
    SequenceColumn,
)
from hyena_glt.cli.options import Device, Json, Overrides
from hyena_glt.cli.verbs import EXIT_TERMINATED, command_line, show_json

if TYPE_CHECKING:
    from hyena_glt.finetune.multitask import MultitaskReport

Tuned = Annotated[Path, typer.Argument(metavar="CKPT", help="A folder that 'finetune' wrote.")]
Ensemble = Annotated[
    list[Path] | None,
    typer.Option(metavar="CKPT", help="Another checkpoint to average with; may come again."),
]
OtherStrand = Annotated[
    bool, typer.Option("--both-strands", help="The mean of a sequence and its other strand.")
]


def finetune(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A YAML of a fine-tuning.")],
    overrides: Overrides = None,
    *,
    out: Annotated[Path, typer.Option(help="The run's folder; a new one, unless --resume.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in OUT from its newest state.")
    ] = False,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Teach a network a task on a prepared dataset; keep the best epoch in OUT/checkpoint.

    The recipe names the dataset that 'data prepare' wrote, the checkpoint to
    begin with (or a fresh network's shape), the task, and what moves. The best
    epoch is chosen on validation by the metric that the recipe names; the test
    part is never read. 'hyena-glt schema finetune' lists all settings.

    A recipe with 'tasks' teaches one network several, each on its dataset, and
    keeps a checkpoint for each in OUT/checkpoint/TASK.

    Example: hyena-glt finetune recipes/finetune/promoters.yaml --out runs/promoters
    """
    from hyena_glt.api import check_device
    from hyena_glt.config import load_tuning_recipe
    from hyena_glt.finetune import FinetuningReport
    from hyena_glt.finetune.by_recipe import tune

    resolved = load_tuning_recipe(recipe, overrides or ())
    check_device(device)
    command, progress = command_line(), not as_json
    report = tune(resolved, out, resume=resume, device=device, command=command, progress=progress)
    if isinstance(report, FinetuningReport):
        results = f"validation: {_named(report.validation)}\n{report.checkpoint}"
    else:
        results = _results_of_tasks(report)
    if as_json:
        show_json(report.as_dict())
    elif not report.best_epoch:
        typer.echo(
            f"{report.stopped} before the first epoch's end: there is no checkpoint yet; "
            "go on with --resume"
        )
    else:
        typer.echo(
            f"{report.stopped} after {report.epochs} epochs, the best was {report.best_epoch}"
        )
        typer.echo(results)
    if report.stopped == "terminated":
        raise typer.Exit(EXIT_TERMINATED)


def _results_of_tasks(report: "MultitaskReport") -> str:
    """Return the lines of a run of several tasks: all together, then each."""
    together = {name: value for name, value in report.validation.items() if name == "loss"}
    lines = [f"validation, mean of the tasks: {_named(together)}"] if together else []
    for task, checkpoint in report.checkpoints.items():
        weight = f"{task}, at a weight of {report.weights[task]:.4f}"
        lines += [f"{weight}: {_named(report.of_task(task))}", checkpoint]
    return "\n".join(lines)


def _named(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def predict(
    checkpoint: Tuned,
    paths: Paths,
    *,
    out: Annotated[Path, typer.Option(help="The table to write: .tsv or .parquet.")],
    ensemble: Ensemble = None,
    both_strands: OtherStrand = False,
    sequence: SequenceColumn = "sequence",
    alternative: Annotated[
        str | None, typer.Option(help="Column of the second sequence, where the task is of pairs.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Column of names; rows are numbered without one.")
    ] = None,
    genome: OfGenome = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Write what a fine-tuned network answers to new sequences, a row each.

    Probabilities of classes, or numbers in the units of the data; of a network
    that labels bases a row for each base, of one that answers tracks a row for
    each bin (0-based). Labels that files may hold are not looked at.

    Example: hyena-glt predict runs/promoters/checkpoint new.fa --out new.tsv
    """
    from hyena_glt.api import check_device
    from hyena_glt.cli.predictions import write_predictions

    check_device(device)
    written = write_predictions(
        [checkpoint, *(ensemble or ())],
        paths,
        out,
        both_strands=both_strands,
        sequence=sequence,
        alternative=alternative,
        name=name,
        genome=genome,
        device=device,
    )
    if as_json:
        show_json({"out": str(out), "examples": written})
    else:
        typer.echo(f"{out}: {written:,} sequences")
