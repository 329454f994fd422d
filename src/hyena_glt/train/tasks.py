"""Fine-tuning, epoch by epoch: one step, what comes after an epoch, and the run of both."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn

from hyena_glt.config import FinetuneRecipe, FinetuneTrainConfig
from hyena_glt.config.finetune import FullTuningConfig
from hyena_glt.data.examples.batch import TaskBatch
from hyena_glt.data.examples.loader import ExampleLoader
from hyena_glt.errors import RecipeError, TrainingError
from hyena_glt.model import TaskNetwork
from hyena_glt.objective.tasks import TaskLoss, task_loss
from hyena_glt.train.run import Device, quiet_engine
from hyena_glt.train.saving import (
    FolderIO,
    newest_resume_folder,
    prune_resume_folders,
    resume_folder,
)

LOWER_IS_BETTER = ("loss", "nll_nats", "brier", "ece", "rmse", "mae")

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
    resume: bool = False,
    device: Device = "cpu",
    progress: bool = False,
) -> TaskRun:
    """Train ``network`` in place; ``keep_best`` is called at each epoch that is the best so far.

    ``weights`` are those of the classes. With ``resume`` the run goes on after the last epoch that
    was finished, and replays to the same bits; one that has ended isn't trained further. Raises
    RecipeError for a part to freeze that isn't there, TrainingError for a loss that isn't finite.
    """
    freeze(network, recipe)
    module = TaskModule(network, recipe.train, len(batches) * recipe.train.epochs, weights)
    epochs = Epochs(recipe.train, out, batches, validate, keep_best)
    with quiet_engine():
        trainer = Trainer(
            accelerator={"cpu": "cpu", "cuda": "gpu", "mps": "mps"}[device],
            devices=1,
            precision="bf16-mixed" if recipe.train.precision == "bf16" else "32-true",
            max_epochs=recipe.train.epochs,
            gradient_clip_val=recipe.train.clip_norm,
            logger=[CSVLogger(out, name="metrics")],
            log_every_n_steps=1,
            callbacks=[epochs],
            plugins=[FolderIO()],
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=progress,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            default_root_dir=out,
        )
        state = newest_resume_folder(out) if resume else None
        stopped: Literal["finished", "early", "terminated"] = "finished"
        try:
            trainer.fit(module, batches, ckpt_path=state)
        except SIGTERMException:
            stopped = "terminated"
    if stopped == "finished" and epochs.done < recipe.train.epochs:
        stopped = "early"
    return TaskRun(epochs.done, epochs.best_epoch, dict(epochs.best), stopped)


def freeze(network: TaskNetwork, recipe: FinetuneRecipe) -> None:
    """Let no gradient into what the recipe keeps as it is.

    Raises RecipeError where a name in ``tuning.freeze`` begins no parameter's.
    """
    tuning = recipe.tuning
    names = tuning.freeze if isinstance(tuning, FullTuningConfig) else ("",)
    for name in names:
        found = [p for own, p in network.network.named_parameters() if own.startswith(name)]
        if not found:
            parts = sorted({own.rsplit(".", 1)[0] for own, _ in network.network.named_parameters()})
            raise RecipeError(
                f"tuning.freeze: no parameter's name begins with {name!r}; there are "
                f"{', '.join(parts[:12])} ..."
            )
        for parameter in found:
            parameter.requires_grad_(False)


class TaskModule(LightningModule):
    """A thin adapter around a network with a head."""

    class_weights: Tensor | None

    def __init__(
        self, network: TaskNetwork, config: FinetuneTrainConfig, steps: int, weights: Tensor | None
    ) -> None:
        super().__init__()
        self.network, self.config, self.steps = network, config, steps
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
                f"epoch {self.current_epoch + 1}, step {batch_idx + 1}: the loss is {mean.item()}; "
                "the checkpoint saved before holds no trace of it. Start again with a lower "
                "train.lr and train.head_lr"
            )
        self.log("loss", mean.detach(), prog_bar=True)
        return mean

    def configure_optimizers(self) -> Any:
        """Return AdamW, the head at a rate of its own; warm-up, then a cosine to zero."""
        config = self.config
        matrices = {id(m.weight) for m in self.network.modules() if isinstance(m, nn.Linear)}
        inside = [p for p in self.network.network.parameters() if p.requires_grad]
        decayed = [p for p in inside if id(p) in matrices]
        others = [p for p in inside if id(p) not in matrices]
        groups = [
            {"params": decayed, "lr": config.lr, "weight_decay": config.weight_decay},
            {"params": others, "lr": config.lr, "weight_decay": 0.0},
            {
                "params": [*self.network.head.parameters()],
                "lr": config.head_lr,
                "weight_decay": 0.0,
            },
        ]
        optimiser = torch.optim.AdamW([group for group in groups if group["params"]])
        warmup = math.ceil(config.warmup_fraction * self.steps)

        def share(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            progress = min(1.0, (step - warmup) / max(1, self.steps - warmup))
            return (1 + math.cos(math.pi * progress)) / 2

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, share)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_epoch_start(self) -> None:
        """A probe's network answers as it does when evaluated."""
        if not any(p.requires_grad for p in self.network.network.parameters()):
            self.network.network.eval()


class Epochs(Callback):
    """Validates after each epoch, keeps the best network, saves the state, stops early."""

    def __init__(
        self,
        config: FinetuneTrainConfig,
        out: Path,
        batches: ExampleLoader,
        validate: Validate,
        keep_best: KeepBest,
    ) -> None:
        self.config, self.out, self.batches = config, out, batches
        self.validate, self.keep_best = validate, keep_best
        self.done = 0
        self.best_epoch = 0
        self.best: dict[str, float] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take no step where a resumed run had stopped early."""
        trainer.should_stop = self._has_waited()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the epoch's own order; the engine leaves an iteration before its end."""
        self.batches.begin(trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do what the end of an epoch calls for."""
        assert isinstance(pl_module, TaskModule)
        network = pl_module.network
        was_training = network.training
        network.eval()
        with torch.no_grad():
            found = dict(self.validate(network))
        network.train(was_training)
        self.done += 1
        for logger in trainer.loggers:
            named = {f"validation_{name}": value for name, value in found.items()}
            logger.log_metrics(named, step=trainer.global_step)
        if self._is_better(found):
            self.best, self.best_epoch = found, self.done
            self.keep_best(network, self.done, found)
        trainer.save_checkpoint(resume_folder(self.out, self.done))
        prune_resume_folders(self.out)
        trainer.should_stop = trainer.should_stop or self._has_waited()

    def _has_waited(self) -> bool:
        """Whether there have been as many epochs without gain as patience allows."""
        patience = self.config.patience_epochs
        return patience is not None and self.done - self.best_epoch >= patience

    def _is_better(self, found: Mapping[str, float]) -> bool:
        metric = self.config.metric
        if not self.best:
            return True
        if math.isnan(found[metric]):
            return False
        gain = found[metric] - self.best[metric]
        return math.isnan(gain) or (gain < 0 if metric in LOWER_IS_BETTER else gain > 0)

    def state_dict(self) -> dict[str, Any]:
        """Return what early stopping and the choice of the best depend on."""
        return {"done": self.done, "best_epoch": self.best_epoch, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.done = state_dict["done"]
        self.best_epoch, self.best = state_dict["best_epoch"], state_dict["best"]


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
