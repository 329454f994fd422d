"""What a benchmark found: printed as JSON, and kept in a file where that is asked for.

A long form is measured cell by cell. With ``--out FILE`` finished cells stand in FILE.part, from
where the same command goes on after a stop.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hyena_glt.io import replacing_file

ROOT = Path(__file__).parents[2]
LONG_FORMS = ROOT / "benchmarks" / "results"
SHORT_FORMS = ROOT / "runs" / "bench"


def add_out(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark take ``--out FILE``."""
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the JSON there too")


class Cells:
    """Finished cells by name, kept beside ``out``; those of ``about`` alone are gone on from.

    ``about`` says what is measured, and where: after a change of it all cells are measured anew.
    """

    def __init__(self, out: Path | None, about: Mapping[str, Any]) -> None:
        self.out = out
        self.about: dict[str, Any] = json.loads(json.dumps(about))
        self.part = None if out is None else out.with_name(out.name + ".part")
        self.done: dict[str, Any] = {}
        if self.part is not None and self.part.is_file():
            kept = json.loads(self.part.read_text(encoding="utf-8"))
            if kept["about"] == self.about:
                self.done = kept["cells"]

    def cell(self, name: str, measure: Callable[[], Any]) -> Any:
        """Return what ``measure`` finds, or found before the stop; tell it on stderr."""
        if name not in self.done:
            self.done[name] = json.loads(json.dumps(measure()))
            if self.part is not None:
                _write(self.part, {"about": self.about, "cells": self.done})
        print(json.dumps({name: self.done[name]}), file=sys.stderr)
        return self.done[name]

    def show(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Print all that was found, keep it in ``out``, leave no part of it; return it."""
        whole = {**self.about, **found}
        show(whole, self.out)
        if self.part is not None:
            self.part.unlink(missing_ok=True)
        return whole


def show(found: Mapping[str, Any], out: Path | None) -> None:
    """Print what was found, and keep it in ``out``."""
    print(json.dumps(found, indent=1))
    if out is not None:
        _write(out, found)


def _write(path: Path, found: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(path) as aside:
        aside.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def read(folder: Path, name: str) -> dict[str, Any] | None:
    """Return what benchmark ``name`` has found; None where nothing is kept of it."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
