"""Cells run side by side, and stop when time is up."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from patching.running import launcher, run_side_by_side

COUNTING = """
import sys, time
from pathlib import Path
folder, name = Path(sys.argv[1]), sys.argv[2]
(folder / f"{name}.running").touch()
(folder / f"{name}.beside").write_text(str(len(list(folder.glob("*.running")))))
time.sleep(0.3)
(folder / f"{name}.running").unlink()
raise SystemExit(3 if name == "b" else 0)
"""


@pytest.mark.slow
def test_each_cell_has_its_own_status_and_no_more_run_than_asked(tmp_path: Path) -> None:
    def launch(name: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", COUNTING, str(tmp_path), name])

    assert run_side_by_side(list("abcd"), 2, None, launch) == {"a": 0, "b": 3, "c": 0, "d": 0}
    beside = [int(path.read_text()) for path in tmp_path.glob("*.beside")]
    assert max(beside) == 2


@pytest.mark.slow
def test_when_time_is_up_cells_are_asked_to_stop_and_none_begins() -> None:
    def launch(name: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    start_s = time.monotonic()
    assert run_side_by_side(list("abcd"), 2, 0.005, launch) == {"a": -15, "b": -15}
    assert time.monotonic() - start_s < 10


def test_a_cell_is_started_with_one_thread_and_its_words_are_kept(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import os, sys; print(sys.argv[1:], os.environ['OMP_NUM_THREADS'])")
    launch = launcher(script, tmp_path / "work", ["--trial", "9"])
    assert run_side_by_side(["screen/x/none/1"], 1, None, launch) == {"screen/x/none/1": 0}
    log = (tmp_path / "work" / "screen-x-none-1.log").read_text()
    assert log == "['cell', 'screen/x/none/1', '--trial', '9'] 1\n"
