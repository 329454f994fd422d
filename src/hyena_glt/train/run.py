"""A whole run, from recipe to checkpoint."""

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from hyena_glt.checkpoint import (
    Checkpoint,
    Provenance,
    finish_replacement,
    load_checkpoint,
    save_checkpoint,
)
from hyena_glt.config import Recipe
from hyena_glt.data import (
    Genome,
    Split,
    TrainingWindows,
    Window,
    collate,
    open_genome,
    split_genome,
    training_loader,
    validation_windows,
)
from hyena_glt.errors import (
    CheckpointError,
    HyenaGLTError,
    RecipeError,
    StorageError,
    TrainingError,
)
from hyena_glt.model import HyenaGLT
from hyena_glt.objective import next_base_loss
from hyena_glt.tokenize import alphabet
from hyena_glt.train.record import (
    RunRecord,
    TrainingReport,
    begin_record,
    read_report,
    resumed_record,
    write_report,
)

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from hyena_glt.train.module import TrainingModule
    from hyena_glt.train.rhythm import KeepBest, Rhythm

Device = Literal["cpu", "cuda", "mps"]


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    init_from: Path | None = None,
    device: Device = "cpu",
    command: str = "",
    progress: bool = False,
) -> TrainingReport:
    """Train ``recipe`` and leave the best network by validation in ``out/checkpoint``.

    ``resume`` goes on from the newest state in ``out/resume`` and replays to the same bits; a run
    that has ended gives its report again. ``init_from`` starts a new run from a checkpoint's
    weights. Raises RecipeError, CheckpointError, StorageError or TrainingError; whatever happens,
    the last good checkpoint and state stay whole.
    """
    if resume and init_from is not None:
        raise RecipeError("--init-from starts a new run and --resume goes on; use one of them")
    steps = recipe.train.bases // (recipe.train.batch_windows * recipe.data.window_bp)
    if steps == 0:
        raise RecipeError(
            f"train.bases={recipe.train.bases} is less than one step of "
            f"{recipe.train.batch_windows} windows of {recipe.data.window_bp} bp"
        )
    letters = alphabet(recipe.modality)
    genome, checksum = open_genome(recipe.data.genome, letters, out / "genome")
    split = split_genome(genome, recipe.data)
    longest_bp = max(region.length_bp for region in split.train)
    if recipe.data.window_bp > longest_bp:
        raise RecipeError(
            f"data.window_bp={recipe.data.window_bp} is longer than the longest training region "
            f"({longest_bp} bp); use a shorter window"
        )
    record = RunRecord(
        recipe=recipe.model_dump(mode="json"),
        data_sha256={recipe.data.genome: checksum},
        split=split.as_data(),
        command=command,
        initialised_from=None if init_from is None else str(init_from),
    )
    if resume:
        record = resumed_record(out, record)
        finish_replacement(out / "checkpoint")
        if (ended := read_report(out)) is not None:
            return ended
    torch.manual_seed(recipe.seed)
    network = HyenaGLT(recipe.model, recipe.modality)
    if record.initialised_from is not None:
        _take_weights(network, Path(record.initialised_from))
    if not resume:
        begin_record(out, record)

    def keep_best(best: HyenaGLT, done_steps: int, bases: int, bits: float) -> None:
        provenance = Provenance(
            command=record.command,
            data_sha256=record.data_sha256,
            steps=done_steps,
            training_bases=bases,
            validation_bits_per_base=bits,
            initialised_from=record.initialised_from,
        )
        weights = {name: t.detach().cpu().clone() for name, t in best.state_dict().items()}
        save_checkpoint(
            out / "checkpoint",
            Checkpoint(recipe=recipe, weights=weights, split=split, provenance=provenance),
        )

    rhythm, module = _fit(
        recipe, network, genome, split, steps, out, resume, device, progress, keep_best
    )
    stopped: Literal["finished", "early", "terminated"]
    stopped = "finished" if module.done_steps == steps else "early"
    report = TrainingReport(
        checkpoint=str(out / "checkpoint"),
        steps=module.done_steps,
        training_bases=module.read_bases,
        best_step=rhythm.best_step,
        validation_bits_per_base=rhythm.best_bits,
        seconds=rhythm.seconds(),
        stopped="terminated" if rhythm.terminated else stopped,
    )
    if not rhythm.terminated:
        write_report(out, report)
    return report


