"""``hyena-glt evaluate``: how well a fine-tuned network answers, and where it errs."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hyena_glt.cli.finetune import Ensemble, OtherStrand, Tuned
from hyena_glt.cli.options import Device, Json
from hyena_glt.cli.verbs import show_json


def evaluate(
    checkpoint: Tuned,
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="A folder that 'data prepare' wrote.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="The folder to write; it mustn't be there yet.")],
    part: Annotated[
        Literal["train", "validation", "test"], typer.Option(help="Which part of the dataset.")
    ] = "test",
    ensemble: Ensemble = None,
    both_strands: OtherStrand = False,
    replicates: Annotated[
        int | None,
        typer.Option(
            min=10,
            help="Bootstrap samples; default: 1,000, and 100 for bases and tracks.",
            show_default=False,
        ),
    ] = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Compare a network's answers with the labels of a dataset's part.

    Writes report.json, metrics.csv (with 95 % intervals) and report.html: every
    metric, each class, curves, calibration, confusions, scores against length,
    GC and chromosome, and the examples that were answered worst.

    Example: hyena-glt evaluate runs/tuned/checkpoint runs/promoters --out e
    """
    from hyena_glt.api import check_device
    from hyena_glt.cli.patch_files import check_folder
    from hyena_glt.data.examples import open_dataset
    from hyena_glt.finetune import Predictor
    from hyena_glt.finetune import evaluate as run

    check_device(device)
    check_folder(out)
    predictor = Predictor([checkpoint, *(ensemble or ())], device)
    found = run(
        predictor, open_dataset(dataset), part, both_strands=both_strands, replicates=replicates
    )
    report = found.report
    _write(out, report)
    if as_json:
        show_json({"out": str(out), **report})
        return
    for name, found in report["metrics"].items():
        typer.echo(
            f"{name}: {_shown(found['value'])} [{_shown(found['low'])}, {_shown(found['high'])}]"
        )
    typer.echo(f"{out}: report.html, report.json, metrics.csv")


def _shown(value: float | None) -> str:
    return "NA" if value is None else f"{value:.4g}"


def _write(out: Path, report: dict[str, Any]) -> None:
    import json

    from hyena_glt.finetune.evaluation_page import render_evaluation
    from hyena_glt.io import replacing_file

    lines = ["metric,value,low,high"]
    for name, found in report["metrics"].items():
        cells = ("" if found[key] is None else repr(found[key]) for key in ("value", "low", "high"))
        lines.append(",".join([f'"{name}"' if "," in name else name, *cells]))
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("report.json", json.dumps(report, indent=1) + "\n"),
        ("metrics.csv", "\n".join([*lines, ""])),
        ("report.html", render_evaluation(report)),
    ):
        with replacing_file(out / name) as aside:
            aside.write_text(text, encoding="utf-8")
