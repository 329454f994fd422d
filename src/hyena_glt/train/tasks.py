"""Fine-tuning on one task: its step, and the run."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor

from hyena_glt.config import FinetuneRecipe, FinetuneTrainConfig
from hyena_glt.data.examples.batch import TaskBatch
from hyena_glt.data.examples.loader import ExampleLoader
from hyena_glt.errors import RecipeError, TrainingError
from hyena_glt.model import TaskNetwork
from hyena_glt.objective.tasks import TaskLoss, task_loss
from hyena_glt.train.best import is_lower_better
from hyena_glt.train.engine import LOWER_RATES, EpochModule
from hyena_glt.train.epochs import Epochs, run_epochs
from hyena_glt.train.optimiser import warm_cosine
from hyena_glt.train.run import Device
from hyena_glt.train.tuning import Unfreezing, is_read_at_bases, optimiser_groups

Validate = Callable[[TaskNetwork], Mapping[str, float]]  # named metrics, "loss" among them
KeepBest = Callable[[TaskNetwork, int, Mapping[str, float]], None]  # network, epochs, metrics


class TaskRun(NamedTuple):
    """What a run of fine-tuning did."""

    epochs: int
    best_epoch: int
    best: dict[str, float]
    stopped: Literal["finished", "early", "terminated"]


def fit_task(
    network: TaskNetwork,
    recipe: FinetuneRecipe,
    batches: ExampleLoader,
    weights: Tensor | None,
    validate: Validate,
    keep_best: KeepBest,
    out: Path,
    *,
    unfreezing: Unfreezing | None = None,
    resume: bool = False,
    device: Device = "cpu",
    progress: bool = False,
) -> TaskRun:
    """Train ``network`` in place; ``keep_best`` is called at each epoch that is the best so far.

    The network and ``unfreezing`` are as `prepare_tuning` left and gave them; ``weights`` are those
    of the classes. With ``resume`` the run goes on with the example after those of the last state
    that was saved, and replays to the same bits; one that has ended isn't trained further. Raises
    RecipeError for ``train.save_every_steps`` without effect, TrainingError for a loss or weights
    that aren't finite, StorageError where ``out`` can't be written.
    """
    module = TaskModule(
        network,
        recipe.train,
        sum(batches.steps_of(recipe.train.epochs)),
        weights,
        getattr(recipe.tuning, "layer_decay", None),
    )
    epochs = Epochs(
        recipe.train,
        recipe.tuning,
        recipe.seed,
        out,
        network.network,
        batches,
        partial(validate, network),
        partial(keep_best, network),
        is_lower_better=is_lower_better(recipe.train.metric),
        unfreezing=unfreezing,
    )
    best, stopped = run_epochs(module, epochs, resume=resume, device=device, progress=progress)
    return TaskRun(best.done, best.epoch, dict(best.metrics), stopped)


class TaskModule(EpochModule):
    """A thin adapter around a network with a head."""

    class_weights: Tensor | None

    def __init__(
        self,
        network: TaskNetwork,
        config: FinetuneTrainConfig,
        steps: int,
        weights: Tensor | None,
        layer_decay: float | None = None,
    ) -> None:
        super().__init__()
        self.network, self.config, self.steps = network, config, steps
        self.layer_decay = layer_decay
        self.register_buffer("class_weights", weights, persistent=False)

    def training_step(self, batch: TaskBatch, batch_idx: int) -> Tensor | None:
        """Return the batch's loss in nats an answer; None, and no step, where it has no target."""
        outputs = self.network(
            batch.ids, batch.length, batch.alternative_ids, batch.alternative_length
        )
        loss = loss_of(self.network, outputs, batch, self.class_weights)
        if loss.weight == 0:
            return None
        mean = loss.total / loss.weight
        if not math.isfinite(mean.item()):
            raise TrainingError(
                f"epoch {self.epoch}, step {self.step}: the loss is {mean.item()}; "
                f"the checkpoint saved before holds no trace of it. {LOWER_RATES}"
            )
        self.log("loss", mean.detach(), prog_bar=True)
        self.log("epoch", float(self.epoch))
        return mean

    def configure_optimizers(self) -> Any:
        """Return the optimiser, the head at a rate of its own; warm-up, then a cosine to zero."""
        adamw, muon = optimiser_groups(
            self.network,
            self.config,
            self.layer_decay,
            at_bases=is_read_at_bases(self.network.task),
        )
        return warm_cosine(adamw, muon, self.config.warmup_fraction, self.steps)


def loss_of(
    network: TaskNetwork, outputs: Tensor, batch: TaskBatch, weights: Tensor | None
) -> TaskLoss:
    """Return the sums of a batch's loss; numbers are in units of the training deviation.

    Raises RecipeError for a batch without labels.
    """
    target = batch.target
    if target is None:
        raise RecipeError("the dataset has no labels, and the task needs some")
    if network.standard is not None:
        target = network.standard(target)
    crf = getattr(network.head, "crf", None)
    return task_loss(network.task, outputs, target, weights, batch.length, crf)
