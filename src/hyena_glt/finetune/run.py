"""A whole run of fine-tuning, from recipe to checkpoint."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hyena_glt.checkpoint import finish_replacement, load_checkpoint
from hyena_glt.checkpoint.tasks import TaskCheckpoint, TaskProvenance, save_task_checkpoint
from hyena_glt.config import (
    CalibratedPatchConfig,
    FinetuneRecipe,
    LearnedPatchConfig,
    ModelConfig,
)
from hyena_glt.config.tasks import MultilabelTaskConfig, PairTaskConfig, SignalTaskConfig
from hyena_glt.data import Split, file_sha256
from hyena_glt.data.examples import Augment, Dataset, Rows, open_dataset, strand_swaps
from hyena_glt.data.examples.dataset import MANIFEST
from hyena_glt.data.examples.loader import ExampleLoader, evaluation_loader
from hyena_glt.data.examples.order import EpochOrder
from hyena_glt.errors import CheckpointError, RecipeError, StorageError
from hyena_glt.finetune.answers import answer, measure, target_of
from hyena_glt.io import replacing_file
from hyena_glt.model import HyenaGLT, TaskNetwork, warn_of_slow_bf16
from hyena_glt.objective.tasks import balanced_positive_weights, weights_of_classes
from hyena_glt.tokenize import alphabet
from hyena_glt.train.run import Device
from hyena_glt.train.tasks import fit_task

_RECIPE = "finetune.json"


@dataclass(frozen=True, kw_only=True)
class FinetuningReport:
    """What a run did."""

    checkpoint: str
    epochs: int
    best_epoch: int
    validation: dict[str, float]
    stopped: Literal["finished", "early", "terminated"]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data, as JSON holds it: None for what isn't defined."""
        known = {k: v if math.isfinite(v) else None for k, v in self.validation.items()}
        return {**asdict(self), "validation": known}


def finetune(
    recipe: FinetuneRecipe,
    out: Path,
    *,
    resume: bool = False,
    device: Device = "cpu",
    command: str = "",
    progress: bool = False,
) -> FinetuningReport:
    """Fine-tune ``recipe`` and leave the best network by validation in ``out/checkpoint``.

    ``resume`` goes on after the last epoch that was finished. Raises RecipeError where task,
    dataset and network don't fit each other, SequenceFileError for a dataset that is none or
    damaged, CheckpointError, StorageError or TrainingError; the last good checkpoint stays whole.
    """
    dataset = open_dataset(Path(recipe.dataset))
    manifest = dataset.manifest
    check_fit(recipe, dataset)
    network, donor_splits = _network(recipe, dataset)
    weights = _class_weights(recipe, dataset)
    train_rows, validation_rows = dataset.part("train"), dataset.part("validation")
    if not len(validation_rows):
        raise RecipeError(
            f"{recipe.dataset}: has no validation part, which chooses the best epoch; prepare it "
            "with a share for validation, such as --set split.validation=0.1"
        )
    if network.standard is not None:
        targets = np.stack([np.asarray(row.target) for row in train_rows])
        network.standard.fit(torch.from_numpy(targets))
    _check_counts(recipe, (train_rows, validation_rows))
    network.to(device)
    batch_examples, lengths = recipe.train.batch_examples, train_rows.lengths()

    def order(epoch: int) -> EpochOrder:
        grouped = recipe.train.grouped
        return EpochOrder(lengths, batch_examples, recipe.seed, epoch, grouped=grouped)

    augment = _augment(recipe, dataset)
    loader = ExampleLoader(train_rows, manifest.target, order, augment=augment, seed=recipe.seed)
    held = evaluation_loader(validation_rows, manifest.target, batch_examples)
    names = answer_names(dataset)
    checksum = file_sha256(Path(recipe.dataset) / MANIFEST)

    def validate(best: TaskNetwork) -> Mapping[str, float]:
        return measure(recipe.task, answer(best, held, device, labelled=True), names)

    # Before anything trains: a metric that isn't measured would be found out an epoch later.
    measured = validate(network.eval())
    if recipe.train.metric not in measured:
        raise RecipeError(
            f"train.metric={recipe.train.metric}: validation measures no such; expected one of "
            f"{', '.join(sorted(measured))}"
        )
    _begin(out, recipe, checksum, resume)
    warn_of_slow_bf16(recipe.train.precision, device)
    network.train()

    def keep_best(best: TaskNetwork, epochs: int, found: Mapping[str, float]) -> None:
        state = {name: t.detach().cpu().clone() for name, t in best.state_dict().items()}
        checkpoint = TaskCheckpoint(
            recipe=recipe,
            model=best.network.config,
            modality=manifest.config.modality,
            target=manifest.target,
            answers=names,
            weights=state,
            splits=donor_splits,
            provenance=TaskProvenance(
                command=command,
                dataset_sha256=checksum,
                epochs=epochs,
                validation={k: v for k, v in found.items() if math.isfinite(v)},
                initialised_from=recipe.init,
            ),
        )
        save_task_checkpoint(out / "checkpoint", checkpoint)

    ran = fit_task(
        network,
        recipe,
        loader,
        weights,
        validate,
        keep_best,
        out,
        resume=resume,
        device=device,
        progress=progress,
    )
    return FinetuningReport(
        checkpoint=str(out / "checkpoint"),
        epochs=ran.epochs,
        best_epoch=ran.best_epoch,
        validation=ran.best,
        stopped=ran.stopped,
    )


