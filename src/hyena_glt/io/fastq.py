"""FASTQ, read a record at a time, qualities and all."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hyena_glt.errors import SequenceFileError
from hyena_glt.io.container import container_of, read_lines
from hyena_glt.io.record import first_wrong_character

_LINES = ("header", "sequence", "'+' line", "qualities")


@dataclass(frozen=True, slots=True)
class Read:
    """One record of a FASTQ file: `@r1 first` over `ACgt`, `+` and `II5!`.

    It is `Read("r1", "first", "ACgt", "II5!")`: qualities are as written, a character a base.
    """

    name: str
    description: str
    sequence: str
    qualities: str


def read_fastq(path: str | os.PathLike[str]) -> Iterator[Read]:
    """The records of a plain, gzip or bgzip FASTQ file of four lines a record, one at a time.

    Case and IUPAC codes are kept; Windows line ends are passed over, and blank lines between
    records. Names may repeat, as those of mates do.

    Raises SequenceFileError: at once if the file is missing, a folder, empty or cut-off bgzip; at
    the record where it happens if a header doesn't start with `@` and a name, the `+` line is
    missing or repeats another header, sequence or qualities are empty, of unequal length or hold a
    character that they can't, or the file is cut off; at the end if there was no record.
    """
    path = Path(path)
    return _reads(path, read_lines(path, container_of(path)))


def _reads(path: Path, lines: Iterator[tuple[int, bytes]]) -> Iterator[Read]:
    record: list[bytes] = []
    found, number = False, 0
    for number, line in lines:
        if not line and not record:
            continue
        record.append(line)
        if len(record) < len(_LINES):
            continue
        try:
            read = _read(record)
        except ValueError as problem:
            first = number - len(_LINES) + 1
            raise SequenceFileError(f"{path}: lines {first}-{number}: {problem}") from None
        found, record = True, []
        yield read
    if record:
        raise SequenceFileError(
            f"{path}: line {number}: found the end of the file before the {_LINES[len(record)]} of "
            "the last record, so it was cut off; fetch it again"
        )
    if not found:
        raise SequenceFileError(f"{path}: found no record in it; make or fetch it again")


def _read(record: list[bytes]) -> Read:
    """The record on four lines; ValueError with the problem if they hold none."""
    header, sequence, plus, qualities = record
    if not header.startswith(b"@") or header[1:2].isspace() or len(header) < 2:
        raise ValueError(f"found {header[:40]!r}, expected a header: '@' and a name")
    if not header.isascii() or not header.replace(b"\t", b" ").decode("ascii").isprintable():
        raise ValueError(f"found a header that is not printable ASCII: {header[:40]!r}")
    if not plus.startswith(b"+"):
        raise ValueError(
            f"found {plus[:40]!r} as its third line, expected '+'; give a FASTQ file of four lines "
            "a record"
        )
    if plus[1:] not in (b"", header[1:]):
        raise ValueError(f"found {plus[:40]!r} under {header[:40]!r}, expected the same name")
    if not sequence:
        raise ValueError("found no sequence in it; filter out empty reads")
    wrong = first_wrong_character(sequence)
    if wrong is not None:
        raise ValueError(f"found {chr(sequence[wrong])!r} at column {wrong + 1} of its sequence")
    if len(sequence) != len(qualities):
        raise ValueError(
            f"found {len(sequence)} bases and {len(qualities)} qualities, expected as many; "
            "the file is damaged: fetch it again"
        )
    if not qualities.isascii() or not qualities.decode("ascii").isprintable() or b" " in qualities:
        raise ValueError("found a quality that is no character from '!' to '~'")
    name, _, description = header[1:].decode("ascii").replace("\t", " ").partition(" ")
    return Read(name, description.strip(), sequence.decode("ascii"), qualities.decode("ascii"))
