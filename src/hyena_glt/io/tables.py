"""Tables and arrays of any length, written a row at a time in constant memory."""

import io
import math
import operator
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from hyena_glt.errors import StorageError
from hyena_glt.io.atomic import replacing_file

_NAMED_TYPES = {str: "str", int: "i8", float: "f8"}
_ROW_GROUP_ROWS = 1 << 16
_ROW_GROUP_VALUES = 1 << 22
# What `np.load` reads without pickle: truth values, whole, real and complex numbers, text.
_ARRAY_KINDS = "biufcU"
_COPIED_BYTES = 1 << 24


class TableWriter:
    """A table under way, whole at the end of `with` or not there at all.

    `columns` gives each column's type: `str` or `"str"`, `int` or `"i8"`, `float` or `"f8"`,
    `"f4"`, and `"f4*D"` for vectors of D float32 numbers. The suffix decides the format:

    - `.tsv`: a line of names, then a line a row. Numbers in the fewest digits that give them back
      exactly, vectors with commas between, `NA` for None.
    - `.parquet`: vectors are lists of fixed size, None is null.

    Raises StorageError at another suffix, and if the file can't be written; ValueError at a type
    that isn't one of these.
    """

    def __init__(self, path: str | os.PathLike[str], columns: Mapping[str, type | str]) -> None:
        self.path = Path(path)
        formats: dict[str, type[_Tsv] | type[_Parquet]] = {".tsv": _Tsv, ".parquet": _Parquet}
        if self.path.suffix not in formats:
            raise StorageError(
                f"{path}: found the suffix {self.path.suffix!r}, expected .tsv or .parquet; "
                "rename the output"
            )
        self._columns = {name: _Column(kind) for name, kind in columns.items()}
        self._format = formats[self.path.suffix]
        self._files = self._open()
        self._rows: _Tsv | _Parquet | None = None

    def write(self, row: Mapping[str, object]) -> None:
        """Write one row: a value, or None where there is none, for each column.

        Raises ValueError outside `with`, if the row has other columns, or at a value that isn't of
        its column's type; StorageError at text that the format can't hold.
        """
        if self._rows is None:
            raise ValueError(f"{self.path} isn't open; write inside `with`")
        if row.keys() != self._columns.keys():
            raise ValueError(f"found the columns {list(row)}, expected {list(self._columns)}")
        cells = []
        for name, column in self._columns.items():
            try:
                cells.append(None if row[name] is None else column.checked(row[name]))
            except (TypeError, ValueError) as error:
                raise ValueError(f"column {name!r}: {error}") from None
        self._rows.write(cells)

    def __enter__(self) -> "TableWriter":
        self._files.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, trace)

    @contextmanager
    def _open(self) -> Iterator[None]:
        with replacing_file(self.path) as aside, aside.open("wb") as file:
            self._rows = self._format(self.path, file, self._columns)
            try:
                yield
                self._rows.finish()
            finally:
                self._rows.abandon()
                self._rows = None


