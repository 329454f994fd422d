"""Intervals of a FASTA file: exact, or refused."""

import gzip
import multiprocessing
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyena_glt.errors import SequenceFileError, StorageError
from hyena_glt.io import IndexedFasta, Record, read_fasta, replacing_file, write_fasta

CHR1 = "ACGTacgtNNRYacGTTGCA"
RECORDS = [Record("chr1", "first", CHR1), Record("chr10", "", "TTTTG")]


@pytest.fixture(params=["genome.fa", "genome.fa.gz"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / str(request.param)
    write_fasta(path, RECORDS, line_width_bp=7)
    return path


def make_older_than(path: Path, reference: Path) -> None:
    before_ns = reference.stat().st_mtime_ns - 1_000_000_000
    os.utime(path, ns=(before_ns, before_ns))


def test_names_and_lengths_are_those_of_the_file_in_its_order(path: Path) -> None:
    with IndexedFasta(path) as genome:
        assert genome.names == ("chr1", "chr10")
        assert genome.length_bp("chr1") == 20
        assert genome.length_bp("chr10") == 5


def test_every_interval_is_the_slice_of_the_record_with_its_case(path: Path) -> None:
    with IndexedFasta(path) as genome:
        for start in range(21):
            for end in range(start, 21):
                assert genome.fetch("chr1", start, end) == CHR1[start:end]


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (0, 21), (20, 21), (5, 4), (21, 21)])
def test_an_interval_not_inside_its_record_is_refused_never_cut(
    path: Path, start: int, end: int
) -> None:
    with pytest.raises(SequenceFileError, match=rf"chr1:{start}-{end}.* <= 20 "):
        IndexedFasta(path).fetch("chr1", start, end)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("1", "did you mean 'chr1'?"), ("chr100", "'chr10'"), ("mito", "check the assembly")],
)
def test_an_unknown_name_is_refused_with_the_names_like_it(
    path: Path, name: str, hint: str
) -> None:
    genome = IndexedFasta(path)
    with pytest.raises(SequenceFileError) as refusal:
        genome.fetch(name, 0, 1)
    assert repr(name) in str(refusal.value)
    assert hint in str(refusal.value)
    with pytest.raises(SequenceFileError):
        genome.length_bp(name)


def test_an_index_made_here_is_used_again_as_it_is(path: Path) -> None:
    IndexedFasta(path)
    fai = path.with_name(path.name + ".fai")
    made_ns = fai.stat().st_mtime_ns
    IndexedFasta(path)
    assert fai.stat().st_mtime_ns == made_ns
    assert fai.read_text().splitlines()[0].split("\t")[:2] == ["chr1", "20"]


def test_an_index_older_than_the_file_is_made_again(path: Path) -> None:
    IndexedFasta(path)
    write_fasta(path, [Record("chr2", "", "GGGCCC")])
    for index in path.parent.glob("*.?[az]i"):
        make_older_than(index, path)
    genome = IndexedFasta(path)
    assert genome.names == ("chr2",)
    assert genome.fetch("chr2", 2, 4) == "GC"


@pytest.mark.parametrize("sequence", ["ACGTACGTACGT", "ACG"])
def test_an_index_of_another_length_is_made_again_however_new_it_is(
    tmp_path: Path, sequence: str
) -> None:
    path = tmp_path / "genome.fa"
    write_fasta(path, [Record("chr1", "", "ACGTAC")])
    IndexedFasta(path)
    write_fasta(path, [Record("chr1", "", sequence)])
    os.utime(tmp_path / "genome.fa.fai")
    assert IndexedFasta(path).length_bp("chr1") == len(sequence)


@pytest.mark.parametrize("content", ["", "chr1\t20\n", "chr1\tx\t7\t7\t8\n"])
def test_a_damaged_index_is_made_again(tmp_path: Path, content: str) -> None:
    path = tmp_path / "genome.fa"
    write_fasta(path, RECORDS)
    (tmp_path / "genome.fa.fai").write_text(content)
    assert IndexedFasta(path).length_bp("chr10") == 5


def test_a_file_without_a_last_line_end_or_with_blank_lines_after_it_keeps_its_index(
    tmp_path: Path,
) -> None:
    for content in (b">a\nACGT\nAC", b">a\r\nACGT\r\nACGT\r\n\r\n"):
        path = tmp_path / "genome.fa"
        path.write_bytes(content)
        length_bp = IndexedFasta(path).length_bp("a")
        fai = tmp_path / "genome.fa.fai"
        inode = fai.stat().st_ino
        assert IndexedFasta(path).fetch("a", 3, length_bp) == "T" + "ACGT"[: length_bp - 4]
        assert fai.stat().st_ino == inode


