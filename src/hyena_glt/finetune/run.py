"""A whole run of fine-tuning, from recipe to checkpoint."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hyena_glt.checkpoint.tasks import TaskCheckpoint, TaskProvenance, save_task_checkpoint
from hyena_glt.config import FinetuneRecipe
from hyena_glt.data import file_sha256
from hyena_glt.data.examples import Dataset, open_dataset
from hyena_glt.data.examples.dataset import MANIFEST
from hyena_glt.data.examples.loader import ExampleLoader, evaluation_loader
from hyena_glt.data.examples.order import EpochOrder
from hyena_glt.finetune.answers import answer, measure
from hyena_glt.finetune.difficulty import curriculum_of
from hyena_glt.finetune.setup import (
    Pretraining,
    answer_names,
    augmentation,
    begin_run,
    build_network,
    check_answers,
    check_counts,
    check_fit,
    check_metric,
    class_weights,
    files_sha256,
    held_rows,
)
from hyena_glt.model import TaskNetwork, warn_of_slow_bf16
from hyena_glt.train.adapters import plain_weights
from hyena_glt.train.epochs import check_saving
from hyena_glt.train.run import Device
from hyena_glt.train.tasks import fit_task
from hyena_glt.train.tuning import Unfreezing, is_read_at_bases, prepare_tuning

RECORD = "finetune.json"


@dataclass(frozen=True, kw_only=True)
class FinetuningReport:
    """What a run did. ``checkpoint`` is None where it was terminated in its first epoch."""

    checkpoint: str | None
    epochs: int
    best_epoch: int
    validation: dict[str, float]
    stopped: Literal["finished", "early", "terminated"]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data, as JSON holds it: None for what isn't defined."""
        known = {k: v if math.isfinite(v) else None for k, v in self.validation.items()}
        return {**asdict(self), "validation": known}


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network and its data, checked against each other, before anything trains."""

    recipe: FinetuneRecipe
    network: TaskNetwork
    pretraining: Pretraining
    class_weights: Tensor | None
    batches: ExampleLoader
    held: ExampleLoader
    names: tuple[str, ...]
    unfreezing: Unfreezing | None

    def validate(self, network: TaskNetwork, device: Device) -> dict[str, float]:
        """Return what validation measures of ``network``.

        Raises TrainingError where its answers aren't finite.
        """
        answers = answer(network, self.held, device, labelled=True)
        check_answers(answers)
        return measure(self.recipe.task, answers, self.names)

    def check_metric(self, device: Device) -> None:
        """Raise RecipeError for a metric that isn't measured: it would be missed an epoch later."""
        check_metric(self.recipe.train.metric, self.validate(self.network.eval(), device))


def prepare(recipe: FinetuneRecipe, dataset: Dataset) -> Prepared:
    """Return all that ``recipe`` trains, on the CPU; nothing is written.

    Raises RecipeError where task, dataset, network and settings don't fit each other,
    SequenceFileError for a damaged dataset or table, MissingExtraError and CheckpointError.
    """
    kind = dataset.manifest.target
    check_fit(recipe, dataset)
    network, pretraining = build_network(recipe, dataset)
    weights = class_weights(recipe, dataset)
    train_rows, validation_rows = dataset.part("train"), held_rows(recipe, dataset)
    if network.standard is not None:
        targets = np.stack([np.asarray(row.target) for row in train_rows])
        network.standard.fit(torch.from_numpy(targets))
    check_counts(recipe, (train_rows, validation_rows))
    batch_examples, lengths = recipe.train.batch_examples, train_rows.lengths()
    curriculum = curriculum_of(recipe, train_rows)

    def order(epoch: int) -> EpochOrder:
        return EpochOrder(
            lengths,
            batch_examples,
            recipe.seed,
            epoch,
            grouped=recipe.train.grouped,
            curriculum=curriculum,
        )

    augment = augmentation(recipe, dataset)
    batches = ExampleLoader(train_rows, kind, order, augment=augment, seed=recipe.seed)
    check_saving(recipe.train, batches.steps_of(recipe.train.epochs))
    return Prepared(
        recipe=recipe,
        network=network,
        pretraining=pretraining,
        class_weights=weights,
        batches=batches,
        held=evaluation_loader(validation_rows, kind, batch_examples),
        names=answer_names(dataset),
        unfreezing=prepare_tuning(network, recipe, at_bases=is_read_at_bases(recipe.task)),
    )


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

    ``resume`` goes on from the newest state in ``out/resume``. Raises RecipeError where task,
    dataset and network don't fit each other, SequenceFileError for a dataset or a table that is
    none or damaged, MissingExtraError, CheckpointError, StorageError or TrainingError; the last
    good checkpoint stays whole.
    """
    dataset = open_dataset(Path(recipe.dataset))
    prepared = prepare(recipe, dataset)
    network = prepared.network.to(device)
    prepared.check_metric(device)
    checksum = file_sha256(Path(recipe.dataset) / MANIFEST)
    written = {
        "recipe": recipe.model_dump(mode="json"),
        "dataset_sha256": checksum,
        "files_sha256": files_sha256(recipe),
    }
    begin_run(out, RECORD, written, resume)
    warn_of_slow_bf16(recipe.train.precision, device)
    network.train()

    def validate(best: TaskNetwork) -> Mapping[str, float]:
        return prepared.validate(best, device)

    def keep_best(best: TaskNetwork, epochs: int, found: Mapping[str, float]) -> None:
        checkpoint = TaskCheckpoint(
            recipe=recipe,
            model=best.network.config,
            modality=dataset.manifest.config.modality,
            target=dataset.manifest.target,
            answers=prepared.names,
            weights=plain_weights(best),
            splits=prepared.pretraining.splits,
            provenance=TaskProvenance(
                command=command,
                dataset_sha256=checksum,
                epochs=epochs,
                validation={k: v for k, v in found.items() if math.isfinite(v)},
                initialised_from=recipe.init,
                pretraining_sha256=prepared.pretraining.sha256,
            ),
        )
        save_task_checkpoint(out / "checkpoint", checkpoint)

    ran = fit_task(
        network,
        recipe,
        prepared.batches,
        prepared.class_weights,
        validate,
        keep_best,
        out,
        unfreezing=prepared.unfreezing,
        resume=resume,
        device=device,
        progress=progress,
    )
    return FinetuningReport(
        checkpoint=str(out / "checkpoint") if ran.best_epoch else None,
        epochs=ran.epochs,
        best_epoch=ran.best_epoch,
        validation=ran.best,
        stopped=ran.stopped,
    )
