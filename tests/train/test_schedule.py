"""How fast parameters move, and which decay."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from properties.tiny import Case, build

from hyena_glt.config import Recipe, TrainConfig
from hyena_glt.train import train
from hyena_glt.train.muon import Muon
from hyena_glt.train.optimiser import build_optimisers, parameter_groups, rate_at


def config(**settings: object) -> TrainConfig:
    return TrainConfig.model_validate({"bases": 1, **settings})


def test_cosine_warms_up_and_falls_to_the_last_rate() -> None:
    rate = rate_at(config(warmup_fraction=0.2, final_lr_fraction=0.1), 10)
    # Two steps of warm-up: 1/3, 2/3; then a half-wave from 1 over eight steps.
    expected = [1 / 3, 2 / 3]
    expected += [0.1 + 0.9 * (1 + math.cos(math.pi * i / 8)) / 2 for i in range(8)]
    assert [rate(step) for step in range(10)] == pytest.approx(expected)
    assert rate(10) == pytest.approx(0.1)
    assert rate(1000) == pytest.approx(0.1)


def test_constant_then_decay_stays_at_the_peak_and_falls_in_a_line() -> None:
    settings = {"schedule": "constant_then_decay", "decay_fraction": 0.4, "warmup_fraction": 0.05}
    rate = rate_at(config(**settings), 10)
    expected = [1 / 2, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert [rate(step) for step in range(10)] == pytest.approx(expected)
    assert rate(10) == 0


def test_decay_gives_way_to_warm_up_where_they_meet() -> None:
    settings = {"schedule": "constant_then_decay", "decay_fraction": 1, "warmup_fraction": 0.5}
    rate = rate_at(config(**settings), 4)
    assert [rate(step) for step in range(4)] == pytest.approx([1 / 3, 2 / 3, 1, 0.5])


def test_without_warm_up_the_first_step_is_at_the_peak() -> None:
    assert rate_at(config(warmup_fraction=0), 5)(0) == 1
    assert rate_at(config(warmup_fraction=0), 1)(0) == 1


def test_matrices_of_linear_layers_decay_and_nothing_else() -> None:
    network = build(Case("SM", "fixed", 2, "LA", "A", "hashed"))
    matrices, others = parameter_groups(network)
    decaying = {id(parameter) for parameter in matrices}
    assert len(matrices) + len(others) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        last, before = name.split(".")[-1], name.split(".")[-2]
        expected = (
            name.startswith("hierarchy.")
            and last == "weight"
            and "norm" not in before
            and parameter.ndim == 2
        )
        assert (id(parameter) in decaying) == expected, name
    undecayed = {"taps", "skip", "log_rate", "residue", "gate", "bias", "table"}
    names = {n.split(".")[-1] for n, p in network.named_parameters() if id(p) not in decaying}
    assert undecayed <= names
    assert "head.out.weight" in {n for n, p in network.named_parameters() if id(p) not in decaying}


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_step_without_gradient_shrinks_what_decays_and_leaves_the_rest(optimiser: str) -> None:
    network = build(Case("S", "fixed", 1, "L", "A", "exact"), dtype=torch.float32)
    settings = config(optimiser=optimiser, weight_decay=0.5, lr=0.1)
    matrices, others = parameter_groups(network)
    before = [p.detach().clone() for p in (*matrices, *others)]
    for step in build_optimisers(network, settings):
        for group in step.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
        step.step()
    rate = 0.1 if optimiser == "adamw" else settings.muon_lr
    for parameter, old in zip(matrices, before, strict=False):
        torch.testing.assert_close(parameter.detach(), old * (1 - rate * 0.5))
    for parameter, old in zip(others, before[len(matrices) :], strict=True):
        assert torch.equal(parameter, old)


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_each_step_is_taken_at_its_share_of_the_rates_asked_for(
    tiny: Callable[..., Recipe],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    optimiser: str,
) -> None:
    rates = ["train.lr=0.004"] if optimiser == "adamw" else ["train.lr=0.004", "train.muon_lr=0.03"]
    recipe = tiny(f"train.optimiser={optimiser}", *rates, "train.warmup_fraction=0.25")
    taken: dict[str, list[float]] = {}
    for kind in (torch.optim.AdamW, Muon):

        def step(self: Any, *rest: Any, real: Any = kind.step, **more: Any) -> Any:
            for group in self.param_groups:
                taken.setdefault(type(self).__name__, []).append(group["lr"])
            return real(self, *rest, **more)

        monkeypatch.setattr(kind, "step", step)
    steps = train(recipe, tmp_path / "run").steps
    shares = [rate_at(recipe.train, steps)(number) for number in range(steps)]
    assert len(set(shares)) > 3
    adamw = [0.004 * share for share in shares for _ in range(2 if optimiser == "adamw" else 1)]
    expected = {"AdamW": pytest.approx(adamw)}
    if optimiser == "muon":
        expected["Muon"] = pytest.approx([0.03 * share for share in shares])
    assert taken == expected


def test_every_parameter_is_in_one_group_of_one_optimiser() -> None:
    network = build(Case("S", "fixed", 1, "L", "A", "exact"))
    for optimiser in ("adamw", "muon"):
        taken = [
            id(parameter)
            for each in build_optimisers(network, config(optimiser=optimiser))
            for group in each.param_groups
            for parameter in group["params"]
        ]
        assert sorted(taken) == sorted(id(p) for p in network.parameters())
