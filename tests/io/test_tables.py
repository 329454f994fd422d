"""A table or an array is read back as it was given, or isn't there."""

import math
import resource
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyena_glt.errors import StorageError
from hyena_glt.io import NpzWriter, TableWriter

COLUMNS: dict[str, type | str] = {
    "contig": str,
    "start": int,
    "loglik_nats": float,
    "entropy_bits": "f4",
    "v": "f4*2",
}
FLOAT32 = st.floats(width=32)
ROW = st.fixed_dictionaries(
    {
        "contig": st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])),
        "start": st.none() | st.integers(-(2**63), 2**63 - 1),
        "loglik_nats": st.none() | st.floats(),
        "entropy_bits": st.none() | FLOAT32,
        "v": st.none() | st.lists(FLOAT32, min_size=2, max_size=2),
    }
)
# Each example writes the same file again, so one folder does for all.
in_one_folder = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(path: Path, rows: list[dict[str, Any]], columns: dict[str, type | str]) -> None:
    with TableWriter(path, columns) as table:
        for row in rows:
            table.write(row)


@pytest.mark.slow
@given(st.lists(ROW, max_size=5))
@in_one_folder
def test_parquet_gives_every_row_back(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    write(tmp_path / "table.parquet", rows, COLUMNS)
    found = pq.read_table(tmp_path / "table.parquet")
    # repr is exact, and one nan is as good as another.
    assert repr(found.to_pylist()) == repr([{name: row[name] for name in COLUMNS} for row in rows])
    vector = pa.list_(pa.float32(), 2)
    assert found.schema.types == [pa.string(), pa.int64(), pa.float64(), pa.float32(), vector]


@given(st.lists(ROW, max_size=5))
@in_one_folder
def test_tsv_gives_every_number_back_exactly(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    write(tmp_path / "table.tsv", rows, COLUMNS)
    head, *lines = (tmp_path / "table.tsv").read_bytes().decode().split("\n")[:-1]
    assert head == "contig\tstart\tloglik_nats\tentropy_bits\tv"
    found = [line.split("\t") for line in lines]
    types: list[Callable[[Any], Any]] = [str, int, float, np.float32]
    types.append(lambda cell: [float(number) for number in cell.split(",")])
    for cells, row in zip(found, rows, strict=True):
        for cell, name, kind in zip(cells, COLUMNS, types, strict=True):
            if row[name] is None:
                assert cell == "NA"
            elif name == "v":
                assert repr(np.float32(kind(cell))) == repr(np.float32(row[name]))
            else:
                assert repr(kind(cell)) == repr(kind(row[name]))


def test_tsv_writes_the_fewest_digits_of_each_type(tmp_path: Path) -> None:
    numbers = {"loglik_nats": 0.1 + 0.2, "entropy_bits": np.float32(0.1), "v": [0.1, math.inf]}
    write(tmp_path / "t.tsv", [{"contig": "chr1", "start": np.int64(4), **numbers}], COLUMNS)
    line = (tmp_path / "t.tsv").read_text().splitlines()[1]
    assert line == "chr1\t4\t0.30000000000000004\t0.1\t0.1,inf"


@pytest.mark.slow
def test_parquet_is_written_in_row_groups_and_keeps_the_order(tmp_path: Path) -> None:
    width = 1 << 20
    with TableWriter(tmp_path / "t.parquet", {"start": "i8", "v": f"f4*{width}"}) as table:
        for i in range(7):
            table.write({"start": i, "v": np.full(width, i)})
    file = pq.ParquetFile(tmp_path / "t.parquet")
    assert file.num_row_groups > 2
    assert file.read()["start"].to_pylist() == list(range(7))
    assert file.read_row_group(1)["v"][0].as_py()[-1] == file.read_row_group(1)["start"][0].as_py()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"a": 1}, "expected \\['a', 'b', 'v'\\]"),
        ({"a": 1, "b": "x", "v": [1], "c": 1}, "expected \\['a', 'b', 'v'\\]"),
        ({"a": 1.5, "b": "x", "v": [1]}, "column 'a'"),
        ({"a": "1", "b": "x", "v": [1]}, "column 'a'"),
        ({"a": 1, "b": 2, "v": [1]}, "column 'b': found 2, expected text"),
        (
            {"a": 1, "b": "x", "v": [1, 2]},
            "column 'v': found the shape \\(2,\\), expected \\(1,\\)",
        ),
    ],
)
@pytest.mark.parametrize("suffix", [".tsv", ".parquet"])
def test_a_row_of_other_columns_or_types_is_refused_and_nothing_is_left(
    tmp_path: Path, suffix: str, row: dict[str, Any], problem: str
) -> None:
    good = {"a": 1, "b": "x", "v": [1]}
    with pytest.raises(ValueError, match=problem):
        write(tmp_path / f"t{suffix}", [good, row], {"a": "i8", "b": "str", "v": "f4*1"})
    assert list(tmp_path.iterdir()) == []


