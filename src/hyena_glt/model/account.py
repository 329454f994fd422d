"""What a network is and costs, counted from its modules' shapes: nothing is run or measured.

A position of the backbone stands for a patch, so that its cost a base is its cost a position
divided by the bases of a patch: an estimate, for random letters, where the sequence decides where
patches close. k-mer look-ups cost no FLOPs and their tables are counted apart.
A bidirectional network, or one that does both, is counted in its two-sided call.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from hyena_glt.config import TrainConfig
from hyena_glt.model.glt import HyenaGLT
from hyena_glt.model.hierarchy import Hierarchy
from hyena_glt.model.router import Router
from hyena_glt.nn import Attention, Block, GatedMLP, Hyena, RMSNorm, Stack, state_bytes
from hyena_glt.nn.mixers import ExplicitFilter, Mixer, ModalFilter
from hyena_glt.nn.mixers.hyena import FEATURE_WIDTH
from hyena_glt.patch import DynamicPatcher

FP32_BYTES = 4
BF16_BYTES = 2
INDEX_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """Numbers that training moves."""

    by_part: dict[str, int]  # in the order of the forward pass, k-mer tables left out
    tables: int  # rows of all k-mer tables times their width

    @property
    def total(self) -> int:
        """All but the tables."""
        return sum(self.by_part.values())


@dataclass(frozen=True, kw_only=True)
class FlopsPerBase:
    """Floating-point operations a base; a multiplication with its addition is 2."""

    forward: float
    training: float  # forward and backward, and the second forward of activation checkpointing


@dataclass(frozen=True, kw_only=True)
class TrainingMemory:
    """An estimate of the bytes that a training step holds at its peak."""

    weights_bytes: int
    gradients_bytes: int
    optimiser_bytes: int
    average_bytes: int  # of the weights, where the recipe sets train.ema_decay
    activations_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of them."""
        held = self.weights_bytes + self.gradients_bytes + self.optimiser_bytes
        return held + self.average_bytes + self.activations_bytes


class _Part(NamedTuple):
    name: str
    module: nn.Module
    spacing_bp: float  # mean bases between neighbouring positions


class _Cost(NamedTuple):
    """What a module costs at each of its positions, the modules inside it apart."""

    flops: int
    exact_values: int  # kept for the backward pass in fp32
    values: int  # kept in the type that autocast computes in


def count_parameters(network: HyenaGLT) -> ParameterCount:
    """Return the parameters of each part, tables apart; parts and tables make up the network."""
    by_part = {part.name: _size(part.module) for part in _parts(network)}
    table = network.embed.table
    return ParameterCount(by_part=by_part, tables=0 if table is None else table.numel())


def count_flops(network: HyenaGLT, mean_bp: Sequence[float] | None = None) -> FlopsPerBase:
    """Return the FLOPs a base of a long row: matrix products and convolutions, as computed.

    ``mean_bp`` is each stage's mean patch where it was measured (default: what its rule expects).

    At each position, with D channels: a linear layer 2 * in * out; an explicit filter of W taps
    2 * W * D; a modal filter of N poles, in chunks of C positions, 2 * D * (C + 2 * N); attention,
    whose blocks of R queries meet 2 * R keys (R: most positions in its window), 2 * 2 * 2 * R * D.
    Two-sided, a filter has as many taps ahead, a modal filter counts twice, and a block of queries
    meets 3 * R keys; a router's two matrices 4 * D * D. Norms, gates and look-ups count 0. A
    backward pass is two forward passes; an entropy network has none. With ``rc: equivariant`` each
    base is read on both strands.
    """
    forward = recomputed = 0.0
    ahead = network.direction != "causal"
    for part in _parts(network, mean_bp):
        costs = (_cost(module, ahead).flops for module in part.module.modules())
        flops = _strands(network) * sum(costs) / part.spacing_bp
        forward += flops
        if isinstance(part.module, Stack) and part.module.activation_checkpointing:
            recomputed += flops
    entropy = 0 if network.entropy is None else _strands(network) * network.entropy.flops_per_base
    return FlopsPerBase(forward=forward + entropy, training=3 * forward + recomputed + entropy)


