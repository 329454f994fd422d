"""Steps of rows out of phase: the inner network runs for those alone that closed a patch."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hyena_glt.model import HyenaGLT
from hyena_glt.model.hierarchy import Hierarchy
from hyena_glt.nn import select_rows
from properties.checks import same, same_state
from properties.tiny import PATCHES, Case, build, document, padded, tensors_of

PROMPTS_BP = (0, 3, 7, 1, 12)
STEPS = 14


def network_of(patch: str) -> HyenaGLT:
    return build(Case("S", patch, 2, "SMLA", "M", "exact"))


def rows_of(length_bp: int) -> list[Tensor]:
    return [document(bp + length_bp, seed) for seed, bp in enumerate(PROMPTS_BP)]


def watched(module: nn.Module) -> list[int]:
    """Rows of each call of ``module`` from now on."""
    calls: list[int] = []
    module.register_forward_hook(lambda _m, inputs, _o: calls.append(len(inputs[0])))
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("patch", PATCHES)
@torch.no_grad()
def test_steps_of_rows_out_of_phase_are_the_forward_pass(patch: str) -> None:
    network, rows = network_of(patch), rows_of(STEPS)
    whole = [network(row, state=network.begin(1)) for row in rows]
    ids, length = padded([row[:, : 1 + bp] for row, bp in zip(rows, PROMPTS_BP, strict=True)])
    state = network(ids, length, network.begin(len(rows))).state
    stage2 = network.hierarchy.inner
    assert isinstance(stage2, Hierarchy)
    calls = watched(stage2), watched(stage2.inner)
    closes = np.zeros((2, STEPS), int)
    for step in range(STEPS):
        letters = [row[:, 1 + bp + step] for row, bp in zip(rows, PROMPTS_BP, strict=True)]
        output = network(torch.stack(letters), state=state)
        state = output.state
        for i, (bp, expected) in enumerate(zip(PROMPTS_BP, whole, strict=True)):
            same(output.logits[i], expected.logits[0, 1 + bp + step : 2 + bp + step])
            for found, wanted in zip(output.emissions, expected.emissions, strict=True):
                assert bool(found.mask[i, 0]) == bool(wanted.mask[0, 1 + bp + step])
        closes[:, step] = [int(emission.mask.sum()) for emission in output.emissions]
    assert state is not None
    for i, expected in enumerate(whole):
        same_state(select_rows(state, torch.tensor([i])), expected.state)
    # Only rows that closed a patch, and no call where none did.
    for found, wanted in zip(calls, closes.tolist(), strict=True):
        assert found == [n for n in wanted if n]
    if patch != "none":
        assert 0 < closes[1].sum() < closes[0].sum() < STEPS * len(rows)


@torch.no_grad()
def test_a_row_that_closes_nothing_keeps_the_inner_state_bit_for_bit() -> None:
    network = build(Case("S", "fixed", 1, "SMLA", "M", "exact"))  # patches of 3, in phase 1
    ids, length = padded([document(4), document(5), document(6)])
    before = network(ids, length, network.begin(3)).state
    assert before is not None
    output = network(torch.tensor([[65], [67], [71]]), state=before)
    assert output.emissions[0].mask[:, 0].tolist() == [False, False, True]
    assert output.state is not None
    found, expected = output.state.hierarchy, before.hierarchy
    pairs = zip(tensors_of(found.inner), tensors_of(expected.inner), strict=True)
    for after, kept in [*pairs, (found.latent, expected.latent)]:
        assert torch.equal(after[:2], kept[:2])
    moved = zip(tensors_of(found.inner), tensors_of(expected.inner), strict=True)
    assert any(not torch.equal(after[2], kept[2]) for after, kept in moved)


@torch.no_grad()
def test_a_step_changes_no_state_that_it_was_given() -> None:
    network = network_of("delimiter")
    ids = torch.cat([document(8, seed) for seed in range(6)])
    state = network(ids, state=network.begin(6)).state
    kept = [tensor.clone() for tensor in tensors_of(state)]
    for letter in "ACGT":
        network(torch.full((6, 1), ord(letter)), state=state)
    for one, other in zip(tensors_of(state), kept, strict=True):
        assert torch.equal(one, other)
