"""What ``hyena-glt data`` shows and draws."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from hyena_glt.cli.dataset_figures import draw_inspection
from hyena_glt.data.examples import Inspection, Manifest
from hyena_glt.errors import StorageError
from hyena_glt.io import replacing_file

_MOST_CLASSES = 20
_MISSING = "NA"


def write_inspection(out: Path, found: Inspection) -> None:
    """Write report.json and pictures into the folder ``out``; StorageError if it can't be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{out}: can't be made ({error.strerror}); choose another place"
        ) from None
    with replacing_file(out / "report.json") as aside:
        aside.write_text(json.dumps(found.report, indent=1) + "\n", encoding="utf-8")
    draw_inspection(out, found)


def show_inspection(report: Mapping[str, Any], out: Path | None) -> None:
    """Print tables of the parts, and what a person should know before training."""
    parts: Mapping[str, Any] = report["parts"]
    if not parts:
        typer.echo("no examples")
        return
    table = Table()
    table.add_column("")
    for name in parts:
        table.add_column(name, justify="right")
    for title, cell in _ROWS.items():
        table.add_row(title, *(cell(about) for about in parts.values()))
    for title, of_part in (
        ("sequences that repeat one", "repeated"),
        ("sequences with two labels", "with_two_labels"),
    ):
        table.add_row(title, *(f"{report['duplicates'][name][of_part]:,}" for name in parts))
    Console().print(table)
    _show_labels(parts)
    for leak in report["leaks"]:
        _show_leak(leak["into"], leak["from"], leak["identical"], leak.get("similar"))
        for one, other in leak["examples"]:
            typer.echo(f"  {one} is like {other}")
    for warning in report["warnings"]:
        typer.echo(f"Warning: {warning}")
    if out is not None:
        typer.echo(f"{out}: report.json and pictures")


def _show_leak(part: str, other: str, identical: int, similar: int | None) -> None:
    more = "" if similar is None else f", {similar:,} the same or similar"
    typer.echo(f"{identical:,} sequences of {part} also in {other}{more}")


def _share(key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda about: _MISSING if about[key] is None else f"{100 * about[key]:.2f} %"


def _length(key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda about: f"{about['length_bp'][key]:,}"


_ROWS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "examples": lambda about: f"{about['examples']:,}",
    "bases": lambda about: f"{about['bases']:,}",
    "shortest, bp": _length("min"),
    "median, bp": _length("median"),
    "longest, bp": _length("max"),
    "GC": _share("gc"),
    "N (X of a protein)": _share("unknown_share"),
    "ambiguous letters": _share("ambiguous_share"),
    "lower case": _share("soft_masked_share"),
}


def _show_labels(parts: Mapping[str, Any]) -> None:
    """Print how many of each class, or what numbers are like, part by part."""
    for key, title in (("classes", "class"), ("base_classes", "class of bases")):
        classes = sorted({name for about in parts.values() for name in about.get(key, {})})
        if not classes:
            continue
        table = Table()
        table.add_column(title)
        for name in parts:
            table.add_column(name, justify="right")
        for label in classes[:_MOST_CLASSES]:
            counts = (about.get(key, {}).get(label, 0) for about in parts.values())
            table.add_row(escape(label), *(f"{count:,}" for count in counts))
        Console().print(table)
        if len(classes) > _MOST_CLASSES:
            typer.echo(f"and {len(classes) - _MOST_CLASSES:,} classes more")
    for name, about in parts.items():
        for number, found in about.get("numbers", {}).items():
            if found["mean"] is None:
                typer.echo(f"{name}, {number}: no numbers")
                continue
            typer.echo(
                f"{name}, {number}: {found['count']:,.0f} numbers, mean {found['mean']:.4g}, "
                f"standard deviation {found['standard_deviation']:.4g}"
            )


@contextmanager
def preparing(silent: bool) -> Iterator[Callable[[int], None]]:
    """Show on stderr how many examples have been read; gives what to call with their number."""
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} examples"), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=silent, transient=True)
    with bar:
        task = bar.add_task("", total=None)
        yield lambda examples: bar.update(task, completed=examples)


def show_manifest(out: Path, manifest: Manifest) -> None:
    """Print what a prepared dataset holds."""
    table = Table(title=f"{manifest.rows:,} examples, {manifest.bases:,} bases")
    table.add_column("")
    for name in manifest.parts:
        table.add_column(name, justify="right")
    parts = manifest.parts.values()
    table.add_row("examples", *(f"{counts.rows:,}" for counts in parts))
    table.add_row("bases", *(f"{counts.bases:,}" for counts in parts), end_section=True)
    for label in manifest.classes[:_MOST_CLASSES]:
        table.add_row(escape(label), *(f"{counts.classes.get(label, 0):,}" for counts in parts))
    Console().print(table)
    if len(manifest.classes) > _MOST_CLASSES:
        typer.echo(f"and {len(manifest.classes) - _MOST_CLASSES:,} classes more")
    for reason, rows in manifest.dropped.items():
        typer.echo(f"dropped, {reason}: {rows:,}")
    for leak in manifest.leaks:
        _show_leak(leak.part, leak.other, leak.identical, leak.similar)
    typer.echo(f"{out}: manifest.json has all settings, counts and checksums")
