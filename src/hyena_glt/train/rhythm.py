"""What happens between steps: validate, keep the best, save, stop."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.utilities.exceptions import SIGTERMException

from hyena_glt.config import TrainConfig
from hyena_glt.errors import TrainingError
from hyena_glt.model import HyenaGLT
from hyena_glt.train.module import TrainingModule
from hyena_glt.train.saving import prune_resume_folders, resume_folder

Validate = Callable[[HyenaGLT], dict[str, float]]  # "bits_per_base", which chooses, and others
KeepBest = Callable[[HyenaGLT, int, int, float], None]  # network, steps, bases, bits per base


class Rhythm(Callback):
    """Validates, keeps the best network, saves the state, and stops early or on SIGTERM.

    All in one place, because the order decides whether a run that was killed replays exactly: a
    state is saved after the validation of its step, never between a step and its validation.
    """

    def __init__(
        self, config: TrainConfig, out: Path, validate: Validate, keep_best: KeepBest
    ) -> None:
        self.config = config
        self.out = out
        self.validate = validate
        self.keep_best = keep_best
        self.best_bits: float | None = None
        self.best_step = 0
        self.validations_without_gain = 0
        self.saved_step = -1
        self._earlier_s = 0.0  # spent by attempts that this one goes on from
        self._start_s = time.monotonic()
        self.terminated = False

    def seconds(self) -> float:
        """Return the time that the run has taken, earlier attempts up to their last state too."""
        return self._earlier_s + time.monotonic() - self._start_s

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the beginning, so that a run killed before its first state can be resumed too."""
        assert isinstance(pl_module, TrainingModule)
        if pl_module.done_steps == 0:
            self._save(trainer, pl_module)
        self.saved_step = pl_module.done_steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Do what this step's number calls for."""
        assert isinstance(pl_module, TrainingModule)
        step = pl_module.done_steps
        last = step == pl_module.steps
        if last or step % self.config.validate_every_steps == 0:
            self._validate(pl_module)
            patience = self.config.patience
            if patience is not None and self.validations_without_gain >= patience:
                trainer.should_stop = last = True
        self.terminated = trainer.received_sigterm
        if last or self.terminated or step % self.config.save_every_steps == 0:
            self._save(trainer, pl_module)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save where SIGTERM came after the last step's end was dealt with."""
        assert isinstance(pl_module, TrainingModule)
        if isinstance(exception, SIGTERMException) and self.saved_step != pl_module.done_steps:
            self._save(trainer, pl_module)

    def _save(self, trainer: Trainer, module: TrainingModule) -> None:
        if not all(bool(p.isfinite().all()) for p in module.network.parameters()):
            raise TrainingError(
                f"step {module.done_steps}: a weight is nan or infinite; the checkpoint and the "
                "state saved before hold no trace of it. Start a new run with a lower train.lr, "
                "from that checkpoint by --init-from if you like"
            )
        trainer.save_checkpoint(resume_folder(self.out, module.done_steps))
        self.saved_step = module.done_steps
        prune_resume_folders(self.out)

    def _validate(self, module: TrainingModule) -> None:
        network = module.trained()
        was_training = network.training
        network.eval()
        with torch.no_grad():
            measured = self.validate(network)
        network.train(was_training)
        bits = measured["bits_per_base"]
        if not math.isfinite(bits):
            raise TrainingError(
                f"step {module.done_steps}: validation gave {bits} bits per base; start a "
                "new run with a lower train.lr"
            )
        named = {f"validation_{name}": value for name, value in measured.items()}
        for logger in module.loggers:
            logger.log_metrics(named, step=module.done_steps)
        if self.best_bits is None or bits < self.best_bits:
            self.best_bits, self.best_step = bits, module.done_steps
            self.validations_without_gain = 0
            self.keep_best(network, module.done_steps, module.read_bases, bits)
        else:
            self.validations_without_gain += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the time spent and what early stopping and the choice of the best depend on."""
        return {
            "best_bits": self.best_bits,
            "best_step": self.best_step,
            "validations_without_gain": self.validations_without_gain,
            "seconds": self.seconds(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.best_bits = state_dict["best_bits"]
        self.best_step = state_dict["best_step"]
        self.validations_without_gain = state_dict["validations_without_gain"]
        self._earlier_s = state_dict["seconds"]


class Progress(TQDMProgressBar):
    """Steps, bits per base, thousand bases per second and the time left."""

    def __init__(self, rhythm: Rhythm) -> None:
        super().__init__()
        self.rhythm = rhythm

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return the numbers beside the bar, in short."""
        shown = {"bits_per_base": ("bits/base", ".4f"), "kb_per_s": ("kb/s", ".1f")}
        metrics: dict[str, int | str | float | dict[str, float]] = {
            label: format(value, form)
            for key, (label, form) in shown.items()
            if isinstance(value := trainer.progress_bar_metrics.get(key), float)
        }
        if self.rhythm.best_bits is not None:
            metrics["validation"] = f"{self.rhythm.best_bits:.4f}"
        return metrics
