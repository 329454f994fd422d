"""Tables in any of their formats, as rows of cells: CSV, TSV, JSONL, Parquet, Hugging Face's."""

import json
from collections.abc import Collection, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol, TypeGuard, runtime_checkable

from hyena_glt.config.examples import Part
from hyena_glt.errors import SequenceFileError
from hyena_glt.io.container import Container, container_of, read_whole_lines

PARTS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}

# Where a row is, for messages, and its cells: text, or what JSON and Arrow have besides.
Row = tuple[str, tuple[object, ...]]

_BOM = b"\xef\xbb\xbf"
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
_SUFFIXES = ".csv, .tsv, .txt (with tabs) or .jsonl, each also with .gz, or .parquet"
_COLUMNS_NAMED = 20
_ARROW_END = b"\xff\xff\xff\xff\0\0\0\0"
_BATCH_BYTES = 1 << 22
_BATCH_ROWS = 1 << 12


@runtime_checkable
class Table(Protocol):
    """A table on disk, read anew by each call of ``rows``."""

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Return the cells of these columns, in their order, a row at a time.

        Raises SequenceFileError at once if there is no such column, where the format says that
        ahead of the rows; later at the row that is wrong, and at the end if there was none.
        """


def open_tables(path: Path) -> tuple[tuple[Part | None, Table], ...]:
    """Return the table that the suffix says, or those of the splits in a folder, with their parts.

    Raises SequenceFileError if there is no such file, it is empty or of another suffix, or a
    folder that Hugging Face's ``save_to_disk`` didn't write.
    """
    if path.is_dir():
        return _saved(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    suffix = (suffixes[:-1] if suffixes[-1:] in ([".gz"], [".bgz"]) else suffixes)[-1:]
    match suffix:
        case [(".csv" | ".tsv" | ".txt") as name]:
            return ((None, _Separated(path, _SEPARATORS[name])),)
        case [".jsonl"]:
            return ((None, _JsonLines(path)),)
        case [".parquet"]:
            return ((None, _Parquet(path)),)
    raise SequenceFileError(
        f"{path}: found the suffix {path.suffix!r}, expected {_SUFFIXES}, or a folder that "
        "Hugging Face datasets saved; rename or convert it"
    )


def shown(value: object) -> str:
    """Return a cell as a message shows it: written out, and not too much of it."""
    if value is None:
        return "null"
    text = repr(value[:60] if isinstance(value, str | bytes | list) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class _Separated:
    """CSV or TSV: a line of names, then a line a row.

    A cell that starts with ``"`` goes on to the next one that isn't doubled, over separators and
    line ends. The csv module isn't used: its limit on a cell's length is one for the process.
    """

    def __init__(self, path: Path, separator: str) -> None:
        self._path = path
        self._separator = separator
        self._container = container_of(path)

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        records = self._records()
        number, header = next(records, (1, []))
        if not header:
            raise SequenceFileError(f"{self._path}: found blank lines alone; fetch it again")
        _check_columns(self._path, header, columns)
        return self._rows(records, number, len(header), [header.index(name) for name in columns])

    def _rows(
        self, records: Iterator[tuple[int, list[str]]], number: int, width: int, chosen: list[int]
    ) -> Iterator[Row]:
        header, where = number, f"{self._path}: line "
        pick = itemgetter(*chosen)
        for number, cells in records:
            if len(cells) != width:
                raise SequenceFileError(
                    f"{where}{number}: found {len(cells)} cells, expected {width} as in the line "
                    "of names; put cells that hold the separator in double quotes"
                )
            picked = pick(cells)
            yield f"{where}{number}", picked if isinstance(picked, tuple) else (picked,)
        if number == header:
            raise SequenceFileError(f"{self._path}: found no row under the line of names")

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Return each record's first line and its cells; blank lines are passed over."""
        lines = _text_lines(self._path, self._container)
        for number, line in lines:
            if '"' in line:
                where = f"{self._path}: line {number}"
                yield number, _quoted_cells(where, line, self._separator, lines)
            elif line:
                yield number, line.split(self._separator)


