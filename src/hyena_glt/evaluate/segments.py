"""How well stretches of one class are found: their edges, their overlap, their bases.

An annotation gives each base of a record a code (exon, intron, ...). A segment is a longest run of
one code, `[start, end)` in bases; it never runs from one record into the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from hyena_glt.evaluate.counted import ratio
from hyena_glt.evaluate.intervals import CountedMetrics, Counts

SEGMENT_COLUMNS = 7  # of the table that `segment_counts` gives


def segments(codes: UInt8[np.ndarray, " L"], code: int) -> Int64[np.ndarray, "S 2"]:
    """Return the `[start, end)` of each longest run of `code`, 0-based, from left to right.

    >>> segments(np.array([1, 1, 0, 1], dtype=np.uint8), 1).tolist()
    [[0, 2], [3, 4]]
    """
    # With a base of another code on either side every run has a start and an end.
    inside = np.pad(codes == code, 1)
    return np.flatnonzero(inside[1:] != inside[:-1]).reshape(-1, 2)


@dataclass(frozen=True)
class SegmentScores:
    """How the predicted segments of one code agree with the true ones, over all records.

    Precision is matches over predicted segments, recall over true ones, f1 = 2 matches / (both
    together); NaN for 0 / 0.
    """

    true_segments: int
    predicted_segments: int
    exact: int  # segments with both edges right
    exact_precision: float
    exact_recall: float
    exact_f1: float
    overlapping: int  # pairs of intersection over union >= 0.5
    overlap_precision: float
    overlap_recall: float
    overlap_f1: float
    jaccard: float  # bases in both over bases in either


def segment_scores(
    true: Sequence[UInt8[np.ndarray, " _"]],
    predicted: Sequence[UInt8[np.ndarray, " _"]],
    code: int,
) -> SegmentScores:
    """Return how the segments of `code` in `predicted` agree with those in `true`.

    Both hold the codes of the same records, an array each. Counts are summed over records before
    they are divided.

    Raises `ValueError` if there are not as many records in both or one isn't as long in both.
    """
    return _scores_of(segment_counts(true, predicted, code).sum(axis=0))


def segment_counts(
    true: Sequence[UInt8[np.ndarray, " _"]],
    predicted: Sequence[UInt8[np.ndarray, " _"]],
    code: int,
    rows_bp: Sequence[int] | None = None,
) -> Int64[np.ndarray, "R 7"]:
    """Return what `segment_scores` sums and divides, of each row.

    A row is a record, or, where records are made of several, as many bases of all records end to
    end as `rows_bp` says. Columns are true segments, predicted ones, pairs with both edges right,
    pairs of intersection over union >= 0.5 where the true one begins, the same where the predicted
    one does, bases in both, and bases in either. A segment counts in the row where it begins.

    Raises what `segment_scores` raises, and `ValueError` if rows have not as many bases as records.
    """
    if len(true) != len(predicted):
        raise ValueError(
            f"found {len(true)} true and {len(predicted)} predicted records, expected as many"
        )
    for number, (one, other) in enumerate(zip(true, predicted, strict=True)):
        if one.shape != other.shape:
            raise ValueError(
                f"record {number} (from 0) has {len(one)} true and {len(other)} predicted bases, "
                "expected as many"
            )
    lengths_bp = [len(codes) for codes in true] if rows_bp is None else rows_bp
    ends_bp = np.cumsum(lengths_bp, dtype=np.int64)
    found_bp, expected_bp = sum(lengths_bp), sum(len(codes) for codes in true)
    if found_bp != expected_bp:
        raise ValueError(f"rows have {found_bp} bases, expected the {expected_bp} of the records")
    a, b = _placed(true, code), _placed(predicted, code)
    pair_a, pair_b = _touching(a, b)
    edges = np.stack([a[pair_a], b[pair_b]])
    starts, ends = edges[..., 0], edges[..., 1]
    shared_bp = ends.min(axis=0) - starts.max(axis=0)
    union_bp = ends.max(axis=0) - starts.min(axis=0)
    exact = shared_bp == union_bp
    # No segment is in two such pairs: two segments have a base between them, so not both can cover
    # half of a third.
    overlapping = 2 * shared_bp >= union_bp
    begins_at = (
        *(a[:, 0], b[:, 0], a[pair_a[exact], 0]),
        *(a[pair_a[overlapping], 0], b[pair_b[overlapping], 0]),
    )
    return np.stack(
        [
            *(_in_rows(places_bp, ends_bp) for places_bp in begins_at),
            *(_in_rows(np.flatnonzero(is_in), ends_bp) for is_in in _bases(true, predicted, code)),
        ],
        axis=1,
    )


def counted_segments(counts: Int64[np.ndarray, "R 7"]) -> CountedMetrics:
    """Return the function from how often rows were drawn to what `segment_scores` gives of those.

    `counts` are those of `segment_counts`; precisions, recalls, f1 and jaccard are returned.
    """

    def metrics(drawn: Counts) -> dict[str, Float64[np.ndarray, " B"]]:
        true, predicted, exact, of_true, of_predicted, both, either = (drawn @ counts).T
        found = {}
        # Of a pair that begins in two rows one can be drawn without the other: each side's matches
        # are over its own segments, so that no share is above 1.
        for name, found_true, found_predicted in (
            ("exact", exact, exact),
            ("overlap", of_true, of_predicted),
        ):
            found[f"{name}_precision"] = ratio(found_predicted, predicted)
            found[f"{name}_recall"] = ratio(found_true, true)
            found[f"{name}_f1"] = ratio(found_true + found_predicted, true + predicted)
        return found | {"jaccard": ratio(both, either)}

    return metrics


def _scores_of(sums: Int64[np.ndarray, " 7"]) -> SegmentScores:
    true, predicted, exact, overlapping = sums[:4].tolist()
    metrics = counted_segments(sums[None])(np.ones((1, 1)))
    figures = {name: float(value[0]) for name, value in metrics.items()}
    return SegmentScores(true, predicted, exact=exact, overlapping=overlapping, **figures)


def _in_rows(
    places_bp: Int64[np.ndarray, " N"], ends_bp: Int64[np.ndarray, " R"]
) -> Int64[np.ndarray, " R"]:
    """How many of the places lie in each row, of bases laid end to end."""
    rows = np.searchsorted(ends_bp, places_bp, side="right")
    return np.bincount(rows, minlength=len(ends_bp)).astype(np.int64)


def _bases(
    true: Sequence[UInt8[np.ndarray, " _"]],
    predicted: Sequence[UInt8[np.ndarray, " _"]],
    code: int,
) -> tuple[Bool[np.ndarray, " L"], Bool[np.ndarray, " L"]]:
    """Whether each base of all records is of `code` in both, and in either."""
    one, other = (
        np.concatenate([np.empty(0, np.uint8), *records]) == code for records in (true, predicted)
    )
    return one & other, one | other


def _placed(records: Sequence[UInt8[np.ndarray, " _"]], code: int) -> Int64[np.ndarray, "S 2"]:
    """The segments of all records, laid end to end; where two records meet, so do two segments."""
    found, offset_bp = [np.empty((0, 2), dtype=np.int64)], 0
    for codes in records:
        found.append(segments(codes, code) + offset_bp)
        offset_bp += len(codes)
    return np.concatenate(found)


def _touching(
    a: Int64[np.ndarray, "S 2"], b: Int64[np.ndarray, "T 2"]
) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
    """The indices (into a, into b) of each pair of segments that shares a base."""
    first = np.searchsorted(b[:, 1], a[:, 0], side="right")
    count = np.searchsorted(b[:, 0], a[:, 1], side="left") - first
    pair_a = np.repeat(np.arange(len(a)), count)
    within = np.arange(len(pair_a)) - np.repeat(np.cumsum(count) - count, count)
    return pair_a, np.repeat(first, count) + within
