"""Several losses in one: each way of weighing on a problem whose answer is known."""

import math

import pytest
import torch
from pydantic import TypeAdapter

from hyena_glt.config.tasks import BalanceConfig
from hyena_glt.errors import RecipeError, TrainingError
from hyena_glt.objective.balance import (
    Balance,
    DynamicAverage,
    FixedWeights,
    GradNorm,
    UncertaintyWeights,
    build_balance,
    gradient_norms,
)


def test_fixed_weights_go_by_name() -> None:
    losses = torch.tensor([3.0, 5.0])
    assert Balance(["a", "b"])(losses).item() == 8
    assert FixedWeights(["a", "b"], {"b": 2.0, "a": 10.0})(losses).item() == 40
    with pytest.raises(RecipeError, match="the tasks are a, b"):
        FixedWeights(["a", "b"], {"a": 1.0})


def test_uncertainties_settle_at_the_logarithms_of_constant_losses() -> None:
    losses = torch.tensor([0.05, 1.0, 40.0])
    balance = UncertaintyWeights(["a", "b", "c"], regressions=["b", "c"])
    # At s = 0: 0.05 + (1 + 40) / 2.
    assert balance(losses).item() == pytest.approx(20.55)
    for _ in range(250):
        (slope,) = torch.autograd.grad(balance(losses), balance.log_variance)
        balance.log_variance.data -= 0.1 * slope.clamp(-1, 1)
    torch.testing.assert_close(balance.log_variance.detach(), losses.log(), atol=1e-3, rtol=0)
    expected = (1 + math.log(0.05)) + 0.5 * (1 + 0) + 0.5 * (1 + math.log(40))
    assert balance(losses).item() == pytest.approx(expected, rel=1e-5)


def test_parts_of_a_step_add_up_to_the_slopes_of_the_whole() -> None:
    balance = UncertaintyWeights(["a", "b"], regressions=["a"])
    losses = torch.tensor([0.5, 3.0])
    (whole,) = torch.autograd.grad(balance(losses), balance.log_variance)
    parts = balance.penalty()
    for share in (0.25, 0.75):
        parts = parts + (balance.weights() * share * losses).sum()
    (added,) = torch.autograd.grad(parts, balance.log_variance)
    torch.testing.assert_close(added, whole)
    torch.testing.assert_close(whole, torch.tensor([0.5 * (1 - 0.5), 1 - 3.0]))


@pytest.mark.parametrize("loss", [0.0, -1.0, math.nan, math.inf])
def test_a_loss_that_can_not_be_weighed_is_named(loss: float) -> None:
    losses = torch.tensor([1.0, loss])
    with pytest.raises(TrainingError, match="task 'b' has a loss of"):
        UncertaintyWeights(["a", "b"])(losses)
    with pytest.raises(TrainingError, match="DynamicAverage needs losses above 0"):
        DynamicAverage(["a", "b"]).update(losses)
    with pytest.raises(TrainingError, match="task 'b'"):
        GradNorm(["a", "b"]).update(losses, torch.ones(2))


def test_dynamic_averages_by_the_formula() -> None:
    balance = DynamicAverage(["a", "b"], temperature=2.0)
    balance.update(torch.tensor([4.0, 10.0]))
    assert balance.weights().tolist() == [1, 1]
    balance.update(torch.tensor([2.0, 10.0]))
    # r = 1/2 and 1: exp(1/4) and exp(1/2), shared out so that they sum to 2.
    total = math.exp(0.25) + math.exp(0.5)
    expected = [2 * math.exp(0.25) / total, 2 * math.exp(0.5) / total]
    assert balance.weights().tolist() == pytest.approx(expected)
    assert balance(torch.tensor([1.0, 3.0])).item() == pytest.approx(expected[0] + 3 * expected[1])
    balance.update(torch.tensor([2.0, 1.0]))  # the first epoch is forgotten
    total = math.exp(0.5) + math.exp(0.05)
    assert balance.weights()[0].item() == pytest.approx(2 * math.exp(0.5) / total)


