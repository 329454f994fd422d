"""A reader sees the old file or the new one."""

import errno
import os
import stat
from pathlib import Path

import pytest

from hyena_glt.errors import StorageError
from hyena_glt.io import fsync_path, replacing_file


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_target_is_untouched_until_the_end_and_then_replaced(tmp_path: Path) -> None:
    target = tmp_path / "genome.fa"
    target.write_text("old")
    with replacing_file(target) as aside:
        aside.write_text("new")
        assert target.read_text() == "old"
        assert aside.parent == tmp_path
        assert aside.suffix == ".fa"
    assert target.read_text() == "new"
    assert names_in(tmp_path) == ["genome.fa"]


@pytest.mark.parametrize("failure", [ZeroDivisionError, KeyboardInterrupt])
def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    target = tmp_path / "genome.fa"
    target.write_text("old")

    def fail() -> None:
        with replacing_file(target) as aside:
            aside.write_text("half")
            raise failure

    with pytest.raises(failure):
        fail()
    assert target.read_text() == "old"
    assert names_in(tmp_path) == ["genome.fa"]


def test_a_full_disk_is_a_storage_error_that_names_the_target_and_a_remedy(tmp_path: Path) -> None:
    def fill() -> None:
        with replacing_file(tmp_path / "genome.fa"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StorageError, match=r"genome\.fa: .*No space left.*free some space"):
        fill()
    assert names_in(tmp_path) == []


def test_a_missing_folder_is_reported_before_any_work_is_done(tmp_path: Path) -> None:
    reached = False
    with (
        pytest.raises(StorageError, match="make the folder first"),
        replacing_file(tmp_path / "absent" / "genome.fa"),
    ):
        reached = True
    assert not reached


def test_a_folder_in_the_place_of_the_file_is_a_storage_error(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="give the name of a file"),
        replacing_file(tmp_path),
    ):
        pass
    assert names_in(tmp_path) == []


def test_a_storage_error_of_the_body_keeps_its_own_message(tmp_path: Path) -> None:
    def fail() -> None:
        with replacing_file(tmp_path / "outer.fa"), replacing_file(tmp_path / "absent" / "inner"):
            pass

    with pytest.raises(StorageError, match=r"^\S*inner: .*make the folder first"):
        fail()


def test_the_content_is_on_disk_before_the_name_and_the_name_before_returning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "genome.fa"
    flushed: list[tuple[bool, bool]] = []

    def record(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        flushed.append((is_folder, target.exists()))

    monkeypatch.setattr(os, "fsync", record)
    with replacing_file(target) as aside:
        aside.write_text("new")
    assert flushed == [(False, False), (True, True)]


def test_a_failure_to_read_another_file_is_not_blamed_on_the_target(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing_file(tmp_path / "out.fa"):
        (tmp_path / "absent.fa").read_text()
    assert names_in(tmp_path) == []


def test_a_link_goes_on_pointing_to_the_replaced_file(tmp_path: Path) -> None:
    (tmp_path / "real.fa").write_text("old")
    (tmp_path / "link.fa").symlink_to("real.fa")
    with replacing_file(tmp_path / "link.fa") as aside:
        aside.write_text("new")
    assert (tmp_path / "link.fa").is_symlink()
    assert (tmp_path / "real.fa").read_text() == "new"


def test_the_new_file_has_the_permissions_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replacing_file(tmp_path / "genome.fa") as aside:
            aside.write_text("new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "genome.fa").stat().st_mode) == 0o640


def test_flushing_a_folder_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="absent"):
        fsync_path(tmp_path / "absent")


def test_a_file_system_that_cannot_flush_folders_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    fsync_path(tmp_path)


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_refused_and_not_replaced(tmp_path: Path, linked: bool) -> None:
    pipe = target = tmp_path / "pipe"
    os.mkfifo(pipe)
    if linked:
        target = tmp_path / "link"
        target.symlink_to(pipe)
    reached = False
    with (
        pytest.raises(StorageError, match=f"{target}: is no regular file.*give the name of a file"),
        replacing_file(target),
    ):
        reached = True
    assert not reached
    assert pipe.is_fifo()