class _JsonLines:
    """JSONL: an object a line, of the same keys or others as long as those asked for are there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container = container_of(path)

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        found = False
        for number, line in _text_lines(self._path, self._container):
            if not line.strip(" \t"):
                continue
            where = f"{self._path}: line {number}"
            cells = _json_object(where, line)
            try:
                yield where, tuple([cells[name] for name in columns])
            except KeyError:
                _check_columns(where, list(cells), columns)
            found = True
        if not found:
            raise SequenceFileError(f"{self._path}: found no row in it; make or fetch it again")


class _Parquet:
    """Parquet, of which only the columns asked for are read."""

    def __init__(self, path: Path) -> None:
        container_of(path)
        self._path = path

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self._path, pre_buffer=False, buffer_size=1 << 20) as file:
                _check_columns(self._path, file.schema_arrow.names, columns)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _damaged(self._path, "Parquet", error) from error
        return self._rows(columns)

    def _rows(self, columns: Sequence[str]) -> Iterator[Row]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number = 0
        try:
            with pq.ParquetFile(self._path, pre_buffer=False, buffer_size=1 << 20) as file:
                names = [*dict.fromkeys(columns)]
                for group in range(file.num_row_groups):
                    size = file.metadata.row_group(group)
                    rows = _rows_at_once(size.num_rows, size.total_byte_size)
                    for batch in file.iter_batches(rows, [group], names, use_threads=False):
                        for cells in _batch_rows(batch, columns):
                            number += 1
                            yield f"{self._path}: row {number}", cells
                if number != file.metadata.num_rows:
                    raise pa.ArrowInvalid(f"{file.metadata.num_rows} rows were written")
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _damaged(self._path, "Parquet", error, number) from error
        if not number:
            raise SequenceFileError(f"{self._path}: found no row in it; make or fetch it again")


class _SavedSplit:
    """A folder of Arrow streams that ``save_to_disk`` wrote; classes are given by their names."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = _data_files(path)
        self._class_names = _class_names(path)

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        for file in self._files:
            next(self._batches(file, columns), None)
        return self._rows(columns)

    def _rows(self, columns: Sequence[str]) -> Iterator[Row]:
        number = 0
        names = [self._class_names.get(column) for column in columns]
        for file in self._files:
            for cells in self._batches(file, columns):
                number += 1
                where = f"{self._path}: row {number}"
                if any(names):
                    cells = tuple(
                        _with_class_names(where, cell, its)
                        for cell, its in zip(cells, names, strict=True)
                    )
                yield where, cells
        if not number:
            raise SequenceFileError(f"{self._path}: found no row in it; make or fetch it again")

    def _batches(self, path: Path, columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
        import pyarrow as pa

        number = 0
        try:
            with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
                _check_columns(path, stream.schema.names, columns)
                for batch in stream:
                    chosen = batch.select([*dict.fromkeys(columns)])
                    for cells in _batch_rows(chosen, columns):
                        number += 1
                        yield cells
                if source.tell() != source.size():
                    raise pa.ArrowInvalid("an end mark before the end")
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _damaged(path, "an Arrow stream", error, number) from error


def _text_lines(path: Path, container: Container) -> Iterator[tuple[int, str]]:
    """Each line's number and text, without its line end or a byte order mark."""
    for number, line in read_whole_lines(path, container):
        line = line.removesuffix(b"\r")
        if number == 1:
            line = line.removeprefix(_BOM)
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise SequenceFileError(
                f"{path}: line {number}: found {line[error.start : error.end]!r} after "
                f"{error.start} bytes, expected UTF-8; save the file as that"
            ) from None
        if "\r" in text:
            raise SequenceFileError(
                f"{path}: line {number}: found a carriage return within the line, expected line "
                "ends of Unix or Windows; convert those of an old Mac, or remove it"
            )
        yield number, text


def _quoted_cells(
    where: str, line: str, separator: str, later: Iterator[tuple[int, str]]
) -> list[str]:
    """The cells of a record that starts with ``line`` and may go on in later ones."""
    cells, at = [], 0
    while True:
        if line.startswith('"', at):
            cell, line, at = _quoted_cell(where, line, at + 1, later)
            if at < len(line) and not line.startswith(separator, at):
                raise SequenceFileError(
                    f"{where}: found {shown(line[at:])} after a closing double quote, expected "
                    f"{separator!r} or the end of the line; double quotes that are part of a cell"
                )
        else:
            end = line.find(separator, at)
            end = len(line) if end < 0 else end
            cell, at = line[at:end], end
        cells.append(cell)
        if at == len(line):
            return cells
        at += 1


def _quoted_cell(
    where: str, line: str, at: int, later: Iterator[tuple[int, str]]
) -> tuple[str, str, int]:
    """The cell after an opening quote, the line on which it closes, and where it does."""
    pieces: list[str] = []
    while True:
        end = line.find('"', at)
        if end < 0:
            pieces += (line[at:], "\n")
            number, line = next(later, (0, ""))
            if not number:
                raise SequenceFileError(
                    f"{where}: found a double quote that opens a cell and no quote that closes it; "
                    "add it, or fetch the file again if it was cut off"
                )
            at = 0
        elif line.startswith('"', end + 1):
            pieces += (line[at:end], '"')
            at = end + 2
        else:
            return "".join((*pieces, line[at:end])), line, end + 1


def _json_object(where: str, line: str) -> dict[str, Any]:
    try:
        cells = json.loads(line, object_pairs_hook=_without_repeats)
        if "\\u" in line:
            # Half of a pair of escapes is no text, and couldn't be written anywhere later.
            json.dumps(cells, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        problem = "an escape that is half a character"
    except json.JSONDecodeError as error:
        problem = f"no JSON: {error.msg}, at column {error.colno}"
    except ValueError as error:
        problem = str(error)
    except RecursionError:
        problem = "lists or objects in one another, too deep"
    else:
        if isinstance(cells, dict):
            return cells
        problem = shown(cells)
    raise SequenceFileError(f"{where}: found {problem}, expected one JSON object on the line")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    cells = dict(pairs)
    if len(cells) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} twice")
    return cells


def _check_columns(where: Path | str, found: Sequence[str], wanted: Collection[str]) -> None:
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise SequenceFileError(
            f"{where}: found more than one column {shown(twice[0])}; rename all but one"
        )
    for name in wanted:
        if name not in found:
            listed = ", ".join(map(shown, found[:_COLUMNS_NAMED]))
            more = f" and {len(found) - _COLUMNS_NAMED} more" if len(found) > _COLUMNS_NAMED else ""
            raise SequenceFileError(
                f"{where}: found no column {shown(name)}; there are {listed}{more}; name "
                "one of them"
            )


def _rows_at_once(rows: int, size_bytes: int) -> int:
    """How many rows to hold in memory, where so many take so many bytes."""
    return max(1, min(_BATCH_ROWS, rows * _BATCH_BYTES // max(1, size_bytes)))


def _batch_rows(batch: Any, columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
    """The rows of an Arrow batch, a few at a time as Python objects."""
    import pyarrow as pa

    # Offsets beyond the data would be read as they stand, and crash the process.
    batch.validate(full=True)
    step = _rows_at_once(batch.num_rows, batch.nbytes)
    for start in range(0, batch.num_rows, step):
        piece = batch.slice(start, step)
        try:
            cells = [piece.column(name).to_pylist() for name in columns]
        except (ValueError, OverflowError) as error:  # a time that Python can't hold
            raise pa.ArrowInvalid(str(error)) from None
        yield from zip(*cells, strict=True)


def _damaged(path: Path, expected: str, error: Exception, rows: int = 0) -> SequenceFileError:
    after = f" after row {rows}" if rows else ""
    return SequenceFileError(
        f"{path}: can't be read as {expected}{after} ({error}); make or fetch it again"
    )


def _saved(path: Path) -> tuple[tuple[Part | None, Table], ...]:
    """The split, or the splits, in a folder that ``save_to_disk`` wrote."""
    if (path / "state.json").exists():
        return ((None, _SavedSplit(path)),)
    if not (path / "dataset_dict.json").exists():
        raise SequenceFileError(
            f"{path}: found a folder without state.json or dataset_dict.json, expected one that "
            "Hugging Face datasets wrote with save_to_disk; name a file in it"
        )
    splits = _json_file(path / "dataset_dict.json").get("splits")
    if not isinstance(splits, list) or not splits or not all(map(_is_plain_name, splits)):
        raise SequenceFileError(
            f"{path / 'dataset_dict.json'}: found {shown(splits)} as splits, expected names of "
            "folders; save the dataset again"
        )
    for name in splits:
        if name.lower() not in PARTS:
            raise SequenceFileError(
                f"{path}: found the split {name!r}, expected {', '.join(PARTS)}; give the folder "
                "of each split you want as a source of its own, with its part"
            )
    return tuple((PARTS[name.lower()], _SavedSplit(path / name)) for name in splits)


def _data_files(path: Path) -> list[Path]:
    state = _json_file(path / "state.json")
    if state.get("_indices_data_files"):
        raise SequenceFileError(
            f"{path}: found rows in an order of their own (_indices_data_files), which an old "
            "version of datasets wrote; load it and save its flatten_indices()"
        )
    files = state.get("_data_files")
    if isinstance(files, list):
        names = [file.get("filename") if isinstance(file, dict) else None for file in files]
        found = [path / name for name in names if _is_plain_name(name)]
        if len(found) == len(names):
            for file in found:
                _check_arrow_end(file)
            return found
    raise SequenceFileError(
        f"{path / 'state.json'}: found {shown(files)} as _data_files, expected objects with a "
        "filename; save the dataset again"
    )


def _check_arrow_end(path: Path) -> None:
    """Pass over a stream that has its end: a cut between batches would leave out rows unseen."""
    container_of(path)
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_ARROW_END)))
        if file.read() != _ARROW_END:
            raise SequenceFileError(
                f"{path}: found an Arrow stream without its end mark, so it was cut off; save or "
                "fetch it again"
            )


def _class_names(path: Path) -> dict[str, list[str]]:
    """The names of classes of each column that holds their numbers, or lists of them."""
    features = _json_file(path / "dataset_info.json").get("features")
    columns = {}
    for column, feature in features.items() if isinstance(features, dict) else ():
        while isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
            feature = feature["feature"]
        if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
            continue
        names = feature.get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise SequenceFileError(
                f"{path / 'dataset_info.json'}: found {shown(names)} as the classes of {column!r}, "
                "expected a list of names; save the dataset again"
            )
        columns[column] = names
    return columns


def _with_class_names(where: str, cell: object, names: list[str] | None) -> object:
    if names is None or cell is None:
        return cell
    if isinstance(cell, list):
        return [_with_class_names(where, number, names) for number in cell]
    if isinstance(cell, int) and 0 <= cell < len(names):
        return names[cell]
    raise SequenceFileError(
        f"{where}: found the class {shown(cell)}, expected 0 to {len(names) - 1}; rows without a "
        "label (-1) can't be used: filter them out"
    )


def _json_file(path: Path) -> dict[str, Any]:
    container_of(path)
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SequenceFileError(
            f"{path}: found no JSON ({error}); save the dataset again"
        ) from None
    if not isinstance(found, dict):
        raise SequenceFileError(f"{path}: found {shown(found)}, expected an object; save it again")
    return found


def _is_plain_name(name: object) -> TypeGuard[str]:
    """Whether a file of this name lies in the folder itself, and nowhere else."""
    if not isinstance(name, str) or not name.isprintable():
        return False
    return name not in ("", "..") and Path(name).name == name
