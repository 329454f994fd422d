"""A whole run of fine-tuning on several tasks, from recipe to a checkpoint for each task."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from torch import Tensor

from hyena_glt.checkpoint import replacing_folder
from hyena_glt.checkpoint.folder import write_manifest
from hyena_glt.checkpoint.tasks import TaskCheckpoint, TaskProvenance, save_task_checkpoint
from hyena_glt.config import FinetuneRecipe, MultitaskRecipe, SamplerConfig
from hyena_glt.config.tasks import (
    answered,
)
from hyena_glt.data import file_sha256
from hyena_glt.data.examples import Dataset, open_dataset
from hyena_glt.data.examples.dataset import MANIFEST
from hyena_glt.data.examples.loader import ExampleLoader, evaluation_loader
from hyena_glt.data.examples.order import EpochOrder, TaskOrder
from hyena_glt.errors import HyenaGLTError, RecipeError
from hyena_glt.finetune.answers import answer, measure
from hyena_glt.finetune.run import RECORD
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
from hyena_glt.objective.balance import Balance, build_balance
from hyena_glt.train.adapters import plain_weights
from hyena_glt.train.epochs import check_saving
from hyena_glt.train.multitask import SharedNetwork, TaskTurns, fit_tasks, prepare_shared
from hyena_glt.train.run import Device
from hyena_glt.train.tuning import Unfreezing

RECIPE_OF_ALL = "multitask.yaml"


@dataclass(frozen=True, kw_only=True)
class MultitaskReport:
    """What a run did.

    ``checkpoints`` are by task, and none where the run was terminated in its first epoch.
    ``validation`` holds ``loss``, the plain mean of the tasks' losses where all have one, and
    ``TASK/METRIC`` of each task, all of the best epoch; ``weights`` are those of the tasks' losses
    as the run ended.
    """

    checkpoints: dict[str, str]
    epochs: int
    best_epoch: int
    validation: dict[str, float]
    weights: dict[str, float]
    stopped: Literal["finished", "early", "terminated"]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data, as JSON holds it: None for what isn't defined."""
        known = {k: v if math.isfinite(v) else None for k, v in self.validation.items()}
        return {**asdict(self), "validation": known}

    def of_task(self, name: str) -> dict[str, float]:
        """Return the metrics of one task, by their own names."""
        return _of_task(self.validation, name)


@dataclass(frozen=True)
class PreparedTask:
    """A task, its data, and what of them decides how it is learned."""

    recipe: FinetuneRecipe
    dataset: Dataset
    names: tuple[str, ...]
    dataset_sha256: str
    class_weights: Tensor | None
    batches: ExampleLoader
    held: ExampleLoader


@dataclass(frozen=True, eq=False)
class PreparedTasks:
    """Networks that are one but for their heads, and what they learn from."""

    recipe: MultitaskRecipe
    tasks: Mapping[str, PreparedTask]
    networks: SharedNetwork
    pretraining: Pretraining
    balance: Balance
    turns: TaskTurns
    unfreezing: Unfreezing | None

    def validate(self, networks: SharedNetwork, device: Device) -> dict[str, float]:
        """Return what validation measures of each task, and the mean of their losses.

        Raises TrainingError, with the task, where answers aren't finite.
        """
        found: dict[str, float] = {}
        for name, task in self.tasks.items():
            answers = answer(networks.of_task(name), task.held, device, labelled=True)
            with _telling(name):
                check_answers(answers)
            own = measure(task.recipe.task, answers, task.names)
            found |= {f"{name}/{metric}": value for metric, value in own.items()}
        losses = [found[f"{name}/loss"] for name in self.tasks if f"{name}/loss" in found]
        together = {"loss": sum(losses) / len(losses)} if len(losses) == len(self.tasks) else {}
        return together | found

    def check_metric(self, device: Device) -> None:
        """Raise RecipeError for a metric that isn't measured: it would be missed an epoch later."""
        check_metric(self.recipe.train.metric, self.validate(self.networks.eval(), device))


