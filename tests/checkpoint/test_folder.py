"""A checkpoint is whole or an error; nothing in it is ever unpickled."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from properties.tiny import document

from hyena_glt.checkpoint import (
    FORMAT_VERSION,
    Checkpoint,
    build_network,
    load_checkpoint,
    save_checkpoint,
    save_tree,
)
from hyena_glt.checkpoint.folder import write_manifest
from hyena_glt.errors import CheckpointError

FILES = [
    "manifest.json",
    "patchers.json",
    "provenance.json",
    "recipe.yaml",
    "regions.json",
    "vocabulary.json",
    "weights.safetensors",
]


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "checkpoint", checkpoint)
    return tmp_path / "checkpoint"


def test_what_is_saved_is_what_is_loaded(checkpoint: Checkpoint, folder: Path) -> None:
    assert sorted(file.name for file in folder.iterdir()) == FILES
    loaded = load_checkpoint(folder)
    assert loaded.recipe == checkpoint.recipe
    assert loaded.splits == checkpoint.splits
    assert loaded.provenance == checkpoint.provenance
    assert loaded.weights.keys() == checkpoint.weights.keys()
    for name, tensor in checkpoint.weights.items():
        assert loaded.weights[name].dtype == tensor.dtype
        assert torch.equal(loaded.weights[name], tensor)


@torch.no_grad()
def test_a_loaded_network_gives_the_same_bits_and_draws_no_random_number(
    checkpoint: Checkpoint, folder: Path
) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    network = build_network(load_checkpoint(folder))
    assert torch.equal(torch.rand(3), expected)
    ids = document(50)
    assert torch.equal(network(ids).logits, build_network(checkpoint)(ids).logits)
    assert not network.training


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere_is_an_error_that_names_the_file(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    for place in (0.0, 0.3, 0.7, 1.0):
        for bit in (0, 4, 7):
            damaged = bytearray(content)
            damaged[round(place * (len(content) - 1))] ^= 1 << bit
            (folder / name).write_bytes(damaged)
            with pytest.raises(CheckpointError, match=name.replace("manifest.json", "checkpoint")):
                load_checkpoint(folder)
    (folder / name).write_bytes(content)
    load_checkpoint(folder)


@pytest.mark.slow
def test_every_byte_of_the_manifest_counts(folder: Path) -> None:
    manifest = folder / "manifest.json"
    content = manifest.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        manifest.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            load_checkpoint(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_an_error(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_is_an_error(folder: Path, name: str) -> None:
    os.truncate(folder / name, (folder / name).stat().st_size // 2)
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(folder)


def test_a_folder_that_is_no_checkpoint_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "README.md").write_text("hello")
    with pytest.raises(CheckpointError, match=r"is no checkpoint, it has no manifest\.json"):
        load_checkpoint(tmp_path / "other")
    with pytest.raises(CheckpointError, match="no such folder"):
        load_checkpoint(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        load_checkpoint(tmp_path / "other" / "README.md")


def test_a_training_state_is_no_checkpoint(tmp_path: Path) -> None:
    state = tmp_path / "step-00000001"
    state.mkdir()
    save_tree({"weights": torch.zeros(2)}, state / "state")
    write_manifest(state)
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        load_checkpoint(state)


@pytest.mark.parametrize("name", [name for name in FILES if name != "manifest.json"])
def test_a_file_that_the_manifest_does_not_vouch_for_is_an_error(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=f"manifest.json: is damaged, .*SHA-256 of {name}"):
        load_checkpoint(folder)


def test_weights_of_another_network_are_an_error(checkpoint: Checkpoint) -> None:
    name, tensor = next(iter(checkpoint.weights.items()))
    for weights in ({**checkpoint.weights, name: tensor[:-1]}, {name: tensor}):
        with pytest.raises(CheckpointError, match=r"don't fit .*; use the version"):
            build_network(replace(checkpoint, weights=weights))


@pytest.mark.parametrize("name", [".", "../checkpoint", "..", "/"])
def test_a_folder_without_a_name_of_its_own_is_read_or_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(folder)
    if name in (".", "../checkpoint"):
        assert load_checkpoint(Path(name)).provenance.steps >= 0
    else:
        with pytest.raises(CheckpointError, match="is no checkpoint"):
            load_checkpoint(Path(name))


def test_another_format_version_is_an_error_that_says_which(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["format_version"] = FORMAT_VERSION + 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"format_version 4, this version .* reads 3"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "old", "new"), [("patchers.json", "6", "7"), ("vocabulary.json", "ACGT", "ACTG")]
)
def test_rules_that_this_version_would_build_otherwise_are_an_error(
    folder: Path, name: str, old: str, new: str
) -> None:
    """A fine checksum is not enough: the same numbers under other rules are another model."""
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    (folder / "manifest.json").unlink()
    write_manifest(folder)
    with pytest.raises(CheckpointError, match=f"{name}: doesn't agree"):
        load_checkpoint(folder)


def test_saving_again_replaces_the_old_one_whole(checkpoint: Checkpoint, folder: Path) -> None:
    other = {name: tensor + 1 for name, tensor in checkpoint.weights.items()}
    (folder / "stray.txt").write_text("of the old one")
    save_checkpoint(folder, replace(checkpoint, weights=other))
    assert sorted(file.name for file in folder.iterdir()) == FILES
    loaded = load_checkpoint(folder).weights
    assert all(torch.equal(loaded[name], tensor) for name, tensor in other.items())
    assert [path.name for path in folder.parent.iterdir()] == ["checkpoint"]


def test_loading_leaves_a_save_that_is_under_way_alone(
    checkpoint: Checkpoint, folder: Path
) -> None:
    """A scorer that reads a run's checkpoint must not break the training that writes it."""
    partial = folder.with_name(".checkpoint.partial")
    partial.mkdir()
    (partial / "weights.safetensors").write_text("half")
    load_checkpoint(folder)
    assert (partial / "weights.safetensors").exists()
    # Between the two renames there is only the old one, moved away.
    os.rename(folder, folder.with_name(".checkpoint.previous"))
    assert load_checkpoint(folder).provenance == checkpoint.provenance
    assert folder.with_name(".checkpoint.previous").exists()
