"""VCF, read a line at a time and kept as text, so that nothing of a record is lost.

Bytes that are no UTF-8 are kept too (as surrogates), and a Windows line keeps its `\\r`.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from hyena_glt.errors import SequenceFileError
from hyena_glt.io.container import Container, container_of, read_whole_lines

FIXED_COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")

_LETTERS = "[ACGTUNRYSWKMBDHVacgtunryswkmbdhv]+"
_REF = re.compile(_LETTERS)
# A breakend: letters and a place in brackets, in either order; `<ctg>:1` is a place in an insert.
_PLACE = r"(?:\[[^\[\],\s]+:\d+\[|\][^\[\],\s]+:\d+\])"
_SYMBOLIC = re.compile(
    rf"<[^<>,\s]+>|{_LETTERS}{_PLACE}|{_PLACE}{_LETTERS}|\.{_LETTERS}|{_LETTERS}\."
)


@dataclass(frozen=True, slots=True)
class Variant:
    """One site: what stands in the genome at `[start, end)` and what may stand there instead.

    The VCF columns `chr1 5 rs1 A C,G` are `Variant("chr1", 4, "A", ("C", "G"), "rs1")`. Alleles
    are as written: either case, IUPAC codes, `*`, `<DEL>` and breakends too. A VCF's position 0,
    the telomere, is `start=-1`.
    """

    contig: str
    start: int  # 0-based
    ref: str
    alts: tuple[str, ...]  # () where ALT is "."
    name: str = "."  # the ID column

    @property
    def end(self) -> int:
        """The position after the last letter of `ref`."""
        return self.start + len(self.ref)


@dataclass(frozen=True, slots=True)
class VcfRecord:
    """A variant and the line it stood on, without the line feed."""

    variant: Variant
    line: int  # in the file, from 1
    text: str


def is_symbolic(alt: str) -> bool:
    """Whether an ALT entry names a change without its letters: `<DEL>`, a breakend, `A.`, `.A`.

    False for letters, and for `*` (an overlapping deletion) and `.` (no alternative).
    """
    return _SYMBOLIC.fullmatch(alt) is not None


def check_alleles(ref: str, alts: tuple[str, ...]) -> None:
    """Raise ValueError with the problem where `ref` or one of `alts` is none that VCF has."""
    if not _REF.fullmatch(ref):
        raise ValueError(f"found the REF {ref[:40]!r}, expected letters of DNA (IUPAC codes, N)")
    for entry in alts:
        if entry not in ("*", ".") and not _REF.fullmatch(entry) and not is_symbolic(entry):
            raise ValueError(
                f"found the ALT {entry[:40]!r}, expected letters of DNA, '*', '.', a name in <>, "
                "or a breakend"
            )


class VcfReader:
    """The records of a plain, gzip or bgzip VCF file, one at a time, in constant memory.

    Iterating starts at the first record each time. A file with a header alone has no records.

    Raises SequenceFileError: at once if the file is missing, a folder, empty, cut-off bgzip, BCF,
    or its header isn't that of a VCF; at the line where it happens if a record has another number
    of columns than the header, a position that is no whole number, or alleles that VCF doesn't
    have; at the end if the compressed data are cut off.
    """

    header: tuple[str, ...]  # the lines that start with ##, then #CHROM, as they stood

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._container: Container = container_of(self.path)
        self.header = _header(self.path, self._container)

    def __iter__(self) -> Iterator[VcfRecord]:
        columns = self.header[-1].count("\t") + 1
        for number, line in read_whole_lines(self.path, self._container):
            if number <= len(self.header) or not line.strip():
                continue
            text = line.decode("utf-8", "surrogateescape")
            try:
                variant = _variant(text, columns)
            except ValueError as problem:
                raise SequenceFileError(f"{self.path}: line {number}: {problem}") from None
            yield VcfRecord(variant, number, text)

    def __enter__(self) -> "VcfReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to close: each iteration opens the file for itself, and closes it."""


def _header(path: Path, container: Container) -> tuple[str, ...]:
    header: list[str] = []
    for number, line in read_whole_lines(path, container):
        text = line.decode("utf-8", "surrogateescape")
        if number == 1:
            _check_first_line(path, line)
        if not text.startswith("##"):
            _check_columns(path, number, text)
            return (*header, text)
        header.append(text)
    raise SequenceFileError(
        f"{path}: found {len(header)} header lines and no line #CHROM after them; the file is cut "
        "off: fetch it again"
    )


def _check_first_line(path: Path, line: bytes) -> None:
    if line.startswith(b"BCF"):
        raise SequenceFileError(
            f"{path}: found a BCF file, expected VCF; run: bcftools view -Oz -o "
            f"{path.stem}.vcf.gz {path}"
        )
    if not line.startswith(b"##fileformat=VCF"):
        raise SequenceFileError(
            f"{path}: line 1: found {line[:40]!r}, expected ##fileformat=VCFv4.x; give a VCF file "
            "with its header"
        )


def _check_columns(path: Path, number: int, text: str) -> None:
    names = tuple(text.rstrip("\r").split("\t"))
    if names[0] != "#CHROM":
        raise SequenceFileError(
            f"{path}: line {number}: found {text[:40]!r}, expected ## or the line #CHROM before "
            "the first record; give the VCF file its header again"
        )
    if names[:8] != FIXED_COLUMNS or len(names) == 9 or names[8:9] not in ((), ("FORMAT",)):
        raise SequenceFileError(
            f"{path}: line {number}: found the columns {' '.join(names[:9])}, expected "
            f"{' '.join(FIXED_COLUMNS)}, then nothing or FORMAT and samples, with tabs between; "
            "correct the line"
        )


def _variant(text: str, columns: int) -> Variant:
    """The variant on a line of so many columns; ValueError with the problem if there is none."""
    if text.startswith("#"):
        raise ValueError(
            f"found {text[:40]!r} after the header; join VCF files with bcftools concat, not cat"
        )
    found = text.count("\t") + 1
    if found != columns:
        raise ValueError(
            f"found {found} tab-separated columns, expected the {columns} of the line #CHROM"
        )
    contig, position, name, ref, alt = text.split("\t", 5)[:5]
    if not contig:
        raise ValueError("found an empty CHROM, expected the name of a contig")
    if not (position.isascii() and position.isdigit() and len(position) < 11):
        raise ValueError(f"found the POS {position!r}, expected a whole number from 0")
    alts = () if alt == "." else tuple(alt.split(","))
    check_alleles(ref, alts)
    return Variant(contig, int(position) - 1, ref, alts, name)
