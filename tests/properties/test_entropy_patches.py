"""Networks whose patches entropies close: by either model, as causal and as exact as letters."""

from typing import Any

import pytest
import torch

from hyena_glt.model import HyenaGLT
from hyena_glt.model.entropy import ConvEntropy
from properties.checks import check_causal_network
from properties.tiny import ANCHORS, ENTROPY, Case, build, document

CASE = Case("S", "none", 1, "ML", "A", "exact")
CONV = {"kind": "conv", "width": 4, "layers": 2, "kernel": 3, "bases": 1}
LIMITS = {"mean_bp": 3, "min_bp": 2, "max_bp": 9}
# A threshold of each model that closes some patches and not others.
THRESHOLD_BITS = {"kmer": 1.85, "conv": 1.5}
MODELS = {"kmer": ENTROPY, "conv": CONV}


def patches_of(kind: str, model: str) -> dict[str, Any]:
    threshold_bits = THRESHOLD_BITS[model]
    return {
        "entropy": {"kind": "entropy", "threshold_bits": threshold_bits, **LIMITS},
        "entropy_jump": {"kind": "entropy_jump", "jump_bits": 0.02, **LIMITS},
        "entropy_dual": {"kind": "entropy_dual", "threshold_bits": threshold_bits, **LIMITS},
        "budget": {"kind": "budget", "budget_bits": 5.5, "mean_bp": 3, "min_bp": 2, **ANCHORS},
    }[kind]


def network_of(kind: str, model: str, **settings: Any) -> HyenaGLT:
    network = build(CASE, patches=[patches_of(kind, model)], entropy=MODELS[model], **settings)
    entropy = network.entropy
    if isinstance(entropy, ConvEntropy):
        generator = torch.Generator().manual_seed(0)
        weights = 0.5 * torch.randn(entropy.weight_bits.shape, generator=generator)
        entropy.weight_bits.copy_(weights.view(torch.int32))
    return network


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "model"),
    [("entropy", "kmer"), ("entropy", "conv"), ("entropy_jump", "conv"), ("budget", "conv")],
)
def test_a_causal_network_has_every_property(kind: str, model: str) -> None:
    check_causal_network(network_of(kind, model))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["entropy", "entropy_jump", "entropy_dual", "budget"])
@torch.no_grad()
def test_no_change_of_type_moves_a_boundary(kind: str, model: str) -> None:
    network = network_of(kind, model, dtype=torch.float32)
    ids = document(300, letters="ACGT")
    before = network(ids)
    closes = before.emissions[0].mask[0, 1:]
    free = closes.nonzero()[:, 0].diff()
    assert len(free.unique()) > 2, "a limit closes all patches"
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        network.to(dtype)
        output = network(ids)
        assert output.logits.dtype == dtype
        assert torch.equal(output.emissions[0].mask, before.emissions[0].mask)
        assert torch.equal(output.emissions[0].overflow, before.emissions[0].overflow)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network.float()(ids)
    assert not torch.equal(rounded.logits, before.logits)
    assert torch.equal(rounded.emissions[0].mask, before.emissions[0].mask)
