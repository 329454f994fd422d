"""A track gives the score of every base, whatever its file, or says which line is wrong."""

import gzip
import multiprocessing
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pybigtools
import pysam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.errors import SequenceFileError
from hyena_glt.io import Track, open_track

NAN = np.nan
# chr1 has 12 bases, chr2 has 4; 0.1 is no float64 that float32 holds.
CHR1 = [NAN, 0.1, 0.1, 0.1, NAN, NAN, -2.5, 7.0, 7.0, NAN, NAN, 1e-30]
CHR2 = [3.0, NAN, NAN, NAN]
LINES = "chr1\t1\t4\t0.1\nchr1\t6\t7\t-2.5\nchr1\t7\t9\t7\nchr1\t11\t12\t1e-30\nchr2\t0\t1\t3\n"


def write_bigwig(path: Path, lines: str) -> None:
    """By pybigtools alone, with no code of ours."""
    rows = [line.split() for line in lines.splitlines()]
    records = [(contig, int(start), int(end), float(value)) for contig, start, end, value in rows]
    pybigtools.open(str(path), "w").write({"chr1": 12, "chr2": 4}, iter(records))


def write_bgzip(path: Path) -> None:
    with pysam.BGZFile(str(path), "wb", None) as file:
        file.write(LINES.encode())


WRITE: dict[str, Callable[[Path], object]] = {
    "t.bedgraph": lambda path: path.write_text(LINES),
    "plain.bedgraph.gz": lambda path: path.write_bytes(gzip.compress(LINES.encode())),
    "t.bedgraph.gz": write_bgzip,
    "t.bw": lambda path: write_bigwig(path, LINES),
    "t.npz": lambda path: np.savez(path, chr1=np.array(CHR1), chr2=np.array(CHR2)),
    "zipped.npz": lambda path: np.savez_compressed(
        path, chr1=np.array(CHR1, dtype=np.float32), chr2=np.array(CHR2, dtype=np.float32)
    ),
}
KNOWS_LENGTHS = ("t.bw", "t.npz", "zipped.npz")


@pytest.fixture(params=WRITE)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    WRITE[path.name](path)
    return path


def written(tmp_path: Path, lines: str) -> Path:
    path = tmp_path / "t.bedgraph"
    path.write_text(lines)
    return path


def test_every_kind_of_file_gives_the_same_scores_at_every_interval(path: Path) -> None:
    with open_track(path) as track:
        assert track.names == ("chr1", "chr2")
        assert track.path == path
        for contig, scores in (("chr1", CHR1), ("chr2", CHR2)):
            wanted = np.array(scores, dtype=np.float32)
            for start in range(len(scores) + 1):
                for end in range(start, len(scores) + 1):
                    found = track.fetch(contig, start, end)
                    assert found.dtype == np.float32
                    assert np.array_equal(found, wanted[start:end], equal_nan=True)


def test_what_is_fetched_is_a_copy(path: Path) -> None:
    track = open_track(path)
    track.fetch("chr1", 1, 4)[:] = 5
    assert track.fetch("chr1", 1, 4).tolist() == [np.float32(0.1)] * 3


def test_an_interval_off_the_contig_is_refused_where_its_end_is_known(path: Path) -> None:
    track = open_track(path)
    for start, end in [(-1, 3), (5, 4)]:
        with pytest.raises(SequenceFileError, match=f"chr1:{start}-{end}"):
            track.fetch("chr1", start, end)
    if path.name in KNOWS_LENGTHS:
        with pytest.raises(SequenceFileError, match=r"chr2:2-5, expected .* end <= 4 "):
            track.fetch("chr2", 2, 5)
    else:
        assert np.isnan(track.fetch("chr2", 2, 9)).all()


