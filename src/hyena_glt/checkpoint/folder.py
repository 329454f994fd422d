"""The folder's files, and the checks on the way in.

manifest.json        format_version, SHA-256 of every other file
weights.safetensors  the network's tensors
recipe.yaml          the resolved recipe
vocabulary.json      modality, letters, ids of the special symbols
patchers.json        each stage's rule and limits
regions.json         of each genome, what was trained on, chosen on and held out
provenance.json      versions, checksums of the data, command, steps
"""

import json
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hyena_glt.checkpoint.replace import replacing_folder, standing_folder
from hyena_glt.config import Recipe, recipe_from
from hyena_glt.data import Split, file_sha256
from hyena_glt.errors import CheckpointError
from hyena_glt.model import HyenaGLT
from hyena_glt.patch import build_patcher
from hyena_glt.tokenize import BOS, EOS, MASK, PAD, alphabet

FORMAT_VERSION = 3
_MANIFEST = "manifest.json"
_FILES = (
    "weights.safetensors",
    "recipe.yaml",
    "vocabulary.json",
    "patchers.json",
    "regions.json",
    "provenance.json",
)
_VERSIONED = ("hyena-glt", "torch", "numpy", "lightning", "safetensors")


@dataclass(frozen=True, kw_only=True)
class Reserved:
    """Which intervals training and validation kept off, for models to be evaluated on."""

    bed: str
    sha256: str
    margin_bp: int


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a checkpoint comes from."""

    command: str
    data_sha256: dict[str, str]
    steps: int
    training_bases: int
    validation_bits_per_base: float | None
    initialised_from: str | None = None
    reserved: Reserved | None = None  # None in checkpoints of a recipe without data.reserved
    versions: dict[str, str] = field(default_factory=lambda: versions_here())


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained network as plain data."""

    recipe: Recipe
    weights: dict[str, Tensor]
    splits: dict[str, Split]  # of each genome of the recipe
    provenance: Provenance


def build_network(checkpoint: Checkpoint) -> HyenaGLT:
    """Return the network with the checkpoint's weights, in evaluation mode.

    Raises CheckpointError where the weights aren't those of the recipe's network.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not ours to draw
        network = HyenaGLT(checkpoint.recipe.model, checkpoint.recipe.modality)
    try:
        network.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        problem = " ".join(str(error).split())
        raise CheckpointError(
            f"checkpoint {checkpoint.recipe.name!r}: its weights don't fit the network that this "
            f"version builds from its recipe ({problem:.500}); use the version of hyena-glt that "
            "provenance.json names"
        ) from None
    return network.eval()


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` aside and put it in ``folder``'s place.

    Raises StorageError if it can't be written; what stood there is kept.
    """
    texts = {
        "recipe.yaml": yaml.safe_dump(checkpoint.recipe.model_dump(mode="json"), sort_keys=False),
        "vocabulary.json": _json(_vocabulary(checkpoint.recipe)),
        "patchers.json": _json(_patchers(checkpoint.recipe)),
        "regions.json": _json({name: split.as_data() for name, split in checkpoint.splits.items()}),
        "provenance.json": _json(asdict(checkpoint.provenance)),
    }
    with replacing_folder(folder) as aside:
        weights = {name: tensor.contiguous() for name, tensor in checkpoint.weights.items()}
        save_file(weights, aside / "weights.safetensors")
        for name, text in texts.items():
            (aside / name).write_text(text, encoding="utf-8")
        write_manifest(aside)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Return the checkpoint in ``folder``, every file checked against its checksum.

    Raises CheckpointError for a folder that is none, a damaged one, or another format version.
    """
    folder = standing_folder(folder)
    checked = check_manifest(folder)
    for name in _FILES:
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder}: is no checkpoint, it has no {name}; expected a folder such as "
                "runs/demo/checkpoint (states in resume/ are for --resume)"
            )
        if name not in checked:
            raise CheckpointError(
                f"{folder / _MANIFEST}: is damaged, it has no SHA-256 of {name}; restore "
                "the folder from a copy"
            )
    recipe = recipe_from(yaml.safe_load((folder / "recipe.yaml").read_text()), f"{folder}/recipe")
    for name, expected in (
        ("vocabulary.json", _vocabulary(recipe)),
        ("patchers.json", _patchers(recipe)),
    ):
        if json.loads((folder / name).read_text()) != expected:
            raise CheckpointError(
                f"{folder / name}: doesn't agree with what this version builds from recipe.yaml; "
                "use the version of hyena-glt that provenance.json names"
            )
    regions = json.loads((folder / "regions.json").read_text())
    splits = {name: Split.from_data(parts) for name, parts in regions.items()}
    provenance = _provenance(json.loads((folder / "provenance.json").read_text()))
    weights = load_weights(folder)
    return Checkpoint(recipe=recipe, weights=weights, splits=splits, provenance=provenance)


def versions_here() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a run's numbers."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in _VERSIONED},
    }


def load_weights(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint. Raises CheckpointError where they can't be read."""
    try:
        weights: dict[str, Tensor] = load_file(folder / "weights.safetensors")
    except SafetensorError as error:
        raise CheckpointError(f"{folder}/weights.safetensors: can't be read ({error})") from None
    return weights


