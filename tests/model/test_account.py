"""The account of a network is what its tensors, its FLOPs and its memory turn out to be."""

import math
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from hyena_glt.config import ModelConfig, TrainConfig
from hyena_glt.model import HyenaGLT
from hyena_glt.model.account import (
    count_flops,
    count_parameters,
    receptive_field_bp,
    training_memory,
)
from hyena_glt.nn import state_bytes
from hyena_glt.objective import base_loss
from hyena_glt.ops.kernels import using
from hyena_glt.tokenize import BOS

FIXED_3 = {"kind": "fixed", "size_bp": 3, "frame": 1}
FIXED_6 = {"kind": "fixed", "size_bp": 6}
NONE = {"kind": "none"}
COUNTED = {"fir": "library"}  # PyTorch counts no elementwise sums
SYNCMER = {"kind": "syncmer"}
STOPS = {"kind": "delimiter", "motifs": ["TAA", "TAG", "TGA"], "max_bp": 100}


def stage(patch: dict[str, Any], encoder: str = "S", decoder: str = "S") -> dict[str, Any]:
    return {"width": 16, "mlp_width": 24, "encoder": encoder, "patch": patch, "decoder": decoder}


def network(
    layout: str, *stages: dict[str, Any], exact_k: tuple[int, ...] = (), **settings: Any
) -> HyenaGLT:
    config = ModelConfig.model_validate(
        {
            "embed": {"exact_k": exact_k},
            "stages": stages,
            "backbone": {"width": 32, "mlp_width": 48, "layout": layout},
            **settings,
        }
    )
    torch.manual_seed(0)
    return HyenaGLT(config, "dna")


def rows(batch: int, length: int) -> torch.Tensor:
    ids = torch.tensor([ord(letter) for letter in "ACGT"])[torch.randint(4, (batch, length))]
    ids[:, 0] = BOS
    return ids


NETWORKS = {
    "short": lambda: network("SS", stage(FIXED_6), exact_k=(2, 4)),
    "medium, flat": lambda: network("SM", stage(NONE)),
    "long": lambda: network("SML", stage(FIXED_3, "", "S")),
    "attention": lambda: network("SA", stage(FIXED_6), mixers={"A": {"window_bp": 192}}),
    "two stages": lambda: network("SM", stage(FIXED_3 | {"frame": 0}), stage(FIXED_6)),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


@every_network
def test_parts_and_tables_make_up_the_network(name: str) -> None:
    model = NETWORKS[name]()
    count = count_parameters(model)
    assert count.total + count.tables == sum(p.numel() for p in model.parameters())
    assert count.tables == (16 * (16 + 256) if name == "short" else 0)


def test_parts_are_named_in_the_order_of_the_forward_pass() -> None:
    assert list(count_parameters(NETWORKS["two stages"]()).by_part) == [
        "embed symbols",
        "stage 1 encoder",
        "stage 1 pool",
        "stage 2 encoder",
        "stage 2 pool",
        "backbone",
        "stage 2 up",
        "stage 2 decoder",
        "stage 1 up",
        "stage 1 decoder",
        "head",
    ]


def attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


@every_network
def test_forward_flops_are_those_that_pytorch_counts(name: str) -> None:
    model, ids = NETWORKS[name](), rows(1, 6 * 32 * 64)
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with (
        torch.no_grad(),
        using(COUNTED),
        FlopCounterMode(display=False, custom_mapping={attention: attention_flops}) as counter,
    ):
        model(ids)
    measured = counter.get_total_flops() / ids.numel()
    # Once a call: the filter of a chunk, BOS's own latent, the last block's padding.
    assert count_flops(model).forward == pytest.approx(measured, rel=0.02)


DYNAMIC = {
    "syncmers": lambda: network("SM", stage(SYNCMER)),
    "delimiters": lambda: network("SML", stage(STOPS)),
}


@pytest.mark.parametrize("name", DYNAMIC)
def test_forward_flops_of_patches_that_the_sequence_cuts_are_estimated(name: str) -> None:
    model, ids = DYNAMIC[name](), rows(1, 6 * 32 * 64)
    with torch.no_grad(), using(COUNTED), FlopCounterMode(display=False) as counter:
        model(ids)
    measured = counter.get_total_flops() / ids.numel()
    assert count_flops(model).forward == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize("name", DYNAMIC)
def test_a_patch_that_the_sequence_cuts_depends_on_all_before_it(name: str) -> None:
    assert receptive_field_bp(DYNAMIC[name]()) is None


def convolution_backward_flops(out: Any, x: Any, weight: Any, *_: Any, **__: Any) -> int:
    # PyTorch's own count takes a depthwise convolution's weight gradient for a dense one's.
    taps = math.prod(weight[1:])
    return int(2 * 2 * math.prod(out) * taps)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_flops_are_those_of_forward_backward_and_recomputation(
    checkpointing: bool,
) -> None:
    # A narrow M: the gradient of a wide filter is products over blocks, more of them than counted.
    narrow = {"M": {"width": 16}}
    model = network("SM", stage(FIXED_6), activation_checkpointing=checkpointing, mixers=narrow)
    ids = rows(1, 6 * 512)
    backward = torch.ops.aten.convolution_backward
    mapping = {backward: convolution_backward_flops}
    with (
        using(COUNTED),
        FlopCounterMode(display=False, custom_mapping=mapping) as counter,
    ):
        model(ids).logits.sum().backward()
    measured = counter.get_total_flops() / ids.numel()
    # Recomputation stops before a block's last product, which no gradient needs.
    assert count_flops(model).training == pytest.approx(measured, rel=0.05)


FINITE = {
    "short": lambda: network("S", stage(FIXED_6), exact_k=(2, 5), mixers={"S": {"width": 3}}),
    "frame": lambda: network("S", stage(FIXED_3)),
    "flat": lambda: network("SS", stage(NONE, "", "")),
    "medium": lambda: network("M", stage(FIXED_3), mixers={"M": {"width": 5}}),
    "attention": lambda: network("AA", stage(FIXED_3, "", ""), mixers={"A": {"window_bp": 14}}),
    "attention at bases": lambda: network(
        "S", stage(FIXED_3, "A", ""), mixers={"A": {"window_bp": 10}}
    ),
    "two stages": lambda: network(
        "S", stage(FIXED_3 | {"frame": 0}, "", ""), stage(FIXED_6, "S", "")
    ),
    "flat in patches": lambda: network("S", stage(FIXED_3, "", ""), stage(NONE, "", "S")),
}


@pytest.mark.parametrize("name", FINITE)
def test_the_receptive_field_is_the_furthest_base_whose_change_is_felt(name: str) -> None:
    model = FINITE[name]().double().eval()
    with torch.no_grad():  # gates and head start at zero, which would hide paths
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    field = receptive_field_bp(model)
    assert field is not None
    length = field + 25
    row = rows(1, length)[0]
    changed = row.repeat(length - 1, 1)
    for i in range(length - 1):
        position = i + 1  # BOS stays
        changed[i, position] = ord("A") if row[position] != ord("A") else ord("C")
    with torch.no_grad():
        felt = (model(changed).logits - model(row[None]).logits).abs().amax(-1) > 1e-13
    # Row t of the output sees position t itself: distance 0 is a field of one base.
    distances = [t - (i + 1) for i, t in felt.nonzero().tolist()]
    assert min(distances) == 0
    assert max(distances) + 1 == field


def test_a_long_mixer_reaches_back_to_the_start() -> None:
    assert receptive_field_bp(NETWORKS["long"]()) is None


TRAIN = TrainConfig(bases=1)


def test_weights_gradients_and_optimiser_are_counted_exactly() -> None:
    model = NETWORKS["short"]()
    everything = sum(p.numel() for p in model.parameters())
    memory = training_memory(model, TRAIN, 64, 1)
    assert memory.weights_bytes == memory.gradients_bytes == 4 * everything
    assert memory.optimiser_bytes == 8 * everything
    assert memory.average_bytes == 0
    assert memory.total_bytes == 16 * everything + memory.activations_bytes
    averaged = training_memory(model, TrainConfig(bases=1, ema_decay=0.9), 64, 1)
    assert averaged.average_bytes == 4 * everything
    muon = training_memory(model, TrainConfig(bases=1, optimiser="muon"), 64, 1)
    linears = [m for m in model.hierarchy.modules() if isinstance(m, torch.nn.Linear)]
    assert memory.optimiser_bytes - muon.optimiser_bytes == 4 * sum(
        linear.weight.numel() for linear in linears
    )


@every_network
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.filterwarnings("ignore:Mismatch dtype")
def test_activations_are_what_autograd_keeps(name: str, precision: str) -> None:
    model, ids = NETWORKS[name](), rows(4, 1536)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"),
    ):
        loss = base_loss(model(ids).logits, torch.zeros_like(ids), torch.ones(ids.shape))
    config = TrainConfig.model_validate({"bases": 1, "precision": precision})
    estimate = training_memory(model, config, ids.shape[1], len(ids)).activations_bytes
    assert estimate == pytest.approx(sum(kept.values()), rel=0.2)
    assert loss.nll_nats.requires_grad  # the graph, and so what it keeps, lived until here


