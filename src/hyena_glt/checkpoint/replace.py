"""Writing a folder so that a reader sees the old one or the new one, never half of one."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from hyena_glt.errors import HyenaGLTError, StorageError
from hyena_glt.io import fsync_path


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
            fsync_path(file)
        fsync_path(partial)
        if target.exists():
            os.rename(target, previous)
        os.rename(partial, target)
        fsync_path(target.parent)
        shutil.rmtree(previous, ignore_errors=True)
    except BaseException as error:
        finish_replacement(target)
        number = _system_error(error)
        if number is not None:
            cause = os.strerror(number) if number else str(error)
            remedy = "free some space" if number == errno.ENOSPC else "choose another folder"
            raise StorageError(
                f"{target}: can't be written ({cause}); nothing that stood there is lost; {remedy}"
            ) from error
        raise


def finish_replacement(target: Path) -> None:
    """Clear up after a kill in :func:`replacing_folder`: the old folder back, halves gone."""
    partial, previous = _beside(target)
    if previous.exists() and not target.exists():
        os.rename(previous, target)
    shutil.rmtree(previous, ignore_errors=True)
    shutil.rmtree(partial, ignore_errors=True)


def standing_folder(target: Path) -> Path:
    """Return the folder to read: ``target``, or its old self between a replacement's renames.

    Changes nothing on disk: a reader may come while a writer is at work.
    """
    _, previous = _beside(target)
    return previous if previous.exists() and not target.exists() else target


def _system_error(error: BaseException) -> int | None:
    """Return the operating system's number of an error, 0 if it has none; None for other errors.

    safetensors tells it in words: "I/O error: No space left on device (os error 28)".
    """
    if isinstance(error, SafetensorError):
        number = re.search(r"\(os error (\d+)\)", str(error))
        return None if number is None else int(number[1])
    if isinstance(error, OSError) and not isinstance(error, HyenaGLTError):
        return error.errno or 0
    return None


def _beside(target: Path) -> tuple[Path, Path]:
    whole = Path(os.path.abspath(target))  # "." and ".." have no name of their own
    return whole.parent / f".{whole.name}.partial", whole.parent / f".{whole.name}.previous"
