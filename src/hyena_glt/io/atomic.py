"""Writing a file so that a reader sees the old one or the new one, never half of one."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyena_glt.errors import HyenaGLTError, StorageError

_REMEDIES = {
    errno.ENOSPC: "free some space there, or choose another place",
    errno.EDQUOT: "free some of your quota there, or choose another place",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
    errno.ENOENT: "make the folder first (mkdir -p)",
    errno.ENOTDIR: "make the folder first (mkdir -p)",
    errno.EISDIR: "give the name of a file",
}


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside `path`, with the same suffix, that takes its place at the end.

    On success it is flushed to disk and renamed over `path`; on any exception it is removed and
    `path` is as it was. Where `path` is a symbolic link, the file it points to is replaced.

    Raises StorageError if the file can't be written: disk full, no permission, no such folder, or
    `path` is a folder, a pipe, a device or a socket.
    """
    target = Path(os.path.realpath(path))
    aside = target.with_name(f".{secrets.token_hex(8)}.part{target.suffix}")
    try:
        _check_replaceable(path)
        # Made here, not by the caller, so that a folder we can't write to fails before any work.
        os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield aside
        _fsync(aside)
        os.replace(aside, target)
        fsync_path(target.parent)
    except HyenaGLTError:
        raise
    except OSError as error:
        if _concerns_another_file(error, target, aside):
            raise
        raise _storage_error(Path(path), error) from error
    finally:
        _remove(aside)


def check_output(out: str | os.PathLike[str], *inputs: str | os.PathLike[str] | None) -> None:
    """Raise StorageError where `out` can't be a new file, or is one of the files that are read.

    It is a folder, a pipe, a device or a socket, or its folder isn't there. For a command to call
    before its work; `replacing_file` finds all else. An input needn't be there yet.
    """
    folder = Path(out).absolute().parent
    if not folder.is_dir():
        raise _storage_error(Path(out), OSError(errno.ENOENT, os.strerror(errno.ENOENT)))
    for path in inputs:
        if path is None:
            continue
        both_exist = os.path.exists(path) and os.path.exists(out)
        is_same = os.path.realpath(path) == os.path.realpath(out)
        if is_same or (both_exist and os.path.samefile(path, out)):
            raise StorageError(f"{out}: is an input of this command; choose another output")
    _check_replaceable(out)


def fsync_path(path: str | os.PathLike[str]) -> None:
    """Flush a file, or a folder's list of names, to disk, so that it survives a power cut.

    Raises StorageError if it isn't there or can't be flushed.
    """
    try:
        _fsync(Path(path))
    except OSError as error:
        # Some network and FUSE file systems can't flush a folder, and keep names in order anyway.
        if error.errno != errno.EINVAL:
            raise _storage_error(Path(path), error) from error


def _check_replaceable(path: str | os.PathLike[str]) -> None:
    if os.path.isdir(path):
        raise _storage_error(Path(path), OSError(errno.EISDIR, os.strerror(errno.EISDIR)))
    # Not its real path: that of a standard stream's pipe names nothing.
    if os.path.exists(path) and not os.path.isfile(path):
        raise StorageError(
            f"{path}: is no regular file (a pipe, a device or a socket), which a rename would "
            "destroy; give the name of a file"
        )


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(aside: Path) -> None:
    try:
        aside.unlink(missing_ok=True)
    except OSError:
        # Reached only when the folder is out of reach, which the exception under way says better.
        return


def _concerns_another_file(error: OSError, target: Path, aside: Path) -> bool:
    """Whether the body failed at a file it reads, which is no fault of the place it writes to."""
    return isinstance(error.filename, str | os.PathLike) and Path(error.filename) not in (
        target,
        aside,
        target.parent,
    )


def _storage_error(path: Path, error: OSError) -> StorageError:
    cause = os.strerror(error.errno) if error.errno else str(error)
    remedy = _REMEDIES.get(error.errno or 0, "choose another place")
    return StorageError(f"{path}: can't be written ({cause}); {remedy}")
