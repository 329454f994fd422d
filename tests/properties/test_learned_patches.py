"""Networks that learn their patches: what moves the threshold, and what never does."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hyena_glt.checkpoint import build_network, load_checkpoint, load_tree
from hyena_glt.config import Recipe
from hyena_glt.model import HyenaGLT
from hyena_glt.model.router import Router
from hyena_glt.train import train
from properties.tiny import Case, build, document

CASE = Case("S", "learned", 2, "ML", "A", "exact")
LEARNED = "model.stages.0.patch={kind: learned, mean_bp: 4, min_bp: 1, max_bp: 12, gain: 1}"


def thresholds(network: HyenaGLT) -> list[int]:
    routers = [module for module in network.modules() if isinstance(module, Router)]
    return [int(router.threshold_units) for router in routers]


def masks(network: HyenaGLT, ids: Tensor) -> list[Tensor]:
    return [emission.mask for emission in network(ids).emissions]


def same_masks(found: list[Tensor], expected: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_pass_in_training_moves_nothing_until_the_step_ends() -> None:
    network = build(CASE).train()
    ids = document(300, letters="ACGT")
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first = masks(network, ids)
    assert same_masks(masks(network, ids), first)
    assert all(torch.equal(state[name], t) for name, t in network.state_dict().items())
    begun = thresholds(network)
    network.end_step()
    assert all(now != before for now, before in zip(thresholds(network), begun, strict=True))
    assert not same_masks(masks(network, ids), first)


@pytest.mark.parametrize("training", [False, True])
def test_a_pass_that_no_gradient_follows_moves_nothing(training: bool) -> None:
    """In evaluation mode, and without gradients in any: validation must not tune what it reads."""
    network = build(CASE).train(training)
    begun = thresholds(network)
    with torch.set_grad_enabled(not training):
        network(document(300))
    network.end_step()
    assert thresholds(network) == begun


def test_both_halves_of_a_batch_move_the_threshold_as_the_whole_does() -> None:
    ids = torch.cat([document(60, seed) for seed in range(4)])
    whole, halves = build(CASE).train(), build(CASE).train()
    whole(ids)
    for part in ids.split(2):
        halves(part)
    whole.end_step()
    halves.end_step()
    assert thresholds(whole) == thresholds(halves)


@pytest.fixture(scope="module")
def run(
    tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, HyenaGLT]:
    """(Folder, kept network) of a run, validated after its last step alone."""
    out = tmp_path_factory.mktemp("learned") / "run"
    train(tiny(LEARNED, "train.validate_every_steps=8"), out)
    return out, build_network(load_checkpoint(out / "checkpoint"))


@pytest.mark.slow
def test_the_kept_network_has_the_threshold_of_the_last_step(run: tuple[Path, HyenaGLT]) -> None:
    out, kept = run
    state = load_tree(out / "resume" / "step-00000008" / "state")["state_dict"]
    last = {int(t) for name, t in state.items() if name.endswith("threshold_units")}
    assert set(thresholds(kept)) == last
    assert last != {2**19}, "it never moved"


@torch.no_grad()
def test_a_loaded_network_closes_the_same_patches(run: tuple[Path, HyenaGLT]) -> None:
    out, kept = run
    again = build_network(load_checkpoint(out / "checkpoint"))
    ids = document(500, letters="ACGT")
    assert same_masks(masks(again, ids), masks(kept, ids))
    for module in again.modules():
        if isinstance(module, Router):
            module.threshold_units.copy_(module.threshold_units * 3 // 4)
    assert not same_masks(masks(again, ids), masks(kept, ids))
