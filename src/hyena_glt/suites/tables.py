"""Results as tables: results.csv with every figure, results.md with what a person reads.

What others published has a table of its own, never a column beside what was measured here.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hyena_glt.config.suites import SetConfig, SuiteConfig
from hyena_glt.evaluate.intervals import seed_interval
from hyena_glt.evaluate.paired import paired_t
from hyena_glt.io import replacing_file
from hyena_glt.suites.results import Cell, Metrics, Results

CSV = "results.csv"
PAGE = "results.md"

_CSV_HEADER = ("set", "contender", "seed", "rows", "metric", "value")
_PROTOCOL = """\
Each cell is the mean over seeds, with the 95 % interval of Student's t over them and how many there
are: how far runs differ, not how far the test examples carry. A linear floor on sequences draws
nothing, so that seeds which share one dataset count once. Every contender is trained on the same
rows, stopped on validation, and reads the test part once a seed."""


def write_tables(
    out: Path,
    suite: SuiteConfig,
    sets: Sequence[SetConfig],
    contenders: Sequence[str],
    results: Results,
) -> None:
    """Write results.csv and results.md into ``out``."""
    with (
        replacing_file(out / CSV) as aside,
        aside.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_CSV_HEADER)
        table.writerows(_figures(results))
    with replacing_file(out / PAGE) as aside:
        aside.write_text(page(suite, sets, contenders, results), encoding="utf-8")


def page(
    suite: SuiteConfig, sets: Sequence[SetConfig], contenders: Sequence[str], results: Results
) -> str:
    """Return the tables in Markdown: measured, apart by strata, cost, not run, published."""
    parts = [f"# {suite.name}", suite.about, "## Measured", _PROTOCOL]
    both = [each.name for each in sets if each.both_strands]
    if both:
        parts.append(f"Ours answers {', '.join(both)} by the mean of both strands, floors by one.")
    parts.append(_table(["set", "metric", *contenders], [*_measured(sets, contenders, results)]))
    for title, head, rows in (
        (
            "Ours less each floor",
            ["set", "metric", "floor", "difference", "p"],
            _differences(sets, contenders, results),
        ),
        (
            "Without test rows that are in train or validation too",
            ["set", "rows", "metric", *contenders],
            _clean(sets, contenders, results),
        ),
        (
            "Apart",
            ["set", "stratum", "rows", "metric", *contenders],
            _strata(sets, contenders, results),
        ),
        (
            "Cost",
            ["set", "contender", "parameters", "examples seen", "epochs", "seconds"],
            _cost(sets, contenders, results),
        ),
        ("Not run", ["set", "contender", "seeds", "why"], _not_run(results)),
    ):
        found = list(rows)
        if found:
            parts += [f"## {title}", _table(head, found)]
    published = list(_published(sets))
    if published:
        parts += [
            "## Published by others",
            "Not measured here: other data, splits or budgets than above may stand behind them.",
            _table(["set", "model", "metric", "value", "source", "note"], published),
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def mean_with_interval(values: Sequence[float | None]) -> str:
    """Return mean [low, high] (seeds) of what is defined, such as `0.812 [0.800, 0.824] (5)`.

    Where a seed's figure isn't defined the count says so; where none is, `not defined`.
    """
    defined = np.array([value for value in values if value is not None], np.float64)
    if not len(defined):
        return "not defined"
    found = seed_interval(defined)
    count = f"{len(defined)}" if len(defined) == len(values) else f"{len(defined)} of {len(values)}"
    if math.isnan(found.low):
        return f"{found.value:.3f} ({count})"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}] ({count})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    shown = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)
    return "\n".join(shown)


def _shown(cells: Sequence[Cell], figures: Sequence[Metrics | None], metric: str) -> str:
    """Return a table's cell; one that there isn't is said to be not run, never left empty."""
    values = [found.get(metric) for found in figures if found is not None]
    if not cells:
        return "not run"
    return mean_with_interval(values) if values else "none"


def _runs(results: Results, set_name: str, contender: str) -> list[Cell]:
    """Return the cells of different runs: seeds that nothing depends on share one."""
    by_checksum = {cell.checksum: cell for cell in reversed(results.of(set_name, contender))}
    return sorted(by_checksum.values(), key=lambda cell: cell.seed)


def _measured(
    sets: Sequence[SetConfig], contenders: Sequence[str], results: Results
) -> Iterator[list[str]]:
    for each in sets:
        for metric in each.metrics:
            row = [each.name, metric]
            for contender in contenders:
                cells = _runs(results, each.name, contender)
                row.append(_shown(cells, [cell.metrics for cell in cells], metric))
            yield row


def _differences(
    sets: Sequence[SetConfig], contenders: Sequence[str], results: Results
) -> Iterator[list[str]]:
    """Give ours less each floor over the seeds that both have: two or more."""
    for each in sets:
        metric = each.metrics[0]
        ours = {cell.seed: cell.metrics.get(metric) for cell in results.of(each.name, "ours")}
        for contender in contenders:
            theirs = {c.seed: c.metrics.get(metric) for c in results.of(each.name, contender)}
            pairs = [
                (ours[seed], theirs[seed])
                for seed in sorted(ours.keys() & theirs.keys())
                if ours[seed] is not None and theirs[seed] is not None
            ]
            if contender == "ours" or len(pairs) < 2:
                continue
            a, b = np.array(pairs, np.float64).T
            found = paired_t(a, b)
            shown = f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}] ({len(pairs)})"
            yield [each.name, metric, contender, shown, f"{found.p:.2g}"]


def _clean(
    sets: Sequence[SetConfig], contenders: Sequence[str], results: Results
) -> Iterator[list[str]]:
    for each in sets:
        by_contender = {name: _runs(results, each.name, name) for name in contenders}
        cells = [cell for found in by_contender.values() for cell in found]
        leaked = sorted({cell.leaked_rows for cell in cells})
        if not any(leaked):
            continue
        rows = " to ".join(str(n) for n in dict.fromkeys((leaked[0], leaked[-1])))
        total = max(cell.test_rows for cell in cells)
        for metric in each.metrics:
            shown = [
                _shown(found, [cell.without_leaked or cell.metrics for cell in found], metric)
                for found in by_contender.values()
            ]
            yield [each.name, f"{rows} of {total} left out", metric, *shown]


def _strata(
    sets: Sequence[SetConfig], contenders: Sequence[str], results: Results
) -> Iterator[list[str]]:
    for each in sets:
        by_contender = {name: _runs(results, each.name, name) for name in contenders}
        every = [cell for found in by_contender.values() for cell in found]
        for name in sorted({name for cell in every for name in cell.strata}):
            counts = [int(c.strata[name].get("rows") or 0) for c in every if name in c.strata]
            rows = " to ".join(str(n) for n in dict.fromkeys((min(counts), max(counts))))
            metric = each.metrics[0]
            shown = [
                _shown(found, [cell.strata.get(name) for cell in found], metric)
                for found in by_contender.values()
            ]
            yield [each.name, name, rows, metric, *shown]


def _cost(
    sets: Sequence[SetConfig], contenders: Sequence[str], results: Results
) -> Iterator[list[str]]:
    for each in sets:
        for contender in contenders:
            cells = _runs(results, each.name, contender)
            if not cells:
                continue
            yield [
                each.name,
                contender,
                f"{max(cell.parameters for cell in cells):,}",
                f"{np.mean([cell.examples_seen for cell in cells]):,.0f}",
                f"{np.mean([cell.epochs for cell in cells]):.1f}",
                f"{np.mean([cell.seconds for cell in cells]):.1f}",
            ]


def _not_run(results: Results) -> Iterator[list[str]]:
    """Give what wasn't run, contenders and seeds of one reason together."""
    seeds: dict[tuple[str, str], dict[str, set[int]]] = {}
    for each in results.not_run:
        by_contender = seeds.setdefault((each.set, each.reason), {})
        by_contender.setdefault(each.contender, set()).add(each.seed)
    for (name, reason), by_contender in seeds.items():
        of_all = sorted(set().union(*by_contender.values()))
        yield [name, ", ".join(by_contender), ", ".join(map(str, of_all)), reason]


def _published(sets: Sequence[SetConfig]) -> Iterator[list[str]]:
    for each in sets:
        for found in each.published:
            value = f"{found.value:.3f}"
            yield [each.name, found.model, found.metric, value, found.source, found.note]


def _figures(results: Results) -> Iterator[tuple[object, ...]]:
    """Give every figure of every cell; what isn't defined is empty."""
    for cell in sorted(results.cells, key=lambda c: (c.set, c.contender, c.seed)):
        groups: dict[str, Metrics] = {"test": cell.metrics}
        if cell.without_leaked is not None:
            groups["test without leaked"] = cell.without_leaked
        groups |= {f"test {name}": found for name, found in cell.strata.items()}
        for rows, metrics in groups.items():
            for metric, value in metrics.items():
                shown = "" if value is None else repr(value)
                yield cell.set, cell.contender, cell.seed, rows, metric, shown
        for metric, value in cell.validation.items():
            shown = "" if value is None else repr(value)
            yield cell.set, cell.contender, cell.seed, "validation", metric, shown
