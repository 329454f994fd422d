"""A reader sees the old folder or the new one, whatever happens in between."""

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from forks import dies

from hyena_glt.checkpoint import Checkpoint, finish_replacement, load_checkpoint, replacing_folder
from hyena_glt.checkpoint import save_checkpoint as save
from hyena_glt.errors import StorageError


def replace_with(target: Path, text: str) -> None:
    with replacing_folder(target) as aside:
        (aside / "file").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_old_folder_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "folder"
    replace_with(target, "old")
    with replacing_folder(target) as aside:
        (aside / "other").write_text("new")
        assert names(target) == ["file"]
    assert names(target) == ["other"]
    assert names(target.parent) == ["folder"]


def killed_at(call: str, number: int, body: Callable[[], object]) -> bool:
    """Run ``body`` in a copy of this process that dies at a call; whether it did."""

    def run() -> None:
        real, seen = getattr(os, call), 0

        def dying(*arguments: Any, **more: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **more)

        setattr(os, call, dying)
        body()

    return dies(run)


@pytest.mark.parametrize("call", ["rename", "fsync", "mkdir", "rmdir", "unlink"])
def test_a_kill_at_any_moment_leaves_the_old_folder_or_the_new_one(
    tmp_path: Path, call: str
) -> None:
    target, moments = tmp_path / "folder", 0
    for number in range(1, 20):
        shutil.rmtree(target, ignore_errors=True)
        replace_with(target, "old")
        if not killed_at(call, number, lambda: replace_with(target, "new")):
            break
        moments += 1
        finish_replacement(target)
        assert (target / "file").read_text() in ("old", "new")
        assert names(tmp_path) == ["folder"]
        replace_with(target, "next")
        assert (target / "file").read_text() == "next"
    assert moments >= 1


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O"), KeyboardInterrupt()])
def test_a_rename_that_fails_leaves_the_old_folder(
    tmp_path: Path, number: int, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, real, seen = tmp_path / "folder", os.rename, 0
    replace_with(target, "old")

    def failing(source: Any, to: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise error
        real(source, to)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(StorageError if isinstance(error, OSError) else KeyboardInterrupt):
        replace_with(target, "new")
    assert (target / "file").read_text() == "old"
    assert names(tmp_path) == ["folder"]


def test_what_a_kill_left_behind_is_cleared_up(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    replace_with(target, "old")
    os.rename(target, tmp_path / ".folder.previous")
    (tmp_path / ".folder.partial").mkdir()
    finish_replacement(target)
    assert (target / "file").read_text() == "old"
    assert names(tmp_path) == ["folder"]
    finish_replacement(tmp_path / "nothing")
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("what", ["weights.safetensors", "recipe.yaml", "manifest.json"])
def test_a_full_disk_while_saving_keeps_the_old_checkpoint(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    folder = tmp_path / "checkpoint"
    save(folder, checkpoint)
    write_text = Path.write_text

    def full(path: Path, *arguments: Any, **more: Any) -> int:
        if path.name == what:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write_text(path, *arguments, **more)

    def full_for_weights(_: Any, path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_text", full)
    if what == "weights.safetensors":
        monkeypatch.setattr("hyena_glt.checkpoint.folder.save_file", full_for_weights)
    with pytest.raises(StorageError, match=r"No space left.*nothing.*lost; free some space"):
        save(folder, checkpoint)
    loaded = load_checkpoint(folder).weights
    assert all(torch.equal(loaded[name], tensor) for name, tensor in checkpoint.weights.items())
    assert names(tmp_path) == ["checkpoint"]


def test_a_place_that_is_no_folder_is_a_storage_error(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        save(tmp_path / "file" / "checkpoint", checkpoint)
