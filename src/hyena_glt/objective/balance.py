"""How the losses of several tasks make one.

A balance has ``weights()``, one a task, and a ``penalty()``, which belongs to a step once: the loss
is sum_i w_i L_i + penalty. Of micro-batches, each adds its part of sum_i w_i L_i.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hyena_glt.config.tasks import (
    BalanceConfig,
    DynamicAverageBalanceConfig,
    FixedBalanceConfig,
    GradNormBalanceConfig,
)
from hyena_glt.errors import RecipeError, TrainingError


class Balance(nn.Module):
    """Every task weighs 1. What others remember is in the state dict."""

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.register_buffer("fixed", torch.ones(len(tasks)), persistent=False)

    fixed: Tensor

    def weights(self) -> Float[Tensor, " T"]:
        """Return the weight of each task."""
        return self.fixed

    def penalty(self) -> Float[Tensor, ""]:
        """Return what is added to the weighted sum, once a step."""
        return self.fixed.new_zeros(())

    def forward(self, losses: Float[Tensor, " T"]) -> Float[Tensor, ""]:
        """Return sum_i w_i L_i + penalty of a whole step's losses."""
        return (self.weights().to(losses) * losses).sum() + self.penalty()

    def check_positive(self, losses: Float[Tensor, " T"]) -> None:
        """Raise TrainingError for a loss that a balance can't weigh."""
        for task, loss in zip(self.tasks, losses.tolist(), strict=True):
            if not 0 < loss < float("inf"):
                raise TrainingError(
                    f"task {task!r} has a loss of {loss:g}; {type(self).__name__} needs losses "
                    "above 0: use fixed weights, or a likelihood without a learned variance"
                )


class FixedWeights(Balance):
    """Each task has a weight for good."""

    def __init__(self, tasks: Sequence[str], weights: Mapping[str, float]) -> None:
        """Raise RecipeError where ``weights`` doesn't name the tasks."""
        super().__init__(tasks)
        if set(weights) != set(tasks):
            raise RecipeError(
                f"weights names {', '.join(weights)}; the tasks are {', '.join(tasks)}; give each "
                "of them a weight"
            )
        self.fixed.copy_(torch.tensor([weights[task] for task in tasks]))


class UncertaintyWeights(Balance):
    """sum_i f_i (exp(-s_i) L_i + s_i), with s_i learned (Kendall 2018, arXiv:1705.07115).

    f_i is 1/2 for a regression, whose L_i is the mean squared error and s_i the log variance, and 1
    for others. Either way s_i = ln L_i is least, where each task's part is f_i (1 + ln L_i). (The
    paper's classification has s_i / 2 instead: its least s_i is ln 2 L_i.) ``log_variance`` is to
    be optimised with the network, without weight decay. :func:`gaussian_loss` is half the squared
    error, which moves s_i by ln 2 and no minimum of the network. A loss of 0 or below has no least
    s_i: ``forward`` raises TrainingError.
    """

    def __init__(self, tasks: Sequence[str], regressions: Sequence[str] = ()) -> None:
        super().__init__(tasks)
        self.log_variance = nn.Parameter(torch.zeros(len(tasks)))
        self.fixed.copy_(torch.tensor([0.5 if task in regressions else 1.0 for task in tasks]))

    def weights(self) -> Float[Tensor, " T"]:
        """Return f_i exp(-s_i), through which s_i learns."""
        return self.fixed * (-self.log_variance).exp()

    def penalty(self) -> Float[Tensor, ""]:
        """Return sum_i f_i s_i."""
        return (self.fixed * self.log_variance).sum()

    def forward(self, losses: Float[Tensor, " T"]) -> Float[Tensor, ""]:
        """Return the loss of a whole step."""
        self.check_positive(losses)
        return super().forward(losses)


