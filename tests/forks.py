"""Bodies that kill themselves, run in a copy of this process."""

import multiprocessing
import os
import signal
from collections.abc import Callable


def dies(body: Callable[[], object]) -> bool:
    """Run ``body`` in a copy of this process; return whether SIGKILL ended it."""

    def run() -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        body()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(60)
    if process.is_alive():
        process.kill()
        raise TimeoutError("the copy of this process hangs")
    return process.exitcode == -signal.SIGKILL