def receptive_field_bp(network: HyenaGLT) -> int | None:
    """Return how many bases before a predicted base can change its prediction; None: all of them.

    Two-sided, so many on either side.

    The longest path, at the worst phase of the patches: decoder, the wait since the last patch
    closed, backbone, the first base of the patch it reads, encoder, the longest k-mer. A long
    mixer (L) reaches back to the row's start, and so does a patcher that reads the sequence: its
    limits count from the last close, so that each close depends on all before it.
    """
    if any(isinstance(patcher, DynamicPatcher) for patcher in network.patchers):
        return None
    back = _back_bp(network.hierarchy, 1)
    return None if math.isinf(back) else network.embed.longest + int(back)


def training_memory(
    network: HyenaGLT, config: TrainConfig, window_bp: int, windows: int
) -> TrainingMemory:
    """Return an estimate for steps that hold ``windows`` windows of ``window_bp`` at once.

    Weights, gradients and the optimiser's averages (two a parameter; one for Muon's matrices) are
    exact in fp32. Activations are what the backward pass needs, counted by module; of windows read
    in segments, what one segment needs, and the states before the segments. On a CPU the
    allocator's slack comes on top: 1.1 to 2 times as much was measured.
    """
    count = count_parameters(network)
    everything = count.total + count.tables
    averages = 2 * everything
    if config.optimiser == "muon":
        linears = (m for m in network.hierarchy.modules() if isinstance(m, nn.Linear))
        averages -= sum(linear.weight.numel() for linear in linears)
    reduced = config.precision == "bf16"
    held_bp, states_bytes = window_bp, 0
    if config.segment_bp is not None and config.segment_bp < window_bp:
        held_bp = config.segment_bp
        kept = math.ceil(window_bp / held_bp) if config.segment_gradient == "exact" else 1
        states_bytes = kept * windows * state_bytes(network.begin(1))
    return TrainingMemory(
        weights_bytes=FP32_BYTES * everything + BF16_BYTES * count.total * reduced,
        gradients_bytes=FP32_BYTES * everything,
        optimiser_bytes=FP32_BYTES * averages,
        average_bytes=FP32_BYTES * everything * (config.ema_decay is not None),
        activations_bytes=_activation_bytes(network, held_bp, windows, reduced) + states_bytes,
    )


def _parts(network: HyenaGLT, mean_bp: Sequence[float] | None = None) -> Iterator[_Part]:
    """The parts, in the order of the forward pass."""
    if mean_bp is None:
        mean_bp = [patcher.mean_bp for patcher in network.patchers]
    yield _Part("embed symbols", network.embed.symbol, 1)
    yield from _hierarchy_parts(network.hierarchy, 1, 1.0, mean_bp)
    yield _Part("head", network.head, 1)
    if network.masked_head is not None:
        yield _Part("masked head", network.masked_head, 1)


def _hierarchy_parts(
    hierarchy: Hierarchy, number: int, spacing_bp: float, mean_bp: Sequence[float]
) -> Iterator[_Part]:
    stage, patch_bp = f"stage {number}", max(spacing_bp, mean_bp[number - 1])
    yield _Part(f"{stage} encoder", hierarchy.encoder, spacing_bp)
    if hierarchy.router is not None:
        yield _Part(f"{stage} router", hierarchy.router, spacing_bp)
    yield _Part(f"{stage} pool", hierarchy.pool, patch_bp)
    if isinstance(hierarchy.inner, Stack):
        yield _Part("backbone", hierarchy.inner, patch_bp)
    else:
        yield from _hierarchy_parts(hierarchy.inner, number + 1, patch_bp, mean_bp)
    gate = nn.ParameterList([hierarchy.gate])
    up = nn.ModuleList([hierarchy.inner_norm, hierarchy.up, gate])
    yield _Part(f"{stage} up", up, patch_bp)
    yield _Part(f"{stage} decoder", hierarchy.decoder, spacing_bp)


def _strands(network: HyenaGLT) -> int:
    """Strands that a call reads."""
    return 2 if network.rc == "equivariant" else 1


