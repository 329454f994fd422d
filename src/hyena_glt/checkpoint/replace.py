"""Writing a folder so that a reader sees the old one or the new one, never half of one."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyena_glt.errors import HyenaGLTError, StorageError
from hyena_glt.io import fsync_folder


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder beside ``target`` that takes its place at the end.

    On an exception the new folder is removed and ``target`` stays. A kill leaves ``target`` as it
    was, or between the two renames its old self as ``.NAME.previous``, which
    :func:`finish_replacement` puts back. Raises StorageError where the disk is full or the folder
    can't be written.
    """
    partial, previous = _beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        finish_replacement(target)
        partial.mkdir()
        yield partial
        for file in sorted(partial.iterdir()):
            _fsync_file(file)
        fsync_folder(partial)
        if target.exists():
            os.rename(target, previous)
        os.rename(partial, target)
        fsync_folder(target.parent)
        shutil.rmtree(previous, ignore_errors=True)
    except BaseException as error:
        finish_replacement(target)
        if isinstance(error, OSError) and not isinstance(error, HyenaGLTError):
            cause = os.strerror(error.errno) if error.errno else str(error)
            remedy = "free some space" if error.errno == errno.ENOSPC else "choose another folder"
            raise StorageError(
                f"{target}: can't be written ({cause}); nothing that stood there is lost; {remedy}"
            ) from error
        raise


def finish_replacement(target: Path) -> None:
    """Clear up after a kill in :func:`replacing_folder`: the old folder is back, halves are gone."""
    partial, previous = _beside(target)
    if previous.exists() and not target.exists():
        os.rename(previous, target)
    shutil.rmtree(previous, ignore_errors=True)
    shutil.rmtree(partial, ignore_errors=True)


def _beside(target: Path) -> tuple[Path, Path]:
    return target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.previous")


def _fsync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
