"""Networks whose patches are drawn: a checkpoint's or a recipe's own, and another rule's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hyena_glt.calibrate import mean_patch_bp, prepared_alone
from hyena_glt.checkpoint import Checkpoint, build_network, load_checkpoint
from hyena_glt.cli.sources import read_recipe
from hyena_glt.config import (
    BLOCK_BP,
    BudgetPatchConfig,
    CalibratedPatchConfig,
    EntropyDualPatchConfig,
    EntropyJumpPatchConfig,
    EntropyPatchConfig,
    FixedPatchConfig,
    PatchConfig,
    Recipe,
    SyncmerPatchConfig,
    recipe_from,
)
from hyena_glt.errors import RecipeError
from hyena_glt.io import Track, open_track
from hyena_glt.model import HyenaGLT
from hyena_glt.patch import SyncmerPatcher
from hyena_glt.tokenize import BOS

_SYNCMER_K = (15, 21, 31)
_NEAR = 0.1  # relative, of a syncmer's mean patch to the one asked for
_RANDOM_BP = 20_000
_ENTROPY_KINDS: Mapping[str, type[CalibratedPatchConfig]] = {
    "entropy": EntropyPatchConfig,
    "entropy_jump": EntropyJumpPatchConfig,
    "entropy_dual": EntropyDualPatchConfig,
    "budget": BudgetPatchConfig,
}


class Patched(NamedTuple):
    """A network, and what its patches are called."""

    label: str  # of its first stage
    network: HyenaGLT
    recipe: Recipe
    checkpoint: Checkpoint | None  # where the network comes from, if it is trained


def own_patches(source: str, device: str) -> Patched:
    """Return the network of the checkpoint or recipe ``source``.

    A recipe's patcher is calibrated on its training regions, where it needs to be. Raises
    CheckpointError, RecipeError and CalibrationError where that can't be.
    """
    recipe, checkpoint = read_source(source)
    if checkpoint is None:
        network, recipe = _untrained(recipe, None)
    else:
        network = build_network(checkpoint)
    label = label_of(recipe.model.stages[0].patch)
    return Patched(label, network.to(device).eval(), recipe, checkpoint)


def read_source(source: str) -> tuple[Recipe, Checkpoint | None]:
    """Return (the recipe of ``source``, the checkpoint if it is one); raises as they do."""
    if not Path(source).is_dir():
        return read_recipe(source, ()), None
    checkpoint = load_checkpoint(Path(source))
    return checkpoint.recipe, checkpoint


def other_patches(own: Patched, kind: str, mean_bp: float, device: str) -> Patched:
    """Return a network of no use but for its patches: of ``kind``, ``mean_bp`` long in the mean.

    What it needs is found on the training regions of ``own``. Raises RecipeError for a mean that
    the kind can't have, CalibrationError where its numbers can't be found.
    """
    recipe = alone(own.recipe, patch_of(kind, mean_bp), f"--kind {kind}")
    network, whole = _untrained(recipe, own.checkpoint)
    label = label_of(whole.model.stages[0].patch)
    return Patched(label, network.to(device).eval(), whole, None)


def alone(recipe: Recipe, patch: Mapping[str, Any], where: str) -> Recipe:
    """Return ``recipe`` with a network of no use but for the patches of one rule.

    Limits that ``patch`` leaves out of a rule that reads entropies go with its mean. Raises
    RecipeError, with ``where``, for a rule that the recipe's sequences can't have.
    """
    data = recipe.model_dump(mode="json")
    kind = patch["kind"]
    if kind in _ENTROPY_KINDS:
        patch = {**_limits(kind, patch["mean_bp"], recipe.data.window_bp), **patch}
    entropy = data["model"]["entropy"]
    if kind in _ENTROPY_KINDS and entropy is None:
        entropy = {"kind": "conv" if recipe.modality == "protein" else "kmer"}
    narrow = {"width": 1, "mlp_width": 1}
    data["model"] = {
        # A byte pair depends on what follows it.
        "direction": "bidirectional" if kind == "bpe" else "causal",
        "stages": [{**narrow, "encoder": "", "decoder": "", "patch": dict(patch)}],
        "backbone": {**narrow, "layout": "S"},
        "entropy": entropy if kind in _ENTROPY_KINDS else None,
    }
    data["objective"] = {"kind": "masked" if kind == "bpe" else "causal"}
    # Nothing is trained, and not every rule goes with every way to train.
    for setting in ("window_schedule", "segment_bp", "segment_gradient"):
        del data["train"][setting]
    if kind != "track":
        data["side_information"] = False
        for source in (data["data"], *(data["data"]["mixture"] or ())):
            source["track"] = None
    return recipe_from(data, where)


def open_scores(own: Patched, track: Path | None) -> Track | None:
    """Return the track that the patches of ``own`` read, if they do.

    Raises RecipeError where it is missing or nothing reads it.
    """
    reads = any(patcher.reads == "track" for patcher in own.network.patchers)
    if reads == (track is not None):
        return None if track is None else open_track(track)
    raise RecipeError(
        "these patches close where a score of each base says so; give it with --track"
        if reads
        else f"--track {track}: the model's patches are of kind {own.label}, which reads no track; "
        "leave it out"
    )


def label_of(patch: PatchConfig) -> str:
    """Return the rule's kind and the mean or size that it was asked for, if any."""
    size_bp = patch.size_bp if isinstance(patch, FixedPatchConfig) else None
    mean_bp = getattr(patch, "mean_bp", size_bp)
    return patch.kind if mean_bp is None else f"{patch.kind} {mean_bp:g}"


