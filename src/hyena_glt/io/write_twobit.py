"""Packing records into a UCSC 2bit file."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from hyena_glt.errors import SequenceError
from hyena_glt.io.atomic import replacing_file
from hyena_glt.io.record import Record, checked_records
from hyena_glt.io.twobit import BASES, SIGNATURE

_LIMIT_BYTES = 2**32
_NO_CODE = 255


def _codes() -> UInt8[np.ndarray, "256"]:
    """The two bits of each letter; N takes those of T, since its run says what it is."""
    codes = np.full(256, _NO_CODE, dtype=np.uint8)
    for letters in (BASES, BASES.lower()):
        codes[list(letters)] = 0, 1, 2, 3
    codes[list(b"Nn")] = 0
    return codes


_CODES = _codes()


def write_twobit(path: str | os.PathLike[str], records: Iterable[Record]) -> None:
    """Write records of A, C, G, T and N as a 2bit file, case kept, whole or not at all.

    Descriptions are left out, since the format has no place for them.

    Raises SequenceError at any other letter, with the record and the 0-based position, at a name
    that the format can't hold, and beyond the 4 GiB of version 0; StorageError if the file can't
    be written.
    """
    with replacing_file(path) as aside, tempfile.TemporaryFile(dir=aside.parent) as packed:
        starts: dict[str, int] = {}
        for record in checked_records(records):
            if len(record.name) > 255:
                raise SequenceError(
                    f"record {record.name!r}: found a name of {len(record.name)} letters, expected "
                    "at most 255 in a 2bit file; shorten it"
                )
            starts[record.name] = packed.tell()
            packed.write(_pack(record))
        index_bytes = 16 + sum(len(name) + 5 for name in starts)
        if index_bytes + packed.tell() > _LIMIT_BYTES:
            raise SequenceError(
                f"{path}: found {packed.tell()} bytes of packed records, expected at most 4 GiB in "
                "a 2bit file; split the records over several files"
            )
        packed.seek(0)
        with aside.open("wb") as file:
            _write_index(file, starts, index_bytes)
            shutil.copyfileobj(packed, file)


def _write_index(file: BinaryIO, starts: dict[str, int], index_bytes: int) -> None:
    file.write(_words([SIGNATURE, 0, len(starts), 0]))
    for name, start in starts.items():
        file.write(bytes([len(name)]) + name.encode("ascii") + _words([index_bytes + start]))


def _pack(record: Record) -> bytes:
    letters = np.frombuffer(record.sequence.encode("ascii"), dtype=np.uint8)
    codes = _CODES[letters]
    if codes.max() == _NO_CODE:
        position = int(np.argmax(codes))
        raise SequenceError(
            f"record {record.name!r}, position {position} (0-based): found "
            f"{record.sequence[position]!r}, expected A, C, G, T or N, which is all that 2bit "
            "holds; write it as N, or keep FASTA"
        )
    quads = np.pad(codes, (0, -codes.size % 4)).reshape(-1, 4)
    bases = quads[:, 0] << 6 | quads[:, 1] << 4 | quads[:, 2] << 2 | quads[:, 3]
    return b"".join(
        (
            _words([codes.size]),
            _runs((letters | 0x20) == ord("n")),
            _runs(letters >= ord("a")),
            _words([0]),
            bases.tobytes(),
        )
    )


def _runs(inside: Bool[np.ndarray, " L"]) -> bytes:
    """How many runs of True there are, where each starts, and how long each is."""
    edges = np.flatnonzero(np.diff(inside, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    return _words([starts.size]) + _words(starts) + _words(ends - starts)


def _words(numbers: list[int] | Integer[np.ndarray, " words"]) -> bytes:
    return np.asarray(numbers, dtype="<u4").tobytes()
