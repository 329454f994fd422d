"""FASTA, read and written a record at a time."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pysam

from hyena_glt.errors import SequenceFileError
from hyena_glt.io.atomic import replacing_file
from hyena_glt.io.container import Container, container_of, read_lines
from hyena_glt.io.record import Record, checked_records, first_wrong_character


def read_fasta(path: str | os.PathLike[str]) -> Iterator[Record]:
    """The records of a plain, gzip or bgzip FASTA file, one at a time, letters as they stand.

    Case (soft-masking) and IUPAC codes are kept; Windows line ends and blank lines are passed over.
    `>chr1 first` over `ACgt` over `NN` gives `Record("chr1", "first", "ACgtNN")`.

    Raises SequenceFileError: at once if the file is missing, a folder, empty or cut-off bgzip; at
    the record where it happens if it is no text, starts without `>`, is cut off, or a record has
    no name, no sequence, an earlier record's name, or a character that no sequence has.
    """
    path = Path(path)
    return _records(path, container_of(path))


def write_fasta(
    path: str | os.PathLike[str],
    records: Iterable[Record],
    line_width_bp: int = 60,
    names_differ: bool = False,
) -> None:
    """Write records as FASTA, in bgzip if the name ends in `.gz`, whole or not at all.

    Records are taken one at a time. Their names are remembered, for none may come twice; a caller
    who knows that with `names_differ` writes any number of records in constant memory.

    Raises SequenceError at a record that `read_fasta` couldn't give back unchanged, and
    StorageError if the file can't be written.
    """
    if line_width_bp < 1:
        raise ValueError(f"line_width_bp is {line_width_bp}, expected at least 1")
    with replacing_file(path) as aside:
        compressed = os.fspath(path).endswith(".gz")
        with pysam.BGZFile(str(aside), "wb", None) if compressed else aside.open("wb") as file:
            for record in checked_records(records, names_differ):
                file.write(_text(record, line_width_bp))


def record_lengths_bp(path: str | os.PathLike[str]) -> Iterator[tuple[str, int]]:
    """Each record's name and length, with the checks of `read_fasta`; a line in memory at once."""
    path = Path(path)
    for (_, name, _), _, length_bp in _scan(path, container_of(path), keep=False):
        yield name, length_bp


def _records(path: Path, container: Container) -> Iterator[Record]:
    for (_, name, description), sequence, _ in _scan(path, container, keep=True):
        yield Record(name, description, sequence.decode("ascii"))


def _scan(
    path: Path, container: Container, keep: bool
) -> Iterator[tuple[tuple[int, str, str], bytearray, int]]:
    """Each record's header (line, name, description), its letters if they are kept, its length."""
    seen: set[str] = set()
    header: tuple[int, str, str] | None = None
    sequence, length_bp = bytearray(), 0
    for number, line in read_lines(path, container):
        if line.startswith(b">"):
            if header is not None:
                yield _whole(path, header, sequence, length_bp)
            header = (number, *_parse_header(path, number, line))
            if header[1] in seen:
                raise SequenceFileError(
                    f"{path}: line {number}: found a second record named {header[1]!r}; "
                    "rename one of them"
                )
            seen.add(header[1])
            sequence, length_bp = bytearray(), 0
        elif header is None and line:
            raise _no_header(path, number, line)
        else:
            wrong = first_wrong_character(line)
            if header is not None and wrong is not None:
                raise _wrong_character(path, number, header[1], line, wrong)
            length_bp += len(line)
            if keep:
                sequence += line
    if header is None:
        raise SequenceFileError(f"{path}: found no record in it; make or fetch it again")
    yield _whole(path, header, sequence, length_bp)


def _whole(
    path: Path, header: tuple[int, str, str], sequence: bytearray, length_bp: int
) -> tuple[tuple[int, str, str], bytearray, int]:
    number, name, _ = header
    if not length_bp:
        raise SequenceFileError(
            f"{path}: line {number}: found no sequence under record {name!r}; remove the record, "
            "or fetch the file again if it was cut off"
        )
    return header, sequence, length_bp


def _parse_header(path: Path, number: int, line: bytes) -> tuple[str, str]:
    if not line.isascii() or not line.replace(b"\t", b" ").decode("ascii").isprintable():
        raise SequenceFileError(
            f"{path}: line {number}: found a header that is not printable ASCII: {line[:60]!r}; "
            "check that the file is text, with line ends of Unix or Windows, and clean the header"
        )
    words = line[1:].decode("ascii").split(maxsplit=1)
    if not words or line[1:2].isspace():
        raise SequenceFileError(
            f"{path}: line {number}: found a header without a name, expected one right after '>'; "
            "name the record"
        )
    return words[0], words[1] if len(words) == 2 else ""


def _no_header(path: Path, number: int, line: bytes) -> SequenceFileError:
    if not line.isascii() or b"\0" in line:
        remedy = "this is no text; give a FASTA file, plain, gzip or bgzip"
    elif line.startswith(b"@"):
        remedy = "this looks like FASTQ; convert it to FASTA"
    else:
        remedy = "give a FASTA file, or add a header line"
    return SequenceFileError(
        f"{path}: line {number}: found {line[:20]!r}, expected a header that starts with '>'; "
        f"{remedy}"
    )


def _wrong_character(
    path: Path, number: int, name: str, line: bytes, wrong: int
) -> SequenceFileError:
    binary = line[wrong] == 0 or line[wrong] > 126
    remedy = "this is no text, or damaged; fetch the file again" if binary else "remove it"
    return SequenceFileError(
        f"{path}: line {number}, record {name!r}: found {chr(line[wrong])!r} at column "
        f"{wrong + 1}, expected letters, '-', '*' or '.'; {remedy}"
    )


def _text(record: Record, line_width_bp: int) -> bytes:
    header = f">{record.name} {record.description}".rstrip()
    sequence = record.sequence
    lines = (
        sequence[start : start + line_width_bp] for start in range(0, len(sequence), line_width_bp)
    )
    return "\n".join((header, *lines, "")).encode("ascii")
