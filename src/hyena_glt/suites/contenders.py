"""One contender on one dataset: trained, stopped on validation, and asked the test part once."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from hyena_glt.config import FinetuneRecipe, FinetuneTrainConfig
from hyena_glt.config.finetune import FullTuningConfig
from hyena_glt.config.tasks import SignalTaskConfig
from hyena_glt.data.examples import Dataset
from hyena_glt.data.examples.loader import ExampleLoader, evaluation_loader
from hyena_glt.data.examples.order import EpochOrder
from hyena_glt.errors import RecipeError
from hyena_glt.finetune import Answers, Predictor, answer, finetune, measure
from hyena_glt.finetune.evaluation import answers_to_rows
from hyena_glt.finetune.setup import (
    answer_names,
    augmentation,
    check_fit,
    check_metric,
    class_weights,
    held_rows,
)
from hyena_glt.model import TaskNetwork
from hyena_glt.suites.linear import fit_linear
from hyena_glt.suites.networks import FloorKind, build_floor
from hyena_glt.tokenize import alphabet
from hyena_glt.train.run import Device
from hyena_glt.train.tasks import fit_task

Contender = Literal[
    "ours", "kmer", "onehot", "cnn", "transformer", "transformer_kmer", "transformer_bpe"
]

# A floor's weights are all fresh, and learn at one rate that suits it whatever ours has.
FLOOR_LR = 1e-3


class Outcome(NamedTuple):
    """A contender's answers to the test part, in its order, and what they took."""

    answers: Answers
    parameters: int
    epochs: int
    examples_seen: int  # of training: rows times epochs; of linear floors what they were fitted to
    validation: dict[str, float]


class TerminatedError(Exception):
    """Training was told to end; what is finished is kept."""


def run_contender(
    contender: Contender,
    recipe: FinetuneRecipe,
    dataset: Dataset,
    folder: Path,
    device: Device,
    command: str,
    *,
    both_strands: bool = False,
) -> Outcome:
    """Return what a contender answers to the test part of ``dataset``.

    ``recipe`` is ours; floors that are networks have its task, batches, epochs, patience and
    metric, and so at most as many examples. ``folder`` holds the run's state and, of ours, its
    checkpoint; what was cut off there goes on. With ``both_strands`` ours answers by their mean.

    Raises RecipeError where task and dataset don't fit or a floor has no answer, TrainingError, and
    TerminatedError.
    """
    check_fit(recipe, dataset)
    if contender == "kmer" or contender == "onehot":
        metric = recipe.train.metric
        fit = fit_linear(contender, dataset, recipe.task, metric, recipe.seed)
        return Outcome(fit.answers, fit.parameters, 1, fit.examples, fit.validation)
    if contender == "ours":
        if both_strands:
            _check_strands(recipe, dataset)
        return _ours(recipe, dataset, folder, device, command, both_strands)
    outcome = _floor(contender, recipe, dataset, folder, device)
    shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _check_strands(recipe: FinetuneRecipe, dataset: Dataset) -> None:
    """Raise RecipeError, before training, where the other strand's answer has no place or use."""
    task = recipe.task
    if hasattr(task, "pooling") and getattr(task, "strands", "one") == "both":
        raise RecipeError(
            "both_strands with task.strands=both: its answer is that of both strands already; "
            "remove one"
        )
    if isinstance(task, SignalTaskConfig):
        lengths_bp = dataset.part("test").lengths()
        rest = lengths_bp[lengths_bp % task.bin_bp != 0]
        if len(rest):
            raise RecipeError(
                f"both_strands: a test sequence of {rest[0]} bp isn't whole bins of {task.bin_bp} "
                "bp, so that bins of its strands differ; remove it, or cut sequences to whole bins"
            )


