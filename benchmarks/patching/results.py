"""Finished cells in one file, kept as they end: readable, and the same whoever writes it."""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hyena_glt.errors import HyenaGLTError
from hyena_glt.io import replacing_file


class PlanError(HyenaGLTError, ValueError):
    """Plan, code and results don't belong together; names the file."""


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock on ``path`` and yield true; false where another has it and ``wait`` is false.

    A kill gives the lock back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def read_results(path: Path, plan_sha256: str) -> dict[str, dict[str, Any]]:
    """Return the finished cells by name.

    Raises PlanError for those of another plan.
    """
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["plan_sha256"] != plan_sha256:
        raise PlanError(
            f"{path}: holds results of another plan ({content['plan_sha256'][:12]}, the plan is "
            f"{plan_sha256[:12]}); restore the plan that they belong to, or move them away"
        )
    cells: dict[str, dict[str, Any]] = content["cells"]
    return cells


def add_result(
    path: Path, lock: Path, plan_sha256: str, name: str, result: Mapping[str, Any]
) -> None:
    """Add a cell to the file, a line a cell, sorted by name.

    Raises PlanError where the cell is there already: what was held out is read once.
    """
    with locked(lock, wait=True):
        cells = read_results(path, plan_sha256)
        if name in cells:
            raise PlanError(f"{path}: has {name} already; a cell is run once")
        cells[name] = dict(result)
        lines = (f"  {json.dumps(key)}: {json.dumps(cells[key])}" for key in sorted(cells))
        body = ",\n".join(lines)
        with replacing_file(path) as aside:
            aside.write_text(
                f'{{\n "plan_sha256": "{plan_sha256}",\n "cells": {{\n{body}\n }}\n}}\n',
                encoding="utf-8",
            )
