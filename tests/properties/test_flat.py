"""Patches of one base: the hierarchy is a flat network of the same weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hyena_glt.model import HyenaGLT
from hyena_glt.model.account import count_flops
from hyena_glt.model.hierarchy import Hierarchy
from hyena_glt.nn import Span
from properties.checks import same
from properties.tiny import NONE, Case, build, document, padded

CASE = Case("SA", "none", 1, "SMLA", "LM", "exact")
EVERY_BASE = {"kind": "delimiter", "motifs": ["CG"], "max_bp": 1}
ROWS = [document(length_bp, seed) for seed, length_bp in enumerate((25, 0, 9))]


def flat(network: HyenaGLT, ids: Tensor, length: Tensor) -> Tensor:
    """The logits by blocks in a row: nothing is cut, pooled or read back."""
    coordinate = torch.arange(ids.shape[1]).expand(ids.shape)
    span = Span(coordinate, length, network.direction == "bidirectional")

    def rate(level: Hierarchy, x_BLD: Tensor) -> Tensor:
        h_BLD, _ = level.encoder(x_BLD, span, None)
        # The mean and the maximum of one state are that state.
        of_mean, of_max = level.pool.weight.chunk(2, 1)
        z_BLE = F.linear(h_BLD, of_mean + of_max, level.pool.bias)
        if isinstance(level.inner, Hierarchy):
            z_BLE = rate(level.inner, z_BLE)
        else:
            z_BLE, _ = level.inner(z_BLE, span, None)
        up_BLD = level.gate * level.up(level.inner_norm(z_BLE))
        y_BLD: Tensor
        y_BLD, _ = level.decoder(h_BLD + up_BLD, span, None)
        return y_BLD

    x_BLD, _ = network.embed(ids, length, network.embed.begin(len(ids), ids.device))
    logits: Tensor = network.head(rate(network.hierarchy, x_BLD))
    return logits


@pytest.mark.parametrize("direction", ["causal", "bidirectional"])
@pytest.mark.parametrize("patches", [[NONE], [NONE, NONE], [EVERY_BASE]], ids=str)
@torch.no_grad()
def test_the_hierarchy_is_its_stacks_one_after_the_other(
    patches: list[object], direction: str
) -> None:
    network = build(CASE, patches=patches, direction=direction)
    ids, length = padded(ROWS)
    found, expected = network(ids, length).logits, flat(network, ids, length)
    for i, n in enumerate(length.tolist()):
        same(found[i, :n], expected[i, :n])


@torch.no_grad()
def test_a_rule_that_closes_every_base_costs_what_no_rule_does_and_has_its_numbers() -> None:
    none, every = build(CASE), build(CASE, patches=[EVERY_BASE])
    assert count_flops(every) == count_flops(none)
    ids = ROWS[0]
    found, expected = (network(ids, state=network.begin(1)) for network in (every, none))
    assert torch.equal(found.emissions[0].mask, torch.ones_like(ids, dtype=torch.bool))
    same(found.logits, expected.logits)