def _untrained(recipe: Recipe, checkpoint: Checkpoint | None) -> tuple[HyenaGLT, Recipe]:
    """Return the recipe's network, its rules whole, and the recipe with their numbers."""
    prepared = prepared_alone(recipe, checkpoint)
    network = HyenaGLT(prepared.recipe.model, prepared.recipe.modality)
    prepared.fill(network)
    return network, prepared.recipe


def patch_of(kind: str, mean_bp: float) -> dict[str, Any]:
    """Return the config of a kind, as a recipe writes it; a syncmer's words are chosen here."""
    match kind:
        case "none":
            return {"kind": kind}
        case "fixed":
            if not mean_bp.is_integer():
                raise RecipeError(
                    f"--mean-bp {mean_bp:g}: fixed patches are all of one length; give a whole "
                    "number"
                )
            return {"kind": kind, "size_bp": int(mean_bp)}
        case "syncmer":
            return _syncmer(mean_bp).model_dump(mode="json")
    return {"kind": kind, "mean_bp": mean_bp}


def _limits(kind: str, mean_bp: float, window_bp: int) -> dict[str, int]:
    """Return the limits of patches of ``mean_bp`` within windows: for 6, those of the kind."""
    min_bp = _ENTROPY_KINDS[kind].model_fields["min_bp"].default
    return {
        "min_bp": max(1, min(min_bp, int(mean_bp / 2))),
        "max_bp": min(_longest_bp(mean_bp), window_bp),
    }


def _longest_bp(mean_bp: float) -> int:
    """Return the longest patch that leaves room for a mean of ``mean_bp``."""
    return min(max(24, round(4 * mean_bp)), BLOCK_BP)


def _syncmer(mean_bp: float) -> SyncmerPatchConfig:
    """Return the syncmers whose patches in random letters have the mean nearest to ``mean_bp``."""
    max_bp = _longest_bp(mean_bp)
    random = torch.randint(4, (1, _RANDOM_BP), generator=torch.Generator().manual_seed(0))
    ids = torch.cat([torch.tensor([[BOS]]), torch.tensor(list(b"ACGT"))[random]], 1)
    length = torch.tensor([ids.shape[1]])
    found = {}
    for k in _SYNCMER_K:
        for s in range(1, k):
            rule = SyncmerPatchConfig(kind="syncmer", k=k, s=s, max_bp=max_bp)
            patcher = SyncmerPatcher(rule)
            emission, _ = patcher.emit(ids, length, patcher.begin(1, ids.device))
            found[rule] = mean_patch_bp(emission)
    best = min(found, key=lambda rule: abs(found[rule] - mean_bp))
    if abs(found[best] / mean_bp - 1) > _NEAR:
        raise RecipeError(
            f"--mean-bp {mean_bp:g}: no syncmer's patches are so long; those of "
            f"{min(found.values()):.1f} to {max(found.values()):.1f} bp can be had"
        )
    return best
