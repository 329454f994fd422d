"""Anchors close patches nearer to each other than ``min_bp``: attention sees all of them."""

import pytest
import torch

from hyena_glt.config import ModelConfig
from hyena_glt.model import HyenaGLT
from properties.checks import check_pieces
from properties.tiny import document

MIN_BP = 24
WINDOW_BP = 240


@pytest.mark.slow
def test_steps_see_every_latent_in_the_window_that_one_pass_sees() -> None:
    patch = {
        **{"kind": "budget", "budget_bits": 4.0, "mean_bp": 24, "min_bp": MIN_BP, "max_bp": 48},
        **{"anchor_k": 4, "anchor_every": 16, "anchor_gap_bp": 32},
    }
    stage = {"width": 4, "mlp_width": 3, "encoder": "", "decoder": "S", "patch": patch}
    section = {
        "entropy": {"kind": "kmer", "k": 2},
        "stages": [stage],
        "backbone": {"width": 8, "mlp_width": 5, "layout": "A"},
        "mixers": {"A": {"heads": 2, "kv_heads": 1, "window_bp": WINDOW_BP}},
    }
    torch.manual_seed(0)
    network = HyenaGLT(ModelConfig.model_validate(section), "dna").double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    ids = document(700, 3, letters="ACGT")
    closes = network(ids).emissions[0].mask[0].nonzero()[:, 0]
    most = WINDOW_BP // MIN_BP + 1
    narrowest = int((closes[most:] - closes[:-most]).min())
    assert narrowest < WINDOW_BP, "no window holds more closes than min_bp alone allows"
    check_pieces(network, ids, [1] * ids.shape[1])