def check_fit(recipe: FinetuneRecipe, dataset: Dataset) -> None:
    """Raise RecipeError where a dataset's labels aren't those that the task asks for."""
    manifest = dataset.manifest
    wanted = target_of(recipe.task)
    if manifest.target != wanted:
        raise RecipeError(
            f"task.kind={recipe.task.kind} needs labels of kind {wanted}; {recipe.dataset} has "
            f"{manifest.target}"
        )
    if manifest.pairs != isinstance(recipe.task, PairTaskConfig):
        has = "pairs of sequences" if manifest.pairs else "one sequence an example"
        raise RecipeError(f"task.kind={recipe.task.kind}: {recipe.dataset} has {has}")
    if isinstance(recipe.task, SignalTaskConfig) and recipe.task.bin_bp != manifest.bin_bp:
        raise RecipeError(
            f"task.bin_bp={recipe.task.bin_bp}: {recipe.dataset} has bins of {manifest.bin_bp} bp"
        )


def _check_counts(recipe: FinetuneRecipe, parts: Sequence[Rows]) -> None:
    """Raise RecipeError, with the row, where a rate is to be learned of numbers below 0."""
    task = recipe.task
    asked = task.answer if isinstance(task, PairTaskConfig) else task
    if getattr(asked, "likelihood", None) != "poisson":
        return
    for row in chain.from_iterable(parts):
        if (np.asarray(row.target) < 0).any():
            raise RecipeError(
                f"{row.where}: found a number below 0, and likelihood=poisson is for counts; use "
                "likelihood: gaussian"
            )


def answer_names(dataset: Dataset) -> tuple[str, ...]:
    """Return what the answers are called: classes, numbers or tracks."""
    return dataset.manifest.classes or dataset.manifest.names


def _network(recipe: FinetuneRecipe, dataset: Dataset) -> tuple[TaskNetwork, dict[str, Split]]:
    """Return the network with a fresh head, and what a checkpoint's has seen of genomes."""
    torch.manual_seed(recipe.seed)
    modality = dataset.manifest.config.modality
    splits: dict[str, Split] = {}
    if recipe.init is None:
        assert recipe.model is not None
        _check_patches(recipe.model)
        network = HyenaGLT(recipe.model, modality)
    else:
        found = load_checkpoint(Path(recipe.init))
        if found.recipe.modality != modality:
            raise CheckpointError(
                f"{recipe.init}: is a model of {found.recipe.modality}, and {recipe.dataset} "
                f"holds {modality}"
            )
        network = HyenaGLT(found.recipe.model, modality)
        network.load_state_dict(found.weights)
        splits = found.splits
    return TaskNetwork(network, recipe.task, len(answer_names(dataset))), splits


def _check_patches(model: ModelConfig) -> None:
    """Raise RecipeError for a fresh network whose patches must be found on training data."""
    for number, stage in enumerate(model.stages):
        if isinstance(stage.patch, CalibratedPatchConfig | LearnedPatchConfig):
            raise RecipeError(
                f"model.stages.{number}.patch.kind={stage.patch.kind} is found while pretraining; "
                "give init, a checkpoint with such patches, or use fixed, syncmer or none"
            )


def _class_weights(recipe: FinetuneRecipe, dataset: Dataset) -> Tensor | None:
    """Return what the task's weights of classes are, counted on the training part."""
    task, names = recipe.task, answer_names(dataset)
    counted = dataset.manifest.parts["train"]
    counts = {name: counted.classes.get(name, 0) for name in names}
    if isinstance(task, MultilabelTaskConfig):
        if task.positive_weights is None:
            return None
        without = {name: counted.rows - count for name, count in counts.items()}
        return balanced_positive_weights(counts, without).float()
    asked = task.answer if isinstance(task, PairTaskConfig) else task
    found = weights_of_classes(getattr(asked, "class_weights", None), counts)
    return None if found is None else found.float()


def _augment(recipe: FinetuneRecipe, dataset: Dataset) -> Augment | None:
    """Return what changes training examples; None where nothing does."""
    asked, manifest = recipe.augment, dataset.manifest
    if not (asked.reverse_complement or asked.shift_bp or asked.mutation):
        return None
    swaps = None
    if asked.reverse_complement and manifest.target in ("bases", "signal"):
        swaps = strand_swaps(answer_names(dataset))
    return Augment(
        alphabet(manifest.config.modality),
        float(asked.reverse_complement),
        asked.shift_bp,
        float(asked.mutation),
        swaps,
        manifest.bin_bp,
    )


def _begin(out: Path, recipe: FinetuneRecipe, dataset_sha256: str, resume: bool) -> None:
    """Write down what the run is; a resumed one must be the same.

    Raises RecipeError where ``out`` holds a run already, or another one; CheckpointError where
    there is none to resume.
    """
    record = out / _RECIPE
    written = {"recipe": recipe.model_dump(mode="json"), "dataset_sha256": dataset_sha256}
    if resume:
        if not record.is_file():
            raise CheckpointError(f"{out}: holds no run to resume; start it without --resume")
        if json.loads(record.read_text(encoding="utf-8")) != written:
            raise RecipeError(
                f"{out}: was begun with another recipe, or the dataset was another; resume with "
                "the same"
            )
        finish_replacement(out / "checkpoint")
        return
    for name in (_RECIPE, "checkpoint", "resume"):
        if (out / name).exists():
            raise RecipeError(
                f"{out}: holds a run already ({name}); go on with --resume, or choose another --out"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with replacing_file(record) as aside:
            aside.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{out}: can't be written ({error.strerror}); choose another") from error