def _take_weights(network: HyenaGLT, folder: Path) -> None:
    found = load_checkpoint(folder)
    problem = None
    try:
        network.load_state_dict(found.weights)
    except RuntimeError as error:
        problem = str(error).splitlines()[-1].strip()
    if found.recipe.modality != network.alphabet.modality:
        problem = f"it is a model of {found.recipe.modality}"
    if problem is not None:
        raise CheckpointError(
            f"{folder}: its weights don't fit this recipe ({problem}); --init-from needs the same "
            "model section and modality"
        )


def mean_bits(network: HyenaGLT, windows: list[Window], batch_windows: int) -> float:
    """Return the weighted mean of -log2 p over ``windows``."""
    device = next(network.parameters()).device
    nll = weight = 0.0
    for start in range(0, len(windows), batch_windows):
        batch = collate(windows[start : start + batch_windows])
        ids, length, target, weights = (tensor.to(device) for tensor in batch)
        loss = next_base_loss(network(ids, length).logits, target, weights)
        nll += loss.nll_nats.item()
        weight += loss.weight.item()
    if weight == 0:
        raise TrainingError("no base of the validation windows weighs anything; choose others")
    return nll / weight / math.log(2)


def _fit(
    recipe: Recipe,
    network: HyenaGLT,
    genome: Genome,
    split: Split,
    steps: int,
    out: Path,
    resume: bool,
    device: Device,
    progress: bool,
    keep_best: "KeepBest",
) -> "tuple[Rhythm, TrainingModule]":
    from lightning.pytorch.utilities.exceptions import SIGTERMException

    from hyena_glt.train.module import TrainingModule
    from hyena_glt.train.rhythm import Rhythm
    from hyena_glt.train.saving import newest_resume_folder

    letters = alphabet(recipe.modality)
    config = recipe.train
    held = validation_windows(
        genome, split.validation, letters, recipe.data, config.validation_bases
    )
    size = config.micro_batch_windows or config.batch_windows
    rhythm = Rhythm(config, out, lambda model: mean_bits(model, held, size), keep_best)
    module = TrainingModule(network, config, steps)
    windows = TrainingWindows(
        genome, split.train, letters, recipe.data, steps * config.batch_windows, recipe.seed
    )
    with _quiet_engine():
        trainer = _trainer(recipe, out, rhythm, device, progress)
        loader = training_loader(windows, config.batch_windows, rank=0, world=1)
        state = newest_resume_folder(out) if resume else None
        try:
            trainer.fit(module, loader, ckpt_path=state)
        except SIGTERMException:
            rhythm.terminated = True
        except OSError as error:
            if isinstance(error, HyenaGLTError):
                raise
            raise StorageError(
                f"{out}: can't be written ({error.strerror}); nothing that stood there is lost; "
                "free some space and go on with --resume"
            ) from error
    return rhythm, module


def _trainer(
    recipe: Recipe, out: Path, rhythm: "Rhythm", device: Device, progress: bool
) -> "Trainer":
    from lightning.pytorch import Callback, Trainer
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    from hyena_glt.train.rhythm import Progress
    from hyena_glt.train.saving import FolderIO

    callbacks: list[Callback] = [rhythm]
    if progress:
        callbacks.append(Progress(rhythm))
    return Trainer(
        accelerator={"cpu": "cpu", "cuda": "gpu", "mps": "mps"}[device],
        devices=1,
        precision="bf16-mixed" if recipe.train.precision == "bf16" else "32-true",
        max_epochs=1,
        logger=[CSVLogger(out, name="metrics"), TensorBoardLogger(out, name="tensorboard")],
        log_every_n_steps=1,
        callbacks=callbacks,
        plugins=[FolderIO()],
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=out,
    )


@contextmanager
def _quiet_engine() -> Iterator[None]:
    """Keep the engine's notes to itself; what a user needs to know, we say."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in (
                ".*does not have many workers.*",
                ".*set_vital.*",
                ".*treespec.*",
                ".*LeafSpec.*",
                ".*GPU available but not used.*",
            ):
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logger.setLevel(level)
