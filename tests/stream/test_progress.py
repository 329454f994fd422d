"""Output under way: what a kill leaves is one whole save, and only its own run goes on with it."""

import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from forks import dies

from hyena_glt.errors import StorageError
from hyena_glt.stream import Notes, Progress, progress, put_in_place, saved

RECORD = "progress.safetensors"
ABOUT = {"model": "a1", "input file": "b2"}


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def removed_at_last(rmtree: Callable[[Path], None], folder: Path, **_: object) -> None:
    rmtree(folder)
    kill()


def test_what_came_after_the_last_save_is_cut_off(tmp_path: Path) -> None:
    out = tmp_path / "t.tsv"

    def body() -> None:
        with Progress(out, ABOUT, resume=False) as under_way:
            under_way.append("rows", b"one\n")
            under_way.save(Notes(1, 8, {"sum": 0.1}, {"a.b": torch.tensor([[1.5]])}))
            under_way.append("rows", b"two\n" * 100_000)  # more than a buffer
            under_way.append("other", b"three\n")
            kill()

    assert dies(body)
    with Progress(out, ABOUT, resume=True) as under_way:
        assert under_way.notes is not None
        assert under_way.notes[:3] == (1, 8, {"sum": 0.1})
        assert under_way.notes.tensors["a.b"].tolist() == [[1.5]]
        assert [path.name for path in under_way.files.iterdir()] == ["rows"]
        under_way.append("rows", b"2\n")
        assert under_way.read("rows", 0, 6) == b"one\n2\n"
        under_way.append("rows", b"3\n")
        under_way.save(Notes(2, 0, {}, {}, finished=True))
        put_in_place(under_way.files / "rows", out)
        under_way.clear({})
    assert out.read_bytes() == b"one\n2\n3\n"
    assert os.listdir(tmp_path) == ["t.tsv"]


def test_a_kill_inside_a_save_leaves_nothing_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def body() -> None:
        with Progress(tmp_path / "t", ABOUT, resume=False) as under_way:
            under_way.save(Notes(0, 8, {}, {}))

            def half(tensors: object, path: Path, about: object) -> None:
                path.write_bytes(b"half")
                kill()

            monkeypatch.setattr(saved, "save_file", half)
            under_way.save(Notes(0, 16, {}, {}))

    assert dies(body)
    part = tmp_path / "t.part"
    assert len(list(part.iterdir())) == 3  # the files, the save, and half of the next
    with Progress(tmp_path / "t", ABOUT, resume=True) as under_way:
        assert under_way.notes is not None
        assert under_way.notes.position == 8
        assert {path.name for path in part.iterdir()} == {"files", RECORD}
        under_way.clear({})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("removed", ["nothing", "the files", "the save", "a half save"])
def test_a_kill_inside_the_removal_leaves_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: str
) -> None:
    out = tmp_path / "t"

    def body() -> None:
        with Progress(out, ABOUT, resume=False) as under_way:
            under_way.append("rows", b"one\n")
            under_way.save(Notes(1, 0, {"sum": 1}, {}, finished=True))
            put_in_place(under_way.files / "rows", out)
            if removed == "nothing":
                monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: kill())
            elif removed == "the files":
                monkeypatch.setattr(shutil, "rmtree", partial(removed_at_last, shutil.rmtree))
            elif removed == "the save":
                monkeypatch.setattr(Path, "rmdir", lambda _: kill())
            else:
                monkeypatch.setattr(saved, "save_file", lambda *_: kill())
            under_way.clear({"sum": 1})

    assert dies(body)
    with Progress(out, ABOUT, resume=True) as under_way:
        assert under_way.is_placed == (removed in ("nothing", "the files"))
        assert under_way.is_finished == (removed != "the save")
        if under_way.notes is not None:
            assert under_way.notes.memory == {"sum": 1}
        assert under_way.size_bytes("rows") == (0 if removed == "the save" else 4)
        if removed == "a half save":
            put_in_place(under_way.files / "rows", out)  # has been done
        under_way.clear({})
    assert os.listdir(tmp_path) == ["t"]
    assert out.read_bytes() == b"one\n"


def test_an_output_is_never_a_folder_or_a_pipe(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.write_text("one\n")
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "files"):
        (tmp_path / name / "mine").mkdir(parents=True)
    with pytest.raises(StorageError, match="is no regular file"):
        put_in_place(whole, tmp_path / "pipe")
    with pytest.raises(StorageError, match="give the name of a file"):
        put_in_place(whole, tmp_path / "folder")
    with pytest.raises(StorageError, match=r"not empty.*clear the way"):
        put_in_place(tmp_path / "files", tmp_path / "folder")
    assert whole.read_text() == "one\n"
    with pytest.raises(StorageError, match="isn't there, nor is"):
        put_in_place(tmp_path / "none", tmp_path / "neither")


