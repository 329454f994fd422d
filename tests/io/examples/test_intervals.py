"""An interval is the letters of its strand and its label, or an error that names the line."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hyena_glt.config.examples import IntervalsSourceConfig
from hyena_glt.errors import HyenaGLTError, SequenceFileError
from hyena_glt.io.examples.example import Example, Schema
from hyena_glt.io.examples.intervals import IntervalsSource

#            0         1         2
#            0123456789012345678901234
CHR1 = "AACCGGTTACGTNNRYacgtTTTGC"


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{CHR1}\n>2\nGATTACA\n>rna\nGGUUACA\n>gap\nAC-GT\n")
    return path


def source(genome: Path, text: str, **settings: Any) -> IntervalsSource:
    path = genome.with_name("regions.bed")
    path.write_text(text)
    wanted = {"label": "none", **settings}
    return IntervalsSource(
        IntervalsSourceConfig(kind="intervals", path=str(path), genome=str(genome), **wanted)
    )


def sequences(examples: IntervalsSource) -> list[bytes]:
    return [example.sequence for example in examples]


def test_a_minus_strand_is_read_from_its_own_end_with_case_and_ambiguity_kept(
    genome: Path,
) -> None:
    text = "chr1\t0\t4\tx\t0\t+\nchr1\t0\t4\tx\t0\t-\nchr1\t12\t20\tx\t0\t-\nchr1\t0\t4\n"
    assert sequences(source(genome, text)) == [b"AACC", b"GGTT", b"acgtRYNN", b"AACC"]


def test_every_iupac_code_pairs_with_the_code_for_the_partners(tmp_path: Path) -> None:
    path = tmp_path / "genome.fa"
    path.write_text(">c\nRYSWKMBDHVNryswkmbdhvn\n")
    made = source(path, "c\t0\t22\tx\t0\t-\n")
    assert sequences(made) == [b"nbdhvkmwsryNBDHVKMWSRY"]


def test_the_partner_of_a_is_u_where_the_interval_is_rna(genome: Path) -> None:
    assert sequences(source(genome, "rna\t0\t7\tx\t0\t-\n")) == [b"UGUAACC"]


def test_examples_say_what_they_are_in_the_names_of_the_genome(genome: Path) -> None:
    made = source(genome, "# two\n1 1 3 peak 0 -\nchr2 0 7\n", label="class", class_name="open")
    path = genome.with_name("regions.bed")
    assert made.schema == Schema("class")
    first, second = made
    assert first == Example("chr1:1-3(-)", b"GT", "open", f"{path}: line 2", contig="chr1")
    assert second == Example("2:0-7(+)", b"GATTACA", "open", f"{path}: line 3", contig="2")
    assert list(made) == [first, second]


def test_the_part_is_that_of_all(genome: Path) -> None:
    assert [one.part for one in source(genome, "2\t0\t1\n2\t1\t2\n", part="test")] == ["test"] * 2


@pytest.mark.parametrize(
    ("start", "end", "window_bp", "window"),
    [
        (10, 11, 1, (10, 11)),
        (10, 11, 3, (9, 12)),
        (10, 11, 4, (9, 13)),
        (10, 12, 4, (9, 13)),
        (10, 12, 3, (10, 13)),
        (10, 12, 1, (11, 12)),
        (8, 14, 2, (10, 12)),
        (8, 13, 2, (10, 12)),
        (2, 4, 6, (0, 6)),
        (22, 24, 4, (21, 25)),
    ],
)
def test_a_window_has_the_middle_of_the_interval_or_half_a_base_to_its_right(
    genome: Path, start: int, end: int, window_bp: int, window: tuple[int, int]
) -> None:
    text = f"chr1\t{start}\t{end}\tx\t0\t+\nchr1\t{start}\t{end}\tx\t0\t-\n"
    first, last = window
    plus, minus = source(genome, text, window_bp=window_bp)
    assert plus.sequence.decode() == CHR1[first:last]
    assert plus.name == f"chr1:{first}-{last}(+)"
    assert minus.name == f"chr1:{first}-{last}(-)"
    assert len(minus.sequence) == window_bp


def test_a_column_past_the_sixth_is_a_class_or_a_number(genome: Path) -> None:
    text = "chr1\t0\t4\tp1\t900\t.\t7.5\t-1\t4\t2\nchr1\t4\t8\tp2\t0\t-\t-1e-3\t-1\t4\t2\n"
    classes = source(genome, text, label="column", column=4)
    assert classes.schema == Schema("class")
    assert [one.label for one in classes] == ["p1", "p2"]
    values = source(genome, text, label="values", column=7)
    assert values.schema == Schema("values", ("column 7",))
    labels = [one.label for one in values]
    assert all(isinstance(label, np.ndarray) and label.dtype == np.float32 for label in labels)
    assert labels == [np.float32(7.5), np.float32(-0.001)]


def test_columns_stay_with_their_line_among_headers_and_comments(genome: Path) -> None:
    text = "track name=x\n#c\n2 0 1 a\n\n2 1 2 b\nbrowser x\n2 2 3 c\n"
    labels = [one.label for one in source(genome, text, label="column", column=4)]
    assert labels == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("line", "settings", "problem"),
    [
        ("chr3\t0\t2", {}, "found no record 'chr3'"),
        ("chr1\t20\t26", {}, "found the interval chr1:20-26, expected it inside the contig's 25"),
        ("chr1\t23\t25", {"window_bp": 4}, "found a window of 4 bp, chr1:22-26"),
        ("chr1\t0\t2", {"window_bp": 4}, "chr1:-1-3"),
        # The window would lie inside, the interval doesn't.
        ("chr1\t4\t26", {"window_bp": 2}, "found the interval chr1:4-26"),
        ("gap\t0\t5\tx\t0\t-", {}, "found '-' on a minus strand"),
        ("chr1\t0\t2\tx", {"label": "column", "column": 5}, "found 4 columns"),
        ("chr1\t0\t2\t.\t0", {"label": "column", "column": 4}, "column 4: found '.', expected"),
        ("chr1\t0\t2\t\t0", {"label": "column", "column": 4}, "column 4: found ''"),
        ("chr1\t0\t2\tx\tnan", {"label": "values", "column": 5}, "column 5: found 'nan'"),
        ("chr1\t0\t2\tx\t1e39", {"label": "values", "column": 5}, "found '1e39'"),
        ("chr1\t0\t2\tx\t-inf", {"label": "values", "column": 5}, "found '-inf'"),
        ("chr1\t0\t2\tx\t1_0", {"label": "values", "column": 5}, "found '1_0'"),
        ("chr1\t0\t2\tx\thigh", {"label": "values", "column": 5}, "found 'high'"),
        ("chr1\t5\t2", {}, "found start 5 and end 2"),
    ],
)
def test_a_line_that_is_no_example_is_named(
    genome: Path, line: str, settings: dict[str, Any], problem: str
) -> None:
    made = iter(source(genome, f"chr1\t8\t10\tclass\t1\n{line}\n", **settings))
    next(made)
    with pytest.raises(SequenceFileError) as refusal:
        next(made)
    assert f"{genome.with_name('regions.bed')}: line 2: " in str(refusal.value)
    assert problem in str(refusal.value)


def test_a_missing_file_is_refused_at_once(genome: Path) -> None:
    config = {"kind": "intervals", "genome": str(genome), "path": str(genome.with_name("no.bed"))}
    with pytest.raises(SequenceFileError, match="no such file"):
        IntervalsSource(IntervalsSourceConfig.model_validate({**config, "label": "none"}))
    with pytest.raises(SequenceFileError, match="no such folder"):
        IntervalsSource(IntervalsSourceConfig.model_validate({**config, "label": "folder"}))


HEADER = "id,region,start,end,strand\n"


def folder(genome: Path, files: dict[str, str], **settings: Any) -> IntervalsSource:
    path = genome.with_name("benchmark")
    for name, text in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        packed = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
        file.write_bytes(packed)
    config = {"kind": "intervals", "path": str(path), "genome": str(genome), "label": "folder"}
    return IntervalsSource(IntervalsSourceConfig.model_validate({**config, **settings}))


FILES = {
    "metadata.yaml": "version: 0\n",
    "train/.DS_Store": "",
    "train/b.csv.gz": HEADER + "0,chr1,0,4,-\n1,chr2,0,3,+\n",
    "train/a.csv": 'strand,id,"start",end,region,note\r\n+,7,4,6,"1","x, y"\r\n',
    "test/b.csv": HEADER + "\n0,chr1,8,10,.\n",
    "test/a.csv": HEADER + "0,rna,0,1,+\n",
}


def test_a_folder_gives_parts_and_classes_in_the_order_of_names(genome: Path) -> None:
    made = folder(genome, FILES)
    assert made.schema == Schema("class")
    assert [(one.part, one.label, one.sequence, one.name) for one in made] == [
        ("train", "a", b"GG", "chr1:4-6(+)"),
        ("train", "b", b"GGTT", "chr1:0-4(-)"),
        ("train", "b", b"GAT", "2:0-3(+)"),
        ("test", "a", b"G", "rna:0-1(+)"),
        ("test", "b", b"AC", "chr1:8-10(+)"),
    ]
    assert [one.where[len(str(genome.parent)) :] for one in made][2:] == [
        "/benchmark/train/b.csv.gz: line 3",
        "/benchmark/test/a.csv: line 2",
        "/benchmark/test/b.csv: line 3",
    ]


def test_windows_are_had_of_a_folder_too(genome: Path) -> None:
    files = {name: text for name, text in FILES.items() if "/b." in name}
    files |= {"train/b.csv.gz": HEADER + "0,chr1,4,5,-\n"}
    assert [one.sequence for one in folder(genome, files, window_bp=3)] == [b"CCG", b"ACG"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"train/c.csv": HEADER}, "found the class 'c' in train/ and not in test/"),
        ({"test/c.csv": HEADER}, "found the class 'c' in test/ and not in train/"),
        ({"validation/a.csv": HEADER}, "found the folders test train validation"),
        ({"train/a.csv.gz": HEADER}, "a.csv.gz: found it beside a.csv"),
        ({"test/notes.txt": "x"}, "notes.txt: found it, expected one .csv"),
    ],
)
def test_a_folder_of_other_things_is_refused_at_once(
    genome: Path, changes: dict[str, str], problem: str
) -> None:
    with pytest.raises(SequenceFileError) as refusal:
        folder(genome, FILES | changes)
    assert problem in str(refusal.value)


def test_a_folder_of_one_part_is_refused(genome: Path) -> None:
    with pytest.raises(SequenceFileError, match="found the folders train, expected"):
        folder(genome, {"train/a.csv": HEADER})


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (HEADER + "0,chr1,0,4,+\n1,chr9,0,4,+\n", "line 3: "),
        (HEADER + "0,chr9,0,4,+\n", "found no record 'chr9'"),
        (HEADER + "0,chr1,0,26,+\n", "line 2: found the interval chr1:0-26"),
        (HEADER + "0,chr1,0,4\n", "line 2: found 4 cells, expected the 5"),
        (HEADER + "0,chr1,-1,4,+\n", "line 2: found the start '-1'"),
        (HEADER + "0,chr1,1,4.0,+\n", "line 2: found the end '4.0'"),
        (HEADER + "0,chr1,4,4,+\n", "line 2: found start 4 and end 4"),
        (HEADER + "0,chr1,0,4,*\n", "line 2: found the strand '*'"),
        (HEADER + '0,"chr1,0,4,+\n', "line 2: unexpected end of data"),
        ("id,region,start,end\n0,chr1,0,4\n", "line 1: found 0 columns 'strand'"),
        ("region,region,start,end,strand\n", "line 1: found 2 columns 'region'"),
        (HEADER, "found no interval in it"),
    ],
)
def test_a_table_that_is_wrong_is_named_with_its_line(
    genome: Path, table: str, problem: str
) -> None:
    made = folder(genome, FILES | {"train/a.csv": table})
    with pytest.raises(SequenceFileError) as refusal:
        list(made)
    assert f"{genome.parent}/benchmark/train/a.csv: " in str(refusal.value)
    assert problem in str(refusal.value)


ANY = "chr1\t\n\r\0\"'#,.;=+-0é²\x1c "
CELLS = st.sampled_from(
    [
        "chr1",
        "2",
        "gap",
        "0",
        "3",
        "7",
        "26",
        "-1",
        "1e9",
        "nan",
        ".",
        "+",
        "-",
        "",
        "x y",
        "é",
        "#",
    ]
)
LINES = st.lists(st.lists(CELLS, max_size=8).map("\t".join), max_size=4).map("\n".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    text=st.one_of(LINES, st.text(ANY, max_size=40)), label=st.sampled_from(["column", "values"])
)
@example(text="chr1\t0\t3\tx\t5\t-", label="values")
def test_any_text_gives_examples_or_an_error_that_names_the_file(
    genome: Path, text: str, label: str
) -> None:
    path = genome.with_name("regions.bed")
    path.write_text(text, encoding="utf-8")
    config = {"kind": "intervals", "path": str(path), "genome": str(genome), "window_bp": 3}
    problem = ""
    try:
        made = IntervalsSource(
            IntervalsSourceConfig.model_validate({**config, "label": label, "column": 5})
        )
        for one in made:
            assert len(one.sequence) == 3
    except HyenaGLTError as error:
        problem = str(error)
    assert not problem or str(path) in problem


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(text=st.one_of(LINES.map(lambda text: text.replace("\t", ",")), st.text(ANY, max_size=40)))
@example(text='0,"chr1,0,4,+')
@example(text="0,chr1\r,0,4,+")
def test_any_table_gives_examples_or_an_error_that_names_the_file(genome: Path, text: str) -> None:
    problem = ""
    try:
        for one in folder(genome, FILES | {"train/a.csv": HEADER + text}):
            assert one.sequence
    except HyenaGLTError as error:
        problem = str(error)
    assert not problem or "a.csv" in problem
