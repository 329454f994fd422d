"""A fine-tuned network's folder.

manifest.json        format_version, SHA-256 of every other file
weights.safetensors  tensors of the network and of its head
finetune.yaml        the resolved recipe of the fine-tuning
network.json         the network's shape and modality, what its answers are called
regions.json         of each genome that the network was pretrained on, which parts it has seen
provenance.json      versions, checksum of the dataset, command, epochs, validation
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from hyena_glt.checkpoint.folder import (
    check_manifest,
    load_weights,
    versions_here,
    write_manifest,
)
from hyena_glt.checkpoint.replace import replacing_folder, standing_folder
from hyena_glt.config import FinetuneRecipe, ModelConfig, finetune_recipe_from
from hyena_glt.data import Split
from hyena_glt.errors import CheckpointError
from hyena_glt.io.examples import Target
from hyena_glt.model import HyenaGLT, TaskNetwork
from hyena_glt.tokenize import Modality

_FILES = (
    "weights.safetensors",
    "finetune.yaml",
    "network.json",
    "regions.json",
    "provenance.json",
)


@dataclass(frozen=True, kw_only=True)
class TaskProvenance:
    """Where a fine-tuned network comes from."""

    command: str
    dataset_sha256: str  # of its manifest
    epochs: int
    validation: dict[str, float]
    initialised_from: str | None
    # Of the genomes of pretraining, by their names in the splits; none where the network was fresh.
    pretraining_sha256: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=versions_here)


@dataclass(frozen=True, kw_only=True)
class TaskCheckpoint:
    """A fine-tuned network as plain data."""

    recipe: FinetuneRecipe
    model: ModelConfig
    modality: Modality
    target: Target
    answers: tuple[str, ...]  # names of the classes, numbers or tracks
    weights: dict[str, Tensor]
    splits: dict[str, Split]
    provenance: TaskProvenance


def is_task_checkpoint(folder: Path) -> bool:
    """Return whether ``folder`` is that of a fine-tuned network."""
    return (standing_folder(folder) / "finetune.yaml").is_file()


def build_task_network(checkpoint: TaskCheckpoint) -> TaskNetwork:
    """Return the network with the checkpoint's weights, in evaluation mode.

    Raises CheckpointError where the weights aren't those of its network.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not ours to draw
        network = TaskNetwork(
            HyenaGLT(checkpoint.model, checkpoint.modality),
            checkpoint.recipe.task,
            len(checkpoint.answers),
        )
    try:
        network.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        problem = " ".join(str(error).split())
        raise CheckpointError(
            f"checkpoint {checkpoint.recipe.name!r}: its weights don't fit the network that this "
            f"version builds ({problem:.500}); use the version of hyena-glt that provenance.json "
            "names"
        ) from None
    return network.eval()


def save_task_checkpoint(folder: Path, checkpoint: TaskCheckpoint) -> None:
    """Write ``checkpoint`` aside and put it in ``folder``'s place.

    Raises StorageError if it can't be written; what stood there is kept.
    """
    network = {
        "modality": checkpoint.modality,
        "model": checkpoint.model.model_dump(mode="json"),
        "target": checkpoint.target,
        "answers": checkpoint.answers,
    }
    recipe = checkpoint.recipe.model_dump(mode="json")
    texts = {
        "finetune.yaml": yaml.safe_dump(recipe, sort_keys=False),
        "network.json": _json(network),
        "regions.json": _json({name: split.as_data() for name, split in checkpoint.splits.items()}),
        "provenance.json": _json(asdict(checkpoint.provenance)),
    }
    with replacing_folder(folder) as aside:
        weights = {name: tensor.contiguous() for name, tensor in checkpoint.weights.items()}
        save_file(weights, aside / "weights.safetensors")
        for name, text in texts.items():
            (aside / name).write_text(text, encoding="utf-8")
        write_manifest(aside)


def load_task_checkpoint(folder: Path) -> TaskCheckpoint:
    """Return the fine-tuned network in ``folder``, every file checked against its checksum.

    Raises CheckpointError for a folder that is none, a damaged one, or another format version.
    """
    folder = standing_folder(folder)
    checked = check_manifest(folder)
    for name in _FILES:
        if name not in checked:
            raise CheckpointError(
                f"{folder}: is no fine-tuned network, it has no {name}; expected a folder that "
                "'hyena-glt finetune' wrote"
            )
    data = yaml.safe_load((folder / "finetune.yaml").read_text(encoding="utf-8"))
    network = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    try:
        model = ModelConfig.model_validate(network["model"])
    except ValidationError as error:
        raise CheckpointError(
            f"{folder}/network.json: doesn't fit this version ({error})"
        ) from None
    regions = json.loads((folder / "regions.json").read_text(encoding="utf-8"))
    return TaskCheckpoint(
        recipe=finetune_recipe_from(data, f"{folder}/finetune"),
        model=model,
        modality=network["modality"],
        target=network["target"],
        answers=tuple(network["answers"]),
        weights=load_weights(folder),
        splits={name: Split.from_data(parts) for name, parts in regions.items()},
        provenance=TaskProvenance(**json.loads((folder / "provenance.json").read_text())),
    )


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
