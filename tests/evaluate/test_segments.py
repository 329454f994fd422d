from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyena_glt.evaluate.segments import (
    counted_segments,
    segment_counts,
    segment_scores,
    segments,
)

CODES = st.lists(st.integers(0, 2), max_size=14)


def coded(text: str) -> np.ndarray:
    return np.array([int(letter) for letter in text], dtype=np.uint8)


def runs(codes: list[int], code: int) -> list[tuple[int, int]]:
    found, start = [], None
    for position, one in enumerate([*codes, -1]):
        if one == code and start is None:
            start = position
        elif one != code and start is not None:
            found.append((start, position))
            start = None
    return found


def most_pairs(a: list[set[int]], b: list[set[int]]) -> int:
    """The most pairs of overlap >= 1/2, each set once, of all ways to pair them."""
    if len(a) > len(b):
        a, b = b, a
    return max(
        sum(2 * len(x & y) >= len(x | y) for x, y in zip(a, order, strict=True))
        for order in permutations(b, len(a))
    )


def test_runs_reach_both_ends() -> None:
    assert segments(coded("1101221"), 1).tolist() == [[0, 2], [3, 4], [6, 7]]
    assert segments(coded("0000"), 0).tolist() == [[0, 4]]
    assert segments(coded("0110"), 0).tolist() == [[0, 1], [3, 4]]
    assert segments(coded("0000"), 1).shape == (0, 2)
    assert segments(coded(""), 0).shape == (0, 2)


@given(CODES, st.integers(0, 2))
def test_runs_are_those_of_a_plain_loop(codes: list[int], code: int) -> None:
    found = segments(np.array(codes, dtype=np.uint8), code)
    assert [tuple(segment) for segment in found.tolist()] == runs(codes, code)


def test_scores_counted_by_hand() -> None:
    # True      [1,4) [6,8) [9,13); predicted [1,4) [5,8) [11,12).
    # Exact: [1,4). Overlap: 3/3, 2/3, 1/4: two. Bases in both 3 + 2 + 1, in either 3 + 3 + 4.
    found = segment_scores([coded("01110011011110")], [coded("01110111000100")], 1)
    assert (found.true_segments, found.predicted_segments) == (3, 3)
    assert (found.exact, found.exact_precision, found.exact_recall) == (1, 1 / 3, 1 / 3)
    assert found.exact_f1 == pytest.approx(1 / 3)
    assert found.overlapping == 2
    assert found.overlap_f1 == pytest.approx(2 / 3)
    assert found.jaccard == 0.6


def test_counts_of_rows_of_one_record_by_hand() -> None:
    # True      [1,4) [6,8) [9,13); predicted [1,4) [5,8) [11,12). Rows [0,6) [6,9) [9,14).
    true, predicted = [coded("01110011011110")], [coded("01110111000100")]
    counts = segment_counts(true, predicted, 1, [6, 3, 5])
    # true, predicted, exact, overlapping by the true one, by the predicted one, both, either
    assert counts.tolist() == [
        [1, 2, 1, 1, 2, 3, 4],
        [1, 0, 0, 1, 0, 2, 2],
        [1, 1, 0, 0, 0, 1, 4],
    ]
    # The first row twice, the last not at all: 3 true, 4 predicted.
    drawn = counted_segments(counts)(np.array([[2.0, 1.0, 0.0]]))
    assert drawn["exact_precision"] == 2 / 4
    assert drawn["exact_recall"] == 2 / 3
    assert drawn["overlap_recall"] == 3 / 3
    assert drawn["overlap_precision"] == 4 / 4
    assert drawn["overlap_f1"] == 7 / 7
    assert drawn["jaccard"] == 8 / 10
    with pytest.raises(ValueError, match="13 bases, expected the 14"):
        segment_counts(true, predicted, 1, [6, 3, 4])


@pytest.mark.slow
@given(st.lists(st.tuples(CODES, CODES), max_size=4), st.integers(0, 2))
def test_counts_of_records_are_those_of_each_by_itself(
    records: list[tuple[list[int], list[int]]], code: int
) -> None:
    cut = [
        (one[: min(map(len, (one, other)))], other[: min(map(len, (one, other)))])
        for one, other in records
    ]
    true, predicted = ([np.array(r[i], dtype=np.uint8) for r in cut] for i in (0, 1))
    counts = segment_counts(true, predicted, code)
    for row, one, other in zip(counts, true, predicted, strict=True):
        scores = segment_scores([one], [other], code)
        found = (scores.true_segments, scores.predicted_segments, scores.exact, scores.overlapping)
        assert tuple(row[:4].tolist()) == found
        assert row[4] == scores.overlapping