class GradNorm(Balance):
    """Weights with which tasks pull on shared parameters as hard as they should (Chen 2018).

    With G_i the gradient's norm of L_i and r_i = (L_i / L_i at first) over its mean over tasks, the
    norms w_i G_i move towards mean_j(w_j G_j) * r_i**alpha by steps on

        sum_i |w_i G_i - mean_j(w_j G_j) r_i**alpha|        (arXiv:1711.02257)

    whose targets are held still. Steps are taken on ln w_i, over the mean norm, which keeps weights
    above 0 and makes ``lr`` free of the losses' scale; weights sum to the number of tasks.
    """

    log_weights: Tensor
    first: Tensor

    def __init__(self, tasks: Sequence[str], alpha: float = 1.5, lr: float = 0.025) -> None:
        super().__init__(tasks)
        self.alpha = alpha
        self.lr = lr
        self.register_buffer("log_weights", torch.zeros(len(tasks)))
        self.register_buffer("first", torch.full((len(tasks),), torch.nan))

    def weights(self) -> Float[Tensor, " T"]:
        """Return the weights; they sum to the number of tasks."""
        return len(self.tasks) * self.log_weights.softmax(0)

    @torch.no_grad()
    def update(self, losses: Float[Tensor, " T"], norms: Float[Tensor, " T"]) -> None:
        """Move the weights a step, after the network's backward pass.

        ``losses`` are those of the whole step and ``norms`` their :func:`gradient_norms`, both
        without weights. The first call's losses are those that later ones are compared with.
        Raises TrainingError for a loss that isn't above 0.
        """
        self.check_positive(losses)
        losses, norms = losses.to(self.first), norms.to(self.first)
        if bool(self.first.isnan().any()):
            self.first.copy_(losses)
        ratio = losses / self.first
        pull = self.weights() * norms
        mean = pull.mean()
        if not bool(mean > 0):
            return
        wanted = mean * (ratio / ratio.mean()) ** self.alpha
        slope = (pull - wanted).sign() * pull / mean
        self.log_weights.sub_(self.lr * slope)
        self.log_weights.sub_(self.log_weights.mean())


class DynamicAverage(Balance):
    """Weights by how fast losses fall (Liu 2019, arXiv:1803.10704).

    w_i = T softmax(r_i / temperature), r_i = L_i of the last epoch over that of the one before it;
    all 1 until there are two.
    """

    last: Tensor

    def __init__(self, tasks: Sequence[str], temperature: float = 2.0) -> None:
        super().__init__(tasks)
        self.temperature = temperature
        self.register_buffer("last", torch.full((2, len(tasks)), torch.nan))

    def weights(self) -> Float[Tensor, " T"]:
        """Return the weights; they sum to the number of tasks."""
        if bool(self.last.isnan().any()):
            return self.fixed
        return len(self.tasks) * ((self.last[1] / self.last[0]) / self.temperature).softmax(0)

    @torch.no_grad()
    def update(self, losses: Float[Tensor, " T"]) -> None:
        """Take each task's mean loss over an epoch. Raises TrainingError for one not above 0."""
        self.check_positive(losses)
        self.last.copy_(torch.stack([self.last[1], losses.to(self.last)]))


def gradient_norms(losses: Float[Tensor, " T"], shared: Iterable[Tensor]) -> Float[Tensor, " T"]:
    """Return the norm of each loss's gradient of the ``shared`` parameters, all as one vector.

    The graph is kept for the backward pass. A loss that no shared parameter moves has norm 0.
    """
    parameters = list(shared)
    norms = []
    for loss in losses:
        slopes = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        squares = [slope.square().sum() for slope in slopes if slope is not None]
        norms.append(torch.stack(squares).sum().sqrt() if squares else losses.new_zeros(()))
    return torch.stack(norms).detach()


def build_balance(
    config: BalanceConfig, tasks: Sequence[str], regressions: Sequence[str] = ()
) -> Balance:
    """Return the balance of ``tasks``; ``regressions`` are those with a Gaussian.

    Raises RecipeError where fixed weights don't name the tasks.
    """
    if isinstance(config, FixedBalanceConfig):
        return Balance(tasks) if config.weights is None else FixedWeights(tasks, config.weights)
    if isinstance(config, GradNormBalanceConfig):
        return GradNorm(tasks, config.alpha, config.lr)
    if isinstance(config, DynamicAverageBalanceConfig):
        return DynamicAverage(tasks, config.temperature)
    return UncertaintyWeights(tasks, regressions)
