"""Each record of FASTA or FASTQ is an example with its label, or an error that names it."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyena_glt.config.examples import RecordsSourceConfig
from hyena_glt.errors import HyenaGLTError, RecipeError, SequenceFileError
from hyena_glt.io.examples.example import BaseClasses, Example, Schema, Target
from hyena_glt.io.examples.records import RecordsSource

FASTA = ">r1 tRNA Homo\nACGT\nacg\n>r2 5S_rRNA\nNN\n"
FASTQ = "@r1 tRNA Homo\nACGTacg\n+\nIIIIIII\n@r2 5S_rRNA\nNN\n+\nII\n"
in_one_folder = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def source(path: Path, **settings: Any) -> RecordsSource:
    return RecordsSource(
        RecordsSourceConfig.model_validate({"kind": "records", "path": str(path), **settings})
    )


def table(path: Path, text: str, kind: str = "class", **settings: Any) -> dict[str, Any]:
    path.write_text(text)
    columns: dict[str, Any] = {"columns": ["label"]} if kind == "values" else {"column": "label"}
    label = {"kind": kind, **columns}
    return {"kind": "table", "path": str(path), "name": "id", "label": label, **settings}


@pytest.mark.parametrize("text", [FASTA, FASTQ])
@pytest.mark.parametrize("packed", [True, False])
def test_records_are_of_one_class_or_none(tmp_path: Path, text: str, packed: bool) -> None:
    path = tmp_path / "s.any"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    choices: list[tuple[str | None, dict[str, str], Target]] = [
        ("promoter", {"label": "class", "class_name": "promoter"}, "class"),
        (None, {"label": "none"}, "none"),
    ]
    for label, changes, target in choices:
        found = source(path, part="test", **changes)
        assert found.schema == Schema(target)
        expected = [
            Example("r1", b"ACGTacg", label, f"{path}: record 'r1'", "test"),
            Example("r2", b"NN", label, f"{path}: record 'r2'", "test"),
        ]
        assert list(found) == expected
        assert list(found) == expected


def test_the_first_group_in_the_header_is_the_class(tmp_path: Path) -> None:
    (tmp_path / "s.fa").write_text(FASTA)
    found = source(tmp_path / "s.fa", label="header", pattern=r"^\w+ (\S+)( Homo)?$")
    assert [e.label for e in found] == ["tRNA", "5S_rRNA"]
    names = source(tmp_path / "s.fa", label="header", pattern="r([0-9])")
    assert [e.label for e in names] == ["1", "2"]


@pytest.mark.parametrize("pattern", [" (.RNA)", "(Homo)?", "r(1)", "()"])
def test_a_header_that_does_not_match_is_refused(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "s.fa").write_text(FASTA)
    named = r"record 'r\d'.* found the header 'r\d .*' matches nothing"
    with pytest.raises(SequenceFileError, match=named):
        list(source(tmp_path / "s.fa", label="header", pattern=pattern))


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}", "(?P<1>x)", "^r1", "(?:x)", ""])
def test_a_pattern_without_a_group_or_none_at_all_is_refused(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "s.fa").write_text(FASTA)
    with pytest.raises(RecipeError, match=r"is no regular expression|has no group"):
        source(tmp_path / "s.fa", label="header", pattern=pattern)


@pytest.mark.parametrize("text", [FASTA, FASTQ])
def test_rows_label_the_records_of_their_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "s").write_text(text)
    rows = "id,label,set,gene,chr\nr2,b,valid,g2,2\nr1,a,train,g1,1\n"
    labels = table(tmp_path / "t.csv", rows, split="set", group="gene", contig="chr")
    found = source(tmp_path / "s", label="table", table=labels)
    assert found.schema == Schema("class")
    where = f"{tmp_path}/s: record"
    expected = [
        Example("r1", b"ACGTacg", "a", f"{where} 'r1'", "train", "g1", "1"),
        Example("r2", b"NN", "b", f"{where} 'r2'", "validation", "g2", "2"),
    ]
    assert list(found) == expected
    assert list(found) == expected


def test_rows_hold_numbers_or_classes_of_bases_too(tmp_path: Path) -> None:
    (tmp_path / "s.fa").write_text(FASTA)
    numbers = table(tmp_path / "t.csv", "id,label\nr1,0.5\nr2,2\n", "values")
    found = source(tmp_path / "s.fa", label="table", table=numbers, part="train")
    assert found.schema == Schema("values", ("label",))
    np.testing.assert_array_equal(np.array([e.label for e in found]), [[0.5], [2]])
    assert {e.part for e in found} == {"train"}
    bases = table(tmp_path / "t.csv", "id,label\nr1,EEEEIII\nr2,II\n", "bases")
    first, _ = source(tmp_path / "s.fa", label="table", table=bases)
    assert first.label == BaseClasses(b"\0\0\0\0\1\1\1", ("E", "I"))
    bases = table(tmp_path / "t.csv", "id,label\nr1,EEEEIII\nr2,I\n", "bases")
    with pytest.raises(SequenceFileError, match="'r2': found 1 symbols as classes of 2 bases"):
        list(source(tmp_path / "s.fa", label="table", table=bases))


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("r1,a\n", r"s.fa: record 'r2': found no row .* of 1 records in all"),
        ("x,a\n", r"s.fa: record 'r1': found no row .* of 2 records in all"),
        ("r1,a\nx,a\nr2,a\ny,b\n", r"t.csv: line 3: found the name 'x'.* and 2 such rows in all"),
        ("r1,a\nr2,a\nr1,a\n", r"t.csv: line 4: found a second row named 'r1'.*line 2"),
        ("r1,a\n,a\n", r"t.csv: line 3: found nothing in column 'id'"),
    ],
)
def test_rows_and_records_that_do_not_pair_are_refused(
    tmp_path: Path, rows: str, problem: str
) -> None:
    (tmp_path / "s.fa").write_text(FASTA)
    labels = table(tmp_path / "t.csv", f"id,label\n{rows}")
    with pytest.raises(SequenceFileError, match=problem):
        list(source(tmp_path / "s.fa", label="table", table=labels))


def test_a_row_labels_one_read(tmp_path: Path) -> None:
    (tmp_path / "s.fq").write_text(FASTQ + "@r1 mate\nA\n+\nI\n")
    labels = table(tmp_path / "t.csv", "id,label\nr1,a\nr2,b\n")
    with pytest.raises(SequenceFileError, match="'r1': found a second record of this name"):
        list(source(tmp_path / "s.fq", label="table", table=labels))


@pytest.mark.parametrize(
    ("changes", "settings", "problem"),
    [
        ({"name": None}, {}, "table.name is needed"),
        ({"sequence": "label"}, {}, "table.sequence has no effect"),
        ({"alternative": "label"}, {}, "table.alternative has no effect"),
        ({"part": "test"}, {"part": "test"}, "give one"),
        ({"split": "label"}, {"part": "test"}, "give one"),
    ],
)
def test_settings_without_effect_are_refused(
    tmp_path: Path, changes: dict[str, Any], settings: dict[str, Any], problem: str
) -> None:
    (tmp_path / "s.fa").write_text(FASTA)
    labels = {**table(tmp_path / "t.csv", "id,label\nr1,a\nr2,b\n"), **changes}
    with pytest.raises(RecipeError, match=problem):
        source(tmp_path / "s.fa", label="table", table=labels, **settings)


def test_a_file_that_is_not_there_or_empty_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.fa").write_text("")
    for name, problem in (("gone.fa", "no such file"), ("empty.fa", "empty file")):
        with pytest.raises(SequenceFileError, match=problem):
            source(tmp_path / name, label="none")


PIECES = [
    b">r",
    b">",
    b"@r",
    b"1",
    b"2",
    b" x",
    b"\n",
    b"\r\n",
    b"ACGT",
    b"+",
    b"II",
    b"\0",
    b"\xff",
]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join) | st.binary(max_size=40))
@in_one_folder
def test_any_bytes_as_records(tmp_path: Path, data: bytes) -> None:
    named: list[str] = []
    for text in (data, b">r1\nAC\n" + data, b"@r1\nAC\n+\nII\n" + data):
        path = tmp_path / "s.fa"
        path.write_bytes(text)
        try:
            found = list(source(path, label="none"))
        except HyenaGLTError as error:
            named.append(str(error))
            continue
        lines = [line.rstrip() for line in text.split(b"\n")]
        if text.lstrip().startswith(b">"):
            assert len(found) == sum(1 for line in lines if line.startswith(b">"))
        else:
            assert len(found) == sum(1 for line in lines if line) // 4
    assert all(str(tmp_path / "s.fa") in message for message in named)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (">phoP a\nAC\n>abrB\nGT\n>phoP b\nAA\n", ["phoP", "abrB", "phoP.row3"]),
        (">\nAC\n> \nGT\n> 6400 x\nAA\n", ["row1", "row2", "6400"]),
        (">row2\nAC\n>\nGT\n>row2\nAA\n", ["row2", "row2.row2", "row2.row3"]),
        (">b.row3\nAC\n>b\nGT\n>b\nAA\n", ["b.row3", "b", "b.row3.row3"]),
    ],
)
def test_names_of_one_class_are_made_to_differ_and_that_is_said(
    tmp_path: Path, text: str, names: list[str]
) -> None:
    (tmp_path / "s.fa").write_text(text)
    found = source(tmp_path / "s.fa", label="class", class_name="promoter")
    for _ in range(2):
        examples = list(found)
        assert [e.name for e in examples] == names
        assert [e.sequence for e in examples] == [b"AC", b"GT", b"AA"]
        assert {e.label for e in examples} == {"promoter"}
        assert len(found.notes) == (2 if names[0] == "row2" else 1)
        assert all(note.startswith(f"{tmp_path}/s.fa: ") for note in found.notes)


def test_names_that_differ_need_no_note(tmp_path: Path) -> None:
    (tmp_path / "s.fa").write_text(FASTA)
    found = source(tmp_path / "s.fa", label="none")
    assert [e.name for e in found] == ["r1", "r2"]
    assert found.notes == ()


def test_a_pattern_sees_the_header_of_a_repeated_name(tmp_path: Path) -> None:
    (tmp_path / "s.fa").write_text(">gene x=a\nAC\n>gene x=b\nGT\n")
    found = source(tmp_path / "s.fa", label="header", pattern=r"^gene x=(\w)$")
    assert [e.label for e in found] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ACGT\n", r"s.fa: line 1: found b'ACGT', expected a header that starts with '>'"),
        (">a\nAC\n>b\n>c\nAC\n", r"line 3: found no sequence under the header 'b'"),
        (">a\nAC\nA?C\n", r"line 3: found b'\?', expected letters"),
        (">a\nAC\n>\n", r"line 3: found no sequence"),
        (">\xe9\nAC\n", "line 1: found a header that is not printable ASCII"),
    ],
)
def test_records_that_are_wrong_are_named_by_line(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "s.fa").write_text(text)
    with pytest.raises(SequenceFileError, match=problem):
        list(source(tmp_path / "s.fa", label="none"))
