"""Labelled intervals of a genome: BED and its kin, or a folder of one table for each class."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from hyena_glt.config.examples import IntervalsSourceConfig, Part
from hyena_glt.errors import SequenceFileError
from hyena_glt.io.bed import Interval, read_bed
from hyena_glt.io.container import container_of, read_lines
from hyena_glt.io.examples.cell import class_in, number_in
from hyena_glt.io.examples.example import Example, Label, Schema
from hyena_glt.io.examples.genome import known_contig, open_genome

_LETTERS = b"ACGTURYSWKMBDHVNacgturyswkmbdhvn"
_PAIRS = bytes.maketrans(_LETTERS, b"TGCAAYRSWMKVHDBNtgcaayrswmkvhdbn")

_PARTS: tuple[Literal["train", "test"], ...] = ("train", "test")
_SUFFIXES = (".csv", ".csv.gz")
_COLUMNS = ("region", "start", "end", "strand")
_LONGEST_NUMBER = 18  # digits, more than any position has


class _Row(NamedTuple):
    interval: Interval
    label: Label
    where: str
    part: Part | None


class _Table(NamedTuple):
    path: Path
    class_name: str
    part: Part


class IntervalsSource:
    """One example an interval, in the order of the file, read from the interval's strand.

    An example is named `contig:start-end(strand)`, 0-based and half-open, and `contig` is the
    genome's name for it. With `label=values` the schema names its number `column 5`, say.

    With `window_bp` the example is so many bases whose middle is the interval's, or lies half a
    base to its right on the plus strand where one of the two lengths is odd and the other even:
    around the base 10, 4 bases are 9 to 12. A peak that a narrowPeak file notes is not the middle.

    A minus strand is the reverse complement over all IUPAC codes, case kept. A pairs with T, or
    with U where the interval holds U and no T.

    A folder holds `train/` and `test/`, in each a `class.csv` or `class.csv.gz` for every class,
    with the columns region, start, end and strand; others are passed over. Their starts are
    0-based and their ends not included, as the publisher's own code reads them. Examples come in
    the order of parts, train first, then of classes by name.

    Raises SequenceFileError: at once if a file is missing or the folder isn't as above; at the
    line where it happens if an interval or its window isn't on the genome, its label isn't there
    or is no finite number, or its minus strand has a letter without a partner.
    """

    schema: Schema
    notes: tuple[str, ...] = ()

    def __init__(self, config: IntervalsSourceConfig) -> None:
        self._config = config
        self._path = Path(config.path)
        self._genome = open_genome(config.genome)
        self._tables: tuple[_Table, ...] = ()
        if config.label == "folder":
            self._tables = _tables(self._path)
        else:
            container_of(self._path)
        if config.label == "values":
            self.schema = Schema("values", (f"column {config.column}",))
        else:
            self.schema = Schema("none" if config.label == "none" else "class")

    def __iter__(self) -> Iterator[Example]:
        """The examples; raises SequenceFileError at the first that is wrong."""
        for row in self._rows():
            yield self._example(row)

    def _rows(self) -> Iterator[_Row]:
        for table in self._tables:
            for interval in _read_table(table.path):
                where = f"{table.path}: line {interval.line}"
                yield _Row(interval, table.class_name, where, table.part)
        if not self._tables:
            for interval, columns in _with_columns(self._path):
                where = f"{self._path}: line {interval.line}"
                yield _Row(interval, self._label(columns, where), where, self._config.part)

    def _label(self, columns: list[str], where: str) -> Label:
        number = self._config.column
        if number is None:
            return self._config.class_name
        if len(columns) < number:
            raise SequenceFileError(
                f"{where}: found {len(columns)} columns, expected the label in column {number}; "
                "add it, or set column to the one that holds it"
            )
        text = columns[number - 1]
        try:
            return number_in(text) if self._config.label == "values" else class_in(text)
        except ValueError as problem:
            raise SequenceFileError(
                f"{where}: column {number}: {problem}; correct or remove the line"
            ) from None

    def _example(self, row: _Row) -> Example:
        interval, where = row.interval, row.where
        contig = known_contig(self._genome, interval.contig, where)
        self._check(contig, interval.start, interval.end, "the interval", where)
        start, end = interval.start, interval.end
        if self._config.window_bp is not None:
            start -= (self._config.window_bp - interval.length_bp) // 2
            end = start + self._config.window_bp
            self._check(contig, start, end, f"a window of {end - start} bp,", where)
        letters = self._genome.fetch(contig, start, end).encode("ascii")
        name = f"{contig}:{start}-{end}({interval.strand})"
        if interval.strand == "-":
            try:
                letters = _reverse_complement(letters)
            except ValueError as problem:
                raise SequenceFileError(f"{where}: {name}: {problem}") from None
        return Example(name, letters, row.label, where, row.part, contig=contig)

    def _check(self, contig: str, start: int, end: int, what: str, where: str) -> None:
        length_bp = self._genome.length_bp(contig)
        if start < 0 or end > length_bp:
            raise SequenceFileError(
                f"{where}: found {what} {contig}:{start}-{end}, expected it inside the contig's "
                f"{length_bp} bp in {self._genome.path}; check the assembly, or remove the line"
            )


def _with_columns(path: Path) -> Iterator[tuple[Interval, list[str]]]:
    """Each interval of a BED file with all the columns of its line, however many."""
    lines = read_lines(path, container_of(path))
    for interval in read_bed(path):
        # The line has passed read_bed, so it is ASCII.
        text = next(line for number, line in lines if number == interval.line).decode("ascii")
        yield interval, text.split("\t") if "\t" in text else text.split()


def _reverse_complement(letters: bytes) -> bytes:
    """The other strand; ValueError with the problem at a letter that pairs with none."""
    wrong = letters.translate(None, _LETTERS)
    if wrong:
        raise ValueError(
            f"found {chr(wrong[0])!r} on a minus strand, expected letters of DNA or RNA (IUPAC "
            "codes), which have a complement; correct the genome, or remove the line"
        )
    other = letters[::-1].translate(_PAIRS)
    upper = letters.upper()
    if b"U" in upper and b"T" not in upper:
        other = other.replace(b"T", b"U").replace(b"t", b"u")
    return other


def _tables(folder: Path) -> tuple[_Table, ...]:
    """The tables of a folder in order; SequenceFileError if it isn't one of `train` and `test`."""
    expected = "expected train/ and test/ with a .csv or .csv.gz for each class"
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise SequenceFileError(f"{folder}: found {found}, {expected}; check the path")
    folders = {path.name for path in _entries(folder) if path.is_dir()}
    if folders != set(_PARTS):
        names = " ".join(sorted(folders)) or "none"
        raise SequenceFileError(
            f"{folder}: found the folders {names}, {expected}; move or rename them"
        )
    of_part = {part: _class_files(folder / part) for part in _PARTS}
    for part, other in (_PARTS, _PARTS[::-1]):
        missing = sorted(of_part[part].keys() - of_part[other].keys())
        if missing:
            raise SequenceFileError(
                f"{folder}: found the class {missing[0]!r} in {part}/ and not in {other}/, "
                "expected every class in both; add its table, or remove the other"
            )
    if not of_part["train"]:
        raise SequenceFileError(f"{folder}: found no table in train/ and test/, {expected}")
    return tuple(
        _Table(path, name, part) for part in _PARTS for name, path in sorted(of_part[part].items())
    )


