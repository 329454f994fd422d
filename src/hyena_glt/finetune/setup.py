"""What a run of fine-tuning needs before it trains: all of it checked against the dataset."""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from hyena_glt.checkpoint import finish_replacement, load_checkpoint
from hyena_glt.checkpoint.replace import standing_folder
from hyena_glt.config import (
    CalibratedPatchConfig,
    FinetuneRecipe,
    LearnedPatchConfig,
    ModelConfig,
)
from hyena_glt.config.examples import Part
from hyena_glt.config.finetune import TableCurriculumConfig
from hyena_glt.config.tasks import (
    MultilabelTaskConfig,
    PairTaskConfig,
    SignalTaskConfig,
    answered,
)
from hyena_glt.data import Split, file_sha256
from hyena_glt.data.examples import Augment, Dataset, Rows, paired_swaps, strand_swaps
from hyena_glt.errors import (
    CheckpointError,
    RecipeError,
    SequenceFileError,
    StorageError,
    TrainingError,
)
from hyena_glt.finetune.answers import Answers, places_of, target_of
from hyena_glt.io import replacing_file
from hyena_glt.model import HyenaGLT, TaskNetwork
from hyena_glt.objective.tasks import balanced_positive_weights, weights_of_classes
from hyena_glt.tokenize import alphabet
from hyena_glt.train.engine import LOWER_RATES


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
    least = {"class": 2, "bases": 2, "multilabel": 1}.get(wanted, 0)
    if len(manifest.classes) < least:
        has = ", ".join(manifest.classes) or "none"
        raise RecipeError(
            f"{recipe.dataset}: found the classes {has}, expected {least} or more to tell apart; "
            "check the column of labels that the dataset was prepared with"
        )
    if isinstance(recipe.task, SignalTaskConfig) and recipe.task.bin_bp != manifest.bin_bp:
        raise RecipeError(
            f"task.bin_bp={recipe.task.bin_bp}: {recipe.dataset} has bins of {manifest.bin_bp} bp"
        )
    _check_places(recipe, dataset)


def _check_places(recipe: FinetuneRecipe, dataset: Dataset) -> None:
    """Raise RecipeError where a sequence has no place in ``pooling.kind=aligned``."""
    places = places_of(recipe.task)
    parts: tuple[Part, ...] = ("train", "validation", "test")
    for rows in map(dataset.part, parts if places is not None else ()):
        lengths = lengths_of(rows)
        if len(lengths) and lengths.max() > places:
            row = rows[int(lengths.argmax())]
            raise RecipeError(
                f"task.pooling.length_bp={places}: {row.where} has {lengths.max()} bp; set it to "
                "the longest sequence's, or use another pooling"
            )


def lengths_of(rows: Rows) -> Int64[np.ndarray, " R"]:
    """Return the bases of each row: of a pair, those of the longer sequence."""
    lengths = rows.lengths()
    if not len(rows) or rows[0].alternative is None:
        return lengths
    others = [len(cast(np.ndarray, row.alternative)) for row in rows]
    longest: Int64[np.ndarray, " R"] = np.maximum(lengths, np.array(others, np.int64))
    return longest


def check_counts(recipe: FinetuneRecipe, parts: Sequence[Rows]) -> None:
    """Raise RecipeError, with the row, where a rate is to be learned of numbers below 0."""
    task = recipe.task
    asked = answered(task)
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


class Pretraining(NamedTuple):
    """Which genomes a network was pretrained on, by name; none where it begins fresh."""

    splits: dict[str, Split]
    sha256: dict[str, str]  # of their files


def build_network(recipe: FinetuneRecipe, dataset: Dataset) -> tuple[TaskNetwork, Pretraining]:
    """Return the network with a fresh head, and what it has seen of genomes."""
    torch.manual_seed(recipe.seed)
    modality = dataset.manifest.config.modality
    pretraining = Pretraining({}, {})
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
        known = found.provenance.data_sha256
        sha256 = {name: known[name] for name in found.splits if name in known}
        pretraining = Pretraining(found.splits, sha256)
    return TaskNetwork(network, recipe.task, len(answer_names(dataset))), pretraining


def _check_patches(model: ModelConfig) -> None:
    """Raise RecipeError for a fresh network whose patches must be found on training data."""
    for number, stage in enumerate(model.stages):
        if isinstance(stage.patch, CalibratedPatchConfig | LearnedPatchConfig):
            raise RecipeError(
                f"model.stages.{number}.patch.kind={stage.patch.kind} is found while pretraining; "
                "give init, a checkpoint with such patches, or use fixed, syncmer or none"
            )


