"""A whole run, from recipe to checkpoint."""

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from hyena_glt.checkpoint import (
    Checkpoint,
    Provenance,
    build_network,
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
from hyena_glt.errors import CheckpointError, RecipeError, StorageError, TrainingError
from hyena_glt.model import HyenaGLT
from hyena_glt.objective import next_base_loss
from hyena_glt.tokenize import alphabet

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from hyena_glt.train.module import TrainingModule
    from hyena_glt.train.rhythm import KeepBest, Rhythm

Device = Literal["cpu", "cuda", "mps"]


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """What a run did."""

    checkpoint: str
    steps: int
    training_bases: int
    best_step: int
    validation_bits_per_base: float | None  # None: terminated before the first validation
    seconds: float
    stopped: Literal["finished", "early", "terminated"]

    def as_dict(self) -> dict[str, object]:
        """Return the report as plain data."""
        return asdict(self)


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

    ``resume`` goes on from the newest state in ``out/resume`` and replays to the same bits;
    ``init_from`` starts a new run from a checkpoint's weights. Raises RecipeError,
    CheckpointError, StorageError or TrainingError; whatever happens, the last good checkpoint and
    state stay whole.
    """
    prepare_out(out, recipe, resume)
    genome, checksum = open_genome(recipe.data.genome, out / "genome")
    split = split_genome(genome, recipe.data)
    torch.manual_seed(recipe.seed)
    network = HyenaGLT(recipe.model, recipe.modality)
    if init_from is not None:
        if resume:
            raise RecipeError("--init-from starts a new run and --resume goes on; use one of them")
        _take_weights(network, init_from)
    steps = recipe.train.bases // (recipe.train.batch_windows * recipe.data.window_bp)
    if steps == 0:
        raise RecipeError(
            f"train.bases={recipe.train.bases} is less than one step of "
            f"{recipe.train.batch_windows} windows of {recipe.data.window_bp} bp"
        )

    def keep_best(best: HyenaGLT, done_steps: int, bits: float) -> None:
        provenance = Provenance(
            command=command,
            data_sha256={recipe.data.genome: checksum},
            steps=done_steps,
            training_bases=done_steps * recipe.train.batch_windows * recipe.data.window_bp,
            validation_bits_per_base=bits,
            initialised_from=None if init_from is None else str(init_from),
        )
        weights = {name: t.detach().cpu().clone() for name, t in best.state_dict().items()}
        save_checkpoint(
            out / "checkpoint",
            Checkpoint(recipe=recipe, weights=weights, split=split, provenance=provenance),
        )

    rhythm, module = _fit(
        recipe, network, genome, split, steps, out, resume, device, progress, keep_best
    )
    done = module.done_steps
    return TrainingReport(
        checkpoint=str(out / "checkpoint"),
        steps=done,
        training_bases=done * recipe.train.batch_windows * recipe.data.window_bp,
        best_step=rhythm.best_step,
        validation_bits_per_base=rhythm.best_bits,
        seconds=rhythm.seconds(),
        stopped="terminated" if rhythm.terminated else "finished" if done == steps else "early",
    )


def prepare_out(out: Path, recipe: Recipe, resume: bool) -> None:
    """Make ``out`` ready, or raise RecipeError, CheckpointError or StorageError saying why not."""
    import yaml

    finish_replacement(out / "checkpoint")
    stored = out / "recipe.yaml"
    if resume:
        if not stored.is_file():
            raise CheckpointError(f"{out}: holds no run to resume; start it without --resume")
        found, wanted = yaml.safe_load(stored.read_text()), recipe.model_dump(mode="json")
        differing = [key for key in wanted if found.get(key) != wanted[key]]
        if differing:
            raise RecipeError(
                f"{out}: the run there has another recipe, in {', '.join(differing)}; --resume "
                "needs the same one (recipe.yaml in that folder), or start in another folder"
            )
        return
    if (out / "checkpoint").exists() or (out / "resume").exists():
        raise RecipeError(
            f"{out}: holds a run already; go on with --resume, or choose another --out"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        stored.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    except OSError as error:
        raise StorageError(f"{out}: can't be written ({error.strerror})") from error


def _take_weights(network: HyenaGLT, folder: Path) -> None:
    found = load_checkpoint(folder)
    problem = None
    try:
        network.load_state_dict(build_network(found).state_dict())
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
        try:
            trainer.fit(module, loader, ckpt_path=newest_resume_folder(out) if resume else None)
        except SIGTERMException:
            rhythm.terminated = True
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