def write_manifest(folder: Path) -> None:
    """Write the checksums of all files in ``folder``; comes last."""
    sums = {file.name: file_sha256(file) for file in sorted(folder.iterdir())}
    text = _json({"format_version": FORMAT_VERSION, "sha256": sums})
    (folder / _MANIFEST).write_text(text, encoding="utf-8")


def check_manifest(folder: Path) -> frozenset[str]:
    """Return the names of the files that the manifest lists, all of them whole.

    Raises CheckpointError unless ``folder`` is a whole checkpoint of this format.
    """
    manifest = folder / _MANIFEST
    if not folder.exists():
        raise CheckpointError(f"{folder}: no such folder; expected a checkpoint")
    if not manifest.is_file():
        raise CheckpointError(
            f"{folder}: is no checkpoint, it has no {_MANIFEST}; expected a folder that "
            "'hyena-glt train' wrote, such as runs/demo/checkpoint"
        )
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        found, sums = content["format_version"], content["sha256"].items()
    except (ValueError, KeyError, AttributeError, TypeError):
        raise CheckpointError(f"{manifest}: is damaged; restore the folder from a copy") from None
    if found != FORMAT_VERSION:
        raise CheckpointError(
            f"{folder}: has format_version {found}, this version of hyena-glt reads "
            f"{FORMAT_VERSION}; use the version that wrote it (provenance.json names it)"
        )
    for name, expected in sums:
        file = folder / name
        if not file.is_file():
            raise CheckpointError(f"{file}: is missing; restore the folder from a copy")
        if file_sha256(file) != expected:
            raise CheckpointError(
                f"{file}: is damaged, its SHA-256 isn't the one in {_MANIFEST}; restore the folder "
                "from a copy"
            )
    return frozenset(name for name, _ in sums)


def _provenance(data: dict[str, Any]) -> Provenance:
    reserved = data.pop("reserved", None)
    return Provenance(**data, reserved=None if reserved is None else Reserved(**reserved))


def _vocabulary(recipe: Recipe) -> dict[str, Any]:
    return {
        "modality": recipe.modality,
        "letters": alphabet(recipe.modality).letters,
        "ids": "ASCII codes",
        "special": {"PAD": PAD, "BOS": BOS, "EOS": EOS, "MASK": MASK},
    }


def _patchers(recipe: Recipe) -> list[dict[str, Any]]:
    rules = []
    for stage in recipe.model.stages:
        patcher = build_patcher(stage.patch, recipe.modality)
        limits = {
            "min_bp": patcher.min_bp,
            "max_bp": patcher.max_bp,
            "cap_per_1024_bp": patcher.cap,
        }
        rules.append({**stage.patch.model_dump(mode="json"), **limits})
    return rules


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
