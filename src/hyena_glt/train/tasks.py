"""Fine-tuning, epoch by epoch: one step, what comes after an epoch, and the run of both."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from hyena_glt.config import FinetuneRecipe, FinetuneTrainConfig
from hyena_glt.data.examples.batch import TaskBatch
from hyena_glt.data.examples.loader import ExampleLoader
from hyena_glt.data.examples.order import DROPOUT
from hyena_glt.errors import RecipeError, TrainingError
from hyena_glt.model import TaskNetwork
from hyena_glt.objective.tasks import TaskLoss, task_loss
from hyena_glt.train.best import BestEpoch, is_lower_better
from hyena_glt.train.engine import ClippedModule, check_weights, run_engine
from hyena_glt.train.optimiser import warm_cosine
from hyena_glt.train.run import Device
from hyena_glt.train.saving import prune_resume_folders, resume_folder
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
    steps = batches.steps_of(recipe.train.epochs)
    check_saving(recipe.train, steps)
    module = TaskModule(
        network, recipe.train, sum(steps), weights, getattr(recipe.tuning, "layer_decay", None)
    )
    epochs = Epochs(recipe, out, batches, validate, keep_best, unfreezing)
    # All epochs are one of the engine's, whose states within an epoch are those that it goes on
    # from to the same bits.
    terminated = run_engine(
        module,
        _AllEpochs(batches, recipe.train.epochs),
        epochs,
        recipe.train,
        out,
        epochs=1,
        resume=resume,
        device=device,
        progress=progress,
    )
    stopped: Literal["finished", "early", "terminated"] = "finished"
    if terminated:
        stopped = "terminated"
    elif epochs.best.done < recipe.train.epochs:
        stopped = "early"
    best = epochs.best
    return TaskRun(best.done, best.epoch, dict(best.metrics), stopped)


def check_saving(config: FinetuneTrainConfig, steps: Sequence[int]) -> None:
    """Raise RecipeError where no epoch, of so many ``steps`` each, has a state saved within it."""
    if config.save_every_steps is not None and config.save_every_steps >= max(steps):
        raise RecipeError(
            f"train.save_every_steps={config.save_every_steps} has no effect: an epoch has "
            f"{max(steps)} steps, and the state at its end is saved anyway; lower it, or remove it"
        )


class _AllEpochs:
    """The batches of all epochs in a row; where they are is where the loader is."""

    def __init__(self, batches: ExampleLoader, epochs: int) -> None:
        self._batches, self._epochs = batches, epochs
        self._steps = sum(batches.steps_of(epochs))

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[TaskBatch]:
        while self._batches.epoch < self._epochs:
            yield from self._batches

    def state_dict(self) -> dict[str, Any]:
        return self._batches.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._batches.load_state_dict(state)


class TaskModule(ClippedModule):
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
        self.epoch, self.step = 0, 0  # from 1, of the batch at hand
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
                "the checkpoint saved before holds no trace of it. Start again with a lower "
                "train.lr and train.head_lr"
            )
        self.log("loss", mean.detach(), prog_bar=True)
        self.log("epoch", float(self.epoch))
        return mean

    def configure_optimizers(self) -> Any:
        """Return AdamW, the head at a rate of its own; warm-up, then a cosine to zero."""
        config = self.config
        groups = optimiser_groups(
            self.network,
            config,
            self.layer_decay,
            at_bases=is_read_at_bases(self.network.task),
        )
        optimiser = torch.optim.AdamW(groups, fused=True)
        return warm_cosine(optimiser, config.warmup_fraction, self.steps)


class Epochs(Callback):
    """Validates after each epoch, keeps the best network, saves the state, stops early.

    All in one place, because the order decides whether a run that was killed replays exactly: what
    comes after an epoch's last step is done before that step's state is saved.
    """

    def __init__(
        self,
        recipe: FinetuneRecipe,
        out: Path,
        batches: ExampleLoader,
        validate: Validate,
        keep_best: KeepBest,
        unfreezing: Unfreezing | None = None,
    ) -> None:
        self.config, self.out, self.batches = recipe.train, out, batches
        self.validate, self.keep_best, self.unfreezing = validate, keep_best, unfreezing
        self.seed = recipe.seed
        self.drops = getattr(recipe.tuning, "dropout", 0.0) > 0
        metric = self.config.metric
        self.best = BestEpoch(metric, is_lower_better(metric), self.config.patience_epochs)
        self.steps = 0  # of all epochs
        self._saved_steps = self._begun = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take no step where a resumed run had stopped early."""
        trainer.should_stop = self.best.has_waited()
        self._saved_steps = self.steps

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Let move what moves in this epoch; a network that stays answers as when evaluated."""
        assert isinstance(pl_module, TaskModule)
        pl_module.epoch, pl_module.step = self.batches.epoch + 1, self.batches.step
        if self._begun != self.batches.epoch:
            self._begun = self.batches.epoch
            if self.unfreezing is not None:
                self.unfreezing.begin(self._begun)
            inside = pl_module.network.network
            inside.train(any(p.requires_grad for p in inside.parameters()))
        if self.drops:
            # The step's own random numbers: a resumed run has the same.
            drawn = np.random.SeedSequence((self.seed, DROPOUT, self.steps)).generate_state(1)
            torch.manual_seed(int(drawn[0]))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Do what this step's place in its epoch calls for."""
        assert isinstance(pl_module, TaskModule)
        self.steps += 1
        every = self.config.save_every_steps
        if self.batches.step == len(self.batches):
            self._end_epoch(trainer, pl_module)
        elif trainer.received_sigterm or (every is not None and self.batches.step % every == 0):
            self._save(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save where SIGTERM came after the last step's end was dealt with."""
        if isinstance(exception, SIGTERMException) and self._saved_steps != self.steps:
            self._save(trainer)

    def _end_epoch(self, trainer: Trainer, module: TaskModule) -> None:
        """Validate, keep the network if it is the best, save the state, stop if it is time to."""
        network = module.network
        check_weights(network, module.epoch)
        network.eval()
        with torch.no_grad():
            found = dict(self.validate(network))
        network.train()
        is_best = self.best.offer(found)
        named = {f"validation_{name}": value for name, value in found.items()}
        for logger in trainer.loggers:
            logger.log_metrics({**named, "epoch": float(self.best.done)}, step=trainer.global_step)
        if is_best:
            self.keep_best(network, self.best.done, found)
        self._save(trainer)
        trainer.should_stop = trainer.should_stop or self.best.has_waited()

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(resume_folder(self.out, self.steps))
        self._saved_steps = self.steps
        prune_resume_folders(self.out)

    def state_dict(self) -> dict[str, Any]:
        """Return what early stopping and the choice of the best depend on."""
        return {"steps": self.steps, "best": self.best.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.steps = state_dict["steps"]
        self.best.load_state_dict(state_dict["best"])


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
