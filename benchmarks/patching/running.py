"""Cells side by side, each in a process of its own; a stop lets each save its state."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.2

Launch = Callable[[str], "subprocess.Popen[bytes]"]


def launcher(script: Path, work: Path, options: Sequence[str]) -> Launch:
    """Return what starts a cell by its name: one thread, its output in the work folder."""

    def launch(name: str) -> "subprocess.Popen[bytes]":
        work.mkdir(parents=True, exist_ok=True)
        one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with (work / f"{name.replace('/', '-')}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, str(script), "cell", name, *options],
                stdout=log,
                stderr=log,
                env={**os.environ, **one_thread},
                # A key that stops the runner must not reach the cells, which it stops by itself.
                start_new_session=True,
            )

    return launch


def run_side_by_side(
    names: Sequence[str], jobs: int, minutes: float | None, launch: Launch
) -> dict[str, int]:
    """Run the cells, ``jobs`` at a time; return the exit status of each that was started.

    After ``minutes``, or on SIGINT or SIGTERM, none is started any more and those that run are
    asked to stop: each saves its state and is gone on from next time.
    """
    deadline_s = None if minutes is None else time.monotonic() + 60 * minutes
    waiting, statuses = list(names), {}
    running: dict[str, subprocess.Popen[bytes]] = {}
    stopping = False
    with _signals() as arrived:
        while running or (waiting and not stopping):
            late = deadline_s is not None and time.monotonic() >= deadline_s
            if (late or arrived) and not stopping:
                stopping = True
                for process in running.values():
                    process.terminate()
            while waiting and not stopping and len(running) < jobs:
                name = waiting.pop(0)
                running[name] = launch(name)
            for name in [name for name, process in running.items() if process.poll() is not None]:
                statuses[name] = running.pop(name).returncode
            time.sleep(POLL_S)
    return statuses


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them."""
    arrived: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: arrived.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
