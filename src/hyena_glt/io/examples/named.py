"""Records of FASTA and FASTQ for labels that don't go by names, which may be missing or repeat."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hyena_glt.errors import SequenceFileError
from hyena_glt.io.container import container_of, read_lines
from hyena_glt.io.fastq import read_fastq
from hyena_glt.io.record import Record, first_wrong_character

_SHOWN = 40  # characters of a header in a message


class _Header(NamedTuple):
    line: int
    name: str
    description: str


class NamedRecords:
    """The records of a file, its FASTA names made to differ.

    A header `>` alone is called `row5`, say, by its place among the records, from 1; a name that an
    earlier record has gets its place added: `phoP.row12`. `notes` says how many, once all are read.
    A header's name may stand behind white space. Reads of FASTQ keep their names, as mates share
    one.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container = container_of(path)

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        """Names that differ, and the records as the file has them.

        Raises SequenceFileError at the line that is wrong.
        """
        lines = read_lines(self._path, self._container)
        if next((line for _, line in lines if line), b"").startswith(b"@"):
            for read in read_fastq(self._path):
                yield read.name, Record(read.name, read.description, read.sequence)
            return
        self.notes = ()
        seen: set[str] = set()
        unnamed, repeated, first = 0, 0, ""
        for row, (header, letters) in enumerate(self._fasta(), start=1):
            name = header.name
            if not name:
                unnamed += 1
                name = f"row{row}"
            elif name in seen:
                repeated += 1
                name = f"{name}.row{row}"
                first = first or name
            while name in seen:
                name = f"{name}.row{row}"
            seen.add(name)
            yield name, Record(header.name, header.description, letters.decode("ascii"))
        self.notes = self._said(unnamed, repeated, first)

    def _said(self, unnamed: int, repeated: int, first: str) -> tuple[str, ...]:
        notes = []
        if unnamed:
            notes.append(
                f"{self._path}: {unnamed:,} records have no name and are called by their place: "
                "row1 is the first record"
            )
        if repeated:
            notes.append(
                f"{self._path}: {repeated:,} records have the name of an earlier one, and their "
                f"place added to it: {first}"
            )
        return tuple(notes)

    def _fasta(self) -> Iterator[tuple[_Header, bytearray]]:
        """Each record's header and letters."""
        header: _Header | None = None
        letters = bytearray()
        for number, line in read_lines(self._path, self._container):
            if line.startswith(b">"):
                if header is not None:
                    yield header, self._whole(header, letters)
                header, letters = self._header(number, line), bytearray()
                continue
            wrong = first_wrong_character(line)
            if (header is None and line) or wrong is not None:
                found = line[:20] if header is None or wrong is None else line[wrong : wrong + 1]
                expected = (
                    "a header that starts with '>'" if header is None else "letters, '-', '*', '.'"
                )
                raise self._wrong(
                    number, f"found {found!r}, expected {expected}; correct it, or fetch it again"
                )
            letters += line
        if header is None:
            raise SequenceFileError(f"{self._path}: found no record in it; make or fetch it again")
        yield header, self._whole(header, letters)

    def _header(self, number: int, line: bytes) -> _Header:
        if not line.isascii() or not line.replace(b"\t", b" ").decode("ascii").isprintable():
            raise self._wrong(
                number,
                f"found a header that is not printable ASCII: {line[:_SHOWN]!r}; check that the "
                "file is text, and clean the header",
            )
        name, _, description = line[1:].decode("ascii").replace("\t", " ").strip().partition(" ")
        return _Header(number, name, description.strip())

    def _whole(self, header: _Header, letters: bytearray) -> bytearray:
        if not letters:
            raise self._wrong(
                header.line,
                f"found no sequence under the header {header.name[:_SHOWN]!r}; remove it, or fetch "
                "the file again if it was cut off",
            )
        return letters

    def _wrong(self, number: int, problem: str) -> SequenceFileError:
        return SequenceFileError(f"{self._path}: line {number}: {problem}")
