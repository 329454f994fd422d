"""Finished cells are kept, whoever writes them, and never run twice."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from patching.results import PlanError, add_result, locked, read_results


def test_cells_that_end_together_are_all_kept(tmp_path: Path) -> None:
    path, lock = tmp_path / "results.json", tmp_path / "lock"
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(add_result, path, lock, "ab", f"c{i}", {"bits": i}) for i in range(16)]
    assert [job.result() for job in jobs] == [None] * 16
    assert read_results(path, "ab") == {f"c{i}": {"bits": i} for i in range(16)}
    assert len(path.read_text().splitlines()) == 16 + 5  # a line a cell


def test_a_cell_is_kept_once(tmp_path: Path) -> None:
    path, lock = tmp_path / "results.json", tmp_path / "lock"
    add_result(path, lock, "ab", "cell", {"bits": 1.9})
    with pytest.raises(PlanError, match="has cell already"):
        add_result(path, lock, "ab", "cell", {"bits": 1.8})
    assert read_results(path, "ab") == {"cell": {"bits": 1.9}}


def test_results_of_another_plan_are_refused(tmp_path: Path) -> None:
    path, lock = tmp_path / "results.json", tmp_path / "lock"
    add_result(path, lock, "ab", "cell", {})
    with pytest.raises(PlanError, match=r"results of another plan \(ab, the plan is cd\)"):
        add_result(path, lock, "cd", "other", {})


def test_a_cell_in_anothers_hands_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path, wait=False) as first, locked(path, wait=False) as second:
        assert (first, second) == (True, False)
    with locked(tmp_path / "lock", wait=False) as third:
        assert third