def test_a_contig_is_found_with_or_without_its_prefix_and_never_in_silence(path: Path) -> None:
    track = open_track(path)
    assert [track.resolve(name) for name in ("chr1", "1", "Chr2")] == ["chr1", "chr1", "chr2"]
    assert track.renamed == {"1": "chr1", "Chr2": "chr2"}
    for ask in (track.resolve, lambda name: track.fetch(name, 0, 1)):
        with pytest.raises(SequenceFileError, match=r"no record 'chr3' among its 2 records; did"):
            ask("chr3")
    with pytest.raises(SequenceFileError, match=r"no record '1' .*did you mean 'chr1'"):
        track.fetch("1", 0, 1)


def test_a_genome_of_other_lengths_is_refused(path: Path) -> None:
    track = open_track(path)
    track.check_lengths({"chr1": 12, "2": 4})
    assert track.renamed == {"2": "chr2"}
    with pytest.raises(SequenceFileError, match=r"12 bp of 'chr1', expected 11 as in the genome"):
        track.check_lengths({"chr2": 4, "chr1": 11})
    with pytest.raises(SequenceFileError, match="no record 'chrX'"):
        track.check_lengths({"chrX": 4})
    if path.name in KNOWS_LENGTHS:
        with pytest.raises(SequenceFileError, match="12 bp of 'chr1', expected 13"):
            track.check_lengths({"chr1": 13})
    else:
        track.check_lengths({"chr1": 13})


def _sum(track: Track) -> float:
    return float(np.nansum(track.fetch("chr1", 0, 12)))


def test_a_track_works_in_a_fork(path: Path) -> None:
    track = open_track(path)
    here = _sum(track)
    process = multiprocessing.get_context("fork").Process(
        target=lambda: os._exit(int(_sum(track) != here))
    )
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert _sum(track) == here


def test_a_pickled_track_opens_its_file_again(path: Path) -> None:
    copy = pickle.loads(pickle.dumps(open_track(path)))
    assert copy.fetch("chr2", 0, 1).tolist() == [3]


def test_a_closed_bigwig_is_closed(tmp_path: Path) -> None:
    write_bigwig(tmp_path / "t.bw", LINES)
    with open_track(tmp_path / "t.bw") as track:
        pass
    with pytest.raises(ValueError, match="is closed"):
        track.fetch("chr1", 0, 1)


def test_headers_spaces_windows_lines_and_any_order_are_read(tmp_path: Path) -> None:
    lines = (
        "browser position chr1:1-9\r\ntrack type=bedGraph name=x\r\n# note\r\n\r\n"
        "chr1 5 7 1\r\nchr2\t0\t2\t2\r\nchr1 0  3 3\r\nchr1 3 5 nan\r\n"
    )
    track = open_track(written(tmp_path, lines))
    assert track.names == ("chr1", "chr2")
    assert track.fetch("chr1", 0, 8).tolist() == pytest.approx(
        [3, 3, 3, NAN, NAN, 1, 1, NAN], nan_ok=True
    )


