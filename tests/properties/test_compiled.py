"""A training pass is one graph: no break, whose shapes don't hang on where patches close."""

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import jaxtyping
import pytest
import torch
from torch._inductor.utils import run_and_get_code

from hyena_glt.nn.mixers.filters import ExplicitFilter
from hyena_glt.nn.mixers.hyena import Hyena
from hyena_glt.nn.span import Span
from properties.checks import same
from properties.tiny import ENTROPY, Case, build, document, padded

CASE = Case("", "none", 1, "S", "", "plain")
PATCHES: dict[str, tuple[Any, Any]] = {
    "fixed": ({"kind": "fixed", "size_bp": 3}, None),
    "capped budget": (
        {"kind": "budget", "budget_bits": 2.5, "min_bp": 1, "max_bp": 120, "cap": 10},
        ENTROPY,
    ),
}


@pytest.fixture
def no_shape_checks() -> Iterator[None]:
    """What checks shapes in the test run can't be compiled."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("name", PATCHES)
def test_a_compiled_network_is_one_graph_of_the_same_numbers(name: str) -> None:
    patch, entropy = PATCHES[name]
    network = build(CASE, patches=[patch], entropy=entropy)
    rows = [document(length, seed, "ACGT") for seed, length in enumerate((90, 40))]
    ids, length = padded(rows)
    graphs: list[torch.fx.GraphModule] = []

    def eager(graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(network, fullgraph=True, backend=eager)
    output, expected = compiled(ids, length), network(ids, length)
    (graph,) = graphs
    assert "item" not in {node.target for node in graph.graph.nodes}, "waits for the device"
    assert bool((expected.emissions[0].overflow > 0).all()) == (name == "capped budget")
    for found, wanted in zip(output.emissions, expected.emissions, strict=True):
        assert torch.equal(found.mask, wanted.mask)
        assert torch.equal(found.overflow, wanted.overflow)
        assert found.capacity >= wanted.capacity
    for i, row in enumerate(rows):
        same(output.logits[i, : row.shape[1]], expected.logits[i, : row.shape[1]])


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
