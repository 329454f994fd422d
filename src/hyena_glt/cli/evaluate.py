"""``hyena-glt evaluate``: how well a fine-tuned network answers, and where it errs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hyena_glt.cli.finetune import Ensemble, OtherStrand, Tuned
from hyena_glt.cli.options import Device, Json
from hyena_glt.cli.verbs import show_json

if TYPE_CHECKING:
    from hyena_glt.finetune.overlap import Overlap


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
    against: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="CKPT",
            help="Another checkpoint to compare with on the same examples; may come again.",
        ),
    ] = None,
    both_strands: OtherStrand = False,
    each_base: Annotated[
        bool,
        typer.Option(
            "--each-base",
            help="Of a task of bases or tracks write what each base, or bin, was answered, too.",
        ),
    ] = False,
    allow_overlap: Annotated[
        bool,
        typer.Option(
            "--allow-overlap",
            help="Go on, with a warning, where examples lie in regions of pretraining.",
        ),
    ] = False,
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

    Writes report.html, report.json, metrics.csv and apart.csv (each class,
    segment, chromosome and group), with 95 % intervals, and predictions.csv
    (a row an example): curves, calibration, confusions, scores against length
    and GC, and the examples that were answered worst are on the page too.
    --against adds comparisons.csv.

    Examples that lie where the network's pretraining trained it are refused;
    how many were compared, and how many could not be, is said.

    Example: hyena-glt evaluate runs/tuned/checkpoint runs/promoters --out e
    """
    from hyena_glt.api import check_device
    from hyena_glt.cli.evaluation_files import write_evaluation
    from hyena_glt.cli.patch_files import check_folder
    from hyena_glt.data.examples import open_dataset
    from hyena_glt.finetune import Predictor
    from hyena_glt.finetune import evaluate as run
    from hyena_glt.finetune.overlap import check_overlap

    check_device(device)
    check_folder(out)
    opened = open_dataset(dataset)
    target = opened.manifest.target
    if each_base and target not in ("bases", "signal"):
        raise typer.BadParameter("--each-base is for tasks of bases and tracks; leave it out")
    folders = [checkpoint, *(ensemble or ())]
    others = _distinct(against or (), folders)
    overlaps = check_overlap([*folders, *others], opened, part, allow=allow_overlap)
    found = run(
        Predictor(folders, device),
        opened,
        part,
        against={str(folder): Predictor([folder], device) for folder in others},
        both_strands=both_strands,
        replicates=replicates,
    )
    report = found.report
    report["pretraining_overlap"] = {
        name: of._asdict() | {"says": of.says(name)} for name, of in overlaps.items()
    }
    written = write_evaluation(out, found, report["answers"], target, each_base=each_base)
    if as_json:
        show_json({"out": str(out), "files": written, **report})
        return
    _show_overlaps(overlaps, part)
    for name, of in report["metrics"].items():
        typer.echo(f"{name}: {_shown(of['value'])} [{_shown(of['low'])}, {_shown(of['high'])}]")
    for other, comparison in report.get("against", {}).items():
        typer.echo(f"less what {other} has (95 % interval, p):")
        for name, of in comparison["metrics"].items():
            bounds = f"[{_shown(of['low'])}, {_shown(of['high'])}]"
            typer.echo(f"  {name}: {_shown(of['difference'])} {bounds}, p {_shown(of['p'])}")
    typer.echo(f"{out}: {', '.join(written)}")


def _distinct(against: "list[Path] | tuple[()]", folders: list[Path]) -> list[Path]:
    """Return the checkpoints to compare with; BadParameter at one that is named already."""
    for number, folder in enumerate(against):
        if folder in against[:number] or [folder] == folders:
            raise typer.BadParameter(f"--against {folder}: is named already; compare with another")
    return list(against)


def _show_overlaps(overlaps: "dict[str, Overlap]", part: str) -> None:
    for folder, found in overlaps.items():
        if found.genomes:
            mark = "warning" if found.overlapping else "note"
            typer.echo(f"{mark}: {found.says(folder, part)}", err=True)


def _shown(value: float | None) -> str:
    return "NA" if value is None else f"{value:.4g}"
