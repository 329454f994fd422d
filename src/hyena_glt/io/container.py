"""How a text file is packed: plain, gzip or bgzip. Told by its first bytes, never by its name."""

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from hyena_glt.errors import SequenceFileError

Container = Literal["plain", "gzip", "bgzip"]

_GZIP_MAGIC = b"\x1f\x8b"
_HAS_EXTRA_FIELD = 4
# The empty block that ends every bgzip file; without it the file was cut off.
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def container_of(path: Path) -> Container:
    """How the file is packed.

    Raises SequenceFileError if it is missing, a folder, unreadable, empty, or bgzip cut short.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise SequenceFileError(
                f"{path}: is a pipe or a device, expected a file, which is read more than once; "
                "write it to a file first"
            )
        with path.open("rb") as file:
            head = file.read(18)
            file.seek(max(0, os.fstat(file.fileno()).st_size - len(_BGZIP_END)))
            tail = file.read()
    except FileNotFoundError:
        raise SequenceFileError(
            f"{path}: found no such file; check the path, which is taken from {Path.cwd()}"
        ) from None
    except IsADirectoryError:
        raise SequenceFileError(
            f"{path}: found a folder, expected a file; name a file in it"
        ) from None
    except OSError as error:
        raise SequenceFileError(f"{path}: can't be read ({error.strerror})") from error
    if not head:
        raise SequenceFileError(f"{path}: found an empty file; make or fetch it again")
    if not head.startswith(_GZIP_MAGIC):
        return "plain"
    if len(head) < 18 or not head[3] & _HAS_EXTRA_FIELD or head[12:14] != b"BC":
        return "gzip"
    if tail != _BGZIP_END:
        raise SequenceFileError(
            f"{path}: found a bgzip file without its end block, so it was cut off; fetch it again"
        )
    return "bgzip"


def read_lines(path: Path, container: Container) -> Iterator[tuple[int, bytes]]:
    """Each line's number, from 1, and its bytes without the white space at its end.

    Raises SequenceFileError if the compressed data are cut off or damaged.
    """
    for number, line in read_whole_lines(path, container):
        yield number, line.rstrip()


def read_whole_lines(path: Path, container: Container) -> Iterator[tuple[int, bytes]]:
    """Each line's number, from 1, and all its bytes but the line feed: a Windows line keeps `\\r`.

    Raises SequenceFileError if the compressed data are cut off or damaged.
    """
    number = 0
    try:
        with path.open("rb") if container == "plain" else gzip.open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.removesuffix(b"\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SequenceFileError(
            f"{path}: found damaged or cut-off gzip data after line {number} ({error}); "
            "fetch the file again"
        ) from error
    except OSError as error:
        raise SequenceFileError(f"{path}: can't be read after line {number} ({error})") from error
