"""What boundaries fall on, counted by hand, and beside shifted ones."""

import numpy as np
import pytest

from hyena_glt.interpret import Mark, Positions
from hyena_glt.interpret.codons import (
    against,
    codon_of_boundary,
    count_codons,
    count_hits,
    feature_edges,
)


def mark(start: int, end: int, strand: str = "+", phase: int | None = 0, kind: str = "CDS") -> Mark:
    assert strand in ("+", "-", ".")
    return Mark(kind, start, end, strand, phase, "n", "n", (), False, 1)  # type: ignore[arg-type]


def test_a_boundary_stands_behind_a_base_of_its_codon_as_the_gene_reads() -> None:
    # Bases 2 to 7 are two codons: places 3 and 4 are inside the first, 5 between them.
    assert codon_of_boundary(10, [mark(2, 8)]).tolist() == [0, 0, 0, 1, 2, 3, 1, 2, 0, 0]
    # The other strand reads 7 first: place 7 is behind its first base.
    assert codon_of_boundary(10, [mark(2, 8, "-")]).tolist() == [0, 0, 0, 2, 1, 3, 2, 1, 0, 0]


def test_a_phase_shifts_the_codons() -> None:
    # One base ends a codon that another part began.
    assert codon_of_boundary(10, [mark(2, 8, phase=1)]).tolist() == [0, 0, 0, 3, 1, 2, 3, 1, 0, 0]
    assert codon_of_boundary(10, [mark(2, 8, "-", 2)]).tolist() == [0, 0, 0, 3, 2, 1, 3, 2, 0, 0]


def test_where_reading_frames_differ_nothing_counts_and_copies_are_one() -> None:
    same = [mark(0, 6), mark(0, 6), mark(3, 9)]
    assert codon_of_boundary(9, same).tolist() == [0, 1, 2, 3, 1, 2, 3, 1, 2]
    differ = [mark(0, 6), mark(4, 10)]
    assert codon_of_boundary(10, differ).tolist() == [0, 1, 2, 3, 1, -1, 2, 3, 1, 2]
    # The same place in a codon, but on two strands.
    strands = [mark(0, 6), mark(1, 7, "-")]
    assert (codon_of_boundary(8, strands)[2:6] == -1).all()


def test_shifted_boundaries_go_round_the_circle() -> None:
    frames = np.array([0, 1, 2, 3, 0, -1], np.int8)
    boundaries = np.array([1, 3, 5])
    assert count_codons(boundaries, frames, 0).tolist() == [1, 0, 1]
    assert count_codons(boundaries, frames, 2).tolist() == [1, 0, 1]  # 3, 5 and 7 - 6
    assert count_codons(boundaries, frames, 1).tolist() == [0, 1, 0]  # 2, 4 and 0
    is_boundary = np.zeros(6, bool)
    is_boundary[boundaries] = True
    edges = np.array([1, 2])
    assert count_hits(edges, is_boundary, 0) == 1
    assert count_hits(edges, is_boundary, 1) == 1  # boundaries at 2, 4, 0
    assert count_hits(edges, is_boundary, 2) == 1  # at 3, 5, 1


def test_ends_of_features_are_as_they_read_each_place_once_and_inside_the_contig() -> None:
    marks = [mark(0, 5), mark(2, 8, "-"), mark(3, 8, "-"), mark(3, 10, ".", kind="gene")]
    found = {key: edges.tolist() for key, edges in feature_edges(10, marks).items()}
    assert found == {
        ("CDS", "end"): [2, 3, 5],
        ("CDS", "start"): [8],
        ("gene", "start"): [3],
    }


def test_a_baseline_has_its_mean_its_range_and_a_p_that_is_never_0() -> None:
    shares = np.concatenate([[0.9], np.linspace(0, 1, 201)])
    found = against(shares)
    assert found.share == 0.9
    assert found.baseline_mean == pytest.approx(0.5)
    assert (found.baseline_low, found.baseline_high) == pytest.approx((0.025, 0.975))
    assert found.p == pytest.approx(43 / 202)  # 0 to 0.1 and 0.9 to 1, and itself
    assert against(np.array([1.0, 0.0, 0.0, 0.0])).p == 1 / 4


def test_boundaries_between_codons_are_found_and_shifted_ones_are_not() -> None:
    gaps = np.random.default_rng(1).integers(10, 90, size=200)  # genes in every frame
    starts = np.cumsum(gaps + 90)
    marks = [mark(start, start + 90) for start in starts.tolist()]
    length_bp = int(starts[-1]) + 200
    # A boundary between any two codons, and nowhere else.
    boundaries = np.flatnonzero(codon_of_boundary(length_bp, marks) == 3)
    positions = Positions(shifts=99)
    positions.add(boundaries, length_bp, marks)
    codons = positions.as_dict()["codons"]
    assert codons["boundaries"] == len(boundaries)
    assert codons["after_3"]["share"] == 1.0
    assert codons["after_3"]["p"] == 1 / 100
    assert codons["after_3"]["baseline_mean"] == pytest.approx(1 / 3, abs=0.1)
    assert codons["after_1"]["share"] == 0.0


def test_starts_with_a_boundary_each_are_far_from_the_baseline_and_contigs_add_up() -> None:
    marks = [mark(start, start + 50, kind="gene") for start in range(100, 6_000, 130)]
    starts = np.array([gene.start for gene in marks])
    positions = Positions(shifts=99)
    for _ in range(2):
        positions.add(starts, 7_000, marks)
    found = positions.as_dict()
    assert found["codons"] is None
    assert found["features"]["gene"]["start"]["places"] == 2 * len(marks)
    assert found["features"]["gene"]["start"]["share"] == 1.0
    assert found["features"]["gene"]["start"]["p"] == 1 / 100
    assert found["features"]["gene"]["end"]["share"] == 0.0


def test_the_same_boundaries_have_the_same_baseline() -> None:
    marks = [mark(100, 400)]
    boundaries = np.arange(5, 1_000, 7)
    one, other = Positions(), Positions()
    one.add(boundaries, 1_000, marks)
    other.add(boundaries, 1_000, marks)
    assert one.as_dict() == other.as_dict()
