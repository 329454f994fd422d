"""Each row of a table is an example, or an error that names it."""

import csv
import gzip
import io
import json
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

from hyena_glt.config.examples import TableSourceConfig
from hyena_glt.errors import HyenaGLTError, RecipeError, SequenceFileError
from hyena_glt.io.examples.example import BaseClasses, Example, Schema
from hyena_glt.io.examples.table import TableSource

CLASS = {"kind": "class", "column": "label"}
NONE = {"kind": "none"}
ROWS: list[dict[str, object]] = [
    {"sequence": "ACGTN", "label": "b", "id": "s1", "set": "train", "gene": "g1", "chr": "1"},
    {"sequence": "acg-*", "label": "a", "id": "s2", "set": "DEV", "gene": "g,1", "chr": "X"},
    {"sequence": "T", "label": "b", "id": "s3", "set": "Test", "gene": 'g"2', "chr": "X"},
]
in_one_folder = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def source(path: Path, label: object = CLASS, **settings: Any) -> TableSource:
    return TableSource(
        TableSourceConfig.model_validate(
            {"kind": "table", "path": str(path), "label": label, **settings}
        )
    )


def examples(path: Path, label: object = CLASS, **settings: Any) -> list[Example]:
    return list(source(path, label, **settings))


def separated(rows: list[dict[str, Any]], **settings: Any) -> bytes:
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), **settings)
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode()


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def save_split(
    folder: Path, tables: list[pa.Table], features: dict[str, Any] | None = None, **state: Any
) -> Path:
    """Write what `Dataset.save_to_disk` does."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05}-of-{len(tables):05}.arrow" for i in range(len(tables))]
    for name, table in zip(names, tables, strict=True):
        with pa.ipc.new_stream(folder / name, table.schema) as stream:
            stream.write_table(table, max_chunksize=2)
    files = [{"filename": name} for name in names]
    (folder / "state.json").write_text(json.dumps({"_data_files": files, **state}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features or {}}))
    return folder


def written(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / name
    if name == "saved":
        return save_split(path, [pa.Table.from_pylist(rows[:1]), pa.Table.from_pylist(rows[1:])])
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
        return path
    if ".jsonl" in name:
        data = json_lines(rows)
    else:
        data = separated(rows, delimiter="," if ".csv" in name.lower() else "\t")
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("t.csv", "line 2, line 3, line 4"),
        ("T.v2.CSV.gz", "line 2, line 3, line 4"),
        ("t.tsv", "line 2, line 3, line 4"),
        ("t.txt.gz", "line 2, line 3, line 4"),
        ("t.jsonl", "line 1, line 2, line 3"),
        ("t.jsonl.gz", "line 1, line 2, line 3"),
        ("t.parquet", "row 1, row 2, row 3"),
        ("saved", "row 1, row 2, row 3"),
    ],
)
def test_every_format_gives_the_same_examples_twice(tmp_path: Path, name: str, places: str) -> None:
    path = written(tmp_path, name, ROWS)
    found = source(path, name="id", split="set", group="gene", contig="chr")
    assert found.schema == Schema("class")
    first, second, third = (f"{path}: {place}" for place in places.split(", "))
    expected = [
        Example("s1", b"ACGTN", "b", first, "train", "g1", "1"),
        Example("s2", b"acg-*", "a", second, "validation", "g,1", "X"),
        Example("s3", b"T", "b", third, "test", 'g"2', "X"),
    ]
    assert list(found) == expected
    assert list(found) == expected


def test_rows_without_names_are_numbered_and_pairs_have_both(tmp_path: Path) -> None:
    rows = [{"ref": "ACGT", "alt": "ACTT", "label": i} for i in (7, 0)]
    path = written(tmp_path, "t.jsonl", rows)
    found = source(path, sequence="ref", alternative="alt", part="test")
    assert found.schema == Schema("class", pairs=True)
    assert list(found) == [
        Example("row1", b"ACGT", "7", f"{path}: line 1", "test", alternative=b"ACTT"),
        Example("row2", b"ACGT", "0", f"{path}: line 2", "test", alternative=b"ACTT"),
    ]


def test_the_label_may_be_none(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sequence\nACGT\n\nTT\n")
    found = source(tmp_path / "t.csv", NONE)
    assert found.schema == Schema("none")
    assert [(e.sequence, e.label, e.where[-6:]) for e in found] == [
        (b"ACGT", None, "line 2"),
        (b"TT", None, "line 4"),
    ]


def test_windows_files_quotes_and_cells_over_several_lines(tmp_path: Path) -> None:
    text = '"sequence",label\r\n"AC""GT","a\r\nb, ""c"""\r\n\r\nTT,"""x"\r\nCC,5" y\r\n'
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = examples(tmp_path / "t.csv")
    assert [(e.sequence, e.label, e.where[-6:]) for e in found] == [
        (b'AC"GT', 'a\nb, "c"', "line 2"),
        (b"TT", '"x', "line 5"),
        (b"CC", '5" y', "line 6"),
    ]


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_sequence_of_megabases_is_one_cell_and_no_setting_of_csv_changes(
    tmp_path: Path, quote: str
) -> None:
    limit = csv.field_size_limit()
    sequence = "ACGTTGCA" * 200_000
    (tmp_path / "t.csv").write_text(f"sequence,label\n{quote}{sequence}{quote},a\n")
    assert [e.sequence for e in examples(tmp_path / "t.csv")] == [sequence.encode()]
    assert csv.field_size_limit() == limit


def test_classes_of_hugging_face_have_their_names_and_folders_say_the_part(tmp_path: Path) -> None:
    features = {
        "sequence": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["promoter", "other"], "_type": "ClassLabel"},
        "sites": {"feature": {"names": ["CTCF", "PU.1"], "_type": "ClassLabel"}, "_type": "List"},
    }
    table = pa.table({"sequence": ["AC", "GT"], "label": [1, 0], "sites": [[1, 0, 1], []]})
    for name in ("train", "dev", "test"):
        save_split(tmp_path / "d" / name, [table, table.slice(0, 1)], features)
    names = json.dumps({"splits": ["train", "dev", "test"]})
    (tmp_path / "d" / "dataset_dict.json").write_text(names)
    found = examples(tmp_path / "d")
    assert [e.label for e in found] == ["other", "promoter", "other"] * 3
    assert [e.part for e in found] == ["train"] * 3 + ["validation"] * 3 + ["test"] * 3
    assert found[4].where == f"{tmp_path}/d/dev: row 2"
    assert [e.name for e in found] == [f"row{n}" for n in range(1, 10)]
    sites = examples(tmp_path / "d" / "dev", {"kind": "multilabel", "column": "sites"})
    assert [e.label for e in sites] == [("CTCF", "PU.1"), (), ("CTCF", "PU.1")]
    for setting in ({"part": "test"}, {"split": "label"}):
        with pytest.raises(RecipeError, match="has no effect, as the folder's splits say the part"):
            source(tmp_path / "d", **setting)


@pytest.mark.parametrize("label", [-1, 2])
def test_a_class_of_hugging_face_without_a_name_is_refused(tmp_path: Path, label: int) -> None:
    features = {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    table = pa.table({"sequence": ["AC", "GT"], "label": [1, label]})
    path = save_split(tmp_path / "d", [table], features)
    with pytest.raises(SequenceFileError, match=f"row 2: found the class {label}, expected 0 to 1"):
        examples(path)


def test_folders_that_are_not_as_saved_are_refused(tmp_path: Path) -> None:
    table = pa.table({"sequence": ["AC"], "label": ["a"]})
    (tmp_path / "other").mkdir()
    with pytest.raises(SequenceFileError, match=r"without state\.json or dataset_dict\.json"):
        source(tmp_path / "other")
    shuffled = save_split(tmp_path / "i", [table], _indices_data_files=[{"filename": "x"}])
    with pytest.raises(SequenceFileError, match="flatten_indices"):
        source(shuffled)
    for files in (None, [1], [{"filename": "../d/data"}], [{"filename": "a\0"}]):
        (shuffled / "state.json").write_text(json.dumps({"_data_files": files}))
        with pytest.raises(SequenceFileError, match="as _data_files"):
            source(shuffled)
    for state in ("{", "[]", "[" * 100_000, '{"_data_files": [{"filename": "gone.arrow"}]}'):
        (shuffled / "state.json").write_text(state)
        with pytest.raises(SequenceFileError):
            source(shuffled)
    (tmp_path / "other" / "dataset_dict.json").write_text('{"splits": ["train", "extra"]}')
    with pytest.raises(SequenceFileError, match="found the split 'extra'"):
        source(tmp_path / "other")
    (tmp_path / "other" / "dataset_dict.json").write_text('{"splits": ["../i"]}')
    with pytest.raises(SequenceFileError, match="as splits"):
        source(tmp_path / "other")
    with pytest.raises(SequenceFileError, match="found no row"):
        examples(save_split(tmp_path / "empty", [table.slice(0, 0)]))


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet", "saved"])
def test_any_number_of_classes(tmp_path: Path, name: str) -> None:
    rows = [
        {"sequence": "AC", "names": "b;a;b", "x": 1, "w": 1},
        {"sequence": "AC", "names": "", "x": 0, "w": 0},
        {"sequence": "AC", "names": "c", "x": 0, "w": 1},
    ]
    path = written(tmp_path, name, rows)
    found = source(path, {"kind": "multilabel", "column": "names"})
    assert found.schema == Schema("multilabel")
    assert [e.label for e in found] == [("a", "b"), (), ("c",)]
    flags = examples(path, {"kind": "multilabel", "columns": ["x", "w"]})
    assert [e.label for e in flags] == [("w", "x"), (), ("w",)]


@pytest.mark.parametrize("name", ["t.tsv", "t.jsonl", "t.parquet", "saved"])
def test_numbers_are_in_the_order_named(tmp_path: Path, name: str) -> None:
    rows = [{"a": 1.5, "sequence": "AC", "b": -2e-3}, {"a": 3.0, "sequence": "G", "b": 16777217.0}]
    path = written(tmp_path, name, rows)
    found = source(path, {"kind": "values", "columns": ["b", "a"]})
    assert found.schema == Schema("values", ("b", "a"))
    labels = np.array([e.label for e in found])
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, np.array([[-2e-3, 1.5], [2**24, 3]], np.float32))


def test_a_class_for_each_base(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sequence,c\nACGTN,IEEI\u03b2\nAC,EE\n")
    found = source(tmp_path / "t.csv", {"kind": "bases", "column": "c"})
    assert found.schema == Schema("bases")
    assert [e.label for e in found] == [
        BaseClasses(b"\1\0\0\1\2", ("E", "I", "\u03b2")),
        BaseClasses(b"\0\0", ("E",)),
    ]
    for classes in ("EEE", "E", ""):
        (tmp_path / "t.csv").write_text(f"sequence,c\nA,E\nAC,{classes}\n")
        count = len(classes)
        with pytest.raises(SequenceFileError, match=f"line 3: found {count} symbols .* of 2 bases"):
            examples(tmp_path / "t.csv", {"kind": "bases", "column": "c"})
    many = "".join(map(chr, range(256, 513)))
    (tmp_path / "t.csv").write_text(f"sequence,c\n{'A' * 257},{many}\n", encoding="utf-8")
    with pytest.raises(SequenceFileError, match="found 257 different symbols"):
        examples(tmp_path / "t.csv", {"kind": "bases", "column": "c"})


@pytest.mark.parametrize(
    "number", ["nan", "inf", "-inf", "", "high", "1_0", "1e39", "1,5", "\u0661", "0x1"]
)
def test_what_is_no_number_is_refused_with_its_line(tmp_path: Path, number: str) -> None:
    rows = [{"sequence": "AC", "y": "1"}, {"sequence": "AC", "y": number}]
    path = written(tmp_path, "t.csv", rows)
    with pytest.raises(SequenceFileError, match=r"line 3: found .* in column 'y', expected a num"):
        examples(path, {"kind": "values", "columns": ["y"]})


@pytest.mark.parametrize("number", [None, float("nan"), 10**400, [1], {"a": 1}])
def test_what_json_has_besides_numbers_is_refused(tmp_path: Path, number: object) -> None:
    path = written(tmp_path, "t.jsonl", [{"sequence": "AC", "y": number}])
    with pytest.raises(SequenceFileError, match=r"line 1: found .* expected a number"):
        examples(path, {"kind": "values", "columns": ["y"]})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sequence,label\n", "found no row under the line of names"),
        ("\n\n", "blank lines alone"),
        ("seq,label\nAC,a\n", "found no column 'sequence'; there are 'seq', 'label'"),
        ("sequence,label,label\nAC,a,b\n", "more than one column 'label'"),
        ("sequence,label\nAC,a\nAC\n", "line 3: found 1 cells, expected 2"),
        ("sequence,label\nAC,a\nAC,a,\n", "line 3: found 3 cells, expected 2"),
        ("sequence,label\nAC,\n", "line 2: found nothing in column 'label'"),
        ("sequence,label\nAC,a\n,a\n", "line 3: found an empty sequence in column 'sequence'"),
        ("sequence,label\n AC,a\n", "line 2: found ' ' at position 0"),
        ("sequence,label\nAC\tG,a\n", r"line 2: found '\\t' at position 2"),
        ("sequence,label\nACé,a\n", "line 2: found 'é' at position 2"),
        ('sequence,label\nAC,a\n"AC,a\nGT,b\n', "line 3: found a double quote that opens a cell"),
        ('sequence,label\n"AC"G,a\n', "line 2: found 'G,a' after a closing double quote"),
        ("sequence,label\rAC,a\r", "line 1: found a carriage return"),
        ('sequence,label\nAC,a\n"A\n\nC",a\n', r"line 3: found '\\n' at position 1"),
    ],
)
def test_csv_that_is_wrong_is_refused_with_its_line(
    tmp_path: Path, text: str, problem: str
) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode())
    with pytest.raises(SequenceFileError, match=problem):
        examples(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n \n", "found no row"),
        ('{"sequence": "AC", "label": 1}\n{"sequence"', "line 2: found no JSON: .* column 12"),
        ('{"sequence": "AC", "lable": 1}', "line 1: found no column 'label'; there are 'sequence'"),
        ('{"sequence": "AC", "label": 1, "label": 2}', "the key 'label' twice"),
        ('["AC", 1]', r"found \['AC', 1\], expected one JSON object"),
        ('{"sequence": "AC", "label": "\\ud800"}', "half a character"),
        ('{"sequence": "AC", "label": ' + "[" * 100_000, "too deep"),
        ('{"sequence": "AC", "label": ' + "1" * 5000 + "}", "digits"),
        ('{"sequence": null, "label": 1}', "found null in column 'sequence'"),
        ('{"sequence": "AC", "label": null}', "found nothing in column 'label'"),
        ('{"sequence": "AC", "label": NaN}', "found nothing in column 'label'"),
        ('{"sequence": "AC", "label": [1]}', r"found \[1\] in column 'label'"),
    ],
)
def test_jsonl_that_is_wrong_is_refused_with_its_line(
    tmp_path: Path, text: str, problem: str
) -> None:
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(SequenceFileError, match=problem):
        examples(tmp_path / "t.jsonl")


@pytest.mark.parametrize("names", ["a;;b", "a; b", ";", " "])
def test_names_of_classes_that_are_unclear_are_refused(tmp_path: Path, names: str) -> None:
    path = written(tmp_path, "t.csv", [{"sequence": "AC", "names": names}])
    with pytest.raises(SequenceFileError, match=r"line 2: .*no white space around them"):
        examples(path, {"kind": "multilabel", "column": "names"})


def test_the_separator_may_have_a_space(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", [{"sequence": "AC", "names": "b; a"}])
    found = examples(path, {"kind": "multilabel", "column": "names", "separator": "; "})
    assert [e.label for e in found] == [("a", "b")]


@pytest.mark.parametrize("flag", ["2", "", "yes", "01"])
def test_flags_are_0_or_1(tmp_path: Path, flag: str) -> None:
    path = written(tmp_path, "t.csv", [{"sequence": "AC", "x": "1", "y": flag}])
    with pytest.raises(SequenceFileError, match=r"line 2: .* in column 'y', expected 0 or 1"):
        examples(path, {"kind": "multilabel", "columns": ["x", "y"]})


def test_a_split_of_another_name_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", [{"sequence": "AC", "set": "hold"}])
    with pytest.raises(
        SequenceFileError, match="line 2: found 'hold' in column 'set', expected tr"
    ):
        examples(path, NONE, split="set")


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    for name, text in (("t.csv", b"sequence,label\n\nAC,\xff\n"), ("t.jsonl", b"\n\n\xff")):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(SequenceFileError, match=r"line 3: found b'\\xff'.*expected UTF-8"):
            examples(tmp_path / name)


def test_files_that_cannot_be_read_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"")
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and so on")
    for name, problem in (
        ("t.csv", "found an empty file"),
        ("t.xlsx", r"found the suffix '\.xlsx', expected \.csv"),
        ("t.parquet", "can't be read as Parquet"),
        ("gone.jsonl", "found no such file"),
    ):
        with pytest.raises(SequenceFileError, match=problem):
            source(tmp_path / name)
    for name in ("t.csv.gz", "u.parquet", "saved"):
        path = written(tmp_path, name, ROWS)
        with pytest.raises(SequenceFileError, match="found no column 'labels'; there are 'sequen"):
            source(path, {"kind": "class", "column": "labels"})
    with pytest.raises(RecipeError, match="names 'y' more than once"):
        source(tmp_path / "t.csv", {"kind": "values", "columns": ["y", "y"]})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet", "saved"])
def test_a_few_rows_are_in_memory_at_a_time(tmp_path: Path, name: str) -> None:
    rows = [{"sequence": "ACGT" * 25_000, "label": "a"} for _ in range(100)]
    path = written(tmp_path, name, rows)
    del rows
    assert sum(1 for _ in source(path)) == 100  # what is imported isn't counted below
    tracemalloc.start()
    assert sum(len(e.sequence) for e in source(path)) == 10_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 7e6


@pytest.mark.parametrize("name", ["t.csv.gz", "t.parquet", "saved"])
def test_a_file_that_is_cut_off_gives_an_error_and_not_fewer_rows(
    tmp_path: Path, name: str
) -> None:
    rows = [{"sequence": "ACGT" * (i % 7 + 1), "label": str(i)} for i in range(400)]
    path = written(tmp_path, name, rows)
    file = path / "data-00001-of-00002.arrow" if name == "saved" else path
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(SequenceFileError):
        examples(path)


def test_an_arrow_stream_cut_between_batches_is_refused(tmp_path: Path) -> None:
    table = pa.table({"sequence": ["A", "C", "G", "T"], "label": ["a", "b", "a", "b"]})
    path = save_split(tmp_path / "d", [table])
    file = path / "data-00000-of-00001.arrow"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(SequenceFileError, match="without its end mark"):
        source(path)
    file.write_bytes(2 * (file.read_bytes() + b"\xff\xff\xff\xff\0\0\0\0"))
    with pytest.raises(SequenceFileError, match="an end mark before the end"):
        examples(path)


def test_parquet_without_rows_or_with_text_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"sequence": pa.array([], pa.string()), "label": []}), path)
    with pytest.raises(SequenceFileError, match="found no row"):
        examples(path)
    wrong = pa.array([b"AC", b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"sequence": wrong, "label": [1, 2]}), path)
    with pytest.raises(SequenceFileError, match="can't be read as Parquet"):
        examples(path)
    pq.write_table(pa.table({"sequence": ["A", None], "label": [1, 2]}), path)
    with pytest.raises(SequenceFileError, match="row 2: found null in column 'sequence'"):
        examples(path)


def counted(path: Path, rows: Callable[[bytes], int]) -> None:
    """Examples, as many as there are rows, or an error with a remedy."""
    message = f"{path}:"
    try:
        found = len(examples(path))
    except HyenaGLTError as error:
        found, message = -1, str(error)
    assert message.startswith(f"{path}:")
    assert found in (-1, rows(path.read_bytes()) if found >= 0 else -1)


def csv_rows(data: bytes) -> int:
    text = io.StringIO(data.decode("utf-8-sig"), newline="")
    return sum(1 for row in csv.reader(text) if row) - 1


def json_rows(data: bytes) -> int:
    return sum(1 for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip())


CSV_PIECES = [b"AC", b"a", b",", b",a", b'"', b'""', b"\n", b"\r\n", b"\r", b" ", b"\0", b"\xff"]
JSON_PIECES = [b'{"sequence": "AC", "label": "a"}', *CSV_PIECES, b"{", b"}", b"[", b":", b"1"]


@given(st.lists(st.sampled_from(CSV_PIECES), max_size=12).map(b"".join) | st.binary(max_size=40))
@in_one_folder
def test_any_bytes_as_csv(tmp_path: Path, data: bytes) -> None:
    for head in (b"", b"sequence,label\n", b"\xef\xbb\xbf\nlabel,sequence\r\nb,GT\n"):
        if head + data:
            (tmp_path / "t.csv").write_bytes(head + data)
            counted(tmp_path / "t.csv", csv_rows)


@given(st.lists(st.sampled_from(JSON_PIECES), max_size=8).map(b"".join) | st.binary(max_size=40))
@in_one_folder
def test_any_bytes_as_jsonl(tmp_path: Path, data: bytes) -> None:
    data += b'\n{"sequence": "AC", "label": "a"}\n'
    (tmp_path / "t.jsonl").write_bytes(data)
    counted(tmp_path / "t.jsonl", json_rows)


@given(st.data())
@in_one_folder
def test_damaged_parquet_and_arrow_never_escape(tmp_path: Path, data: st.DataObject) -> None:
    for name in ("t.parquet", "saved"):
        path = tmp_path / name
        path = path if path.exists() else written(tmp_path, name, ROWS)
        file = path / "data-00001-of-00002.arrow" if name == "saved" else path
        whole = file.read_bytes()
        at = data.draw(st.integers(0, len(whole) - 1))
        file.write_bytes(
            whole[:at] + data.draw(st.binary(min_size=1, max_size=4)) + whole[at + 1 :]
        )
        try:
            examples(path)
        except HyenaGLTError:
            pass
        finally:
            file.write_bytes(whole)


LABELS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1)


@given(st.lists(st.tuples(st.text("ACGTN", min_size=1), LABELS), min_size=1, max_size=6))
@in_one_folder
def test_any_text_is_given_back_as_it_was(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    table = [{"sequence": sequence, "label": label} for sequence, label in rows]
    for name in ("t.csv", "t.tsv", "t.jsonl"):
        found = examples(written(tmp_path, name, table))
        assert [(e.sequence.decode(), e.label) for e in found] == rows
