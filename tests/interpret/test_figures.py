"""Pictures hold what they should, and any region can be drawn."""

from pathlib import Path

import numpy as np

from hyena_glt.interpret import (
    Landmark,
    Mark,
    PatchMap,
    Profiles,
    RegionView,
    draw_lengths,
    draw_profiles,
    draw_region,
)
from hyena_glt.interpret.figures import running_mean
from hyena_glt.io import Interval


def view(start: int, end: int, marks: list[Mark], bits: np.ndarray | None = None) -> RegionView:
    closes = np.arange(5, 1_000, 5)
    found = PatchMap("chr1", 1_000, 1, closes, 0, bits, bits)
    region = Interval("chr1", start, end, "r", "+", 0)
    return RegionView(region, "ACGT" * ((end - start) // 4), marks, {"fixed 5": found})


def gene(start: int, end: int, name: str, kind: str = "gene") -> Mark:
    return Mark(kind, start, end, "-", 0, name, name, (), False, 1)


def test_a_region_shows_the_names_that_fit_its_patches_and_its_scores(tmp_path: Path) -> None:
    path = tmp_path / "r.svg"
    bits = np.linspace(0, 4, 1_000, dtype=np.float32)
    bits[100:200] = np.nan
    marks = [gene(10, 400, "dnaA"), gene(300, 600, "overlap"), gene(700, 702, "toonarrow")]
    draw_region(path, view(0, 1_000, marks, bits))
    text = path.read_text()
    for shown in ("dnaA", "overlap", "fixed 5", "patch, bp", "surprisal, bits", "chr1, position"):
        assert f"<!-- {shown}" in text, shown
    assert "toonarrow" not in text


def test_a_short_region_shows_letters_and_each_patchs_length(tmp_path: Path) -> None:
    path = tmp_path / "r.svg"
    draw_region(path, view(100, 140, []))
    text = path.read_text()
    assert text.count("<!-- G -->") == 10
    assert text.count("<!-- 5 -->") == 8


def test_a_region_without_a_score_or_a_gene_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "r.png"
    draw_region(path, view(200, 600, [], np.full(1_000, np.nan, np.float32)))
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_longer_patches_share_the_last_bar(tmp_path: Path) -> None:
    path = tmp_path / "l.svg"
    draw_lengths(path, {"budget 6": np.bincount([6] * 50 + [500]), "fixed 6": np.bincount([6])})
    text = path.read_text()
    assert "<!-- 40+ -->" in text
    assert "<!-- budget 6: mean 15.69 bp -->" in text
    assert "<!-- fixed 6: mean 6.00 bp -->" in text


def test_profiles_are_drawn_by_kind_and_strand(tmp_path: Path) -> None:
    profiles = Profiles(flank_bp=5)
    score = np.arange(100, dtype=np.float32)
    profiles.add(score, [Landmark("start codon", 50, "+")] * 12)
    profiles.add(score, [Landmark("stop codon", 50, "-")] * 11)
    path = tmp_path / "p.svg"
    draw_profiles(path, {"surprisal": profiles})
    text = path.read_text()
    for shown in ("start codon", "stop codon", "12 read forward", "11 read backward"):
        assert f"<!-- {shown} -->" in text


def test_a_running_mean_is_of_what_is_there() -> None:
    values = np.array([1, 2, np.nan, 4, 6, np.nan, np.nan, np.nan], np.float32)
    expected = [1.5, 1.5, 3, 5, 5, 6, np.nan, np.nan]
    np.testing.assert_allclose(running_mean(values, 3), np.array(expected), rtol=1e-6)
    np.testing.assert_array_equal(running_mean(values, 1), values)
    assert np.isfinite(running_mean(values, 25)).all()  # wider than all there is
