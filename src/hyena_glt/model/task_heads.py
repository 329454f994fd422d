"""From hidden states to the raw outputs of a task: logits, means, log variances, log rates.

Every head normalises each position, pools where it must, and ends in a linear map that starts at
zero: the first answer is the same for all. Heads compute in fp32 at least, under autocast too.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hyena_glt.config.tasks import (
    BasesTaskConfig,
    NumberAnswerConfig,
    PairTaskConfig,
    PoolingKind,
    RegressionTaskConfig,
    SignalTaskConfig,
    TaskConfig,
    answered,
)
from hyena_glt.errors import MissingExtraError, RecipeError
from hyena_glt.model.pooling import Pool, check_rows_have_positions
from hyena_glt.model.precision import most_exact
from hyena_glt.nn import RMSNorm


class SequenceHead(nn.Module):
    """One answer a row: norm, pool, linear."""

    def __init__(
        self, width: int, outputs: int, pooling: PoolingKind, length_bp: int | None = None
    ) -> None:
        super().__init__()
        self.norm = RMSNorm(width)
        self.pool = Pool(pooling, width, length_bp)
        self.out = _linear_from_zero(width, outputs)

    def forward(
        self, x_BLD: Float[Tensor, "B L D"], valid: Bool[Tensor, "B L"]
    ) -> Float[Tensor, "B O"]:
        """Return the outputs of each row.

        ``valid`` says which positions count: neither BOS nor padding. Raises ValueError for a row
        without one.
        """
        return _exactly(lambda x: self.out(self.pool(self.norm(x), valid)), x_BLD)


class PairHead(nn.Module):
    """One answer a pair: linear of pool(alternative) - pool(reference).

    A pair of equals has the bias alone, whatever its sequence is.
    """

    def __init__(
        self, width: int, outputs: int, pooling: PoolingKind, length_bp: int | None = None
    ) -> None:
        super().__init__()
        self.norm = RMSNorm(width)
        self.pool = Pool(pooling, width, length_bp)
        self.out = _linear_from_zero(width, outputs)

    def forward(
        self,
        reference_BLD: Float[Tensor, "B L D"],
        reference_valid: Bool[Tensor, "B L"],
        alternative_BMD: Float[Tensor, "B M D"],
        alternative_valid: Bool[Tensor, "B M"],
    ) -> Float[Tensor, "B O"]:
        """Return the outputs of each pair, whose two rows may differ in length.

        Raises ValueError for a row without a valid position.
        """
        before = _exactly(lambda x: self.pool(self.norm(x), reference_valid), reference_BLD)
        after = _exactly(lambda x: self.pool(self.norm(x), alternative_valid), alternative_BMD)
        return _exactly(self.out, after - before)


class BasesHead(nn.Module):
    """Logits of a class at each position, and with ``crf`` the chain that joins them.

    Without a CRF the first loss is ln C a base; with one too, whose scores of start, transition
    and end start at zero. Raises MissingExtraError where ``crf`` is true and pytorch-crf isn't
    installed.
    """

    def __init__(self, width: int, classes: int, crf: bool = False) -> None:
        super().__init__()
        self.norm = RMSNorm(width)
        self.out = _linear_from_zero(width, classes)
        self.crf = _chain(classes) if crf else None

    def forward(self, x_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L C"]:
        """Return the logits at each position."""
        return _exactly(lambda x: self.out(self.norm(x)), x_BLD)

    @torch.no_grad()
    def probabilities(
        self, logits: Float[Tensor, "B L C"], length: Int[Tensor, " B"]
    ) -> Float[Tensor, "B L C"]:
        """Return the probability of each class at each position, in fp64 (fp32 on MPS).

        With a CRF those of all chains through the class there (forward-backward), over a row's
        first ``length`` positions, which are its chain in the loss too. Behind them the
        probabilities mean nothing. Raises ValueError for a row without a position.
        """
        exact = logits.to(most_exact(logits.device))
        if self.crf is None:
            return exact.softmax(-1)
        inside = torch.arange(logits.shape[1], device=length.device) < length[:, None]
        check_rows_have_positions(inside)
        start, step, end = (
            self.crf.get_parameter(name).to(exact.dtype)
            for name in ("start_transitions", "transitions", "end_transitions")
        )
        emitted = exact.masked_fill(~inside[..., None], 0).unbind(1)
        # Logarithms of the sums over chains: up to a position with it, and behind it.
        before = [start + emitted[0]]
        for score in emitted[1:]:
            before.append((before[-1][..., None] + step).logsumexp(1) + score)
        behind = [end.expand_as(emitted[0])]
        for position in range(len(emitted) - 1, 0, -1):
            onward = (step + (emitted[position] + behind[-1])[:, None]).logsumexp(2)
            behind.append(torch.where(inside[:, position, None], onward, end))
        return (torch.stack(before, 1) + torch.stack(behind[::-1], 1)).softmax(-1)


class SignalHead(nn.Module):
    """Outputs of each track for each bin: linear of the mean over the bin's bases."""

    def __init__(self, width: int, tracks: int, bin_bp: int) -> None:
        super().__init__()
        self.bin_bp = bin_bp
        self.norm = RMSNorm(width)
        self.out = _linear_from_zero(width, tracks)

    def forward(
        self, x_BLD: Float[Tensor, "B L D"], valid: Bool[Tensor, "B L"]
    ) -> Float[Tensor, "B N T"]:
        """Return the outputs of each bin, as many bins as the longest row has.

        ``valid`` marks a row's bases, N too; its bins are counted from the first of them. A row's
        last bin may have fewer bases than others. In bins behind it the outputs mean nothing: give
        them no target. Raises ValueError for a row without a base.
        """
        check_rows_have_positions(valid)
        return _exactly(lambda x: self.out(self._means(self.norm(x), valid)), x_BLD)

    def _means(
        self, x_BLD: Float[Tensor, "B L D"], valid: Bool[Tensor, "B L"]
    ) -> Float[Tensor, "B N D"]:
        bases = valid.sum(1)
        most = int(bases.max())
        bins = -(-most // self.bin_bp)
        # Bases first, in their order, so that a bin is a slice and its sum has one order.
        order = (~valid).long().argsort(dim=1, stable=True)[:, :most]
        index = order[..., None].expand(-1, -1, x_BLD.shape[2])
        x_BLD = x_BLD.masked_fill(~valid[..., None], 0).gather(1, index)
        x_BLD = nn.functional.pad(x_BLD, (0, 0, 0, bins * self.bin_bp - most))
        starts = torch.arange(bins, device=valid.device) * self.bin_bp
        inside = (bases[:, None] - starts).clamp(1, self.bin_bp)
        totals: Tensor = x_BLD.unflatten(1, (bins, self.bin_bp)).sum(2)
        return totals / inside[..., None]


class Standard(nn.Module):
    """Targets less their training mean, over their training standard deviation.

    Mean and deviation are in the state dict, and so in a checkpoint.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("std", torch.ones(numbers))

    def fit(self, target: Float[Tensor, "N K"]) -> None:
        """Take mean and deviation (of the population) from training targets; NaN is no target.

        Raises RecipeError for a number that has fewer than two different targets.
        """
        exact = target.to(most_exact(target.device))
        known = ~exact.isnan()
        count = known.sum(0).clamp(min=1)
        mean = exact.nansum(0) / count
        std = ((exact - mean).square().nansum(0) / count).sqrt()
        lowest = exact.masked_fill(~known, torch.inf).amin(0)
        highest = exact.masked_fill(~known, -torch.inf).amax(0)
        for number in range(exact.shape[1]):
            # By the values: rounding may leave equal ones a deviation.
            if not lowest[number] < highest[number]:
                raise RecipeError(
                    f"number {number} (from 0) of the training targets has fewer than two "
                    "different values, so that standardise=true can't be kept; check the column "
                    "that it is read from, or leave it out"
                )
        self.mean.copy_(mean)
        self.std.copy_(std)

    def forward(self, target: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
        """Return ``target`` in units of the training deviation, about the training mean."""
        return (target - self.mean) / self.std

    def restored(self, mean: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
        """Return a predicted ``mean`` in units of the data."""
        return mean * self.std + self.mean


TaskHead = SequenceHead | PairHead | BasesHead | SignalHead


def outputs_of(task: TaskConfig, answers: int) -> int:
    """Return how many outputs a head has for ``answers`` classes, numbers or tracks.

    As many; twice as many where variances are learned: all means, then all log variances.
    """
    asked = answered(task)
    if isinstance(asked, RegressionTaskConfig | NumberAnswerConfig) and asked.learn_variance:
        return 2 * answers
    return answers


def build_head(task: TaskConfig, width: int, answers: int) -> TaskHead:
    """Return the head of ``task`` on states of ``width``, for ``answers`` classes or numbers.

    ``width`` is that of what the head reads: of both strands' states together, of patches. Raises
    MissingExtraError for a CRF without its library.
    """
    outputs = outputs_of(task, answers)
    if isinstance(task, BasesTaskConfig):
        return BasesHead(width, outputs, task.crf)
    if isinstance(task, SignalTaskConfig):
        return SignalHead(width, outputs, task.bin_bp)
    if isinstance(task, PairTaskConfig):
        return PairHead(width, outputs, task.pooling.kind, task.pooling.length_bp)
    return SequenceHead(width, outputs, task.pooling.kind, task.pooling.length_bp)


def _linear_from_zero(width: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(width, outputs)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def _exactly(call: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ``call(x)`` in fp32 at least, whatever autocast is around it."""
    with torch.autocast(x.device.type, enabled=False):
        return call(x.to(torch.promote_types(x.dtype, torch.float32)))


def _chain(classes: int) -> nn.Module:
    try:
        from torchcrf import CRF
    except ImportError as error:
        raise MissingExtraError(
            "crf=true needs the package pytorch-crf, which isn't installed; "
            'run: pip install "hyena-glt[crf]"'
        ) from error
    chain: nn.Module = CRF(classes, batch_first=True)
    for parameter in chain.parameters():
        nn.init.zeros_(parameter)
    return chain