def class_weights(recipe: FinetuneRecipe, dataset: Dataset) -> Tensor | None:
    """Return what the task's weights of classes are, counted on the training part."""
    task, names = recipe.task, answer_names(dataset)
    counted = dataset.manifest.parts["train"]
    counts = {name: counted.classes.get(name, 0) for name in names}
    if isinstance(task, MultilabelTaskConfig):
        if task.positive_weights is None:
            return None
        without = {name: counted.rows - count for name, count in counts.items()}
        return balanced_positive_weights(counts, without).float()
    asked = answered(task)
    found = weights_of_classes(getattr(asked, "class_weights", None), counts)
    return None if found is None else found.float()


def augmentation(recipe: FinetuneRecipe, dataset: Dataset) -> Augment | None:
    """Return what changes training examples; None where nothing does.

    Raises RecipeError where the task pairs answers that the dataset doesn't have.
    """
    asked, manifest = recipe.augment, dataset.manifest
    pairs = getattr(recipe.task, "strand_pairs", ())
    if pairs and manifest.config.modality == "protein":
        raise RecipeError("task.strand_pairs: proteins have no other strand; leave it out")
    paired = paired_swaps(answer_names(dataset), pairs) if pairs else None
    if not (asked.reverse_complement or asked.shift_bp or asked.mutation):
        return None
    swaps = None
    if asked.reverse_complement:
        by_place = manifest.target in ("bases", "signal")
        swaps = strand_swaps(answer_names(dataset)) if by_place else paired
    return Augment(
        alphabet(manifest.config.modality),
        float(asked.reverse_complement),
        asked.shift_bp,
        float(asked.mutation),
        swaps,
        manifest.bin_bp,
    )


def held_rows(recipe: FinetuneRecipe, dataset: Dataset) -> Rows:
    """Return the validation part. Raises RecipeError where there is none."""
    rows = dataset.part("validation")
    if not len(rows):
        raise RecipeError(
            f"{recipe.dataset}: has no validation part, which chooses the best epoch; prepare it "
            "with a share for validation, such as --set split.validation=0.1"
        )
    return rows


def check_metric(metric: str, measured: Mapping[str, float]) -> None:
    """Raise RecipeError for a metric that validation doesn't measure."""
    if metric not in measured:
        raise RecipeError(
            f"train.metric={metric}: validation measures no such; expected one of "
            f"{', '.join(sorted(measured))}"
        )


def check_answers(answers: Answers) -> None:
    """Raise TrainingError where a network's answers on validation aren't finite numbers."""
    if not all(np.isfinite(row).all() for row in answers.values):
        raise TrainingError(
            "validation: the network's answers aren't finite numbers; the checkpoint saved before "
            f"holds no trace of it. {LOWER_RATES}"
        )


def files_sha256(*recipes: FinetuneRecipe) -> dict[str, str]:
    """Return the SHA-256 of what ``recipes`` read besides datasets, by path.

    Of a checkpoint it is its manifest's, which holds those of its other files; of a table saved as
    a folder those of its files. Raises CheckpointError and SequenceFileError for what isn't there.
    """
    found: dict[str, str] = {}
    for recipe in recipes:
        if recipe.init is not None and recipe.init not in found:
            manifest = standing_folder(Path(recipe.init)) / "manifest.json"
            if not manifest.is_file():
                raise CheckpointError(f"{recipe.init}: is no checkpoint, it has no {manifest.name}")
            found[recipe.init] = file_sha256(manifest)
        if isinstance(recipe.curriculum, TableCurriculumConfig):
            table = Path(recipe.curriculum.path)
            files = [table]
            if table.is_dir():
                files = sorted(file for file in table.rglob("*") if file.is_file())
            for file in files:
                if not file.is_file():
                    raise SequenceFileError(f"{file}: no such file; correct curriculum.path")
                if str(file) not in found:
                    found[str(file)] = file_sha256(file)
    return found


def begin_run(out: Path, name: str, written: Mapping[str, Any], resume: bool) -> None:
    """Write down in the file ``name`` what the run in ``out`` is; a resumed one must be the same.

    Raises RecipeError where ``out`` holds a run already, or another one; CheckpointError where
    there is none to resume.
    """
    record = out / name
    # As text: the order of tasks is that of the weights in a state.
    text = json.dumps(written, indent=2) + "\n"
    if resume:
        if not record.is_file():
            raise CheckpointError(f"{out}: holds no run to resume; start it without --resume")
        if record.read_text(encoding="utf-8") != text:
            raise RecipeError(
                f"{out}: was begun with another recipe or another dataset, or other files (the "
                "checkpoint to begin with, the curriculum's table); resume with the same"
            )
        finish_replacement(out / "checkpoint")
        return
    for taken in (name, "checkpoint", "resume"):
        if (out / taken).exists():
            raise RecipeError(
                f"{out}: holds a run already ({taken}); go on with --resume, or choose another "
                "--out"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with replacing_file(record) as aside:
            aside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{out}: can't be written ({error.strerror}); choose another") from error
