"""What ``hyena-glt patch`` shows at the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hyena_glt.cli.verbs import show_renamed

_MISSING = "NA"


def show_summary(out: Path, summary: Mapping[str, Any]) -> None:
    """Print a short table of the summary; all of it is in summary.json."""
    patchers: Mapping[str, Any] = summary["patchers"]
    table = Table(title=f"{summary['contigs']:,} sequences, {summary['length_bp']:,} bp")
    table.add_column("patches")
    for label in patchers:
        table.add_column(escape(label), justify="right")
    for name, cells in _rows(list(patchers.values())):
        table.add_row(name, *cells)
    Console().print(table)
    agreement = summary["agreement"]
    if agreement is not None:
        one, other = agreement["between"]
        typer.echo(f"{one} and {other} share {_number(agreement['jaccard'], '.3f')} of boundaries")
    for name, bits in summary["mean_bits"].items():
        typer.echo(f"mean {name}: {_number(bits, '.4f')} bits")
    annotation = summary["annotation"]
    if annotation is not None:
        _show_falls(patchers)
        show_renamed(annotation["renamed_contigs"])
        if annotation["contigs_left_out"]:
            typer.echo(f"{len(annotation['contigs_left_out']):,} contigs aren't in the sequences")
        if annotation["features_over_the_end"]:
            typer.echo(
                f"{annotation['features_over_the_end']:,} features run over an end: left out"
            )
    typer.echo(f"{out}: all numbers in summary.json; region {summary['region']} is drawn")


def _rows(patchers: list[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return (name, a cell a patcher) of each line."""

    def cells(form: str, *path: str) -> list[str]:
        found = []
        for one in patchers:
            value: Any = one
            for key in path:
                value = None if value is None else value[key]
            found.append(_number(value, form))
        return found

    quantiles = [
        _MISSING
        if (found := one["length_quantiles_bp"]) is None
        else f"{found['p5']} / {found['p50']} / {found['p95']} / {found['max']}"
        for one in patchers
    ]
    bins = patchers[0]["after_a_deletion"]["jaccard"]
    return [
        ("number", cells(",", "patches")),
        ("mean, bp", cells(".2f", "mean_bp")),
        ("p5 / p50 / p95 / longest, bp", quantiles),
        ("4 to 12 bp", cells(".1%", "share_4_to_12_bp")),
        ("bases a latent", cells(".2f", "bases_per_latent")),
        ("busiest 8,192 bp over the mean", cells(".3f", "windows", "most_over_mean")),
        ("merged by a cap", cells(",", "overflow")),
        *(
            (
                f"same after a deletion, {name.removesuffix('_bp').replace('_', ' ')} bp on",
                cells(".3f", "after_a_deletion", "jaccard", name),
            )
            for name in bins
        ),
    ]


def _show_falls(patchers: Mapping[str, Any]) -> None:
    """Print what boundaries fall on beside what shifted ones do."""
    table = Table(title="boundaries, beside shifted ones")
    for name in ("patches", "place", "found", "shifted, mean and 95 %", "p"):
        table.add_column(name, justify="left" if name in ("patches", "place") else "right")
    for label, one in patchers.items():
        falls = one["falls_on"]
        codons = falls["codons"] or {}
        lines = [(f"behind codon base {i}", codons.get(f"after_{i}")) for i in (1, 2, 3)]
        for kind, sides in falls["features"].items():
            lines += [(f"{escape(kind)} {side}", found) for side, found in sides.items()]
        table.add_section()
        for place, found in lines:
            if found is None:
                continue
            low, high = found["baseline_low"], found["baseline_high"]
            table.add_row(
                escape(label),
                place,
                f"{found['share']:.3f}",
                f"{found['baseline_mean']:.3f} [{low:.3f}, {high:.3f}]",
                f"{found['p']:.3f}",
            )
    if table.row_count:
        Console().print(table)


def _number(value: int | float | None, form: str) -> str:
    return _MISSING if value is None else format(value, form)