def prepare_tasks(recipe: MultitaskRecipe) -> PreparedTasks:
    """Return all that ``recipe`` trains, on the CPU; nothing is written.

    Raises RecipeError where tasks, datasets, network and settings don't fit each other,
    SequenceFileError for a damaged dataset, MissingExtraError and CheckpointError.
    """
    datasets = _open(recipe)
    networks, pretraining = _networks(recipe, datasets)
    tasks = {
        name: _task(recipe.of_task(name), name, dataset, networks.of_task(name))
        for name, dataset in datasets.items()
    }
    regressions = [name for name, one in recipe.tasks.items() if _is_squared_error(one.task)]
    balance = build_balance(recipe.balance, networks.tasks, regressions)
    turns = TaskTurns({name: task.batches for name, task in tasks.items()}, _order(recipe, tasks))
    check_saving(recipe.train, turns.steps_of(1))
    return PreparedTasks(
        recipe=recipe,
        tasks=tasks,
        networks=networks,
        pretraining=pretraining,
        balance=balance,
        turns=turns,
        unfreezing=prepare_shared(networks, recipe),
    )


def finetune_tasks(
    recipe: MultitaskRecipe,
    out: Path,
    *,
    resume: bool = False,
    device: Device = "cpu",
    command: str = "",
    progress: bool = False,
) -> MultitaskReport:
    """Fine-tune one network on all tasks; leave the best epoch's in ``out/checkpoint/TASK``.

    Each is a fine-tuned network of one task, whole in itself; all are replaced at once. ``resume``
    goes on from the newest state in ``out/resume``. Raises RecipeError where tasks, datasets and
    network don't fit each other, SequenceFileError for a dataset that is none or damaged,
    CheckpointError, StorageError or TrainingError; the last good checkpoints stay whole.
    """
    prepared = prepare_tasks(recipe)
    tasks, pretraining = prepared.tasks, prepared.pretraining
    networks = prepared.networks.to(device)
    prepared.check_metric(device)
    checksums = {name: task.dataset_sha256 for name, task in tasks.items()}
    written = {
        "recipe": recipe.model_dump(mode="json"),
        "datasets_sha256": checksums,
        "files_sha256": files_sha256(*(task.recipe for task in tasks.values())),
    }
    begin_run(out, RECORD, written, resume)
    warn_of_slow_bf16(recipe.train.precision, device)
    networks.train()

    def keep_best(best: SharedNetwork, epochs: int, found: Mapping[str, float]) -> None:
        with replacing_folder(out / "checkpoint") as aside:
            for name, task in tasks.items():
                network, own = best.of_task(name), _of_task(found, name)
                _save(aside / name, recipe, task, network, pretraining, command, epochs, own)

    ran = fit_tasks(
        networks,
        recipe,
        prepared.turns,
        {name: task.class_weights for name, task in tasks.items()},
        prepared.balance,
        partial(prepared.validate, device=device),
        keep_best,
        out,
        unfreezing=prepared.unfreezing,
        resume=resume,
        device=device,
        progress=progress,
    )
    return MultitaskReport(
        checkpoints={name: str(out / "checkpoint" / name) for name in tasks if ran.best_epoch},
        epochs=ran.epochs,
        best_epoch=ran.best_epoch,
        validation=ran.best,
        weights=ran.weights,
        stopped=ran.stopped,
    )


def _open(recipe: MultitaskRecipe) -> dict[str, Dataset]:
    """Return each task's dataset. Raises RecipeError unless all hold one modality."""
    datasets: dict[str, Dataset] = {}
    for name, one in recipe.tasks.items():
        with _telling(name):
            datasets[name] = open_dataset(Path(one.dataset))
    first, *others = datasets
    modality = datasets[first].manifest.config.modality
    for name in others:
        found = datasets[name].manifest.config.modality
        if found != modality:
            raise RecipeError(
                f"tasks.{name}: {recipe.tasks[name].dataset} holds {found}, and {first} has "
                f"{modality}; one network reads one modality: fine-tune {name} in a run of its own"
            )
    return datasets