class NpzWriter:
    """An `.npz` file of named arrays under way, whole at the end of `with` or not there at all.

    Rows are kept in temporary files beside it until then. `np.load` reads it without pickle.

    Raises StorageError at another suffix, and if the file can't be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.suffix != ".npz":
            raise StorageError(
                f"{path}: found the suffix {self.path.suffix!r}, expected .npz; rename the output"
            )
        self._arrays: dict[str, _Array] = {}
        self._files = self._open()
        self._rows: ExitStack | None = None

    def append(self, name: str, rows: np.ndarray) -> None:
        """Add rows `(n, ...)` to the array of that name, whose shape at the end is `(N, ...)`.

        Raises ValueError outside `with`, and at rows without a first axis, of a type that needs
        pickle, or of another type or shape than earlier ones. Text may differ in width.
        """
        if self._rows is None:
            raise ValueError(f"{self.path} isn't open; append inside `with`")
        if rows.ndim == 0 or rows.dtype.kind not in _ARRAY_KINDS:
            raise ValueError(f"{name}: found {rows.dtype} of shape {rows.shape}, expected rows")
        if name not in self._arrays:
            file = tempfile.TemporaryFile(dir=self.path.parent)  # noqa: SIM115, the stack closes it
            self._arrays[name] = _Array(self._rows.enter_context(file), rows)
        self._arrays[name].append(name, rows)

    def __enter__(self) -> "NpzWriter":
        self._files.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, trace)

    @contextmanager
    def _open(self) -> Iterator[None]:
        with replacing_file(self.path) as aside, ExitStack() as rows:
            self._rows = rows
            try:
                yield
            finally:
                self._rows = None
            with zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as archive:
                for name, array in self._arrays.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        for piece in array.pieces():
                            member.write(piece)


class _Column:
    """What a column holds, and a value of it."""

    def __init__(self, kind: type | str) -> None:
        name = kind if isinstance(kind, str) else _NAMED_TYPES.get(kind, "")
        number, star, width = name.partition("*")
        if name not in ("str", "i8", "f4", "f8") and not (number == "f4" and width.isdigit()):
            raise ValueError(f"found the column type {kind!r}, expected str, i8, f4, f8 or f4*D")
        self.name = number
        self.width = int(width) if star else None
        scalars: dict[str, Callable[[Any], Any]] = {
            "str": _text,
            "i8": operator.index,
            "f4": np.float32,
            "f8": float,
        }
        self.checked = scalars[number] if self.width is None else self._vector

    def _vector(self, value: Any) -> np.ndarray:
        vector = np.asarray(value, dtype=np.float32)
        if vector.shape != (self.width,):
            raise ValueError(f"found the shape {vector.shape}, expected ({self.width},)")
        return vector


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"found {value!r}, expected text")
    return value


class _Tsv:
    def __init__(self, path: Path, file: IO[bytes], columns: Mapping[str, _Column]) -> None:
        self._path = path
        self._file = file
        self._put(columns)

    def write(self, cells: list[Any]) -> None:
        self._put(map(self._cell, cells))

    def finish(self) -> None:
        """Nothing waits to be written."""

    def abandon(self) -> None:
        """Nothing is left open."""

    def _put(self, cells: "Iterator[str] | Mapping[str, _Column]") -> None:
        line = "\t".join(cells) + "\n"
        self._file.write(line.encode("utf-8", "surrogateescape"))

    def _cell(self, value: Any) -> str:
        if value is None:
            return "NA"
        if isinstance(value, np.ndarray):
            return ",".join(map(str, value))
        # For float32 and float64 alike, the fewest digits that give the number back.
        cell = str(value)
        if isinstance(value, str) and any(mark in cell for mark in "\t\n\r"):
            raise StorageError(
                f"{self._path}: found {cell[:60]!r}, which holds a tab or a line end, and TSV "
                "can't; write .parquet"
            )
        return cell


class _Parquet:
    def __init__(self, path: Path, file: IO[bytes], columns: Mapping[str, _Column]) -> None:
        # Slow to import, and only needed here.
        import pyarrow
        import pyarrow.parquet

        self._arrow: Any = pyarrow
        self._path = path
        self._columns = columns
        self._cells: list[list[Any]] = []
        width = sum(column.width or 1 for column in columns.values())
        self._group_rows = max(1, min(_ROW_GROUP_ROWS, _ROW_GROUP_VALUES // max(1, width)))
        types = {
            "str": pyarrow.string(),
            "i8": pyarrow.int64(),
            "f4": pyarrow.float32(),
            "f8": pyarrow.float64(),
        }
        self._schema: Any = pyarrow.schema(
            (name, types[c.name] if c.width is None else pyarrow.list_(types[c.name], c.width))
            for name, c in columns.items()
        )
        self._writer: Any = pyarrow.parquet.ParquetWriter(file, self._schema)

    def write(self, cells: list[Any]) -> None:
        self._cells.append(cells)
        if len(self._cells) >= self._group_rows:
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def abandon(self) -> None:
        # Or else it would write its footer when it is collected, to a file that is gone.
        self._writer.is_open = False

    def _flush(self) -> None:
        cells, self._cells = self._cells, []
        if not cells:
            return
        by_column = zip(*cells, strict=True)
        try:
            arrays = [
                self._arrow.array(list(values), type=field.type)
                for values, field in zip(by_column, self._schema, strict=True)
            ]
        except UnicodeEncodeError as error:
            raise StorageError(
                f"{self._path}: found {error.object[:60]!r}, which is no UTF-8, and Parquet can't "
                "hold it; write .tsv"
            ) from error
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))


class _Array:
    """Rows of one array as raw bytes in a temporary file."""

    def __init__(self, file: IO[bytes], first: np.ndarray) -> None:
        self._file = file
        self._dtype = first.dtype
        self._row_shape = first.shape[1:]
        # How many rows stand in which type: one entry, or for text one for each change of width.
        self._runs: list[tuple[int, np.dtype[Any]]] = []

    def append(self, name: str, rows: np.ndarray) -> None:
        both_text = rows.dtype.kind == self._dtype.kind == "U"
        if rows.shape[1:] != self._row_shape or not (both_text or rows.dtype == self._dtype):
            raise ValueError(
                f"{name}: found rows of {rows.dtype} {rows.shape[1:]} after rows of {self._dtype} "
                f"{self._row_shape}"
            )
        if rows.dtype != self._dtype:
            self._dtype = np.promote_types(self._dtype, rows.dtype)
        self._file.write(rows.tobytes())
        count = len(rows)
        if self._runs and self._runs[-1][1] == rows.dtype:
            count += self._runs.pop()[0]
        self._runs.append((count, rows.dtype))

    def pieces(self) -> Iterator[bytes]:
        """The array in the format of `.npy`, a bounded number of bytes at a time."""
        shape = (sum(count for count, _ in self._runs), *self._row_shape)
        descr = np.lib.format.dtype_to_descr(self._dtype)
        header = io.BytesIO()
        np.lib.format.write_array_header_2_0(
            header, {"descr": descr, "fortran_order": False, "shape": shape}
        )
        yield header.getvalue()
        self._file.seek(0)
        step = max(1, _COPIED_BYTES // self._dtype.itemsize)
        for count, dtype in self._runs:
            left = count * math.prod(self._row_shape)
            while left:
                values = np.frombuffer(self._file.read(min(left, step) * dtype.itemsize), dtype)
                yield values.astype(self._dtype, copy=False).tobytes()
                left -= values.size