def _class_files(folder: Path) -> dict[str, Path]:
    """The table of each class in a folder."""
    found: dict[str, Path] = {}
    for path in _entries(folder):
        suffix = next((suffix for suffix in _SUFFIXES if path.name.endswith(suffix)), None)
        name = path.name.removesuffix(suffix or "")
        if suffix is None or name in found:
            other = f" beside {found[name].name}" if name in found else ""
            raise SequenceFileError(
                f"{path}: found it{other}, expected one .csv or .csv.gz for each class and "
                "nothing else; move it elsewhere"
            )
        try:
            found[class_in(name)] = path
        except ValueError as problem:
            raise SequenceFileError(f"{str(path)!r}: {problem}; rename the file") from None
        container_of(path)
    return found


def _entries(folder: Path) -> list[Path]:
    """What a folder holds by name, without hidden files, which systems leave there."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _read_table(path: Path) -> Iterator[Interval]:
    """The intervals of a table; SequenceFileError at the line that is wrong, or if it has none."""
    lines = (line.decode("utf-8", "replace") for _, line in read_lines(path, container_of(path)))
    reader = csv.reader(lines, strict=True)
    places: list[int] = []
    header: list[str] = []
    found = False
    while True:
        try:
            cells = next(reader, None)
            if cells is None:
                break
            if not cells:
                continue
            if not header:
                header, places = cells, _places(cells)
                continue
            if len(cells) != len(header):
                raise ValueError(f"found {len(cells)} cells, expected the {len(header)} of line 1")
            interval = _interval([cells[place] for place in places], reader.line_num)
        except (ValueError, csv.Error) as problem:
            if isinstance(problem, SequenceFileError):
                raise
            raise SequenceFileError(f"{path}: line {reader.line_num}: {problem}") from None
        found = True
        yield interval
    if not found:
        raise SequenceFileError(f"{path}: found no interval in it; give a table with rows")


def _places(header: list[str]) -> list[int]:
    """Where `_COLUMNS` stand in the header; ValueError with the problem if one doesn't, once."""
    for column in _COLUMNS:
        if header.count(column) != 1:
            raise ValueError(
                f"found {header.count(column)} columns {column!r} among {','.join(header)[:80]!r}, "
                f"expected one each of {', '.join(_COLUMNS)}"
            )
    return [header.index(column) for column in _COLUMNS]


def _interval(cells: list[str], line: int) -> Interval:
    """The interval in the cells of `_COLUMNS`; ValueError with the problem if they hold none."""
    contig, *numbers, strand = cells
    for column, text in zip(("start", "end"), numbers, strict=True):
        if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
            raise ValueError(f"found the {column} {text[:40]!r}, expected a whole number from 0")
    start, end = map(int, numbers)
    if start >= end:
        raise ValueError(
            f"found start {start} and end {end}, expected start < end (0-based, end not included)"
        )
    if strand not in ("+", "-", "."):
        raise ValueError(f"found the strand {strand[:40]!r}, expected '+', '-' or '.'")
    return Interval(
        contig, start, end, f"{contig}:{start}-{end}", "-" if strand == "-" else "+", line
    )
