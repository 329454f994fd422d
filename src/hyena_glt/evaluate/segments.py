"""How well stretches of one class are found: their edges, their overlap, their bases.

An annotation gives each base of a record a code (exon, intron, ...). A segment is a longest run of
one code, `[start, end)` in bases; it never runs from one record into the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt8


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
    a, b = _placed(true, code), _placed(predicted, code)
    pair_a, pair_b = _touching(a, b)
    edges = np.stack([a[pair_a], b[pair_b]])
    starts, ends = edges[..., 0], edges[..., 1]
    shared_bp = ends.min(axis=0) - starts.max(axis=0)
    union_bp = ends.max(axis=0) - starts.min(axis=0)
    exact = int(np.sum(shared_bp == union_bp))
    # No segment is in two such pairs: two segments have a base between them, so not both can cover
    # half of a third.
    overlapping = int(np.sum(2 * shared_bp >= union_bp))
    both_bp = int(shared_bp.sum())
    either_bp = int(np.diff(a).sum() + np.diff(b).sum()) - both_bp
    return SegmentScores(
        len(a),
        len(b),
        exact,
        *_precision_recall_f1(exact, len(a), len(b)),
        overlapping,
        *_precision_recall_f1(overlapping, len(a), len(b)),
        _share(both_bp, either_bp),
    )


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


def _precision_recall_f1(matches: int, true: int, predicted: int) -> tuple[float, float, float]:
    return (
        _share(matches, predicted),
        _share(matches, true),
        _share(2 * matches, true + predicted),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else np.nan