def _networks(
    recipe: MultitaskRecipe, datasets: Mapping[str, Dataset]
) -> tuple[SharedNetwork, Pretraining]:
    """Return the network with fresh heads, and what it has seen of genomes."""
    (first, dataset), *others = datasets.items()
    with _telling(first):
        check_fit(recipe.of_task(first), dataset)
        network, pretraining = build_network(recipe.of_task(first), dataset)
    networks = {first: network}
    for name, other in others:
        with _telling(name):
            check_fit(recipe.of_task(name), other)
            answers = len(answer_names(other))
            networks[name] = TaskNetwork(network.network, recipe.tasks[name].task, answers)
    return SharedNetwork(networks), pretraining


def _task(
    recipe: FinetuneRecipe, name: str, dataset: Dataset, network: TaskNetwork
) -> PreparedTask:
    """Return what a task is learned from; its targets' mean and deviation are put in ``network``.

    Raises RecipeError where they don't fit the task.
    """
    with _telling(name):
        kind, train = dataset.manifest.target, dataset.part("train")
        held = held_rows(recipe, dataset)
        if network.standard is not None:
            targets = np.stack([np.asarray(row.target) for row in train])
            network.standard.fit(torch.from_numpy(targets))
        check_counts(recipe, (train, held))
        batch_examples, lengths = recipe.train.batch_examples, train.lengths()

        def order(epoch: int) -> EpochOrder:
            grouped = recipe.train.grouped
            return EpochOrder(lengths, batch_examples, recipe.seed, epoch, grouped=grouped)

        augment = augmentation(recipe, dataset)
        return PreparedTask(
            recipe=recipe,
            dataset=dataset,
            names=answer_names(dataset),
            dataset_sha256=file_sha256(Path(recipe.dataset) / MANIFEST),
            class_weights=class_weights(recipe, dataset),
            batches=ExampleLoader(train, kind, order, augment=augment, seed=recipe.seed),
            held=evaluation_loader(held, kind, batch_examples),
        )


def _order(recipe: MultitaskRecipe, tasks: Mapping[str, PreparedTask]) -> TaskOrder | None:
    """Return whose turn each step is; None where every step takes a batch of each task."""
    if recipe.balance.kind == "gradnorm":
        return None
    sampler = recipe.sampler or SamplerConfig()
    sizes = {name: len(task.batches) for name, task in tasks.items()}
    return TaskOrder(sizes, sampler.kind, sampler.temperature, recipe.seed)


def _is_squared_error(task: Any) -> bool:
    asked = answered(task)
    is_gaussian = getattr(asked, "likelihood", None) == "gaussian"
    return is_gaussian and not getattr(asked, "learn_variance", False)


def _save(
    folder: Path,
    run: MultitaskRecipe,
    task: PreparedTask,
    network: TaskNetwork,
    pretraining: Pretraining,
    command: str,
    epochs: int,
    validation: Mapping[str, float],
) -> None:
    """Write a task's checkpoint, the recipe of the whole run with it."""
    manifest = task.dataset.manifest
    checkpoint = TaskCheckpoint(
        recipe=task.recipe,
        model=network.network.config,
        modality=manifest.config.modality,
        target=manifest.target,
        answers=task.names,
        weights=plain_weights(network),
        splits=pretraining.splits,
        provenance=TaskProvenance(
            command=command,
            dataset_sha256=task.dataset_sha256,
            epochs=epochs,
            validation={k: v for k, v in validation.items() if math.isfinite(v)},
            initialised_from=run.init,
            pretraining_sha256=pretraining.sha256,
        ),
    )
    save_task_checkpoint(folder, checkpoint)
    text = yaml.safe_dump(run.model_dump(mode="json"), sort_keys=False)
    (folder / RECIPE_OF_ALL).write_text(text, encoding="utf-8")
    (folder / "manifest.json").unlink()
    write_manifest(folder)


def _of_task(found: Mapping[str, float], name: str) -> dict[str, float]:
    prefix = f"{name}/"
    return {m.removeprefix(prefix): v for m, v in found.items() if m.startswith(prefix)}


@contextmanager
def _telling(name: str) -> Iterator[None]:
    """Say of which task an error is."""
    try:
        yield
    except HyenaGLTError as error:
        raise type(error)(f"tasks.{name}: {error}") from None