def test_a_folder_that_cannot_be_written_to_is_a_storage_error_naming_the_index(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = os.open

    def refuse(name: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", str(name))
        return made(name, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match=r"\.fai: .*Permission denied.*may write to"):
        IndexedFasta(path)


def test_plain_gzip_is_refused_with_the_command_that_repacks_it(tmp_path: Path) -> None:
    path = tmp_path / "genome.fa.gz"
    path.write_bytes(gzip.compress(b">a\nACGT\n"))
    with pytest.raises(SequenceFileError, match=r"gunzip -c .*genome\.fa\.gz \| bgzip >"):
        IndexedFasta(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b">a\nACG\nAC\nACG\n", "lines of unequal length"),
        (b">a\nACGT\n>a\nGG\n", "second record named 'a'"),
        (b">a\nAC4T\n", "found '4' at column 3"),
    ],
)
def test_a_file_that_cannot_be_indexed_is_refused_and_gets_no_index(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "genome.fa"
    path.write_bytes(content)
    with pytest.raises(SequenceFileError, match=message):
        IndexedFasta(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["genome.fa"]


def test_a_file_cut_after_opening_is_an_error_not_a_short_answer(tmp_path: Path) -> None:
    path = tmp_path / "genome.fa"
    write_fasta(path, RECORDS)
    genome = IndexedFasta(path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(SequenceFileError, match="its index promises"):
        genome.fetch("chr1", 0, 20)


def test_a_file_and_index_replaced_by_shorter_ones_give_an_error_not_a_short_answer(
    tmp_path: Path,
) -> None:
    path = tmp_path / "genome.fa"
    write_fasta(path, [Record("chr1", "", "ACGTACGT")])
    genome = IndexedFasta(path)
    write_fasta(path, [Record("chr1", "", "ACGTA")])
    IndexedFasta(path)
    with pytest.raises(SequenceFileError, match="found 5 bases of chr1:0-8"):
        genome.fetch("chr1", 0, 8)


def test_a_pickled_copy_answers_as_the_original_from_another_folder(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    genome = IndexedFasta(path.name)
    genome.fetch("chr1", 0, 3)
    monkeypatch.chdir("/")
    assert pickle.loads(pickle.dumps(genome)).fetch("chr1", 3, 9) == CHR1[3:9]


def test_processes_forked_from_an_open_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "genome.fa"
    # No two pieces are alike, and each takes several reads: a shared file position would show.
    sequence = "".join(f"{number:020b}" for number in range(60_000))
    sequence = sequence.replace("0", "A").replace("1", "C")
    write_fasta(path, [Record("chr1", "", sequence)])
    genome = IndexedFasta(path)
    assert genome.fetch("chr1", 0, 20) == sequence[:20]

    def child(number: int, failures: "multiprocessing.Queue[int]") -> None:
        wrong = 0
        for turn in range(60):
            start = (number * 377_777 + turn * 77_777) % 900_000
            try:
                wrong += (
                    genome.fetch("chr1", start, start + 300_000)
                    != sequence[start : start + 300_000]
                )
            except SequenceFileError:
                wrong += 1
        failures.put(wrong)

    context = multiprocessing.get_context("fork")
    failures: multiprocessing.Queue[int] = context.Queue()
    children = [context.Process(target=child, args=(number, failures)) for number in range(3)]
    for process in children:
        process.start()
    assert [failures.get(timeout=60) for _ in children] == [0, 0, 0]
    for process in children:
        process.join(timeout=60)


def test_a_closed_file_refuses_to_answer(path: Path) -> None:
    with IndexedFasta(path) as genome:
        genome.fetch("chr1", 0, 1)
    with pytest.raises(ValueError, match="is closed"):
        genome.fetch("chr1", 0, 1)


# A slow disk is no defect.
@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(
    sequence=st.text(alphabet="ACGTNacgtn", min_size=1, max_size=300),
    line_width_bp=st.integers(1, 80),
    data=st.data(),
)
def test_an_interval_equals_the_slice_of_what_read_fasta_gives(
    tmp_path_factory: pytest.TempPathFactory, sequence: str, line_width_bp: int, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("indexed") / "genome.fa.gz"
    write_fasta(path, [Record("a", "", "ACGT"), Record("b", "", sequence)], line_width_bp)
    start = data.draw(st.integers(0, len(sequence)))
    end = data.draw(st.integers(start, len(sequence)))
    second = list(read_fasta(path))[1]
    assert IndexedFasta(path).fetch("b", start, end) == second.sequence[start:end]


def test_an_index_is_never_seen_half_written(path: Path) -> None:
    fai = path.with_name(path.name + ".fai")
    with replacing_file(fai) as aside:
        aside.write_text("half")
        assert not fai.exists()
