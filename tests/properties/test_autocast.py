"""Training in bf16: products are rounded, states and sums aren't, wherever the backward runs."""

import pytest
import torch
from torch import Tensor

from hyena_glt.model import HyenaGLT
from hyena_glt.ops import modal
from properties.tiny import Case, build, document


def gradients(network: HyenaGLT, ids: Tensor, inside: bool, compiled: bool) -> list[Tensor]:
    """Of a loss over two calls in bf16, the second with the first's state."""
    network.zero_grad()
    call = torch.compile(network, backend="aot_eager") if compiled else network
    with torch.autocast("cpu", torch.bfloat16):
        state, total = network.begin(len(ids)), torch.zeros(())
        for piece in ids.split(70, 1):
            output = call(piece, state=state)
            state = output.state
            total = total + output.logits.float().square().mean()
        if inside:
            total.backward()
    if not inside:
        total.backward()
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


@pytest.mark.parametrize("layout", ["L", "M"])
@pytest.mark.parametrize("inside", [True, False])
def test_calls_that_carry_a_state_have_the_gradients_of_fp32(layout: str, inside: bool) -> None:
    network = build(Case(layout, "none", 1, layout, "", "plain"), dtype=torch.float32)
    ids = torch.cat([document(139, seed, "ACGT") for seed in range(2)])
    found = gradients(network, ids, inside, compiled=False)
    exact = [p.grad for p in _fp32(network, ids).parameters() if p.grad is not None]
    for one, other in zip(found, exact, strict=True):
        assert float((one - other).abs().max()) < 0.1 * float(other.abs().max()) + 1e-3


def _fp32(network: HyenaGLT, ids: Tensor) -> HyenaGLT:
    network.zero_grad()
    state, total = network.begin(len(ids)), torch.zeros(())
    for piece in ids.split(70, 1):
        output = network(piece, state=state)
        state = output.state
        total = total + output.logits.square().mean()
    total.backward()
    return network


@pytest.mark.slow
@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("layout", ["L", "M"])
def test_compiled_calls_that_carry_a_state_have_gradients_in_bf16(layout: str) -> None:
    network = build(Case("", "none", 1, layout, "", "plain"), dtype=torch.float32)
    ids = torch.cat([document(139, seed, "ACGT") for seed in range(2)])
    plain = gradients(network, ids, inside=False, compiled=False)
    compiled = gradients(network, ids, inside=False, compiled=True)
    for one, other in zip(compiled, plain, strict=True):
        assert float((one - other).abs().max()) < 0.1 * float(other.abs().max()) + 1e-3


def test_a_long_convolution_in_bf16_keeps_its_states_and_sums_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 8, 2000, generator=generator, dtype=torch.float64)
    log_pole = -torch.logspace(0, -3.3, 6, dtype=torch.float64).repeat(8, 1)
    residue = torch.randn(8, 6, generator=generator, dtype=torch.float64)
    direction = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    length, found = torch.tensor([2000, 1999]), {}
    rounded = x.bfloat16()
    for name, dtype in (("exact", torch.float64), ("bf16", torch.float32)):
        given = (rounded if name == "bf16" else rounded.double()).requires_grad_()
        filters = [p.to(dtype).requires_grad_() for p in (log_pole, residue)]
        state = torch.zeros(2, 8, 6, dtype=dtype)
        y, after = modal(given, filters[0], filters[1], state, length)
        assert after is not None
        assert after.dtype == dtype
        slopes = torch.autograd.grad(y, [given, *filters], direction.to(y.dtype))
        found[name] = [part.detach().double() for part in (y, after, *slopes)]
    # The slope of a pole is a difference of large sums; a state rounded once more has 0.0043.
    limits = {"y": 0.0045, "state": 0.003, "x": 0.0045, "log_pole": 0.02, "residue": 0.004}
    for (name, limit), one, other in zip(
        limits.items(), found["bf16"], found["exact"], strict=True
    ):
        assert float((one - other).norm() / other.norm()) < limit, name
