"""Four lines are a read with its qualities, or an error that names them."""

import gzip
from pathlib import Path

import pytest

from hyena_glt.errors import SequenceFileError
from hyena_glt.io import Read, read_fastq

TWO = "@r1 first of two\nACgt\n+\nII5!\n\n@r2\nN\n+r2\n@\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reads"


def test_four_lines_become_a_read_even_where_a_quality_looks_like_a_header(path: Path) -> None:
    path.write_text(TWO)
    assert list(read_fastq(path)) == [
        Read("r1", "first of two", "ACgt", "II5!"),
        Read("r2", "", "N", "@"),
    ]


def test_windows_lines_and_gzip_are_read_as_plain(path: Path) -> None:
    path.write_text(TWO)
    plain = list(read_fastq(path))
    path.write_bytes(gzip.compress(TWO.replace("\n", "\r\n").encode()))
    assert list(read_fastq(path)) == plain


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("r3\nA\n+\nI\n", "lines 10-13: found b'r3', expected a header"),
        ("@\nA\n+\nI\n", "expected a header: '@' and a name"),
        ("@ r3\nA\n+\nI\n", "expected a header: '@' and a name"),
        ("@r3\nA\nC\n+\nI\n", "found b'C' as its third line"),
        ("@r3\nA\n+r4\nI\n", "expected the same name"),
        ("@r3\nACG\n+\nII\n", "found 3 bases and 2 qualities"),
        ("@r3\nAC\n+\nIII\n", "found 2 bases and 3 qualities"),
        ("@r3\n\n+\n\n", "found no sequence in it"),
        ("@r3\nA1\n+\nII\n", "found '1' at column 2 of its sequence"),
        ("@r3\nAC\n+\nI\x7f\n", "found a quality that is no character"),
        ("@r3\nA C\n+\nI I\n", "found ' ' at column 2"),
        ("@r3é\nA\n+\nI\n", "not printable ASCII"),
        ("@r3\nACG\n+\n", "line 12: found the end of the file before the qualities"),
        ("@r3\nACG\n", "before the '\\+' line of the last record"),
        ("@r3", "before the sequence of the last record"),
    ],
)
def test_lines_that_are_no_read_are_named(path: Path, lines: str, problem: str) -> None:
    path.write_text(TWO + lines, encoding="utf-8")
    reads = read_fastq(path)
    assert [next(reads).name, next(reads).name] == ["r1", "r2"]
    with pytest.raises(SequenceFileError, match=problem) as refusal:
        next(reads)
    assert str(refusal.value).startswith(f"{path}: line")


def test_a_missing_empty_or_blank_file_is_refused(path: Path) -> None:
    with pytest.raises(SequenceFileError, match="no such file"):
        read_fastq(path)
    path.touch()
    with pytest.raises(SequenceFileError, match="empty file"):
        read_fastq(path)
    path.write_text("\n\n")
    with pytest.raises(SequenceFileError, match="no record"):
        list(read_fastq(path))


def test_cut_off_gzip_is_an_error(path: Path) -> None:
    path.write_bytes(gzip.compress(TWO.encode() * 999)[:-9])
    with pytest.raises(SequenceFileError, match="cut-off gzip"):
        list(read_fastq(path))
