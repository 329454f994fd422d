"""Labelled sequences from the rows of a table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from hyena_glt.config.examples import (
    BasesLabelConfig,
    ClassLabelConfig,
    LabelConfig,
    MultiLabelConfig,
    Part,
    TableSourceConfig,
    ValuesLabelConfig,
)
from hyena_glt.errors import RecipeError, SequenceFileError
from hyena_glt.io.examples.cell import finite, is_missing
from hyena_glt.io.examples.example import BaseClasses, Example, Label, Schema, Target
from hyena_glt.io.examples.rows import PARTS, open_tables, shown

_MOST_SYMBOLS = 256  # that one byte a base can tell apart

_Row = Mapping[str, object]  # the cells by their columns
_Read = TypeVar("_Read")


class _Labels(NamedTuple):
    target: Target
    columns: tuple[str, ...]
    read: Callable[[str, _Row], Label]


class TableSource:
    """The rows of CSV, TSV, JSONL, Parquet or a folder that Hugging Face saved, as examples.

    Text is taken as it stands: neither cells nor names of columns are stripped. Blank lines of a
    text file are passed over. A row in memory at a time, or a few MB of rows of Parquet and Arrow.
    In a folder of splits their names say the part. Without a column of names the rows are ``row1``,
    ``row2`` and so on. With ``sequences=False`` the table labels sequences of another file: its
    examples have the sequence ``b""``, and a class for each base isn't checked against it.

    Raises SequenceFileError if the file can't be read as what its suffix says, has no row, or lacks
    a column, as soon as its format tells; while it is read at the first row that is wrong. Raises
    RecipeError for a column named twice in the label, and for ``split`` or ``part`` with a folder
    of splits.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, config: TableSourceConfig, *, sequences: bool = True) -> None:
        self._config = config
        self._labels = _labels(config.label)
        repeated = [c for c in self._labels.columns if self._labels.columns.count(c) > 1]
        if repeated:
            raise RecipeError(
                f"label.columns names {repeated[0]!r} more than once; remove one of them"
            )
        self._sequence = config.sequence if sequences else None
        named = (config.alternative, config.name, config.split, config.group, config.contig)
        columns = (*self._labels.columns, self._sequence, *named)
        self._columns = tuple(dict.fromkeys(name for name in columns if name is not None))
        self._tables = open_tables(Path(config.path))
        if self._tables[0][0] is not None and (config.split or config.part):
            setting = "split" if config.split else "part"
            raise RecipeError(
                f"{config.path}: {setting} has no effect, as the folder's splits say the part; "
                "remove it, or give the folder of one split"
            )
        for _, table in self._tables:
            table.rows(self._columns)
        self.schema = Schema(
            target=self._labels.target,
            names=self._labels.columns if self._labels.target == "values" else (),
            pairs=config.alternative is not None,
        )

    def __iter__(self) -> Iterator[Example]:
        """Return the examples in the order of the rows, splits in that of the folder's list."""
        numbers = count(1)
        for part, table in self._tables:
            for where, cells in table.rows(self._columns):
                row = dict(zip(self._columns, cells, strict=True))
                yield self._example(next(numbers), where, row, part or self._config.part)

    def _example(self, number: int, where: str, row: _Row, part: Part | None) -> Example:
        config = self._config
        example = Example(
            name=_named(_text, where, row, config.name) or f"row{number}",
            sequence=_named(_letters, where, row, self._sequence) or b"",
            label=self._labels.read(where, row),
            where=where,
            part=_named(_part, where, row, config.split) or part,
            group=_named(_text, where, row, config.group),
            contig=_named(_text, where, row, config.contig),
            alternative=_named(_letters, where, row, config.alternative),
        )
        if self._sequence is not None:
            check_length(example)
        return example


def check_length(example: Example) -> None:
    """Pass over an example whose label isn't of each base, or is one as long as the sequence.

    Raises SequenceFileError, with both lengths, at another.
    """
    if not isinstance(example.label, BaseClasses):
        return
    classes, bases = len(example.label.codes), len(example.sequence)
    if classes != bases:
        raise SequenceFileError(
            f"{example.where}: found {classes} symbols as classes of {bases} bases, expected one a "
            "base; correct the row, or remove it"
        )


def _named(
    read: Callable[[str, str, object], _Read], where: str, row: _Row, column: str | None
) -> _Read | None:
    return None if column is None else read(where, column, row[column])


