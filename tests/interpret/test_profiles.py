"""Means around landmarks, as their strand reads."""

import numpy as np
import pytest

from hyena_glt.interpret import Landmark, Profiles


def test_the_other_strands_windows_are_turned_round() -> None:
    score = np.arange(12, dtype=np.float32)
    profiles = Profiles(flank_bp=2)
    profiles.add(score, [Landmark("start codon", 6, "+")] * 10)
    profiles.add(score, [Landmark("start codon", 6, "-")] * 10)
    forward, backward = profiles.of("start codon", "+"), profiles.of("start codon", "-")
    assert forward is not None
    assert backward is not None
    # Index 2 is the first base of the codon: 6 on one strand, 5 on the other.
    assert forward.mean.tolist() == [4, 5, 6, 7]
    assert backward.mean.tolist() == [7, 6, 5, 4]
    assert forward.margin.tolist() == [0, 0, 0, 0]
    assert profiles.kinds == ["start codon"]


def test_windows_over_an_end_are_left_out_and_few_places_are_no_profile() -> None:
    profiles = Profiles(flank_bp=2)
    places = [Landmark("stop codon", position, "+") for position in (1, 2, 8, 9)]
    profiles.add(np.arange(10, dtype=np.float32), places * 5)
    found = profiles.of("stop codon", "+")
    assert found is not None
    assert found.places == 10  # at 2 and at 8
    assert found.mean.tolist() == [3, 4, 5, 6]
    few = Profiles(flank_bp=2)
    few.add(np.arange(10, dtype=np.float32), [Landmark("stop codon", 5, "+")] * 9)
    assert few.of("stop codon", "+") is None
    assert few.kinds == []
    nothing = {"places": 9, "mean": None, "margin": None}
    assert few.as_dict() == {"stop codon": {"+": nothing}}


def test_a_base_without_a_score_is_in_no_mean_and_the_interval_is_of_the_mean() -> None:
    profiles = Profiles(flank_bp=1)
    values = np.random.default_rng(0).normal(size=40).astype(np.float32)
    for value in values:
        profiles.add(np.array([np.nan, value], np.float32), [Landmark("exon end", 1, "+")])
    found = profiles.of("exon end", "+")
    assert found is not None
    assert np.isnan(found.mean[0])
    assert found.mean[1] == pytest.approx(values.mean(), rel=1e-5)
    expected = 1.96 * values.std(ddof=1) / np.sqrt(40)
    assert found.margin[1] == pytest.approx(expected, rel=1e-5)
    written = profiles.as_dict()["exon end"]["+"]
    assert written["places"] == 40
    assert written["mean"] == [None, round(float(found.mean[1]), 5)]
    assert written["margin"] == [None, round(float(found.margin[1]), 5)]
