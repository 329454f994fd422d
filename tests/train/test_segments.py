"""Rows read in segments: the loss is the whole row's, and so is the exact gradient."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from properties.checks import same_gradient
from properties.tiny import PATCHES, Case, LetterPatcher, build
from properties.tolerances import GRADIENT_FP32_RELATIVE, LOGLIK_FP32_RELATIVE, OUTPUT_FP64
from torch import Tensor

from hyena_glt.config import CausalObjectiveConfig, Recipe, SegmentGradient, TrainConfig
from hyena_glt.data import Batch, collate
from hyena_glt.data.windows import make_window
from hyena_glt.errors import RecipeError, TrainingError
from hyena_glt.model import HyenaGLT
from hyena_glt.model.router import Router
from hyena_glt.nn import detached_state, state_tensors
from hyena_glt.objective import base_loss
from hyena_glt.patch.rules import Call, Wanted
from hyena_glt.tokenize import alphabet, encode
from hyena_glt.train import train
from hyena_glt.train.module import TrainingModule
from hyena_glt.train.patches import PatchTally
from hyena_glt.train.segments import backward_in_segments, loss_in_segments

MakeRecipe = Callable[..., Recipe]
DNA = alphabet("dna")
SHARE = torch.tensor(0.125, dtype=torch.float64)
KINDS = {name: rules for name, rules in PATCHES.items() if name != "learned"} | {
    "learned": (
        {"kind": "learned", "mean_bp": 2, "min_bp": 1, "max_bp": 4},
        {"kind": "learned", "mean_bp": 5, "min_bp": 3, "max_bp": 9},
    )
}
LAYOUTS = {
    "SL-MA-AM": ("SL", "MA", "AM"),
    "-SMLA-": ("", "SMLA", ""),
    "A-L-S": ("A", "L", "S"),
}


def rows(*lengths_bp: int, dtype: torch.dtype = torch.float64) -> Batch:
    """Rows of real-looking letters, soft-masked ones weighing less and N nothing."""
    rng = np.random.default_rng(3)
    letters = list("ACGTACGTACGTNacgt")
    windows = [make_window(encode("".join(rng.choice(letters, n))), DNA, 0.25) for n in lengths_bp]
    batch = collate(windows)["causal"]
    return batch._replace(weight=batch.weight.to(dtype))


def network_of(kind: str, layout: str = "SL-MA-AM", stages: int = 2, **settings: Any) -> HyenaGLT:
    encoder, backbone, decoder = LAYOUTS[layout]
    case = Case(encoder, kind, stages, backbone, decoder, "hashed")
    return build(case, patches=KINDS[kind][:stages], **settings).train()


def taken(network: HyenaGLT) -> list[Tensor]:
    """The gradients, which are then cleared."""
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()]
    network.zero_grad()
    return found


def whole(network: HyenaGLT, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """The summed nll and its gradient, unsegmented."""
    output = network(batch.ids, batch.length)
    nll = base_loss(output.logits, batch.target, batch.weight).nll_nats
    torch.autograd.backward(SHARE * nll)
    return nll.detach(), taken(network)


def segmented(
    network: HyenaGLT, batch: Batch, segment_bp: int, gradient: SegmentGradient = "exact"
) -> tuple[Tensor, list[Tensor]]:
    tally = PatchTally()
    nll = backward_in_segments(network, batch, segment_bp, gradient, SHARE, tally)
    return nll, taken(network)


def assert_same(found: tuple[Tensor, list[Tensor]], wanted: tuple[Tensor, list[Tensor]]) -> None:
    torch.testing.assert_close(found[0], wanted[0], atol=OUTPUT_FP64, rtol=1e-12)
    for one, other in zip(found[1], wanted[1], strict=True):
        same_gradient(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "layout"),
    [*((kind, "SL-MA-AM") for kind in KINDS), ("letters", "-SMLA-"), ("budget", "A-L-S")],
)
def test_the_exact_gradient_is_that_of_the_whole_rows(kind: str, layout: str) -> None:
    network = network_of(kind, layout)
    batch = rows(31, 9, 0, 22)
    wanted = whole(network, batch)
    assert sum(float(g.abs().sum()) for g in wanted[1]) > 1
    assert_same(segmented(network, batch, 9), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("segment_bp", [1, 12, 13, 100])
def test_segments_may_be_a_base_or_the_whole_row(segment_bp: int) -> None:
    network = network_of("letters", stages=1)
    batch = rows(13, 5)
    assert_same(segmented(network, batch, segment_bp), whole(network, batch))


@pytest.mark.slow
def test_blocks_may_be_recomputed_within_segments() -> None:
    batch = rows(23, 9)
    wanted = whole(network_of("letters"), batch)
    recomputed = network_of("letters", activation_checkpointing=True)
    assert_same(segmented(recomputed, batch, 9), wanted)


@pytest.mark.slow
def test_in_bf16_segments_are_as_near_to_the_gradient_as_the_whole_is() -> None:
    """Weights cast in the pass without a gradient must not be taken in the pass with one."""
    network = network_of("fixed", dtype=torch.float32)
    batch = rows(31, 9, dtype=torch.float32)
    exact = torch.cat([gradient.flatten() for gradient in whole(network, batch)[1]])
    with torch.autocast("cpu", torch.bfloat16):
        both = whole(network, batch)[1], segmented(network, batch, 9)[1]
    errors = [float((torch.cat([g.flatten() for g in found]) - exact).norm()) for found in both]
    assert 0 < errors[0] < 0.2 * float(exact.norm())
    assert errors[1] < 1.2 * errors[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_gradient_knows_each_segment_alone(kind: str) -> None:
    """The reference: one graph for all segments, cut between them."""
    network = network_of(kind)
    batch = rows(31, 9, 22)
    found = segmented(network, batch, 9, "truncated")
    state, nll = network.begin(3), torch.zeros((), dtype=torch.float64)
    for segment in batch.segments(9):
        output = network(segment.ids, segment.length, state)
        nll = nll + base_loss(output.logits, segment.target, segment.weight).nll_nats
        state = detached_state(output.state)
    torch.autograd.backward(SHARE * nll)
    assert_same(found, (nll.detach(), taken(network)))
    exact = whole(network, batch)
    torch.testing.assert_close(found[0], exact[0], atol=OUTPUT_FP64, rtol=1e-12)
    assert max(float((a - b).abs().max()) for a, b in zip(found[1], exact[1], strict=True)) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("gradient", ["exact", "truncated"])
def test_patches_are_counted_once_and_without_bos(gradient: SegmentGradient) -> None:
    network, batch = network_of("learned"), rows(31, 9, 22)
    tally, tally_whole = PatchTally(), PatchTally()
    tally_whole.count(network(batch.ids, batch.length).emissions, batch.length)
    routers = [module for module in network.modules() if isinstance(module, Router)]
    counted = [router.tally.clone() for router in routers]
    for router in routers:
        router.tally.zero_()
    backward_in_segments(network, batch, 9, gradient, SHARE, tally)
    assert tally.take() == tally_whole.take()
    for router, wanted in zip(routers, counted, strict=True):
        assert torch.equal(router.tally[:3], wanted[:3])
        torch.testing.assert_close(router.tally[3:], wanted[3:], rtol=LOGLIK_FP32_RELATIVE, atol=0)
    assert counted[0][0] == 59


@pytest.mark.slow
def test_the_loss_without_a_gradient_is_that_of_the_whole_rows() -> None:
    network, batch = network_of("budget"), rows(41, 9)
    loss = loss_in_segments(network, batch, 7)
    expected = base_loss(network(batch.ids, batch.length).logits, batch.target, batch.weight)
    torch.testing.assert_close(loss.nll_nats, expected.nll_nats.detach(), rtol=1e-12, atol=0)
    assert loss.weight == expected.weight
    assert not loss.nll_nats.requires_grad


@pytest.mark.slow
def test_activations_are_those_of_a_segment_however_long_the_row() -> None:
    """What autograd holds at most, in bytes of saved tensors."""
    network = network_of("fixed", stages=1)

    def most_held(length_bp: int, gradient: SegmentGradient) -> int:
        held = most = 0

        class Saved:
            def __init__(self, tensor: Tensor) -> None:
                nonlocal held, most
                self.tensor = tensor
                held += tensor.numel() * tensor.element_size()
                most = max(most, held)

            def __del__(self) -> None:
                nonlocal held
                held -= self.tensor.numel() * self.tensor.element_size()

        with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
            segmented(network, rows(length_bp), 32, gradient)
        return most

    for gradient in ("exact", "truncated"):
        assert most_held(32 * 12, gradient) <= 1.05 * most_held(32 * 3, gradient)


def test_a_rule_that_closes_otherwise_when_asked_again_is_found() -> None:

    class Fickle(LetterPatcher):
        calls = 0

        def wanted(self, call: Call) -> Wanted:
            self.calls += 1
            found = super().wanted(call)
            return found._replace(candidates=found.candidates & (self.calls <= 5))

    network = build(Case("S", "letters", 1, "M", "A", "plain"), patches=[Fickle("AT")])
    with pytest.raises(TrainingError, match=r"segment \d of a row closed other patches"):
        segmented(network, rows(41), 7)


def test_a_cut_state_shares_nothing_with_what_led_to_it() -> None:
    network = network_of("learned")
    state = network(rows(20).ids, state=network.begin(1)).state
    assert any(tensor.requires_grad for tensor in state_tensors(state))
    assert not any(tensor.requires_grad for tensor in state_tensors(detached_state(state)))
    cut = detached_state(state, requires_grad=True)
    for tensor in state_tensors(cut):
        assert tensor.is_leaf
        assert tensor.requires_grad == tensor.is_floating_point()


def column(out: Path, name: str) -> list[float]:
    with (out / "metrics" / "version_0" / "metrics.csv").open() as lines:
        return [float(row[name]) for row in csv.DictReader(lines) if row.get(name)]


COLUMNS = ("bits_per_base", "gradient_norm", "stage_1_patch_bp", "validation_bits_per_base")


@pytest.mark.slow
def test_a_run_in_exact_segments_is_the_run(tiny: MakeRecipe, tmp_path: Path) -> None:
    settings = ("train.clip_norm=null", "train.lr=1e-2", "train.bases=288")
    train(tiny(*settings), tmp_path / "whole")
    cut = ("train.micro_batch_windows=2", "train.segment_bp=9")
    train(tiny(*settings, *cut), tmp_path / "cut")
    for name in COLUMNS:
        np.testing.assert_allclose(
            column(tmp_path / "cut", name),
            column(tmp_path / "whole", name),
            rtol=GRADIENT_FP32_RELATIVE,
        )
    train(tiny(*settings, *cut, "train.segment_gradient=truncated"), tmp_path / "truncated")
    norms = [column(tmp_path / name, "gradient_norm")[2] for name in ("truncated", "whole")]
    assert norms[0] != pytest.approx(norms[1], rel=1e-3)
    assert norms[0] == pytest.approx(norms[1], rel=0.1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("train.segment_bp=24",), r"train\.segment_bp=24 has no effect: data\.window_bp=24"),
        (("train.segment_gradient=truncated",), "segment_gradient has no effect without"),
        (
            (
                "train.segment_bp=9",
                "model.direction=both",
                "objective={kind: causal_and_masked}",
            ),
            r"segment_bp can't be set with objective\.kind=causal_and_masked.*both sides",
        ),
        (
            (
                "train.segment_bp=9",
                "model.stages.0.patch={kind: learned, mean_bp: 4, max_bp: 12, ratio_weight: 0.1}",
            ),
            r"segment_bp can't be set with model\.stages\.0\.patch\.ratio_weight",
        ),
    ],
)
def test_segments_that_can_not_be_are_refused(
    overrides: Sequence[str], message: str, tiny: MakeRecipe
) -> None:
    with pytest.raises(RecipeError, match=message):
        tiny(*overrides)


@pytest.mark.parametrize(
    ("segment_bp", "micro", "window_bp", "windows", "expected"),
    [
        (None, None, 64, 4, 4),
        (None, 2, 64, 4, 2),
        (None, 2, 16, 16, 8),  # as many bases at once, of shorter windows
        (16, 1, 64, 4, 1),
        (16, 1, 16, 16, 1),  # a window that is one segment: no more than that
        (16, 1, 8, 32, 2),
        (16, None, 8, 32, 8),
    ],
)
def test_windows_of_a_schedule_take_no_more_memory_than_the_last_ones(
    segment_bp: int | None, micro: int | None, window_bp: int, windows: int, expected: int
) -> None:
    config = TrainConfig(bases=1, batch_windows=4, segment_bp=segment_bp, micro_batch_windows=micro)
    network = network_of("fixed")
    module = TrainingModule(network, CausalObjectiveConfig(kind="causal"), config, 1)
    assert module._windows_in_memory(windows, window_bp) == expected