def _letters(where: str, column: str, cell: object) -> bytes:
    if not isinstance(cell, str):
        raise _wrong(where, column, cell, "a sequence", "fill it, or remove the row")
    if not cell:
        raise SequenceFileError(
            f"{where}: found an empty sequence in column {column!r}; fill it, or remove the row"
        )
    if not cell.isascii() or not cell.isprintable() or " " in cell:
        at, wrong = next(
            (at, letter)
            for at, letter in enumerate(cell)
            if not letter.isascii() or not letter.isprintable() or letter == " "
        )
        raise SequenceFileError(
            f"{where}: found {wrong!r} at position {at} (0-based) of the sequence in column "
            f"{column!r}, expected letters alone; remove it"
        )
    return cell.encode("ascii")


def _text(where: str, column: str, cell: object) -> str:
    if is_missing(cell):
        raise SequenceFileError(
            f"{where}: found nothing in column {column!r}; fill it, or remove the row"
        )
    if not isinstance(cell, str | int | float):
        raise _wrong(where, column, cell, "text or a number", "name another column")
    return str(cell)


def _part(where: str, column: str, cell: object) -> Part:
    part = PARTS.get(cell.lower()) if isinstance(cell, str) else None
    if part is None:
        raise _wrong(where, column, cell, ", ".join(PARTS), "rename it")
    return part


def _labels(config: LabelConfig) -> _Labels:
    """What the label is made of, and how."""
    if isinstance(config, ClassLabelConfig):
        column = config.column
        return _Labels("class", (column,), lambda where, row: _text(where, column, row[column]))
    if isinstance(config, BasesLabelConfig):
        column = config.column
        return _Labels("bases", (column,), lambda where, row: _bases(where, column, row[column]))
    if isinstance(config, ValuesLabelConfig):
        columns = config.columns
        return _Labels("values", columns, partial(_numbers, columns))
    if not isinstance(config, MultiLabelConfig):
        return _Labels("none", (), lambda where, row: None)
    if config.columns is not None:
        return _Labels("multilabel", config.columns, partial(_flags, config.columns))
    assert config.column is not None, "the config has one of column and columns"
    column = config.column
    return _Labels("multilabel", (column,), partial(_classes, column, config.separator))


def _classes(column: str, separator: str, where: str, row: _Row) -> tuple[str, ...]:
    """The classes in text with separators, or in a list of JSON or Arrow; sorted, each once."""
    cell = row[column]
    if isinstance(cell, str):
        names = cell.split(separator) if cell else []
    elif isinstance(cell, list):
        names = [_text(where, column, name) for name in cell]
    else:
        raise _wrong(
            where, column, cell, f"names with {separator!r} between", "empty text is of no class"
        )
    for name in names:
        if not name or name != name.strip():
            raise _wrong(
                where,
                column,
                cell,
                f"names with {separator!r} between and no white space around them",
                "correct it, or the separator",
            )
    return tuple(sorted(set(names)))


def _flags(columns: Sequence[str], where: str, row: _Row) -> tuple[str, ...]:
    """The columns that hold 1; the others hold 0."""
    for column in columns:
        if row[column] not in ("0", "1", 0, 1):
            raise _wrong(where, column, row[column], "0 or 1", "correct it")
    return tuple(sorted(column for column in columns if row[column] in ("1", 1)))


def _numbers(columns: Sequence[str], where: str, row: _Row) -> np.ndarray:
    return np.array([_number(where, column, row[column]) for column in columns], np.float32)


def _number(where: str, column: str, cell: object) -> float:
    number = finite(cell)
    if number is None:
        raise _wrong(where, column, cell, "a number that float32 holds", "correct it")
    return number


def _bases(where: str, column: str, cell: object) -> BaseClasses:
    if not isinstance(cell, str):
        raise _wrong(where, column, cell, "text of one symbol a base", "fill it, or remove the row")
    symbols = sorted(set(cell))
    if len(symbols) > _MOST_SYMBOLS:
        raise SequenceFileError(
            f"{where}: found {len(symbols)} different symbols in column {column!r}, expected at "
            f"most {_MOST_SYMBOLS} classes; name another column"
        )
    codes = cell.translate({ord(symbol): code for code, symbol in enumerate(symbols)})
    return BaseClasses(codes.encode("latin-1"), tuple(symbols))


def _wrong(where: str, column: str, cell: object, expected: str, remedy: str) -> SequenceFileError:
    return SequenceFileError(
        f"{where}: found {shown(cell)} in column {column!r}, expected {expected}; {remedy}"
    )