def _ours(
    recipe: FinetuneRecipe,
    dataset: Dataset,
    folder: Path,
    device: Device,
    command: str,
    both_strands: bool,
) -> Outcome:
    begun = (folder / "finetune.json").is_file()
    report = finetune(recipe, folder, resume=begun, device=device, command=command)
    if report.stopped == "terminated":
        raise TerminatedError
    assert report.checkpoint is not None, "an epoch was finished"
    predictor = Predictor([Path(report.checkpoint)], device)
    network = predictor.networks[0]
    if both_strands:
        rows = list(dataset.part("test"))
        values = answers_to_rows(predictor, rows, both_strands=True)
        found = Answers(values, [np.asarray(row.target) for row in rows], None)
    else:
        found = _tested(network, dataset, recipe, device)
    examples = report.epochs * len(dataset.part("train"))
    return Outcome(found, _size(network), report.epochs, examples, report.validation)


def _floor(
    kind: FloorKind, recipe: FinetuneRecipe, dataset: Dataset, folder: Path, device: Device
) -> Outcome:
    """Train a floor as `finetune` trains ours."""
    manifest, names = dataset.manifest, answer_names(dataset)
    # None is a hierarchy, whose matrices Muon moves.
    fields = FinetuneTrainConfig.model_fields
    adamw = {name: fields[name].default for name in ("optimiser", "muon_lr")}
    train = recipe.train.model_copy(update={"lr": FLOOR_LR, "head_lr": FLOOR_LR, **adamw})
    recipe = recipe.model_copy(update={"train": train, "tuning": FullTuningConfig(kind="full")})
    letters = alphabet(manifest.config.modality)
    rows, held = dataset.part("train"), held_rows(recipe, dataset)
    sequences = (row.sequence for row in rows)
    network = build_floor(kind, letters, recipe.task, len(names), recipe.seed, sequences)
    if network.standard is not None:
        targets = np.stack([np.asarray(row.target) for row in rows])
        network.standard.fit(torch.from_numpy(targets))
    network.to(device)
    size, lengths = recipe.train.batch_examples, rows.lengths()

    def order(epoch: int) -> EpochOrder:
        return EpochOrder(lengths, size, recipe.seed, epoch, grouped=recipe.train.grouped)

    augment = augmentation(recipe, dataset)
    loader = ExampleLoader(rows, manifest.target, order, augment=augment, seed=recipe.seed)
    validation = evaluation_loader(held, manifest.target, size)

    def validate(asked: TaskNetwork) -> Mapping[str, float]:
        return measure(recipe.task, answer(asked, validation, device, labelled=True), names)

    check_metric(recipe.train.metric, validate(network.eval()))
    network.train()
    kept = folder / "best.safetensors"

    def keep_best(best: TaskNetwork, epochs: int, found: Mapping[str, float]) -> None:
        from safetensors.torch import save_file

        save_file({name: t.contiguous() for name, t in best.state_dict().items()}, kept)

    folder.mkdir(parents=True, exist_ok=True)
    resume = (folder / "resume").is_dir() and kept.is_file()
    weights = class_weights(recipe, dataset)
    ran = fit_task(
        network, recipe, loader, weights, validate, keep_best, folder, resume=resume, device=device
    )
    if ran.stopped == "terminated":
        raise TerminatedError
    from safetensors.torch import load_file

    network.load_state_dict(load_file(kept))
    found = _tested(network.to(device).eval(), dataset, recipe, device)
    return Outcome(found, _size(network), ran.epochs, ran.epochs * len(rows), ran.best)


def _tested(
    network: TaskNetwork, dataset: Dataset, recipe: FinetuneRecipe, device: Device
) -> Answers:
    batches = evaluation_loader(
        dataset.part("test"), dataset.manifest.target, recipe.train.batch_examples
    )
    return answer(network, batches, device, labelled=True)


def _size(network: TaskNetwork) -> int:
    """Return how many weights an answer is made with: heads that name letters aren't asked."""
    idle = {
        id(parameter)
        for name in ("head", "masked_head")
        for parameter in _parameters(getattr(network.network, name, None))
    }
    return sum(p.numel() for p in network.parameters() if id(p) not in idle)


def _parameters(module: object) -> list[torch.nn.Parameter]:
    return list(module.parameters()) if isinstance(module, torch.nn.Module) else []