def test_text_that_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    for text in ("a\tb", "a\nb", "a\rb"):
        with pytest.raises(StorageError, match="holds a tab or a line end"):
            write(tmp_path / "t.tsv", [{"a": text}], {"a": str})
    with pytest.raises(StorageError, match="is no UTF-8"):
        write(tmp_path / "t.parquet", [{"a": "b\udcff"}], {"a": str})
    write(tmp_path / "t.tsv", [{"a": "b\udcff"}], {"a": str})
    assert (tmp_path / "t.tsv").read_bytes() == b"a\nb\xff\n"


def test_another_suffix_or_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"'\.csv', expected \.tsv or \.parquet"):
        TableWriter(tmp_path / "t.csv", COLUMNS)
    with pytest.raises(StorageError, match=r"'\.npy', expected \.npz"):
        NpzWriter(tmp_path / "a.npy")
    for kind in ("f8*2", "f4*", "f2", bool):
        with pytest.raises(ValueError, match="found the column type"):
            TableWriter(tmp_path / "t.tsv", {"a": kind})


def test_writing_outside_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="write inside `with`"):
        TableWriter(tmp_path / "t.tsv", {"a": str}).write({"a": "x"})
    with pytest.raises(ValueError, match="append inside `with`"):
        NpzWriter(tmp_path / "a.npz").append("a", np.zeros(1))


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=5),
    st.sampled_from(["<f4", ">f8", "<f2", "<i8", "|i1", "|b1", "<c8"]),
    st.lists(st.integers(0, 3), max_size=2),
)
@in_one_folder
def test_npz_gives_back_what_was_appended(
    tmp_path: Path, counts: list[int], kind: str, row_shape: list[int]
) -> None:
    rng = np.random.default_rng(0)
    parts = [(9 * rng.standard_normal((count, *row_shape))).astype(kind) for count in counts]
    with NpzWriter(tmp_path / "a.npz") as arrays:
        for part in parts:
            arrays.append("x", part)
            arrays.append("length_bp", np.full(2, len(part)))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert sorted(found.files) == ["length_bp", "x"]
        assert found["x"].dtype == np.dtype(kind)
        np.testing.assert_array_equal(found["x"], np.concatenate(parts))
        np.testing.assert_array_equal(found["length_bp"], np.repeat(counts, 2))


@given(st.lists(st.lists(st.text(st.characters(exclude_characters="\0"))), min_size=1, max_size=5))
@in_one_folder
def test_names_of_any_width_are_given_back(tmp_path: Path, parts: list[list[str]]) -> None:
    with NpzWriter(tmp_path / "a.npz") as arrays:
        for part in parts:
            arrays.append("name", np.array(part, dtype=str))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert found["name"].tolist() == [name for part in parts for name in part]


def test_rows_that_are_not_made_in_one_piece_are_kept_in_order(tmp_path: Path) -> None:
    turned = np.arange(12, dtype=np.float32).reshape(3, 4).T
    with NpzWriter(tmp_path / "a.npz") as arrays:
        arrays.append("x", turned)
        arrays.append("x", turned[::-1])
    with np.load(tmp_path / "a.npz") as found:
        np.testing.assert_array_equal(found["x"], np.concatenate([turned, turned[::-1]]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.zeros((1, 2)), np.zeros((1, 3))),
        (np.zeros((1, 2)), np.zeros(2)),
        (np.zeros(1), np.zeros(1, np.float32)),
        (np.zeros(1), np.array(["a"])),
        (np.zeros(1), np.zeros(())),
        (np.zeros(1), np.array([None])),
    ],
)
def test_rows_of_another_type_or_shape_are_refused_and_nothing_is_left(
    tmp_path: Path, first: np.ndarray, second: np.ndarray
) -> None:
    def append() -> None:
        with NpzWriter(tmp_path / "a.npz") as arrays:
            arrays.append("x", first)
            arrays.append("x", second)

    with pytest.raises(ValueError, match="x: found"):
        append()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_array_larger_than_memory_allows_is_written_in_pieces(tmp_path: Path) -> None:
    rows = np.ones((1000, 1000), np.float32)
    tracemalloc.start()
    with NpzWriter(tmp_path / "a.npz") as arrays:
        for _ in range(30):
            arrays.append("x", rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 70e6 < 30 * rows.nbytes
    with np.load(tmp_path / "a.npz") as found:
        assert found["x"].shape == (30_000, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t.tsv", "t.parquet", "a.npz"])
def test_a_full_disk_is_a_storage_error_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    # As full as a test may make it: a file can't grow beyond 100 kB.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    numbers = np.random.default_rng(0).standard_normal(100_000)

    def fill() -> None:
        if name == "a.npz":
            with NpzWriter(tmp_path / name) as arrays:
                arrays.append("x", numbers)
        else:
            write(tmp_path / name, [{"x": x} for x in numbers], {"x": "f8"})

    try:
        with pytest.raises(StorageError, match="File too large"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