@pytest.mark.slow
@given(CODES, CODES, st.integers(0, 2), st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_no_share_is_above_one_whatever_rows_are_drawn(
    one: list[int], other: list[int], code: int, drawn: list[int]
) -> None:
    length = min(len(one), len(other))
    true, predicted = (np.array(codes[:length], dtype=np.uint8) for codes in (one, other))
    rows_bp = [length // 3, length // 3, length - 2 * (length // 3)]
    counts = segment_counts([true], [predicted], code, rows_bp)
    for share in counted_segments(counts)(np.array([drawn], dtype=np.float64)).values():
        assert np.isnan(share) or 0 <= share <= 1


def test_precision_is_over_the_predicted_and_recall_over_the_true() -> None:
    found = segment_scores([coded("110000")], [coded("110101")], 1)
    assert (found.exact_precision, found.exact_recall, found.exact_f1) == (1 / 3, 1, 0.5)
    assert (found.overlap_precision, found.overlap_recall) == (1 / 3, 1)


def test_code_0_has_segments_too() -> None:
    found = segment_scores([coded("00110")], [coded("00010")], 0)
    assert (found.exact, found.true_segments, found.overlapping) == (1, 2, 2)
    assert found.jaccard == 0.75


def test_a_segment_ends_with_its_record() -> None:
    found = segment_scores([coded("011"), coded("110")], [coded("011"), coded("110")], 1)
    assert (found.true_segments, found.exact) == (2, 2)
    # Moved over the border it would be the same run of bases.
    found = segment_scores([coded("0011"), coded("0000")], [coded("0000"), coded("1100")], 1)
    assert (found.exact, found.overlapping, found.jaccard) == (0, 0, 0)


def test_half_of_a_segment_is_enough_but_not_less() -> None:
    assert segment_scores([coded("1111")], [coded("1100")], 1).overlapping == 1
    assert segment_scores([coded("1100")], [coded("1111")], 1).overlapping == 1
    assert segment_scores([coded("1111111")], [coded("1110111")], 1).overlapping == 0  # 3/7 each


def test_none_of_the_code_is_undefined_and_none_found_is_0() -> None:
    nothing = segment_scores([coded("00")], [coded("00")], 1)
    undefined = (nothing.exact_precision, nothing.exact_recall, nothing.exact_f1, nothing.jaccard)
    assert np.isnan(undefined).all()
    missed = segment_scores([coded("01")], [coded("00")], 1)
    assert np.isnan(missed.exact_precision)
    assert (missed.exact_recall, missed.exact_f1, missed.jaccard) == (0, 0, 0)
    assert np.isnan(segment_scores([], [], 1).jaccard)


@pytest.mark.slow
@given(st.lists(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), max_size=9), max_size=3))
@settings(max_examples=40)
def test_scores_are_those_of_a_plain_loop(records: list[list[tuple[int, int]]]) -> None:
    true, predicted = ([[pair[side] for pair in record] for record in records] for side in (0, 1))
    for code in (0, 1):
        found = segment_scores(
            [np.array(codes, dtype=np.uint8) for codes in true],
            [np.array(codes, dtype=np.uint8) for codes in predicted],
            code,
        )
        exact = overlapping = both = either = 0
        for one, other in zip(true, predicted, strict=True):
            a, b = runs(one, code), runs(other, code)
            exact += len(set(a) & set(b))
            overlapping += most_pairs([set(range(*s)) for s in a], [set(range(*s)) for s in b])
            both += sum(x == y == code for x, y in zip(one, other, strict=True))
            either += sum(code in pair for pair in zip(one, other, strict=True))
        assert (found.exact, found.overlapping) == (exact, overlapping)
        assert found.jaccard == pytest.approx(both / either if either else np.nan, nan_ok=True)


def test_records_that_dont_match_are_refused() -> None:
    with pytest.raises(ValueError, match="1 true and 2 predicted records"):
        segment_scores([coded("0")], [coded("0"), coded("1")], 1)
    with pytest.raises(ValueError, match=r"record 1 \(from 0\) has 2 true and 3 predicted bases"):
        segment_scores([coded("0"), coded("00")], [coded("0"), coded("000")], 1)