def test_a_file_that_is_dropped_stays_until_no_save_counts_it(tmp_path: Path) -> None:
    with Progress(tmp_path / "t", ABOUT, resume=False) as under_way:
        under_way.append("aside", b"ACGT")
        under_way.save(Notes(1, 0, {}, {}))
        under_way.discard("aside")
        assert (under_way.files / "aside").read_bytes() == b"ACGT"
        assert under_way.size_bytes("aside") == 0
        under_way.save(Notes(2, 0, {}, {}))
        assert not (under_way.files / "aside").exists()


def test_a_run_goes_on_only_as_it_began(tmp_path: Path) -> None:
    out = tmp_path / "t.tsv"
    with Progress(out, ABOUT, resume=False) as under_way:
        under_way.save(Notes(0, 8, {}, {}))
    with (
        pytest.raises(StorageError, match="unfinished run; go on with --resume, or remove it"),
        Progress(out, ABOUT, resume=False),
    ):
        pass
    with (
        pytest.raises(StorageError, match=r"another input file \(b2, now b3\)"),
        Progress(out, {**ABOUT, "input file": "b3"}, resume=True),
    ):
        pass
    with (
        pytest.raises(StorageError, match=r"another input file \(b2, now none\)"),
        Progress(out, {"model": "a1"}, resume=True),
    ):
        pass
    with Progress(out, ABOUT, resume=True) as under_way:
        assert under_way.notes is not None


def test_two_processes_do_not_write_one_output(tmp_path: Path) -> None:
    out = tmp_path / "t.tsv"
    with (
        Progress(out, ABOUT, resume=False),
        pytest.raises(StorageError, match="another process writes there"),
        Progress(out, ABOUT, resume=True),
    ):
        pass


def test_a_folder_that_another_process_removes_is_not_written_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, opened = tmp_path / "t.part", os.open

    def open_late(path: Path, flags: int) -> int:
        handle = opened(path, flags)
        monkeypatch.undo()
        part.rmdir()  # between the opening and the lock
        return handle

    monkeypatch.setattr(os, "open", open_late)
    with Progress(tmp_path / "t", ABOUT, resume=False) as under_way:
        assert (part / RECORD).exists()
        under_way.save(Notes(0, 8, {}, {}))
    assert (part / RECORD).exists()


def test_the_lock_is_held_until_the_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []

    def rmdir(folder: Path) -> None:
        with (
            pytest.raises(StorageError, match="another process"),
            Progress(tmp_path / "t", ABOUT, resume=True),
        ):
            pass
        tried.append(folder)
        os.rmdir(folder)

    monkeypatch.setattr(Path, "rmdir", rmdir)
    with Progress(tmp_path / "t", ABOUT, resume=False) as under_way:
        under_way.clear({})
    assert tried == [tmp_path / "t.part"]


def test_a_mistake_before_the_first_save_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with Progress(tmp_path / "t", ABOUT, resume=True) as begun:
            begun.append("rows", b"one\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(tmp_path.iterdir())


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    part = tmp_path / "t.part"
    part.write_text("mine")
    with pytest.raises(StorageError, match="is in the way"), Progress(tmp_path / "t", {}, True):
        pass
    part.unlink()
    (part / "files").mkdir(parents=True)
    (part / "files" / "mine.txt").write_text("mine")
    with pytest.raises(StorageError, match="holds no progress"), Progress(tmp_path / "t", {}, True):
        pass
    assert (part / "files" / "mine.txt").read_text() == "mine"
    with pytest.raises(StorageError, match="can't be made"), Progress(part / "no/t", {}, False):
        pass


def test_damage_is_named(tmp_path: Path) -> None:
    with Progress(tmp_path / "t", ABOUT, resume=False) as under_way:
        under_way.append("rows", b"one\n")
        under_way.save(Notes(0, 8, {}, {}))
    rows = tmp_path / "t.part" / "files" / "rows"
    rows.write_bytes(b"on")
    with (
        pytest.raises(StorageError, match="holds 2 bytes where the last save counted 4"),
        Progress(tmp_path / "t", ABOUT, resume=True),
    ):
        pass
    rows.unlink()
    rows.parent.rmdir()
    with (
        pytest.raises(StorageError, match=r"rows: is damaged \(it holds 0 bytes .*to start again"),
        Progress(tmp_path / "t", ABOUT, resume=True),
    ):
        pass
    (tmp_path / "t.part" / RECORD).write_bytes(b"ACGT")
    with (
        pytest.raises(StorageError, match=r"is damaged .* to start again"),
        Progress(tmp_path / "t", ABOUT, resume=True),
    ):
        pass


def test_a_save_is_due_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Progress(tmp_path / "t", ABOUT, resume=False) as under_way:
        assert not under_way.is_due
        monkeypatch.setattr(progress, "SAVE_S", 0.0)
        assert under_way.is_due
        under_way.save(Notes(0, 8, {}, {}))
        monkeypatch.undo()
        assert not under_way.is_due
