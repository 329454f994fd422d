"""What was measured: a cell for each set, contender and seed, kept as soon as it is finished."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hyena_glt.errors import StorageError
from hyena_glt.io import replacing_file

RESULTS = "results.json"
FORMAT_VERSION = 1

Metrics = dict[str, float | None]  # None: not defined


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One contender on one set with one seed, measured on the test part once."""

    set: str
    contender: str
    seed: int
    checksum: str  # of what decides the cell: recipe, dataset, contender
    parameters: int
    epochs: int
    examples_seen: int
    train_rows: int
    test_rows: int
    seconds: float
    validation: Metrics
    metrics: Metrics
    # Of test rows whose sequence is in train or validation too; None where there is none.
    leaked_rows: int = 0
    without_leaked: Metrics | None = None
    strata: dict[str, Metrics] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NotRun:
    """A cell that there isn't, and why."""

    set: str
    contender: str
    seed: int
    reason: str


@dataclass
class Results:
    """All cells of a benchmark; ``not_run`` is of the last call."""

    suite: str
    cells: list[Cell] = field(default_factory=list)
    not_run: list[NotRun] = field(default_factory=list)

    def of(self, set_name: str, contender: str) -> list[Cell]:
        """Return the cells of a contender on a set, by seed."""
        found = [c for c in self.cells if (c.set, c.contender) == (set_name, contender)]
        return sorted(found, key=lambda cell: cell.seed)

    def put(self, cell: Cell) -> None:
        """Add a cell, in the place of one of the same set, contender and seed."""
        key = (cell.set, cell.contender, cell.seed)
        self.cells = [c for c in self.cells if (c.set, c.contender, c.seed) != key]
        self.cells.append(cell)

    def as_dict(self) -> dict[str, Any]:
        """Return the results as plain data, as JSON holds it."""
        return {
            "format_version": FORMAT_VERSION,
            "suite": self.suite,
            "cells": [asdict(cell) for cell in self.cells],
            "not_run": [asdict(each) for each in self.not_run],
        }


def plain(metrics: dict[str, float]) -> Metrics:
    """Return metrics with None for what isn't defined."""
    return {k: float(v) if math.isfinite(v) else None for k, v in metrics.items()}


def read_results(out: Path, suite: str) -> Results:
    """Return the results kept in ``out``, without what wasn't run; none where there is no file.

    Raises StorageError for a file that is damaged, of another version, or of another suite.
    """
    path = out / RESULTS
    if not path.is_file():
        return Results(suite)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found, version = data["suite"], data["format_version"]
        cells = [Cell(**cell) for cell in data["cells"]] if version == FORMAT_VERSION else []
    except (ValueError, KeyError, TypeError):
        raise StorageError(
            f"{path}: is damaged; remove it to begin anew, or choose another --out"
        ) from None
    if version != FORMAT_VERSION:
        raise StorageError(
            f"{path}: has format_version {version}, this version of hyena-glt reads "
            f"{FORMAT_VERSION}; choose another --out"
        )
    if found != suite:
        raise StorageError(
            f"{path}: holds results of suite {found!r}, and {suite!r} is asked for; choose "
            "another --out"
        )
    return Results(suite, cells)


def save_results(out: Path, results: Results) -> None:
    """Write ``results.json`` into ``out`` aside and rename it."""
    with replacing_file(out / RESULTS) as aside:
        aside.write_text(json.dumps(results.as_dict(), indent=1) + "\n", encoding="utf-8")
