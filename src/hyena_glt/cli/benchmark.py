"""``hyena-glt benchmark``: a suite of labelled sets, ours beside floors."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyena_glt.cli.options import Device, Json, Overrides
from hyena_glt.cli.verbs import EXIT_TERMINATED, command_line, show_json

if TYPE_CHECKING:
    from hyena_glt.config.suites import SuiteConfig
    from hyena_glt.suites import Cell
    from hyena_glt.suites.contenders import Contender
    from hyena_glt.suites.results import NotRun


def benchmark(
    suite: Annotated[
        str | None,
        typer.Argument(metavar="[SUITE]", help="A suite's name, or a YAML. --list shows all."),
    ] = None,
    overrides: Overrides = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The results' folder; the same again goes on. Default: runs/benchmark-SUITE.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="HYENA_GLT_DATA",
            help="The folder that holds the sets' files.",
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(metavar="CKPT", help="What ours begins with; a fresh small network without."),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="YAML", help="A recipe of 'finetune' for ours; sets say the rest."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each, from seed 0.")] = 5,
    contenders: Annotated[
        str,
        typer.Option(help="Who runs, with commas between; also transformer_kmer, transformer_bpe."),
    ] = "ours,kmer,onehot,cnn,transformer",
    only: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Only sets whose name matches.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Begin no further run after so long.")
    ] = None,
    show_list: Annotated[
        bool, typer.Option("--list", help="Show suites and their sets, and run nothing.")
    ] = False,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Run a suite of labelled sets: fine-tuned networks beside simple floors.

    Each set has its published split (else a tenth of train validates), several
    seeds, early stopping on validation, and one look at the test part. Floors
    are logistic or ridge regression on k-mers and on letters, a CNN and a
    small Transformer, with the same rows and as many epochs. Writes
    results.json after each run, then results.csv and results.md.

    Example: hyena-glt benchmark gue --only 'tf/0' --seeds 3
    """
    from hyena_glt.suites import load_suite, suite_names

    if show_list or suite is None:
        names = suite_names() if suite is None else [suite]
        _list([load_suite(name) for name in names], data, as_json)
        return
    if data is None:
        raise typer.BadParameter(
            "give --data, or set HYENA_GLT_DATA: the folder of the sets' files"
        )
    from hyena_glt.api import check_device
    from hyena_glt.suites import CONTENDERS, BenchmarkOptions, run_suite
    from hyena_glt.suites.tables import PAGE

    check_device(device)
    found = load_suite(suite)
    asked = _asked(contenders, CONTENDERS)
    folder = out or Path(f"runs/benchmark-{found.name}")
    options = BenchmarkOptions(
        data=data,
        out=folder,
        seeds=seeds,
        contenders=asked,
        only=only,
        minutes=minutes,
        init=init,
        recipe=recipe,
        overrides=tuple(overrides or ()),
        device=device,
        command=command_line(),
    )
    results, terminated = run_suite(found, options, _mute if as_json else _teller(found))
    if as_json:
        show_json({"out": str(folder), **results.as_dict()})
    else:
        text = (folder / PAGE).read_text(encoding="utf-8")
        typer.echo(f"\n{text}\n{folder}: results.md, results.csv, results.json")
    if terminated:
        raise typer.Exit(EXIT_TERMINATED)


def _asked(contenders: str, known: "Sequence[Contender]") -> "list[Contender]":
    """Return the contenders that are named, in their usual order."""
    asked = [name.strip() for name in contenders.split(",") if name.strip()]
    unknown = [name for name in asked if name not in known]
    if unknown or not asked:
        raise typer.BadParameter(
            f"--contenders: found {', '.join(unknown) or 'none'}; expected some of "
            f"{', '.join(known)}"
        )
    return [name for name in known if name in asked]


def _mute(found: "Cell | NotRun") -> None:
    """Say nothing."""


def _teller(suite: "SuiteConfig") -> "Callable[[Cell | NotRun], None]":
    """Return what prints a line about a cell, with the metric that its set reports first."""
    from hyena_glt.suites import Cell

    metrics = {each.name: each.metrics[0] for each in suite.sets}

    def tell(found: "Cell | NotRun") -> None:
        place = f"{found.set} {found.contender} seed {found.seed}"
        if isinstance(found, Cell):
            metric = metrics[found.set]
            value = found.metrics.get(metric)
            shown = "not defined" if value is None else f"{value:.4f}"
            typer.echo(f"{place}: {metric} {shown}, {found.seconds:.1f} s")
        else:
            typer.echo(f"{place}: not run, {found.reason}")

    return tell


def _list(suites: "list[SuiteConfig]", data: Path | None, as_json: bool) -> None:
    """Show suites, their sets, and which files are absent."""
    from hyena_glt.suites import absent_files

    if as_json:
        listed = [
            {
                "suite": suite.name,
                "about": suite.about,
                "sets": [
                    {
                        "name": each.name,
                        "about": each.about,
                        "task": each.task.kind,
                        "metrics": list(each.metrics),
                        "absent": None if data is None else absent_files(each, data),
                    }
                    for each in suite.sets
                ],
            }
            for suite in suites
        ]
        show_json({"suites": listed})
        return
    for suite in suites:
        typer.echo(f"{suite.name}: {suite.about}")
        for each in suite.sets:
            absent = [] if data is None else absent_files(each, data)
            state = f" [{absent[0]} absent]" if absent else ""
            kind = f"{each.task.kind}, {each.metrics[0]}"
            typer.echo(f"  {each.name}  {kind}  {each.about}{state}")
