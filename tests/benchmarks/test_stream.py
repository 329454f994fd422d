"""What the benchmark of streaming makes of its measurements, and the letters that it writes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stream

from hyena_glt.io import Reference


def places(*rows: tuple[int, float, int]) -> list[dict[str, Any]]:
    names = ("length_bp", "seconds", "peak_mib")
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_the_slope_is_that_of_log_time_against_log_length() -> None:
    assert stream.slope(places((100, 1.0, 0), (1_000, 10.0, 0))) == pytest.approx(1)
    assert stream.slope(places((10, 1.0, 0), (100, 100.0, 0), (1000, 1e4, 0))) == pytest.approx(2)


def test_memory_grows_from_that_of_1_mb_on() -> None:
    measured = places((65_536, 1, 400), (1 << 20, 1, 500), (50_000_000, 1, 510))
    assert stream.growth(measured) == pytest.approx(510 / 500)
    assert stream.growth(measured[:2]) == pytest.approx(500 / 400)


def test_a_result_out_of_bounds_fails() -> None:
    fine = {
        "precision": "fp32",
        "loglik_relative_difference": 1e-7,
        "log_log_slope": 1.02,
        "peak_growth": 1.04,
        "lengths": places((1 << 20, 1, 500), (50_000_000, 1, 510)),
    }
    assert stream.holds(fine)
    assert stream.holds({**fine, "log_log_slope": None})
    for name in ("loglik_relative_difference", "log_log_slope", "peak_growth"):
        assert not stream.holds({**fine, name: 1.06})
    near = {**fine, "peak_growth": 1.06, "lengths": places((65_536, 1, 400), (1 << 20, 1, 424))}
    assert stream.holds(near)


def test_letters_are_cut_from_the_file_given(tmp_path: Path) -> None:
    given, random = tmp_path / "given.fa", tmp_path / "random.fa"
    stream.write_dna(random, 700_000, None)
    with Reference(random) as genome:
        letters = genome.fetch("chr", 0, 700_000)
    counts = np.unique(np.frombuffer(letters.encode(), np.uint8), return_counts=True)[1]
    assert len(counts) == 4
    assert counts.min() > 170_000
    stream.write_dna(given, 650_001, random)
    with Reference(given) as genome:
        assert genome.fetch("chr", 0, 650_001) == letters[:650_001]
