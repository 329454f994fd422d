"""From raw outputs to what a person reads: probabilities of classes, numbers in their own units."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from hyena_glt.config.tasks import (
    BasesTaskConfig,
    SignalTaskConfig,
    TaskConfig,
    answered,
)
from hyena_glt.data.examples.batch import TaskBatch
from hyena_glt.evaluate.metrics import (
    base_metrics,
    classification_metrics,
    multilabel_metrics,
    regression_metrics_where_known,
)
from hyena_glt.io.examples import Target
from hyena_glt.model import TaskNetwork, most_exact
from hyena_glt.model.task_heads import BasesHead
from hyena_glt.train.tasks import loss_of

_TARGET_OF = {
    "classification": "class",
    "multilabel": "multilabel",
    "regression": "values",
    "bases": "bases",
    "signal": "signal",
}


class Answers(NamedTuple):
    """Of the rows of a part, in their order; ``targets`` is None where there are none."""

    values: list[Float[np.ndarray, "..."]]  # a row's (C,), of bases (L, C), of a signal (T, C)
    targets: list[np.ndarray] | None
    loss: float | None  # nats an answer, the mean


def target_of(task: TaskConfig) -> Target:
    """Return what label a dataset must have for ``task``."""
    asked = answered(task).kind
    found: Target = _TARGET_OF[asked]  # type: ignore[assignment]
    return found


def places_of(task: TaskConfig) -> int | None:
    """Return how many bases a sequence may have where each place has weights; None: any number."""
    pooling = getattr(task, "pooling", None)
    return None if pooling is None else pooling.length_bp


@torch.no_grad()
def answer(
    network: TaskNetwork, batches: Iterable[TaskBatch], device: str, labelled: bool
) -> Answers:
    """Return the answers to ``batches``, and where they are ``labelled`` their loss."""
    values: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    total = weight = 0.0
    for batch in batches:
        batch = batch.to(torch.device(device))
        outputs = network(batch.ids, batch.length, batch.alternative_ids, batch.alternative_length)
        bases = (batch.length - 1).tolist()
        values += rows_of(readable(network, outputs, batch.length), network.task, bases)
        if labelled:
            assert batch.target is not None
            targets += rows_of(batch.target, network.task, bases)
            loss = loss_of(network, outputs, batch, None)
            total += float(loss.total)
            weight += float(loss.weight)
    return Answers(values, targets if labelled else None, total / weight if weight else None)


def readable(
    network: TaskNetwork, outputs: Float[Tensor, "R *B O"], length: Int[Tensor, " R"]
) -> Float[Tensor, "R *B C"]:
    """Return probabilities of classes, or numbers in units of the data.

    ``length`` counts the positions of each row, BOS too.
    """
    if isinstance(network.head, BasesHead):
        return network.head.probabilities(outputs, length)
    task = network.task
    asked = answered(task)
    exact = outputs.to(most_exact(outputs.device))
    if asked.kind == "classification":
        return exact.softmax(-1)
    if asked.kind == "multilabel":
        return exact.sigmoid()
    if getattr(asked, "likelihood", None) == "poisson":
        return exact.exp()
    if getattr(asked, "learn_variance", False):
        exact = exact[..., : exact.shape[-1] // 2]
    return exact if network.standard is None else network.standard.restored(exact)


def rows_of(found: Tensor, task: TaskConfig, lengths_bp: Sequence[int]) -> list[np.ndarray]:
    """Return each row's own part of ``found``: without BOS and padding."""
    arrays = found.cpu().numpy()
    if isinstance(task, BasesTaskConfig):
        return [row[1 : bases + 1] for row, bases in zip(arrays, lengths_bp, strict=True)]
    if isinstance(task, SignalTaskConfig):
        bins = [-(-bases // task.bin_bp) for bases in lengths_bp]
        return [row[:own] for row, own in zip(arrays, bins, strict=True)]
    return [np.asarray(row) for row in arrays]


def measure(task: TaskConfig, answers: Answers, names: tuple[str, ...]) -> dict[str, float]:
    """Return the metrics of labelled ``answers``, the loss among them.

    Of numbers, each is measured on the rows or bins whose label of it isn't NaN.
    """
    assert answers.targets is not None
    kind = target_of(task)
    found: dict[str, float] = {} if answers.loss is None else {"loss": answers.loss}
    if kind == "class":
        found |= classification_metrics(_whole_numbers(answers.targets), np.stack(answers.values))
    elif kind == "multilabel":
        found |= multilabel_metrics(_whole_numbers(answers.targets), np.stack(answers.values))
    elif kind == "bases":
        labels = np.concatenate(answers.targets).astype(np.int64)
        found |= base_metrics(labels, np.concatenate(answers.values), names)
    else:
        targets = np.concatenate([np.atleast_2d(row) for row in answers.targets]).astype(np.float64)
        numbers = np.concatenate([np.atleast_2d(row) for row in answers.values])
        found |= regression_metrics_where_known(targets, numbers, names)
    return found


def _whole_numbers(rows: list[np.ndarray]) -> Int64[np.ndarray, "..."]:
    return np.stack(rows).astype(np.int64)
