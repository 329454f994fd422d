"""What a benchmark has measured outlives a stop, and no other's cells are taken for its own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from measuring.kept import Cells, read


def measuring(found: object, ran: list[object]) -> Callable[[], object]:
    def measure() -> object:
        ran.append(found)
        return found

    return measure


def stop() -> object:
    raise KeyboardInterrupt


def test_a_stopped_benchmark_goes_on_from_its_finished_cells(tmp_path: Path) -> None:
    out, ran = tmp_path / "results" / "speed.json", list[object]()
    cells = Cells(out, {"threads": 2})
    cells.cell("1 kb", measuring({"s": [1, 2.5]}, ran))
    with pytest.raises(KeyboardInterrupt):
        cells.cell("8 kb", stop)
    cells = Cells(out, {"threads": 2})
    found = {name: cells.cell(name, measuring({"s": [3]}, ran)) for name in ("1 kb", "8 kb")}
    assert found == {"1 kb": {"s": [1, 2.5]}, "8 kb": {"s": [3]}}
    assert ran == [{"s": [1, 2.5]}, {"s": [3]}]
    assert cells.show({"cells": found}) == {"threads": 2, "cells": found}
    assert read(out.parent, "speed") == {"threads": 2, "cells": found}
    assert [path.name for path in out.parent.iterdir()] == ["speed.json"]


def test_cells_of_another_machine_are_measured_anew(tmp_path: Path) -> None:
    out, ran = tmp_path / "speed.json", list[object]()
    Cells(out, {"machine": "abacus"}).cell("1 kb", measuring(1, ran))
    assert Cells(out, {"machine": "slide rule"}).cell("1 kb", measuring(2, ran)) == 2


def test_a_cell_is_the_same_before_and_after_a_stop(tmp_path: Path) -> None:
    """JSON knows no tuples, and no numbers as keys."""
    out, ran = tmp_path / "speed.json", list[object]()
    first = Cells(out, {}).cell("1 kb", measuring({1: (2, 3)}, ran))
    assert first == {"1": [2, 3]}
    assert Cells(out, {}).cell("1 kb", measuring(None, ran)) == first


def test_without_a_file_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = Cells(None, {"threads": 1})
    cells.cell("1 kb", measuring(7, []))
    cells.show({"found": 7})
    assert json.loads(capsys.readouterr().out) == {"threads": 1, "found": 7}
    assert not list(tmp_path.iterdir())
