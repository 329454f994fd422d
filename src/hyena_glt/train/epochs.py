"""Fine-tuning epoch by epoch, of one task or of several: what comes after a step and an epoch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn

from hyena_glt.config import FinetuneTrainConfig
from hyena_glt.config.finetune import TuningConfig
from hyena_glt.data.examples.order import DROPOUT
from hyena_glt.errors import RecipeError
from hyena_glt.train.best import BestEpoch
from hyena_glt.train.engine import EpochModule, check_weights, run_engine
from hyena_glt.train.run import Device
from hyena_glt.train.saving import prune_resume_folders, resume_folder
from hyena_glt.train.tuning import Unfreezing


@runtime_checkable
class EpochBatches(Protocol):
    """Batches of one epoch after another; where they are is all that they are resumed from."""

    @property
    def epoch(self) -> int:
        """Which epoch (from 0) the next batch is of."""

    @property
    def step(self) -> int:
        """How many batches of the epoch have been given."""

    def __len__(self) -> int:
        """How many batches the current epoch has."""

    def __iter__(self) -> Iterator[Any]:
        """Give what is left of the epoch, then go to the next."""

    def steps_of(self, epochs: int) -> list[int]:
        """Return how many batches each of the first ``epochs`` has."""

    def state_dict(self) -> dict[str, Any]:
        """Return where they are."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go there."""


class EpochsRun(NamedTuple):
    """What a run did."""

    best: BestEpoch
    stopped: Literal["finished", "early", "terminated"]


def run_epochs(
    module: EpochModule, epochs: "Epochs", *, resume: bool, device: Device, progress: bool
) -> EpochsRun:
    """Train until the last epoch, a stop before it, or SIGTERM.

    Batches are those of ``epochs``, and metrics go to ``out/metrics``. With ``resume`` the run goes
    on with the example after those of the last state that was saved, and replays to the same bits;
    one that has ended isn't trained further. Raises RecipeError for ``train.save_every_steps``
    without effect, TrainingError for weights that aren't finite, StorageError where nothing can be
    written.
    """
    config, batches = epochs.config, epochs.batches
    check_saving(config, batches.steps_of(config.epochs))
    # All epochs are one of the engine's, whose states within an epoch are those that it goes on
    # from to the same bits.
    terminated = run_engine(
        module,
        _AllEpochs(batches, config.epochs),
        epochs,
        config,
        epochs.out,
        resume=resume,
        device=device,
        progress=progress,
    )
    if terminated:
        return EpochsRun(epochs.best, "terminated")
    return EpochsRun(epochs.best, "early" if epochs.best.done < config.epochs else "finished")


def check_saving(config: FinetuneTrainConfig, steps: Sequence[int]) -> None:
    """Raise RecipeError where no epoch, of so many ``steps`` each, has a state saved within it."""
    if config.save_every_steps is not None and config.save_every_steps >= max(steps):
        raise RecipeError(
            f"train.save_every_steps={config.save_every_steps} has no effect: an epoch has "
            f"{max(steps)} steps, and the state at its end is saved anyway; lower it, or remove it"
        )


class _AllEpochs:
    """The batches of all epochs in a row; where they are is where the loader is."""

    def __init__(self, batches: EpochBatches, epochs: int) -> None:
        self._batches, self._epochs = batches, epochs
        self._steps = sum(batches.steps_of(epochs))

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Any]:
        while self._batches.epoch < self._epochs:
            yield from self._batches

    def state_dict(self) -> dict[str, Any]:
        return self._batches.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._batches.load_state_dict(state)


class Epochs(Callback):
    """Validates after each epoch, keeps the best network, saves the state, stops early.

    All in one place, because the order decides whether a run that was killed replays exactly: what
    comes after an epoch's last step is done before that step's state is saved.

    ``inside`` is the network below all heads. ``validate`` returns metrics by name, and
    ``keep_best`` is called with the number of epochs and their metrics at each that is the best so
    far.
    """

    def __init__(
        self,
        config: FinetuneTrainConfig,
        tuning: TuningConfig,
        seed: int,
        out: Path,
        inside: nn.Module,
        batches: EpochBatches,
        validate: Callable[[], Mapping[str, float]],
        keep_best: Callable[[int, Mapping[str, float]], None],
        *,
        is_lower_better: bool,
        unfreezing: Unfreezing | None = None,
    ) -> None:
        self.config, self.seed, self.out = config, seed, out
        self.inside, self.batches = inside, batches
        self.validate, self.keep_best, self.unfreezing = validate, keep_best, unfreezing
        self.drops = getattr(tuning, "dropout", 0.0) > 0
        self.best = BestEpoch(config.metric, is_lower_better, config.patience_epochs)
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
        assert isinstance(pl_module, EpochModule)
        pl_module.epoch, pl_module.step = self.batches.epoch + 1, self.batches.step
        if self._begun != self.batches.epoch:
            self._begun = self.batches.epoch
            if self.unfreezing is not None:
                self.unfreezing.begin(self._begun)
            self.inside.train(any(p.requires_grad for p in self.inside.parameters()))
        if self.drops:
            # The step's own random numbers: a resumed run has the same.
            drawn = np.random.SeedSequence((self.seed, DROPOUT, self.steps)).generate_state(1)
            torch.manual_seed(int(drawn[0]))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Do what this step's place in its epoch calls for."""
        assert isinstance(pl_module, EpochModule)
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

    def _end_epoch(self, trainer: Trainer, module: EpochModule) -> None:
        """Validate, keep the network if it is the best, save the state, stop if it is time to."""
        check_weights(module, module.epoch)
        beside = module.end_epoch()
        module.eval()
        with torch.no_grad():
            found = dict(self.validate())
        module.train()
        is_best = self.best.offer(found)
        named = {f"validation_{name}": value for name, value in found.items()}
        named |= {**beside, "epoch": float(self.best.done)}
        for logger in trainer.loggers:
            logger.log_metrics(named, step=trainer.global_step)
        if is_best:
            self.keep_best(self.best.done, found)
        self._save(trainer)
        trainer.should_stop = trainer.should_stop or self.best.has_waited()

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(resume_folder(self.out, self.steps))
        self._saved_steps = self.steps
        prune_resume_folders(self.out)

    def state_dict(self) -> dict[str, Any]:
        """Return how far the run is, and what early stopping and the best depend on."""
        return {"steps": self.steps, "best": self.best.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.steps = state_dict["steps"]
        self.best.load_state_dict(state_dict["best"])