def test_norms_are_of_each_loss_by_itself_over_all_shared_parameters() -> None:
    x, y = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor(3.0, requires_grad=True)
    alone = torch.tensor(1.0, requires_grad=True)
    losses = torch.stack([3 * x[0] + 4 * y, x.square().sum(), alone * 7])
    # (3, 0, 4); (2, 4, 0); nothing shared.
    assert gradient_norms(losses, [x, y]).tolist() == pytest.approx([5, math.sqrt(20), 0])
    losses.sum().backward()
    assert alone.grad is not None


def quadratics(theta: torch.Tensor) -> torch.Tensor:
    """Equally far from their ends, one a hundred times as steep."""
    one = (theta - torch.tensor([1.0, 0.0])).square().sum() / 2
    other = 100 * (theta + torch.tensor([1.0, 0.0])).square().sum() / 2
    return torch.stack([one, other])


def test_gradnorm_makes_steep_and_shallow_pull_alike() -> None:
    theta = torch.zeros(2, requires_grad=True)
    balance = GradNorm(["one", "other"], alpha=0.0)
    for _ in range(200):
        losses = quadratics(theta)
        balance.update(losses.detach(), gradient_norms(losses, [theta]))
    weights = balance.weights()
    assert weights.sum().item() == pytest.approx(2)
    assert (weights[0] / weights[1]).item() == pytest.approx(100, rel=0.06)
    (slope,) = torch.autograd.grad(balance(quadratics(theta)), theta)
    assert slope.abs().max() < 0.15  # of two pulls of 2 against each other


def test_gradnorm_lets_a_task_that_learns_slowly_pull_harder() -> None:
    balance = GradNorm(["slow", "fast"], alpha=1.0)
    balance.update(torch.tensor([8.0, 8.0]), torch.ones(2))
    assert balance.weights().tolist() == [1, 1]
    for _ in range(100):
        balance.update(torch.tensor([6.0, 2.0]), torch.ones(2))
    # 3/4 and 1/4 of the first losses: pulls are to be as 3 to 1.
    assert balance.weights().tolist() == pytest.approx([1.5, 0.5], rel=0.05)


def test_gradnorm_doesnt_know_the_scale_of_the_losses() -> None:
    weights = []
    for scale in (1.0, 1e6):
        balance = GradNorm(["a", "b"], alpha=1.0)
        for step in range(20):
            balance.update(
                scale * torch.tensor([2.0, 2.0 - step / 20]), scale * torch.tensor([1.0, 3.0])
            )
        weights.append(balance.weights())
    torch.testing.assert_close(weights[0], weights[1])


def test_without_any_gradient_gradnorm_stays() -> None:
    balance = GradNorm(["a", "b"])
    balance.update(torch.ones(2), torch.zeros(2))
    assert balance.weights().tolist() == [1, 1]


def test_what_a_balance_remembers_is_in_its_state() -> None:
    for made in (GradNorm(["a", "b"]), DynamicAverage(["a", "b"]), UncertaintyWeights(["a", "b"])):
        for losses in (torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.0])):
            if isinstance(made, GradNorm):
                made.update(losses, torch.tensor([1.0, 5.0]))
            elif isinstance(made, DynamicAverage):
                made.update(losses)
            else:
                made.log_variance.data += losses
        again = type(made)(["a", "b"])
        again.load_state_dict(made.state_dict())
        assert made.weights()[0] != made.weights()[1]
        assert torch.equal(again.weights(), made.weights())


def test_a_config_builds_its_balance() -> None:
    def build(**config: object) -> Balance:
        read = TypeAdapter(BalanceConfig).validate_python(config)
        return build_balance(read, ["a", "b"], regressions=["b"])

    assert build(kind="fixed").weights().tolist() == [1, 1]
    assert build(kind="fixed", weights={"b": 3, "a": 2}).weights().tolist() == [2, 3]
    assert build(kind="uncertainty").weights().tolist() == [1, 0.5]
    gradnorm = build(kind="gradnorm", alpha=0.5, lr=0.1)
    assert isinstance(gradnorm, GradNorm)
    assert (gradnorm.alpha, gradnorm.lr) == (0.5, 0.1)
    average = build(kind="dynamic_average", temperature=3.0)
    assert isinstance(average, DynamicAverage)
    assert average.temperature == 3
