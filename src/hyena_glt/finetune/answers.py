"""From raw outputs to what a person reads: probabilities of classes, numbers in their own units."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from hyena_glt.config.tasks import BasesTaskConfig, PairTaskConfig, SignalTaskConfig, TaskConfig
from hyena_glt.data.examples.batch import TaskBatch
from hyena_glt.evaluate.metrics import (
    base_metrics,
    classification_metrics,
    multilabel_metrics,
    regression_metrics,
)
from hyena_glt.io.examples import Target
from hyena_glt.model import TaskNetwork
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
    asked = task.answer.kind if isinstance(task, PairTaskConfig) else task.kind
    found: Target = _TARGET_OF[asked]  # type: ignore[assignment]
    return found


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
        values += _rows(readable(network, outputs), network.task, batch)
        if labelled:
            assert batch.target is not None
            targets += _rows(batch.target, network.task, batch)
            loss = loss_of(network, outputs, batch, None)
            total += float(loss.total)
            weight += float(loss.weight)
    return Answers(values, targets if labelled else None, total / weight if weight else None)


def readable(network: TaskNetwork, outputs: Float[Tensor, "*B O"]) -> Float[Tensor, "*B C"]:
    """Return probabilities of classes, or numbers in units of the data."""
    task = network.task
    asked = task.answer if isinstance(task, PairTaskConfig) else task
    exact = outputs.double()
    if asked.kind in ("classification", "bases"):
        return exact.softmax(-1)
    if asked.kind == "multilabel":
        return exact.sigmoid()
    if getattr(asked, "likelihood", None) == "poisson":
        return exact.exp()
    if getattr(asked, "learn_variance", False):
        exact = exact[..., : exact.shape[-1] // 2]
    return exact if network.standard is None else network.standard.restored(exact)


def measure(task: TaskConfig, answers: Answers, names: tuple[str, ...]) -> dict[str, float]:
    """Return the metrics of labelled ``answers``, the loss among them."""
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
        known = ~np.isnan(targets).any(1)
        found |= regression_metrics(targets[known], numbers[known], names)
    return found


def _whole_numbers(rows: list[np.ndarray]) -> Int64[np.ndarray, "..."]:
    return np.stack(rows).astype(np.int64)


def _rows(found: Tensor, task: TaskConfig, batch: TaskBatch) -> Iterator[np.ndarray]:
    """Give each row's part of ``found``, without BOS and padding."""
    arrays = found.cpu().numpy()
    for row, length in enumerate(batch.length.tolist()):
        if isinstance(task, BasesTaskConfig):
            yield arrays[row, 1:length]
        elif isinstance(task, SignalTaskConfig):
            yield arrays[row, : -(-(length - 1) // task.bin_bp)]
        else:
            yield np.asarray(arrays[row])
