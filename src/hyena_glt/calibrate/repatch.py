"""A trained network under another rule: patches of the same contract can be exchanged."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from hyena_glt.calibrate.prepare import Prepared, prepare
from hyena_glt.calibrate.search import is_open
from hyena_glt.checkpoint import Checkpoint, build_network
from hyena_glt.config import Recipe, with_overrides
from hyena_glt.data import Source, data_checksums, open_sources
from hyena_glt.errors import CalibrationError, CheckpointError

_ENTROPY = "entropy."  # what the names of the entropy model's weights begin with
_RULES = r"(model\.stages\.\d+\.patch|model\.entropy|data\.track|side_information)\b"


def repatched(checkpoint: Checkpoint, overrides: Sequence[str]) -> Checkpoint:
    """Return ``checkpoint`` with another rule, such as ``model.stages.0.patch={kind: budget}``.

    The weights stay, and the entropy model where it is still the one asked for. What is missing is
    found on the checkpoint's own training regions, whose files must be there, unchanged; a rule
    with its number reads none of them. Patches that are pooled can be exchanged for each other,
    aligned ones for those of their size; learned ones, which select, can't. Raises RecipeError,
    CalibrationError or CheckpointError.
    """
    for override in overrides:
        if not re.match(_RULES, override):
            raise CalibrationError(
                f"override {override!r}: repatching changes model.stages.N.patch, model.entropy, "
                "data.track and side_information alone; train anew for anything else"
            )
    recipe = with_overrides(checkpoint.recipe, overrides)
    prepared, checksums = _prepared(recipe, checkpoint)
    weights = {
        name: tensor for name, tensor in checkpoint.weights.items() if not name.startswith(_ENTROPY)
    }
    weights.update({f"{_ENTROPY}{name}": tensor for name, tensor in prepared.entropy.items()})
    found = Checkpoint(
        recipe=prepared.recipe,
        weights=weights,
        splits=checkpoint.splits,
        provenance=replace(
            checkpoint.provenance,
            data_sha256={**checkpoint.provenance.data_sha256, **checksums},
            validation_bits_per_base=None,  # was measured under the old rule
        ),
    )
    try:
        build_network(found)
    except CheckpointError:
        raise CalibrationError(
            f"checkpoint {recipe.name!r}: its weights don't fit a network with these patches; "
            "pooled patches can take each other's place, but not that of learned ones, nor aligned "
            "ones that of another size, and the rest of the model section must stay as it is"
        ) from None
    return found


def prepared_alone(recipe: Recipe, checkpoint: Checkpoint | None = None) -> Prepared:
    """Return ``recipe`` made whole without a run's folder; reads genomes only where it must.

    With a ``checkpoint`` genomes, and a track that it knows, must be the files that it was trained
    on.
    """
    return _prepared(recipe, checkpoint)[0]


def _prepared(recipe: Recipe, checkpoint: Checkpoint | None) -> tuple[Prepared, dict[str, str]]:
    """Return what :func:`prepared_alone` does, and the SHA-256 of the files that it read."""
    entropy = None if checkpoint is None else _entropy_of(checkpoint, recipe)
    is_whole = recipe.model.entropy is None or entropy is not None
    if is_whole and not any(is_open(stage.patch) for stage in recipe.model.stages):
        return Prepared(recipe, entropy or {}, ()), {}
    with tempfile.TemporaryDirectory() as cache:
        sources = open_sources(recipe, Path(cache))
        checksums = data_checksums(sources, recipe)
        if checkpoint is not None:
            _check_same(sources, checksums, checkpoint)
        return prepare(recipe, sources, entropy=entropy), checksums


def _entropy_of(checkpoint: Checkpoint, recipe: Recipe) -> dict[str, Tensor] | None:
    """The state of the checkpoint's entropy model, where ``recipe`` asks for the same one."""
    if recipe.model.entropy is None or recipe.model.entropy != checkpoint.recipe.model.entropy:
        return None
    return {
        name.removeprefix(_ENTROPY): tensor
        for name, tensor in checkpoint.weights.items()
        if name.startswith(_ENTROPY)
    }


def _check_same(
    sources: Sequence[Source], checksums: Mapping[str, str], checkpoint: Checkpoint
) -> None:
    known = checkpoint.provenance.data_sha256
    genomes = {source.name for source in sources}
    for name, checksum in checksums.items():
        if known.get(name) != checksum and (name in genomes or name in known):
            raise CalibrationError(
                f"{name}: isn't the file that checkpoint {checkpoint.recipe.name!r} was "
                "trained on (its SHA-256 differs), so that its training regions aren't known; put "
                "that file back, or give a rule with its number that reads no other entropy model"
            )
