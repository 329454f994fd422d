"""FASTA in and out: every letter kept, every defect named."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyena_glt.errors import SequenceError, SequenceFileError, StorageError
from hyena_glt.io import Record, read_fasta, write_fasta

TWO = b">chr1 first one\nACgt\nNNR\n>chr2\nTT\n"
TWO_RECORDS = [Record("chr1", "first one", "ACgtNNR"), Record("chr2", "", "TT")]

letters = st.text(alphabet="ACGTNacgtnRYU-*.", min_size=1, max_size=200)


def bgzip(content: bytes, path: Path) -> None:
    with pysam.BGZFile(str(path), "wb", None) as file:
        file.write(content)


def plain(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def gzipped(content: bytes, path: Path) -> None:
    path.write_bytes(gzip.compress(content))


@pytest.mark.parametrize("pack", [plain, gzipped, bgzip])
def test_records_are_the_same_however_the_file_is_packed_and_named(
    tmp_path: Path, pack: Callable[[bytes, Path], None]
) -> None:
    pack(TWO, tmp_path / "genome.txt")
    assert list(read_fasta(tmp_path / "genome.txt")) == TWO_RECORDS


def test_gzip_files_joined_end_to_end_are_read_to_the_last(tmp_path: Path) -> None:
    path = tmp_path / "joined.gz"
    path.write_bytes(gzip.compress(TWO[:20]) + gzip.compress(TWO[20:]))
    assert list(read_fasta(path)) == TWO_RECORDS


def test_windows_lines_blank_lines_and_no_last_line_end_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "genome.fa"
    path.write_bytes(b"\r\n>chr1 first one\r\nACgt\r\n\r\nNNR\r\n\r\n>chr2\r\nTT")
    assert list(read_fasta(path)) == TWO_RECORDS


def test_gaps_stops_and_iupac_codes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "protein.fa"
    path.write_bytes(b">p\nMKV*\n--.xRYU\n")
    assert next(read_fasta(path)).sequence == "MKV*--.xRYU"


def test_records_before_a_defect_are_given_before_it_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "genome.fa"
    path.write_bytes(b">a\nAC\n>b\nA1\n")
    records = read_fasta(path)
    assert next(records) == Record("a", "", "AC")
    with pytest.raises(SequenceFileError):
        next(records)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n\n", "found no record"),
        (b"ACGT\n", "line 1: found b'ACGT', expected a header"),
        (b"\n@read\nACGT\n+\n", "line 2: .*looks like FASTQ"),
        (b"\xef\xbb\xbf>a\nACGT\n", "line 1: .*this is no text"),
        (b"BAM\x01\x00\x00", "line 1: .*this is no text"),
        (b">a\nAC\n>\nGT\n", "line 3: found a header without a name"),
        (b"> a\nAC\n", "line 1: found a header without a name"),
        (b">a\n>b\nAC\n", "line 1: found no sequence under record 'a'"),
        (b">a\nAC\n>b\n\n", "line 3: found no sequence under record 'b'"),
        (b">a x\nAC\n>b\nAC\n>a y\nAC\n", "line 5: found a second record named 'a'"),
        (b">a\nACGT\nAC1T\n", "line 3, record 'a': found '1' at column 3"),
        (b">a\nAC GT\n", "line 2, record 'a': found ' ' at column 3"),
        (b">a\nAC\n>b\nAC>T\n", "line 4, record 'b': found '>' at column 3"),
        (b">a\nAC\x00T\n", r"line 2, record 'a': found '\\x00' at column 3.*no text"),
        (b">a\nAC\xe9T\n", "line 2, record 'a': found 'é' at column 3.*no text"),
        (b">a M\xfcller\nACT\n", "line 1: found a header that is not printable ASCII"),
        (b">a\rACGT\r>b\rACGT\r", "line 1: .*line ends of Unix or Windows"),
    ],
)
def test_a_defect_is_reported_with_its_line_and_what_was_expected(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "defect.fa"
    path.write_bytes(content)
    with pytest.raises(SequenceFileError, match=f"^{re.escape(str(path))}: {message}"):
        list(read_fasta(path))


def test_a_missing_file_a_folder_and_an_empty_file_are_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.fa").touch()
    for name, message in [
        ("absent.fa", "no such file"),
        (".", "found a folder"),
        ("empty.fa", "found an empty file"),
    ]:
        with pytest.raises(SequenceFileError, match=message):
            read_fasta(tmp_path / name)


def test_every_cut_of_a_gzip_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.fa.gz"
    whole = gzip.compress(TWO)
    for size in range(2, len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(SequenceFileError, match="damaged or cut-off"):
            list(read_fasta(path))


def test_a_damaged_gzip_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "damaged.fa.gz"
    whole = bytearray(gzip.compress(TWO))
    whole[-6] ^= 1
    path.write_bytes(whole)
    with pytest.raises(SequenceFileError, match="CRC"):
        list(read_fasta(path))


def test_a_bgzip_file_cut_between_blocks_is_an_error_at_once(tmp_path: Path) -> None:
    path = tmp_path / "cut.fa.gz"
    bgzip(TWO, path)
    path.write_bytes(path.read_bytes()[:-28])
    assert gzip.decompress(path.read_bytes()) == TWO, "only the end block is gone"
    with pytest.raises(SequenceFileError, match="without its end block"):
        read_fasta(path)


# A slow disk is no defect.
@settings(deadline=None, max_examples=50)
@given(
    sequences=st.lists(letters, min_size=1, max_size=4),
    line_width_bp=st.integers(1, 70),
    name=st.sampled_from(["genome.fa", "genome.fa.gz"]),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    sequences: list[str],
    line_width_bp: int,
    name: str,
) -> None:
    path = tmp_path_factory.mktemp("written") / name
    records = [Record(f"r{i}", "a  b" * (i % 2), s) for i, s in enumerate(sequences)]
    write_fasta(path, records, line_width_bp)
    assert list(read_fasta(path)) == records


def test_lines_are_of_the_width_asked_for_and_the_last_is_not_padded(tmp_path: Path) -> None:
    write_fasta(tmp_path / "a.fa", [Record("a", "x", "ACGTA"), Record("b", "", "ACGT")], 2)
    assert (tmp_path / "a.fa").read_bytes() == b">a x\nAC\nGT\nA\n>b\nAC\nGT\n"


def test_a_name_in_gz_gives_bgzip_with_its_end_block(tmp_path: Path) -> None:
    write_fasta(tmp_path / "a.fa.gz", TWO_RECORDS)
    content = (tmp_path / "a.fa.gz").read_bytes()
    assert content[12:14] == b"BC"
    assert content.endswith(bytes.fromhex("1b0003000000000000000000"))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Record("", "", "A"), "not one printable ASCII word"),
        (Record("a b", "", "A"), "not one printable ASCII word"),
        (Record("ok", "", "A"), "same name"),
        (Record("a", "x\n>b", "A"), "not one line"),
        (Record("a", " x", "A"), "starts or ends with a space"),
        (Record("a", "", ""), "its sequence is empty"),
        (Record("a", "", "AC>T"), r"found '>' at position 2 \(0-based\)"),
        (Record("a", "", "ACé"), r"found 'é' at position 2 \(0-based\)"),
    ],
)
def test_a_record_that_would_not_come_back_is_refused_and_the_old_file_stays(
    tmp_path: Path, record: Record, message: str
) -> None:
    path = tmp_path / "a.fa"
    path.write_text("old")
    with pytest.raises(SequenceError, match=message):
        write_fasta(path, [Record("ok", "", "ACGT"), record])
    assert path.read_text() == "old"


def test_writing_no_record_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match="no record to write"):
        write_fasta(tmp_path / "a.fa", [])


def test_writing_to_a_folder_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="make the folder first"):
        write_fasta(tmp_path / "absent" / "a.fa", TWO_RECORDS)
