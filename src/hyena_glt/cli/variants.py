"""What the verbs that score variants show while they work and at the end."""

import csv
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import typer

from hyena_glt.cli.verbs import show_json, show_renamed, show_skipped
from hyena_glt.io import Variant
from hyena_glt.score import BAD_RECORD, NOT_SCORED, Effect, Tally

_EVERY_S = 0.5


class Progress:
    """One line on stderr that counts, where stderr is a terminal."""

    def __init__(self, wanted: bool) -> None:
        self._shown = wanted and sys.stderr.isatty()
        self._alleles = 0
        self._begun_s = self._last_s = time.monotonic()

    def add(self, variant: Variant, effects: tuple[Effect, ...]) -> None:
        """Count one record."""
        self._alleles += len(effects)
        now_s = time.monotonic()
        if self._shown and now_s - self._last_s >= _EVERY_S:
            self._last_s = now_s
            rate = self._alleles / (now_s - self._begun_s)
            place = f"{variant.contig}:{variant.start + 1}"
            line = f"\r{self._alleles:,} alleles, {rate:.0f} a second, {place}\033[K"
            typer.echo(line, err=True, nl=False)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            typer.echo("\r\033[K", err=True, nl=False)


def show_tally(
    tally: Tally,
    out: Path,
    as_json: bool,
    heat_map: Path | None = None,
    skipped: Sequence[str] = (),
) -> None:
    """Print what was scored, what wasn't and why."""
    if as_json:
        picture = {} if heat_map is None else {"heat_map": str(heat_map)}
        lists = {"bad": _all_bad(tally), "intervals_left_out": list(skipped)}
        show_json({"out": str(out), **picture, **tally.as_dict(), **lists})
        return
    typer.echo(f"{out}: {tally.records:,} records, {tally.scored:,} alleles scored")
    why = NOT_SCORED | BAD_RECORD
    for reason, count in tally.not_scored.most_common():
        typer.echo(f"  {count:,} not scored: {reason} ({why[reason]})")
    if tally.cut_alleles:
        typer.echo(
            f"  {tally.cut_bp:,} bp of the windows of {tally.cut_alleles:,} alleles left unread, "
            "where their effects had died out"
        )
    show_renamed(tally.renamed)
    if tally.indexed is False:
        typer.echo("no index: records are not sorted by contig and position, or lie past 512 Mbp")
    for bad in tally.first_bad:
        typer.echo(f"  line {bad.line}: {bad.message}")
    if tally.bad_records:
        typer.echo(f"{tally.bad_path}: all {tally.bad_records:,} bad records")
    show_skipped(skipped)
    if heat_map is not None:
        typer.echo(heat_map)


def _all_bad(tally: Tally) -> list[dict[str, str | int]]:
    """All bad records, from the file that lists them: a tally holds the first alone."""
    if tally.bad_path is None:
        return []
    with tally.bad_path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row | {"line": int(row["line"]), "pos": int(row["pos"])} for row in rows]
