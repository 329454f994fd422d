"""``hyena-glt demo``: the main job."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hyena_glt.cli.options import Device, Json
from hyena_glt.cli.verbs import EXIT_TERMINATED, command_line, show_json

_HEADLINES = {  # of report.json: what it is called here, and how it is written
    "heldout_bits_per_base": ("bits per base, held-out", ".4f"),
    "markov_bits_per_base": ("the best Markov model's", ".4f"),
    "auroc_stop_vs_synonymous": ("AUROC stop-gained vs synonymous", ".3f"),
    "auroc_missense_vs_synonymous": ("AUROC missense vs synonymous", ".3f"),
    "training_bases": ("training bases", ",.0f"),
    "seconds_total": ("seconds", ",.0f"),
    "peak_memory_bytes": ("bytes of memory at the peak", ",.0f"),
}


def demo(
    out: Annotated[Path, typer.Option(help="The run's folder.")] = Path("runs/demo"),
    device: Device = "cpu",
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's.")] = None,
    as_json: Json = False,
) -> None:
    """Train a model of the E. coli genome that the package brings, and write a report.

    Seven minutes on two cores: training, held-out likelihood beside Markov
    models, variant effects, samples.

    Example: hyena-glt demo --out runs/demo
    """
    from hyena_glt.api import check_device

    check_device(device)
    from hyena_glt.demo import run_demo

    report: dict[str, Any] = run_demo(
        out,
        device=device,
        progress=not as_json,
        say=_mute if as_json else typer.echo,
        overrides=() if seed is None else (f"seed={seed}",),
        command=command_line(),
    )
    if as_json:
        show_json(report)
    if report["stopped"] == "terminated":
        if not as_json:
            typer.echo("terminated while training; the state is saved: the same command goes on")
        raise typer.Exit(EXIT_TERMINATED)
    if as_json:
        return
    for key, (label, form) in _HEADLINES.items():
        if key in report:
            typer.echo(f"{label:>32}  {report[key]:{form}}")
    typer.echo(out / "report.html")


def _mute(text: str) -> None:
    """Say nothing: stdout is for the JSON."""
