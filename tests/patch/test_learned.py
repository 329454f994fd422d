"""Learned patches: the router's score says where, the limits hold."""

import torch

from patch.rows import CPU, row, rule


def test_a_patch_closes_where_the_score_is_above_zero_within_the_limits() -> None:
    patcher = rule("learned", mean_bp=3, min_bp=2, max_bp=4)
    assert patcher.reads == "router"
    assert patcher.mean_bp == 3
    score = torch.tensor([[1.0, 0.2, 0.1, -1.0, 0.3, 0.0, 0.0, -0.1, -0.5, 1e-9, -1.0]])
    emission, _ = patcher.emit(
        row("A" * 10), torch.tensor([11]), patcher.begin(1, CPU), None, score
    )
    assert emission.mask[0].nonzero()[:, 0].tolist() == [0, 2, 4, 8]
