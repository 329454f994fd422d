"""Tracks: patches end where a base's score is high, and never for want of one."""

import math

import torch

from patch.rows import CPU, row, rule


def test_a_patch_closes_above_the_threshold_and_not_where_there_is_no_score() -> None:
    patcher = rule("track", threshold=0.5, mean_bp=2, min_bp=1, max_bp=4)
    assert patcher.reads == "track"
    scores = [0.9, 0.1, 0.6, 0.5, 0.7, math.nan, math.inf, math.nan, math.nan, math.nan, math.nan]
    ids = row("ACGTACGTAC")
    emission, _ = patcher.emit(
        ids, torch.tensor([11]), patcher.begin(1, CPU), None, torch.tensor([scores])
    )
    assert emission.mask[0].nonzero()[:, 0].tolist() == [0, 2, 4, 6, 10]
