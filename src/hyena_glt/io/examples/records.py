"""Labelled sequences from the records of FASTA or FASTQ."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from hyena_glt.config.examples import RecordsSourceConfig, TableSourceConfig
from hyena_glt.errors import RecipeError, SequenceFileError
from hyena_glt.io.examples.example import Example, Schema
from hyena_glt.io.examples.named import NamedRecords
from hyena_glt.io.examples.table import TableSource, check_length
from hyena_glt.io.record import Record
from hyena_glt.io.sequences import read_sequences


class RecordsSource:
    """The records of a FASTA or FASTQ file, whose first character says which, as examples.

    The label is one class for all records; or the first group of a pattern that is found in the
    header (the name, a space and the description); or that of the row with the record's name in a
    table. Such a table is held in memory, and its ``split``, ``group`` and ``contig`` go to the
    record too. Without a table names may be missing or repeat in FASTA: they are made to differ,
    as `NamedRecords` says, and `notes` counts them.

    Raises SequenceFileError if a file can't be read, now or while it is; at a record whose header
    doesn't match; and once all are read if records lack a row, or rows a record. Raises RecipeError
    for a pattern that is no regular expression with a group, and for settings without effect.
    """

    def __init__(self, config: RecordsSourceConfig) -> None:
        self._path = Path(config.path)
        self._part = config.part
        self._class: Callable[[Record, str], str | None] = lambda record, where: config.class_name
        self._rows: TableSource | None = None
        self.schema = Schema("none" if config.label == "none" else "class")
        if config.pattern is not None:
            self._class = _in_header(config.pattern)
        self._records = NamedRecords(self._path)
        if config.table is not None:
            _check_table(config, config.table)
            self._rows = TableSource(config.table, sequences=False)
            self.schema = self._rows.schema

    @property
    def notes(self) -> tuple[str, ...]:
        """How many records lack a name of their own, once all have been read."""
        return self._records.notes

    def __iter__(self) -> Iterator[Example]:
        """Return the examples in the order of the records."""
        return self._alone() if self._rows is None else self._with_rows(self._rows)

    def _alone(self) -> Iterator[Example]:
        for name, record in self._records:
            where = f"{self._path}: record {name!r}"
            sequence = record.sequence.encode("ascii")
            yield Example(name, sequence, self._class(record, where), where, self._part)

    def _with_rows(self, rows: TableSource) -> Iterator[Example]:
        labelled = _by_name(rows)
        unused = dict.fromkeys(labelled)
        without_row = 0
        first = ""
        for record in read_sequences(self._path):
            row = labelled.get(record.name)
            where = f"{self._path}: record {record.name!r}"
            if row is None:
                first = first or where
                without_row += 1
            elif record.name not in unused:
                raise SequenceFileError(
                    f"{where}: found a second record of this name, and one row labels one; "
                    "rename one of them"
                )
            else:
                del unused[record.name]
                example = row._replace(
                    sequence=record.sequence.encode("ascii"),
                    where=where,
                    part=row.part or self._part,
                )
                check_length(example)
                yield example
        if without_row:
            raise SequenceFileError(
                f"{first}: found no row of this name in the table of labels, and of {without_row} "
                "records in all; add the rows, or remove the records"
            )
        for name in unused:
            raise SequenceFileError(
                f"{labelled[name].where}: found the name {name!r}, which no record of {self._path} "
                f"has, and {len(unused)} such rows in all; remove them, or correct the names"
            )


def _by_name(rows: TableSource) -> dict[str, Example]:
    labelled: dict[str, Example] = {}
    for row in rows:
        earlier = labelled.setdefault(row.name, row)
        if earlier is not row:
            raise SequenceFileError(
                f"{row.where}: found a second row named {row.name!r}, the first is "
                f"{earlier.where}; remove one of them"
            )
    return labelled


def _in_header(pattern: str) -> Callable[[Record, str], str]:
    """What gives a record's class: the first group of the pattern, wherever the header has it."""
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise RecipeError(
            f"pattern={pattern!r} is no regular expression ({error}); correct it"
        ) from None
    if not compiled.groups:
        raise RecipeError(
            f"pattern={pattern!r} has no group; put parentheses around the part that is the class"
        )

    def class_of(record: Record, where: str) -> str:
        header = f"{record.name} {record.description}".strip()
        match = compiled.search(header)
        found = match and match[1]
        if not found:
            raise SequenceFileError(
                f"{where}: found the header {header[:80]!r}, where the first group of "
                f"{pattern!r} matches nothing; correct the pattern, or remove the record"
            )
        return found

    return class_of


def _check_table(config: RecordsSourceConfig, table: TableSourceConfig) -> None:
    if table.name is None:
        raise RecipeError("table.name is needed: the column with the names of records")
    if "sequence" in table.model_fields_set or table.alternative is not None:
        setting = "alternative" if table.alternative is not None else "sequence"
        raise RecipeError(
            f"table.{setting} has no effect, as sequences are those of the records; remove it"
        )
    if config.part is not None and (table.part is not None or table.split is not None):
        raise RecipeError("part and the table's both say which part a record is of; give one")