def _cost(module: nn.Module, ahead: bool) -> _Cost:
    match module:
        case nn.Linear():  # keeps its input
            return _Cost(2 * module.weight.numel(), 0, module.in_features)
        case RMSNorm():  # keeps its input
            return _Cost(0, module.weight.numel(), 0)
        case GatedMLP():  # gate, up and silu(gate)
            return _Cost(0, 0, 3 * module.down.in_features)
        case Hyena():  # q, k, v and the filtered k * v
            return _Cost(0, 0, 4 * module.out.in_features)
        case ExplicitFilter():  # its input, padded; with a skip term the input itself too
            dim = module.taps.shape[0] * module.group_size
            width = module.width + (module.width - 1) * ahead
            return _Cost(2 * width * dim, 0, dim * (1 if module.skip is None else 2))
        case ModalFilter():  # its input, for the skip term too, and the states before each chunk
            dim, poles = module.residue.shape
            kept = dim + dim * poles // module.chunk
            ways = 1 + ahead
            return _Cost(ways * 2 * dim * (module.chunk + 2 * poles), ways * kept, 0)
        case Router():  # keeps its input, query and key
            dim = len(module.query)
            return _Cost(4 * dim * dim, 3 * dim, 0)
        case Attention():  # query, output, keys and values of two blocks, mask, rotary phases
            dim = module.out.in_features
            # The linear layers of queries and keys keep one input between them: 6 - 1.
            blocks = 2 + ahead
            kept = 5 * dim + 2 * module.reach + 3 * module.width
            return _Cost(4 * blocks * module.reach * dim, 0, kept)
    return _Cost(0, 0, 0)


def _activation_bytes(network: HyenaGLT, window_bp: int, windows: int, reduced: bool) -> int:
    """Bytes kept for the backward pass; with checkpointing one block at a time keeps its own."""
    windows *= _strands(network)
    ahead = network.direction != "causal"
    kept = _look_up_bytes(network) * windows * window_bp
    recomputed = 0
    for part in _parts(network):
        positions = windows * _positions(window_bp, part)
        if not isinstance(part.module, Stack):
            kept += positions * _position_bytes(part.module, reduced, ahead)
            continue
        for block in (block for block in part.module.blocks if isinstance(block, Block)):
            size = positions * _position_bytes(block, reduced, ahead) + _fixed_bytes(block.mixer)
            if part.module.activation_checkpointing:
                recomputed = max(recomputed, size)
                size = positions * block.mixer_norm.weight.numel() * FP32_BYTES  # its input
            kept += size
    return kept + recomputed


def _position_bytes(module: nn.Module, reduced: bool, ahead: bool) -> int:
    costs = [_cost(inside, ahead) for inside in module.modules()]
    value_bytes = BF16_BYTES if reduced else FP32_BYTES
    return sum(cost.exact_values * FP32_BYTES + cost.values * value_bytes for cost in costs)


def _fixed_bytes(mixer: Mixer) -> int:
    """Bytes kept a call, whatever its length: the modal filter's matrices of a chunk."""
    if not isinstance(mixer, Hyena) or not isinstance(mixer.inner, ModalFilter):
        return 0
    dim, poles = mixer.inner.residue.shape
    chunk = mixer.inner.chunk
    return dim * chunk * (chunk + 3 * poles) * FP32_BYTES


def _look_up_bytes(network: HyenaGLT) -> int:
    """Bytes kept a base: indices and weights of the look-ups, and the head's log-likelihoods."""
    indices = INDEX_BYTES * (1 + 2 * len(network.embed.ks))
    return indices + 2 * FP32_BYTES * network.head.out.out_features


def _positions(window_bp: int, part: _Part) -> int:
    return math.ceil(window_bp / part.spacing_bp) + (part.spacing_bp > 1)


def _back_bp(network: Hierarchy | Stack, spacing_bp: int) -> int | float:
    """Bases from an output to the furthest input that reaches it, both at this rate."""
    if isinstance(network, Stack):
        mixers = [block.mixer for block in network.blocks if isinstance(block, Block)]
        return spacing_bp * sum(_back_positions(mixer, spacing_bp) for mixer in mixers)
    patch_bp = max(spacing_bp, network.patcher.max_bp)
    around = _back_bp(network.encoder, spacing_bp) + _back_bp(network.decoder, spacing_bp)
    return around + 2 * (patch_bp - spacing_bp) + _back_bp(network.inner, patch_bp)


def _back_positions(mixer: Mixer, spacing_bp: int) -> int | float:
    if isinstance(mixer, Attention):
        return (mixer.config.window_bp - 1) // spacing_bp
    if isinstance(mixer.inner, ModalFilter):
        return math.inf
    return FEATURE_WIDTH - 1 + mixer.inner.width - 1


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
