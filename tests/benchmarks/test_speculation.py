"""What speculation could save: the steps are of the two kinds, and the bound is what it says."""

import pytest
import speculation
import torch
from peers import build_contender

from hyena_glt.model import HyenaGLT


@torch.no_grad()
def test_one_step_closes_no_patch_and_the_other_one_of_every_row() -> None:
    network = build_contender("patched", 1)
    assert isinstance(network, HyenaGLT)
    timed = speculation.calls(network, 2, network.patchers[0].max_bp)
    closed = {name: timed[name]().emissions[0].mask.sum() for name in ("open", "closing")}
    assert closed == {"open": 0, "closing": 2}
    latents, _ = timed["backbone 4"]()
    assert latents.shape == (2, 4, network.config.backbone.width)


def test_the_bound_is_of_drafts_that_are_all_right() -> None:
    """A patch of 4 bases: steps of 1 ms, 8 ms more where it closes; the backbone reads 8 in 10."""
    ms = {"open": 1.0, "closing": 9.0, "backbone 1": 8.0, "backbone 2": 8.0}
    found = speculation.bounds({**ms, "backbone 4": 9.0, "backbone 8": 10.0}, 4)
    assert found["most_faster_by"] == {1: 1, 2: 1.5, 4: 1.92, 8: pytest.approx(96 / 42, abs=1e-3)}
    assert found["most_with_a_free_backbone"] == 3
