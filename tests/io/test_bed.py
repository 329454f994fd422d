"""A BED line is an interval, or an error that names it."""

import gzip
from pathlib import Path

import pytest

from hyena_glt.errors import SequenceFileError
from hyena_glt.io import Interval, read_bed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "regions.bed"


def test_columns_become_an_interval_and_missing_ones_their_defaults(path: Path) -> None:
    path.write_text("chr1\t4\t10\tgeneA\t0\t-\nchr2\t0\t7\nchr2\t1\t2\t.\t0\t.\n")
    assert list(read_bed(path)) == [
        Interval("chr1", 4, 10, "geneA", "-", 1),
        Interval("chr2", 0, 7, "chr2:0-7", "+", 2),
        Interval("chr2", 1, 2, "chr2:1-2", "+", 3),
    ]
    assert [interval.length_bp for interval in read_bed(path)] == [6, 7, 1]


def test_headers_comments_and_blank_lines_are_passed_over_and_counted(path: Path) -> None:
    path.write_bytes(b"browser position chr1\r\ntrack name=x\r\n# note\r\n\r\nchr1 3 4\r\n")
    assert list(read_bed(path)) == [Interval("chr1", 3, 4, "chr1:3-4", "+", 5)]


def test_a_name_may_hold_spaces_where_tabs_split_and_later_columns_are_passed_over(
    path: Path,
) -> None:
    path.write_text("chr1\t3\t9\tgene A\t5\t+\t3\t9\t0,0,0\t1\t6\t0\n")
    assert next(read_bed(path)).name == "gene A"


def test_gzip_is_read_as_plain(tmp_path: Path) -> None:
    path = tmp_path / "regions.bed.gz"
    with gzip.open(path, "wt") as file:
        file.write("chr1\t0\t3\n")
    assert [interval.end for interval in read_bed(path)] == [3]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("chr1\t5", "found 2 columns"),
        ("chr1\tfive\t9", "found the start 'five', expected a whole number"),
        ("chr1\t-1\t9", "found the start '-1'"),
        ("chr1\t1\t9.5", "found the end '9.5'"),
        ("chr1\t9\t9", "expected start < end"),
        ("chr1\t9\t5", "found start 9 and end 5"),
        ("chr1\t1\t9\tx\t0\tforward", "found the strand 'forward'"),
        ("chr1\t1\t9\0", "no text"),
        ("chr1\t1\t²", "no text"),
    ],
)
def test_a_line_that_is_no_interval_is_named(path: Path, line: str, problem: str) -> None:
    path.write_text(f"chr1\t0\t3\n{line}\n", encoding="utf-8")
    with pytest.raises(SequenceFileError) as refusal:
        list(read_bed(path))
    assert f"{path}: line 2: " in str(refusal.value)
    assert problem in str(refusal.value)


def test_a_missing_or_empty_file_is_refused_at_once(path: Path) -> None:
    with pytest.raises(SequenceFileError, match="no such file"):
        read_bed(path)
    path.touch()
    with pytest.raises(SequenceFileError, match="empty file"):
        read_bed(path)


def test_a_file_of_comments_holds_no_interval(path: Path) -> None:
    path.write_text("# nothing\n")
    with pytest.raises(SequenceFileError, match="no interval"):
        list(read_bed(path))
