"""Freed memory goes back to the system."""

import re
from pathlib import Path

import pytest

from hyena_glt.stream.heap import return_free_memory


def resident_bytes() -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_holes_between_live_blocks_are_given_back() -> None:
    if not return_free_memory():
        pytest.skip("needs glibc, whose allocator can be asked for it")
    # Too large for Python's own allocator, too small for a mapping of their own.
    blocks = [bytes(8000) for _ in range(20_000)]
    pins = [bytes(8000) for _ in range(10)]
    full = resident_bytes()
    del blocks
    return_free_memory()
    assert resident_bytes() < full - 100_000_000
    assert len(pins) == 10
