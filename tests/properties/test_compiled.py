"""A training pass is one graph: no break, whose shapes don't hang on where patches close."""

import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._inductor.utils import run_and_get_code

from hyena_glt.model import HyenaGLT
from hyena_glt.model.glt import Output
from hyena_glt.nn.mixers.filters import ExplicitFilter
from hyena_glt.nn.mixers.hyena import Hyena
from hyena_glt.nn.span import Span
from properties.checks import same, same_gradient, same_state
from properties.tiny import ENTROPY, Case, build, document, padded
from properties.tolerances import BF16_NATS_A_BASE

CASE = Case("", "none", 1, "S", "", "plain")
LIMITS = {"mean_bp": 3, "min_bp": 2, "max_bp": 9}
WORDS = {"min_bp": 1, "max_bp": 4}
PATCHES: dict[str, tuple[list[Any], Any]] = {
    "fixed": ([{"kind": "fixed", "size_bp": 3}], None),
    "aligned": ([{"kind": "fixed", "size_bp": 3}, {"kind": "fixed", "size_bp": 6}], None),
    "capped budget": (
        [{"kind": "budget", "budget_bits": 2.5, "min_bp": 1, "max_bp": 120, "cap": 10}],
        ENTROPY,
    ),
    "entropy in syncmer": (
        [
            {"kind": "syncmer", "k": 3, "s": 1, **WORDS},
            {"kind": "entropy", "threshold_bits": 1.85, **LIMITS},
        ],
        ENTROPY,
    ),
    "learned in delimiter": (
        [{"kind": "delimiter", "motifs": ["C", "TA"], **WORDS}, {"kind": "learned", **LIMITS}],
        None,
    ),
}
ROWS = [document(length, seed, "ACGT") for seed, length in enumerate((90, 40))]


def network_of(name: str, backbone: str = "S", dtype: torch.dtype = torch.float64) -> HyenaGLT:
    patches, entropy = PATCHES[name]
    case = CASE._replace(backbone=backbone, patch="aligned" if name == "aligned" else CASE.patch)
    return build(case, patches=patches, entropy=entropy, dtype=dtype)


def compiled(network: HyenaGLT) -> tuple[Callable[..., Output], list[torch.fx.GraphModule]]:
    """The network's call, compiled whole and run as written, and the graphs that this takes."""
    graphs: list[torch.fx.GraphModule] = []

    def eager(graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        assert "item" not in {node.target for node in graph.graph.nodes}, "waits for the device"
        graphs.append(graph)
        return graph.forward

    return torch.compile(network, fullgraph=True, dynamic=False, backend=eager), graphs


def same_patches(found: Output, expected: Output) -> None:
    for one, other in zip(found.emissions, expected.emissions, strict=True):
        assert torch.equal(one.mask, other.mask)
        assert torch.equal(one.overflow, other.overflow)
        assert one.capacity >= other.capacity


@pytest.mark.slow
@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("name", PATCHES)
def test_a_compiled_network_is_one_graph_of_the_same_numbers(name: str) -> None:
    network = network_of(name)
    call, graphs = compiled(network)
    ids, length = padded(ROWS)
    output, expected = call(ids, length), network(ids, length)
    assert len(graphs) == 1
    assert bool((expected.emissions[0].overflow > 0).all()) == (name == "capped budget")
    same_patches(output, expected)
    for i, row in enumerate(ROWS):
        same(output.logits[i, : row.shape[1]], expected.logits[i, : row.shape[1]])


@pytest.mark.slow
@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize(
    ("name", "backbone", "more"),
    [
        ("learned in delimiter", "S", []),
        ("entropy in syncmer", "SMLA", [40]),
    ],
)
@torch.no_grad()
def test_steps_with_a_state_are_one_graph_and_so_are_pieces(
    name: str, backbone: str, more: list[int]
) -> None:
    network = network_of(name, backbone)
    call, graphs = compiled(network)
    sizes = [*[1] * 12, *more]
    ids = torch.cat([document(5 + sum(sizes), seed, "ACGT") for seed in range(2)])
    state = expected_state = network(ids[:, :6], state=network.begin(2)).state
    closes = []
    for piece in ids[:, 6:].split(sizes, 1):
        output, expected = call(piece, state=state), network(piece, state=expected_state)
        assert output.state is not None
        assert expected.state is not None
        state, expected_state = output.state, expected.state
        same_patches(output, expected)
        same(output.logits, expected.logits)
        closes.append([int(emission.mask.sum()) for emission in expected.emissions])
    same_state(state, expected_state)
    assert len(graphs) == 1 + len(more)
    assert {step[-1] for step in closes[:12]} > {0}, "no step or every step closes a patch"


@pytest.mark.slow
@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("name", PATCHES)
def test_a_compiled_network_of_all_mixers_has_the_patches_of_bf16(name: str) -> None:
    network = network_of(name, "SMLA", torch.float32)
    network.precision = "bf16"
    call, graphs = compiled(network)
    ids, length = padded(ROWS)
    output, expected = call(ids, length), network(ids, length)
    assert len(graphs) == 1
    same_patches(output, expected)
    for i, row in enumerate(ROWS):
        found, wanted = (out.logits[i, : row.shape[1]] for out in (output, expected))
        assert float((found - wanted).mean().abs()) < BF16_NATS_A_BASE


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own
@pytest.mark.usefixtures("no_shape_checks")
def test_a_compiled_short_mixer_is_one_loop_between_its_matrix_products() -> None:
    mixer = Hyena(16, ExplicitFilter(16, 7))
    x_BLD = torch.randn(1, 75, 16, requires_grad=True)
    span = Span(torch.arange(75)[None], torch.tensor([75]), full=True)

    def passes(mix: Callable[..., Any]) -> list[torch.Tensor]:
        y_BLD, _ = mix(x_BLD, span, None)
        return [
            y_BLD,
            *torch.autograd.grad(y_BLD.square().mean(1).sum(), [x_BLD, *mixer.parameters()]),
        ]

    compiled = torch.compile(mixer, fullgraph=True)
    found, (forward, _) = run_and_get_code(passes, compiled)
    for one, other in zip(found, passes(mixer), strict=True):
        same(one, other)
    kinds = re.findall(r"cpp_fused|extern_kernels", forward.split("def call(")[1])
    first, second = (at for at, kind in enumerate(kinds) if kind == "extern_kernels")
    assert kinds[first + 1 : second] == ["cpp_fused"], "filters and gates are a loop each"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.usefixtures("no_shape_checks")
def test_the_code_of_the_compiler_gives_every_mixer_its_values_and_gradients() -> None:
    network = network_of("fixed", "SMLA", torch.float32)
    ids, length = padded(ROWS)

    def passes(call: Callable[..., Output]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        network.zero_grad()
        logits = call(ids, length).logits
        logits.square().mean().backward()
        return logits, [p.grad.clone() for p in network.parameters() if p.grad is not None]

    found, slopes = passes(torch.compile(network, fullgraph=True, dynamic=False))
    expected, expected_slopes = passes(network)
    same(found, expected)
    for one, other in zip(slopes, expected_slopes, strict=True):
        same_gradient(one, other)
