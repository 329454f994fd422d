"""How well the answers of a task are, as sums: parts of a group add up before the division.

All losses are negative log-likelihoods in nats, computed in fp32 at least, so far as weights,
smoothing and focal factors leave them one. What has no target is outside both sums.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hyena_glt.config.tasks import (
    BasesTaskConfig,
    ClassWeights,
    MultilabelTaskConfig,
    SignalTaskConfig,
    TaskConfig,
    answered,
)
from hyena_glt.errors import RecipeError


class TaskLoss(NamedTuple):
    """Parts of a weighted mean: the loss of a group is its sum of totals over that of weights."""

    total: Float[Tensor, ""]  # sum of weight * loss
    weight: Float[Tensor, ""]  # sum of weights


def class_loss(
    logits: Float[Tensor, "*B C"],
    target: Int[Tensor, "*B"],
    class_weights: Float[Tensor, " C"] | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
) -> TaskLoss:
    """Return the cross entropy of one class out of C, of sequences or of bases; -1: no label.

        loss = w_y * sum_k q_k (1 - p_k)**gamma (-ln p_k),  q_k = (1 - eps) [k = y] + eps / C

    with eps the label smoothing (Szegedy 2016, arXiv:1512.00567), gamma the focal factor (Lin 2017,
    arXiv:1708.02002) and w the class weights; the weight of a label is w_y. Raises ValueError for a
    target outside -1 .. C - 1.
    """
    classes = logits.shape[-1]
    _check_range(target, (target >= -1) & (target < classes), f"a class from 0 to {classes - 1}")
    labelled = target >= 0
    exact = _exact(logits).masked_fill(~labelled[..., None], 0)
    index = target.clamp(min=0)
    log_p = exact.log_softmax(-1)
    if label_smoothing:
        terms = -log_p * _focal(log_p, focal_gamma)
        chosen = terms.gather(-1, index[..., None])[..., 0]
        loss = (1 - label_smoothing) * chosen + label_smoothing * terms.mean(-1)
    else:
        chosen = log_p.gather(-1, index[..., None])[..., 0]
        loss = -chosen * _focal(chosen, focal_gamma)
    weight = torch.ones_like(loss) if class_weights is None else class_weights.to(loss)[index]
    weight = weight.masked_fill(~labelled, 0)
    return TaskLoss((weight * loss).sum(), weight.sum())


def multilabel_loss(
    logits: Float[Tensor, "B C"],
    target: Int[Tensor, "B C"],
    positive_weights: Float[Tensor, " C"] | None = None,
    focal_gamma: float = 0.0,
) -> TaskLoss:
    """Return the cross entropy of a yes (1) or no (0) for each class; -1: not known.

        loss = w_k (1 - p)**gamma (-ln p) of a yes, p**gamma (-ln (1 - p)) of a no

    The weight is the number of labels: that of a yes makes its loss larger, not its share of the
    mean. Raises ValueError for other targets.
    """
    _check_range(target, (target >= -1) & (target <= 1), "0 or 1")
    labelled = target >= 0
    exact = _exact(logits).masked_fill(~labelled, 0)
    log_p = F.logsigmoid(torch.where(target == 1, exact, -exact))
    loss = -log_p * _focal(log_p, focal_gamma)
    if positive_weights is not None:
        loss = torch.where(target == 1, positive_weights.to(loss) * loss, loss)
    return TaskLoss(loss.masked_fill(~labelled, 0).sum(), labelled.sum().to(loss))


def gaussian_loss(
    outputs: Float[Tensor, "*B M"], target: Float[Tensor, "*B K"], learn_variance: bool = False
) -> TaskLoss:
    """Return the Gaussian's loss of K numbers; NaN: no target.

        -ln N(y; m, v) = (y - m)**2 / (2 v) + ln(v) / 2 + ln(2 pi) / 2

    without the last term, which no output changes: with v = 1 half the squared error. ``outputs``
    are the K means; with ``learn_variance`` the K log variances come after them. Raises ValueError
    for another number of outputs, and for an infinite target.
    """
    numbers = target.shape[-1]
    expected = 2 * numbers if learn_variance else numbers
    if outputs.shape[-1] != expected:
        raise ValueError(f"found {outputs.shape[-1]} outputs for {numbers} numbers; not {expected}")
    _check_range(target, ~target.isinf(), "a finite number")
    exact = _exact(outputs)
    known = ~target.isnan()
    error = (exact[..., :numbers] - target.to(exact)).masked_fill(~known, 0)
    loss = error.square() / 2
    if learn_variance:
        log_variance = exact[..., numbers:].masked_fill(~known, 0)
        loss = loss * (-log_variance).exp() + log_variance / 2
    return TaskLoss(loss.sum(), known.sum().to(loss))


def poisson_loss(log_rate: Float[Tensor, "*B K"], target: Float[Tensor, "*B K"]) -> TaskLoss:
    """Return the Poisson's loss of K counts, whose rates' logarithms are given; NaN: no target.

        -ln P(y; rate) = rate - y ln rate + ln y!

    without the last term (Stirling's), which no output changes. Counts needn't be whole: a bin may
    have their mean. Raises ValueError for a count that is negative or infinite.
    """
    known = ~target.isnan()
    _check_range(target, ((target >= 0) & ~target.isinf()) | ~known, "a count from 0")
    exact = _exact(log_rate).masked_fill(~known, 0)
    counts = target.to(exact).masked_fill(~known, 0)
    loss = (exact.exp() - counts * exact).masked_fill(~known, 0)
    return TaskLoss(loss.sum(), known.sum().to(loss))


def crf_loss(
    logits: Float[Tensor, "B L C"],
    target: Int[Tensor, "B L"],
    length: Int[Tensor, " B"],
    crf: nn.Module,
) -> TaskLoss:
    """Return -ln p(labels) of rows whose classes are a chain (Lafferty 2001); -1: no label.

    ``crf`` is that of a BasesHead. A row's first ``length`` positions are its chain, N too: bases
    without a label take part, and the likelihood is the sum over all that they may be. Padding
    behind them has no part. The weight is the number of labels. Takes a step of Python for each
    base. Raises ValueError for a target outside -1 .. C - 1 and for a row without a base.
    """
    classes = logits.shape[-1]
    _check_range(target, (target >= -1) & (target < classes), f"a class from 0 to {classes - 1}")
    _check_range(length, (length >= 1) & (length <= logits.shape[1]), "a length from 1")
    inside = torch.arange(logits.shape[1], device=length.device) < length[:, None]
    labelled = (target >= 0) & inside
    exact = _exact(logits).masked_fill(~inside[..., None], 0)
    some = torch.where(labelled, target, 0)
    with torch.autocast(logits.device.type, enabled=False):
        # The library's are ln p(all labels) = score - ln Z. Where some are free, Z' counts the
        # chains that agree with those known: ln(Z' / Z), in which any such chain's score cancels.
        log_p = crf(exact, some, inside, reduction="sum")
        if bool((inside & ~labelled).any()):
            chosen = F.one_hot(some, classes).bool() | ~labelled[..., None]
            log_p = log_p - crf(exact.masked_fill(~chosen, -1e30), some, inside, reduction="sum")
    return TaskLoss(-log_p, labelled.sum().to(exact))


def task_loss(
    task: TaskConfig,
    outputs: Tensor,
    target: Tensor,
    weights: Float[Tensor, " C"] | None = None,
    length: Int[Tensor, " B"] | None = None,
    crf: nn.Module | None = None,
) -> TaskLoss:
    """Return the loss that ``task`` says of a head's ``outputs``.

    ``target`` holds classes (-1: no label), yes and no as 1 and 0 (-1: not known), or numbers (NaN:
    none), standardised where the task says so. ``weights`` are what :func:`weights_of_classes` or
    :func:`balanced_positive_weights` gave for training; leave them out for validation. ``length``
    and ``crf`` are those of a task with a CRF.
    """
    if isinstance(task, BasesTaskConfig) and task.crf:
        if length is None or crf is None:
            raise ValueError("a task with a CRF needs the rows' lengths and the head's crf")
        return crf_loss(outputs, target, length, crf)
    asked = answered(task)
    if isinstance(asked, MultilabelTaskConfig):
        return multilabel_loss(outputs, target, weights, asked.focal_gamma)
    if isinstance(asked, SignalTaskConfig) or asked.kind == "regression":
        if asked.likelihood == "poisson":
            return poisson_loss(outputs, target)
        return gaussian_loss(outputs, target, getattr(asked, "learn_variance", False))
    return class_loss(outputs, target, weights, asked.label_smoothing, asked.focal_gamma)


def balanced_weights(counts: Mapping[str, int]) -> Float[Tensor, " C"]:
    """Return n / (C * n_c) for classes counted n_c times, in their order (fp64).

    Raises RecipeError for a class without an example.
    """
    for name, count in counts.items():
        if count < 1:
            raise RecipeError(
                f"class_weights=balanced, but class {name!r} has no training example; give weights "
                "by name, or leave the class out"
            )
    counted = torch.tensor(list(counts.values()), dtype=torch.float64)
    return counted.sum() / (len(counts) * counted)


def balanced_positive_weights(
    positives: Mapping[str, int], negatives: Mapping[str, int]
) -> Float[Tensor, " C"]:
    """Return negatives / positives of each class, in their order (fp64).

    Raises RecipeError for a class that is never, or always, there.
    """
    for name, count in positives.items():
        if count < 1 or negatives[name] < 1:
            raise RecipeError(
                f"positive_weights=balanced, but class {name!r} has {count} training examples with "
                f"it and {negatives[name]} without; it needs both: leave it, or the setting, out"
            )
    yes = torch.tensor(list(positives.values()), dtype=torch.float64)
    no = torch.tensor([negatives[name] for name in positives], dtype=torch.float64)
    return no / yes


def weights_of_classes(
    setting: ClassWeights | None, counts: Mapping[str, int]
) -> Float[Tensor, " C"] | None:
    """Return the weights that ``class_weights`` means, in the order of ``counts``; None for none.

    Raises RecipeError where the setting's names aren't the classes, or nothing can be balanced.
    """
    if setting is None:
        return None
    if setting == "balanced":
        return balanced_weights(counts)
    unknown, missing = sorted(set(setting) - set(counts)), sorted(set(counts) - set(setting))
    if unknown or missing:
        raise RecipeError(
            f"class_weights names {', '.join(sorted(setting))}; the classes are "
            f"{', '.join(counts)}; give each of them a weight"
        )
    return torch.tensor([setting[name] for name in counts], dtype=torch.float64)


def _exact(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _focal(log_p: Tensor, gamma: float) -> Tensor | float:
    """(1 - p)**gamma; its slope is finite where p is 1."""
    if gamma == 0:
        return 1.0
    return (-log_p.expm1()).clamp(min=torch.finfo(log_p.dtype).tiny) ** gamma


def _check_range(found: Tensor, right: Bool[Tensor, "..."], expected: str) -> None:
    if torch.compiler.is_compiling():
        return
    if not bool(right.all()):
        where = (~right).nonzero()[0].tolist()
        raise ValueError(f"found {found[tuple(where)].item()} at {where}; expected {expected}")