@pytest.mark.slow
@given(
    lengths=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
    window=st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted),
)
def test_any_interval_of_shuffled_lines_is_the_slice_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[tuple[int, int]],
    order: Random,
    window: list[int],
) -> None:
    whole, lines, place = np.full(60, NAN, dtype=np.float32), [], 0
    for number, (gap, length) in enumerate(lengths):
        start, place = place + gap, place + gap + length
        whole[start:place] = number
        lines.append(f"c {start} {place} {number}\n")
    order.shuffle(lines)
    track = open_track(written(tmp_path_factory.mktemp("t"), "".join(lines)))
    start, end = window
    assert np.array_equal(track.fetch("c", start, end), whole[start:end], equal_nan=True)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("chr1 0 5 1\nchr1 4 6 2\n", "lines 1 and 2: found chr1:0-5 and chr1:4-6"),
        ("chr1 4 6 2\nchr2 0 9 1\nchr1 0 5 1\n", "lines 1 and 3: found chr1:0-5 and chr1:4-6"),
        ("chr1 0 9 1\n#\nchr1 9 10 1\nchr1 2 3 1\n", "lines 1 and 4: found chr1:0-9 and chr1:2-3"),
        ("chr1 0 5 1\nchr1 0 5 1\n", "lines 1 and 2: "),
        ("chr1 0 5 1\nchr1 5 6\n", "line 2: found 3 columns, expected contig, start, end and"),
        ("chr1 0 5 name 7 +\n", "line 1: found 6 columns"),
        ("chr1 0 5 high\n", "line 1: found the score 'high', expected a number"),
        ("chr1 0 5 1_0\n", "line 1: found the score '1_0'"),
        ("chr1 -1 5 1\n", "line 1: found the start '-1', expected a whole number"),
        ("chr1 0 1e3 1\n", "line 1: found the end '1e3'"),
        ("chr1 0 99999999999999999999 1\n", "line 1: found the end '9999"),
        ("chr1 5 5 1\n", "line 1: found start 5 and end 5, expected start < end"),
        ("fixedStep chrom=chr1 start=1\n1\n", "line 1: found wiggle"),
        ("chr1 0 5 1\nchr1\0 0 5 1\n", "line 2: found bytes that are no text"),
        ("track type=bedGraph\n", "found no interval"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, lines: str, problem: str) -> None:
    path = written(tmp_path, lines)
    with pytest.raises(SequenceFileError) as refusal:
        open_track(path)
    assert str(refusal.value).startswith(f"{path}: {problem}")


@pytest.mark.parametrize("value", ["inf", "-1e39"])
def test_a_score_beyond_float32_is_named_where_it_is_read(tmp_path: Path, value: str) -> None:
    track = open_track(written(tmp_path, f"chr1 0 4 1\nchr1 7 9 {value}\n"))
    assert track.fetch("chr1", 0, 7)[0] == 1
    with pytest.raises(SequenceFileError, match="an infinite score at chr1:7 "):
        track.fetch("chr1", 2, 9)
    np.savez(tmp_path / "t.npz", c=np.array([0, float(value)]))
    with pytest.raises(SequenceFileError, match="an infinite score at c:1 "):
        open_track(tmp_path / "t.npz").fetch("c", 0, 2)


def test_arrays_that_hold_no_scores_are_refused(tmp_path: Path) -> None:
    scores = np.zeros(4, dtype=np.float32)
    for array, problem in [
        (np.arange(4), "found int64 of shape"),
        (np.zeros((2, 2)), r"found float64 of shape \(2, 2\)"),
        (np.array([None]), "allow_pickle"),
    ]:
        np.savez(tmp_path / "t.npz", c=array)
        with pytest.raises(SequenceFileError, match=problem):
            open_track(tmp_path / "t.npz")
    np.save(tmp_path / "t.npy", scores)
    with pytest.raises(SequenceFileError, match="names no contig"):
        open_track(tmp_path / "t.npy")
    np.savez(tmp_path / "t.npz", c=np.zeros(1000))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "t.npz").read_bytes()[:3000])
    with pytest.raises(SequenceFileError, match="can't be read as arrays"):
        open_track(tmp_path / "cut.npz")


def test_a_damaged_bigwig_is_an_error_with_its_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    records = [("chr1", i, i + 1, float(score)) for i, score in enumerate(rng.random(5000))]
    path = tmp_path / "t.bw"
    pybigtools.open(str(path), "w").write({"chr1": 5000}, iter(records))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SequenceFileError, match=r"t\.bw: can't read its contigs"):
        open_track(path)
    path.write_bytes(whole[:2000] + bytes(500) + whole[2500:])
    with pytest.raises(SequenceFileError, match=r"can't read chr1:0-5000 .*damaged"):
        open_track(path).fetch("chr1", 0, 5000)


def test_a_missing_or_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SequenceFileError, match="no such file"):
        open_track(tmp_path / "t.bw")
    (tmp_path / "t.bw").touch()
    with pytest.raises(SequenceFileError, match="empty file"):
        open_track(tmp_path / "t.bw")