def test_segments_hold_the_activations_of_one_and_the_states_before_all() -> None:
    model = NETWORKS["long"]()
    state = state_bytes(model.begin(1))

    def activations(window_bp: int, **settings: object) -> int:
        config = TrainConfig.model_validate({"bases": 1, **settings})
        return training_memory(model, config, window_bp, 3).activations_bytes

    one = activations(256)
    assert activations(1000, segment_bp=256) == one + 4 * 3 * state
    assert activations(1000, segment_bp=256, segment_gradient="truncated") == one + 3 * state
    assert activations(200, segment_bp=256) == activations(200)


PEAK = """
import re, sys, torch
from hyena_glt.config import load_recipe
from hyena_glt.model import HyenaGLT
from hyena_glt.model.account import training_memory
from hyena_glt.objective import base_loss
from hyena_glt.ops.kernels import using
from pathlib import Path

recipe = load_recipe(Path("recipes/tiny.yaml"), sys.argv[1:])
network = HyenaGLT(recipe.model, recipe.modality)
optimiser = torch.optim.AdamW(network.parameters(), fused=True)

def peak_bytes():  # ru_maxrss would begin at the parent's
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

def step(windows, window_bp):
    ids = torch.full((windows, window_bp), 65)
    ids[:, 0] = 1
    logits = network(ids).logits
    base_loss(logits, torch.zeros_like(ids), torch.ones(ids.shape)).nll_nats.backward()
    optimiser.step()
    optimiser.zero_grad()

step(2, 128)  # what PyTorch itself takes at a first step isn't the network's
before = peak_bytes()
step(8, 2048)
print((peak_bytes() - before) / training_memory(network, recipe.train, 2048, 8).activations_bytes)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status is Linux's")
@pytest.mark.parametrize("checkpointing", ["false", "true"])
def test_the_peak_of_a_real_step_is_within_a_factor_of_two(checkpointing: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PEAK, f"model.activation_checkpointing={checkpointing}"],
        capture_output=True,
        text=True,
        check=True,
        # Freed memory goes back at once, so that the peak is what was held, not glibc's slack.
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"},
    )
    assert 0.5 < float(run.stdout) < 2
