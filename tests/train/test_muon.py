"""Muon in fp32 is torch's Muon, but for the rounding of bf16."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hyena_glt.train import muon
from hyena_glt.train.muon import Muon, orthogonalised

JORDAN = (3.4445, -4.7750, 2.0315)


def moved(
    kind: type[torch.optim.Muon], matrices: list[Tensor], settings: dict[str, Any], steps: int = 4
) -> tuple[list[Tensor], torch.optim.Muon]:
    """Return the matrices after ``steps`` of always the same gradients, and the optimiser."""
    parameters = [torch.nn.Parameter(matrix.clone()) for matrix in matrices]
    optimiser = kind(parameters, lr=0.02, **settings)
    rng = torch.Generator().manual_seed(3)
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=rng)
        optimiser.step()
    return [parameter.detach() for parameter in parameters], optimiser


@pytest.fixture(params=[False, True], ids=["no_bf16_units", "bf16_units"])
def units(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A processor without units for bf16, and one with."""
    monkeypatch.setattr(muon, "has_bf16_units", lambda device: request.param)
    return bool(request.param)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weight_decay": 0.3},
        {"nesterov": False, "momentum": 0.5},
        {"adjust_lr_fn": "match_rms_adamw"},
    ],
)
def test_moves_as_torch_does(units: bool, settings: dict[str, Any]) -> None:
    rng = torch.Generator().manual_seed(1)
    matrices = [torch.randn(shape, generator=rng) for shape in [(5, 5), (12, 7), (7, 31), (1, 9)]]
    ours, our_optimiser = moved(Muon, matrices, settings)
    theirs, their_optimiser = moved(torch.optim.Muon, matrices, settings)
    for matrix, mine, other in zip(matrices, ours, theirs, strict=True):
        largest = (other - matrix).abs().max()
        assert (mine - other).abs().max() <= (0.0 if units else 0.02 * largest)
    # The averages hold no rounding of bf16: a run that goes on elsewhere goes on from the same.
    for mine_state, their_state in zip(
        our_optimiser.state.values(), their_optimiser.state.values(), strict=True
    ):
        torch.testing.assert_close(
            mine_state["momentum_buffer"], their_state["momentum_buffer"], rtol=0, atol=0
        )


@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 99))
def test_singular_values_come_to_about_one_and_vectors_stay(
    rows: int, columns: int, seed: int
) -> None:
    # Built from its singular values: at least .1 of the largest, where five iterations are enough.
    rng = torch.Generator().manual_seed(seed)
    rank = min(rows, columns)
    left = torch.linalg.qr(torch.randn(rows, rank, generator=rng, dtype=torch.float64))[0]
    right = torch.linalg.qr(torch.randn(columns, rank, generator=rng, dtype=torch.float64))[0]
    values = torch.rand(rank, generator=rng, dtype=torch.float64) * 0.9 + 0.1
    found = orthogonalised(left @ values.diag() @ right.T, JORDAN, 5, 1e-7)
    inside = left.T @ found @ right
    diagonal = inside.diagonal()
    assert diagonal.min() > 0.6
    assert diagonal.max() < 1.3
    assert (inside - diagonal.diag()).abs().max() < 1e-9


def test_a_step_inside_autocast_is_as_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muon, "has_bf16_units", lambda device: False)
    matrices = [torch.randn(12, 7, generator=torch.Generator().manual_seed(1))]
    plain, _ = moved(Muon, matrices, {})
    with torch.autocast("cpu", torch.bfloat16):
        inside, _ = moved(Muon, matrices, {})
    assert torch.equal(plain[0], inside[0])


def test_a_gradient_of_zeros_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muon, "has_bf16_units", lambda device: False)
    parameter = torch.nn.Parameter(torch.ones(3, 4))
    parameter.grad = torch.zeros(3, 4)
    Muon([parameter], weight_decay=0.0).step()
    assert torch.equal(parameter.detach(), torch.ones(3, 4))


def test_the_closures_loss_comes_back(units: bool) -> None:
    parameter = torch.nn.Parameter(torch.eye(3))

    def loss() -> float:
        total = (parameter * 2).sum()
        total.backward()
        return total.item()

    assert Muon([parameter]).step(loss) == 6.0
    assert not torch.equal(parameter.detach(), torch.eye(3))
