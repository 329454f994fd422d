"""Lightning's trainer as fine-tuning uses it, for one task and for several."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn

from hyena_glt.config import FinetuneTrainConfig
from hyena_glt.errors import HyenaGLTError, StorageError, TrainingError
from hyena_glt.train.run import Device, quiet_engine
from hyena_glt.train.saving import FolderIO, newest_resume_folder

# What to do where numbers aren't finite any more.
LOWER_RATES = (
    "Start again with lower rates: train.head_lr, train.lr and, where Muon moves matrices, "
    "train.muon_lr"
)


class EpochModule(LightningModule):
    """What is told which batch is at hand, and clips gradients by itself.

    In bf16 the engine refuses to clip for a fused optimiser.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch, self.step = 0, 0  # from 1, of the batch at hand

    def end_epoch(self) -> dict[str, float]:
        """Do what an epoch's end calls for; return what is logged beside its metrics."""
        return {}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm of all gradients together."""
        if gradient_clip_val is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)


def run_engine(
    module: LightningModule,
    batches: Iterable[Any],
    callback: Callback,
    config: FinetuneTrainConfig,
    out: Path,
    *,
    resume: bool,
    device: Device,
    progress: bool,
) -> bool:
    """Train ``module`` on all ``batches`` once; return whether SIGTERM ended it.

    With ``resume`` it goes on from the newest state in ``out``. Metrics go to ``out/metrics``.
    Raises StorageError where ``out`` can't be written.
    """
    with quiet_engine():
        trainer = Trainer(
            accelerator={"cpu": "cpu", "cuda": "gpu", "mps": "mps"}[device],
            devices=1,
            precision="bf16-mixed" if config.precision == "bf16" else "32-true",
            max_epochs=1,
            gradient_clip_val=config.clip_norm,
            logger=[CSVLogger(out, name="metrics")],
            log_every_n_steps=1,
            callbacks=[callback],
            plugins=[FolderIO()],
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=progress,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            default_root_dir=out,
        )
        state = newest_resume_folder(out) if resume else None
        try:
            trainer.fit(module, batches, ckpt_path=state)
        except SIGTERMException:
            return True
        except OSError as error:
            if isinstance(error, HyenaGLTError):
                raise
            raise StorageError(
                f"{out}: can't be written ({error.strerror}); nothing that stood there is lost; "
                "free some space and go on with --resume"
            ) from error
    return False


def check_weights(module: nn.Module, epoch: int) -> None:
    """Raise TrainingError where a weight that moves in ``epoch`` (from 1) isn't finite at its end.

    The epoch's last step is followed by no loss that would tell.
    """
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and not bool(parameter.isfinite().all()):
            raise TrainingError(
                f"epoch {epoch}: its steps have left {name} with numbers that aren't finite; the "
                f"checkpoint saved before holds no trace of it. {LOWER_RATES}"
            )
