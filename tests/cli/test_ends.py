"""Every way that a verb can end has its exit code."""

import errno
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml

import hyena_glt.config
import hyena_glt.demo
import hyena_glt.train
from cli.asking import Run
from hyena_glt.train import TrainingReport

COMMAND = [sys.executable, "-c", "from hyena_glt.cli import main; main()"]


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(hyena_glt.config, "recipe_schema", fail)


@pytest.mark.slow
def test_training_leaves_a_checkpoint_and_says_so(run: Run, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run("train", recipe, "train.lr=1e-3", "--out", out, "--seed", 5, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["stopped"] == "finished"
    assert report["steps"] == 4
    resolved = yaml.safe_load((out / "checkpoint" / "recipe.yaml").read_text())
    assert (resolved["seed"], resolved["train"]["lr"]) == (5, 1e-3)
    assert run("info", out / "checkpoint").exit_code == 0
    again = run("train", recipe, "--init-from", out / "checkpoint", "--out", tmp_path / "second")
    assert again.exit_code == 0, again.output
    assert "bits per base" in again.stdout
    assert str(tmp_path / "second" / "checkpoint") in again.stdout


@pytest.mark.parametrize(("stopped", "code"), [("finished", 0), ("early", 0), ("terminated", 143)])
def test_a_terminated_run_ends_with_143(
    run: Run,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stopped: str,
    code: int,
) -> None:
    report = TrainingReport(
        checkpoint="x",
        steps=1,
        training_bases=1,
        best_step=1,
        validation_bits_per_base=2.0,
        seconds=1.0,
        stopped=stopped,  # type: ignore[arg-type]
    )
    monkeypatch.setattr(hyena_glt.train, "train", lambda *_, **__: report)
    assert run("train", recipe, "--out", tmp_path / "run").exit_code == code


def test_the_demo_is_shown_in_short_or_as_json(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = {
        "stopped": "finished",
        "heldout_bits_per_base": 1.87654,
        "training_bases": 5_000_000,
    }
    monkeypatch.setattr(hyena_glt.demo, "run_demo", lambda out, **_: report)
    shown = run("demo", "--out", tmp_path).stdout
    assert "1.8765" in shown
    assert "5,000,000" in shown
    assert str(tmp_path / "report.html") in shown
    assert json.loads(run("demo", "--json").stdout) == report


def test_a_demo_told_to_stop_ends_with_143_and_says_how_to_go_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = {"stopped": "terminated", "training_steps": 3}
    asked: dict[str, object] = {}
    monkeypatch.setattr(hyena_glt.demo, "run_demo", lambda out, **how: asked.update(how) or report)
    result = run("demo", "--out", tmp_path, "--seed", "7")
    assert asked["overrides"] == ("seed=7",)
    assert result.exit_code == 143
    assert "the same command goes on" in result.stdout


def test_a_defect_keeps_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(ZeroDivisionError("ours"), monkeypatch)
    assert isinstance(run("schema").exception, ZeroDivisionError)
    fail_with(FileNotFoundError(errno.ENOENT, "ours"), monkeypatch)
    assert isinstance(run("schema").exception, FileNotFoundError)


def test_a_full_disk_is_no_defect(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "metrics.csv"), monkeypatch)
    result = run("schema")
    assert result.exit_code == 1
    assert "error: " in result.stderr
    assert "No space left on device: 'metrics.csv'" in result.stderr


def test_ctrl_c_ends_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(KeyboardInterrupt(), monkeypatch)
    assert run("schema").exit_code == 130


@pytest.mark.slow
def test_a_closed_pipe_is_no_error() -> None:
    script = f"{sys.executable} -c 'from hyena_glt.cli import main; main()' schema | head -n 1"
    result = subprocess.run(script, shell=True, capture_output=True, text=True, check=True)
    assert result.stdout == "{\n"
    assert result.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
    ],
)
def test_a_signal_in_training_ends_with_its_code_and_no_traceback(
    recipe: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "run"
    changes = ["train.bases=12800000", "train.validate_every_steps=2"]
    process = subprocess.Popen(
        [*COMMAND, "train", str(recipe), *changes, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"},
        # A shell lets its background jobs, and so these tests, ignore SIGINT.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not (out / "checkpoint").exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
        process.send_signal(number)
        try:
            _, errors = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # it says where it stands
            pytest.fail(f"goes on after the signal: {process.communicate()[1]}")
    finally:
        process.kill()
    assert process.returncode == code, errors
    assert "Traceback" not in errors
