"""Output under way: what a kill leaves is one whole save, and only its own run goes on with it."""

import os
import signal
from pathlib import Path

import pytest
import torch
from forks import dies

from hyena_glt.errors import StorageError
from hyena_glt.stream import Notes, Progress, progress, put_in_place

ABOUT = {"model": "a1", "input file": "b2"}


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


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
        under_way.clear()
    assert out.read_bytes() == b"one\n2\n3\n"
    assert os.listdir(tmp_path) == ["t.tsv"]


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
    (tmp_path / "t.part" / "progress.safetensors").write_bytes(b"ACGT")
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
