"""``hyena-glt sweep``: the settings of a fine-tuning that validation likes best."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyena_glt.cli.options import Device, Json
from hyena_glt.cli.verbs import EXIT_TERMINATED, command_line, show_json

if TYPE_CHECKING:
    from hyena_glt.finetune.sweep import SweepReport, TrialResult

SweepOverrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Changes to the sweep, such as trials=50."),
]


def sweep(
    settings: Annotated[Path, typer.Argument(metavar="SWEEP", help="A YAML of a sweep.")],
    overrides: SweepOverrides = None,
    *,
    out: Annotated[Path, typer.Option(help="The sweep's folder; a new one, unless --resume.")],
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the trial under way; trials=N may be more."),
    ] = False,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Fine-tune again and again with other settings; keep the best by validation.

    SWEEP names a recipe of 'finetune', which of its settings vary, between what,
    and how many trials there are. Each trial is a run in OUT/trial-NNN.
    OUT/trials.csv lists them, OUT/best.yaml is the best one's recipe. The test
    part is never read. Needs: pip install "hyena-glt\\[sweep]".

    Example: hyena-glt sweep recipes/finetune/sweep.yaml --out runs/sweep
    """
    from hyena_glt.api import check_device
    from hyena_glt.config.sweep import load_sweep
    from hyena_glt.finetune.sweep import BEST, TABLE
    from hyena_glt.finetune.sweep import sweep as run

    config = load_sweep(settings, overrides or ())
    check_device(device)

    def show(trial: "TrialResult") -> None:
        typer.echo(_line(trial))

    report = run(
        config,
        out,
        resume=resume,
        device=device,
        command=command_line(),
        on_trial=None if as_json else show,
    )
    if as_json:
        show_json({"out": str(out), **report.as_dict()})
    else:
        _show(report)
        typer.echo(f"{out}: {TABLE}" + ("" if report.best is None else f", {BEST}"))
    if report.stopped == "terminated":
        raise typer.Exit(EXIT_TERMINATED)


def _line(trial: "TrialResult") -> str:
    settings = " ".join(f"{name}={text}" for name, text in trial.settings.items())
    found = f"failed: {trial.error}" if trial.value is None else f"{trial.value:.4f}"
    return f"{trial.folder}: {settings}: {found}"


def _show(report: "SweepReport") -> None:
    """Print the trials, best first."""
    worst = float("inf")
    sign = 1 if report.lower_is_better else -1
    order = sorted(report.trials, key=lambda t: worst if t.value is None else sign * t.value)
    direction = "lower" if report.lower_is_better else "higher"
    typer.echo(
        f"{report.stopped} after {len(report.trials)} trials; {report.metric} on validation, "
        f"{direction} is better:"
    )
    for trial in order:
        typer.echo(f"  {_line(trial)}")
