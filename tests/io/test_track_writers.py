"""Scores come back to the last bit, from files that other tools read, or nothing is written."""

import gzip
import importlib
import itertools
import math
import os
import resource
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pybigtools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyena_glt.errors import StorageError
from hyena_glt.io import BedGraphWriter, BedWriter, BigWigWriter, TrackWriter, open_track, read_bed
from hyena_glt.io.container import container_of

NAN = np.nan
LENGTH_BP = {"chr10": 60, "chr2": 50}
NAMES = ["t.bedgraph", "t.bedGraph.gz", "t.bw", "t.bigWig"]
# Few values, so that neighbours are often equal, and any float32, so that digits matter.
SCORES = st.sampled_from([NAN, 0.0, -0.0, 1.0]) | st.floats(width=32, allow_infinity=False)
PIECES = st.lists(st.tuples(st.integers(0, 2), st.lists(SCORES, max_size=6)), max_size=6)
# Each example writes the same file again, so one folder does for all.
in_one_folder = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def writer(path: Path) -> TrackWriter:
    bigwig = path.suffix in (".bw", ".bigWig")
    return BigWigWriter(path, LENGTH_BP) if bigwig else BedGraphWriter(path)


def f32(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def intervals(path: Path) -> list[tuple[str, int, int, str]]:
    """Of any file, by code that isn't ours; values as the bits of float32."""
    if path.suffix in (".bw", ".bigWig"):
        with pybigtools.open(str(path)) as file:
            rows = [(c, *row) for c in file.chroms() for row in file.records(c)]
    else:
        text = path.read_bytes()
        text = gzip.decompress(text) if path.suffix == ".gz" else text
        rows = [tuple(line.split("\t")) for line in text.decode().splitlines()]
    return [(c, int(start), int(end), np.float32(v).tobytes().hex()) for c, start, end, v in rows]


def expected(*rows: tuple[str, int, int, float]) -> list[tuple[str, int, int, str]]:
    return [(c, start, end, np.float32(value).tobytes().hex()) for c, start, end, value in rows]


@pytest.mark.parametrize("name", NAMES)
def test_equal_neighbours_are_one_interval_across_calls_too(tmp_path: Path, name: str) -> None:
    with writer(tmp_path / name) as track:
        track.write("chr10", 3, f32(0.1, 0.1, NAN, NAN, 2, 3))
        track.write("chr10", 9, f32(3))
        track.write("chr10", 10, f32())
        track.write("chr10", 10, f32(3, 3, 4))
        track.write("chr10", 20, f32(4, -0.0, 0.0))
        track.write("chr2", 0, f32(NAN))
        track.write("chr2", 23, f32(0.0))
        track.write("chr2", 24, f32(NAN))
        track.write("chr2", 25, f32(0.0))
    assert intervals(tmp_path / name) == expected(
        ("chr10", 3, 5, 0.1),
        ("chr10", 7, 8, 2),
        ("chr10", 8, 12, 3),
        ("chr10", 12, 13, 4),
        ("chr10", 20, 21, 4),
        ("chr10", 21, 22, -0.0),
        ("chr10", 22, 23, 0.0),
        ("chr2", 23, 24, 0.0),
        ("chr2", 25, 26, 0.0),
    )
    assert os.listdir(tmp_path) == [name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t.bedgraph", "t.bw"])
@given(first=PIECES, second=PIECES)
@in_one_folder
def test_any_scores_come_back_to_the_last_bit_in_any_pieces(
    tmp_path: Path,
    name: str,
    first: list[tuple[int, list[float]]],
    second: list[tuple[int, list[float]]],
) -> None:
    wanted = {contig: np.full(length, NAN, np.float32) for contig, length in LENGTH_BP.items()}
    try:
        with writer(tmp_path / name) as track:
            for contig, pieces in (("chr2", first), ("chr10", second)):
                place = 0
                for gap, scores in pieces:
                    place += gap
                    track.write(contig, place, f32(*scores))
                    wanted[contig][place : place + len(scores)] = scores
                    place += len(scores)
    except StorageError:
        assert name == "t.bw"
        assert all(np.isnan(scores).all() for scores in wanted.values())
        return
    if not (tmp_path / name).stat().st_size:
        assert all(np.isnan(scores).all() for scores in wanted.values())
        return
    with open_track(tmp_path / name) as found:
        for contig, values in wanted.items():
            there = contig in found.names
            assert there == (not np.isnan(values).all())
            if there:
                bits = found.fetch(contig, 0, len(values)).view(np.uint32)
                same = np.isnan(values) & np.isnan(bits.view(np.float32))
                assert (same | (bits == values.view(np.uint32))).all()
    rows = intervals(tmp_path / name)
    for (c, _, end, value), (c2, start, _, value2) in itertools.pairwise(rows):
        assert (c, end, value) != (c2, start, value2)


def test_an_independent_reader_finds_every_score_in_a_bigwig(tmp_path: Path) -> None:
    """Many blocks, three contigs given in another order, and the numbers that browsers draw."""
    try:
        pybigwig: Any = importlib.import_module("pyBigWig")
    except ImportError:
        pytest.skip("needs pyBigWig: pip install pyBigWig")
    rng = np.random.default_rng(1)
    length_bp = {"chrM": 90, "chr1": 200_000, "chr2": 60_000, "chrY": 10}
    scores = {c: rng.standard_normal(n).astype(np.float32) for c, n in length_bp.items()}
    scores["chr1"][rng.random(200_000) < 0.2] = NAN
    scores["chr2"][1000:50_000] = 0.25
    with BigWigWriter(tmp_path / "t.bw", length_bp) as track:
        for contig in ("chr2", "chrM", "chr1"):
            for start in range(0, length_bp[contig], 7777):
                track.write(contig, start, scores[contig][start : start + 7777])
    with pybigwig.open(str(tmp_path / "t.bw")) as file:
        assert file.chroms() == {contig: length_bp[contig] for contig in ("chr1", "chr2", "chrM")}
        assert list(file.chroms()) == ["chr1", "chr2", "chrM"]
        for contig in file.chroms():
            found = np.array(file.values(contig, 0, length_bp[contig]), dtype=np.float32)
            assert np.array_equal(found, scores[contig], equal_nan=True)
            (mean,) = file.stats(contig, exact=True)
            assert mean == pytest.approx(np.nanmean(scores[contig].astype(np.float64)), rel=1e-6)
            (mean,) = file.stats(contig, 0, length_bp[contig] // 2)  # from a zoom level
            assert math.isfinite(mean)
        assert (1000, 50_000, 0.25) in file.intervals("chr2")
    ours = open_track(tmp_path / "t.bw")
    assert np.array_equal(ours.fetch("chr1", 0, 200_000), scores["chr1"], equal_nan=True)


def test_bedtools_takes_a_bedgraph(tmp_path: Path) -> None:
    if shutil.which("bedtools") is None:
        pytest.skip("needs bedtools")
    with BedGraphWriter(tmp_path / "t.bedgraph") as track:
        track.write("chr1", 4, f32(0.1, 0.1, 1e-30, NAN, -7))
    done = subprocess.run(
        ["bedtools", "merge", "-d", "-1", "-c", "4", "-o", "max", "-i", tmp_path / "t.bedgraph"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "chr1\t4\t6\t0.1\nchr1\t6\t7\t1e-30\nchr1\t8\t9\t-7\n"


def test_gz_is_bgzip(tmp_path: Path) -> None:
    with BedGraphWriter(tmp_path / "t.bg.gz") as track, BedWriter(tmp_path / "t.bed.gz") as bed:
        track.write("chr1", 0, f32(1))
        bed.write("chr1", 0, 5)
    assert [container_of(tmp_path / name) for name in ("t.bg.gz", "t.bed.gz")] == ["bgzip"] * 2
    assert [interval.end for interval in read_bed(tmp_path / "t.bed.gz")] == [5]


@pytest.mark.parametrize("name", ["t.bedgraph", "t.bw"])
@pytest.mark.parametrize(
    ("pieces", "problem"),
    [
        ([("chr2", 0, 5), ("chr2", 4, 2)], "found chr2:4-6, expected a start of 5 or more"),
        ([("chr2", 9, 5), ("chr2", 0, 2)], "found chr2:0-2, expected a start of 14 or more"),
        ([("chr2", 0, 5), ("chr10", 0, 5), ("chr2", 5, 5)], "'chr2' again after 'chr10'"),
        ([("chr2", -1, 5)], "found chr2:-1-4"),
        ([("", 0, 5)], "a contig called ''"),
        ([("chr 2", 0, 5)], "a contig called 'chr 2'"),
        ([("#2", 0, 5)], "a contig called '#2'"),
        ([("track", 0, 5)], "a contig called 'track'"),
    ],
)
def test_pieces_out_of_order_leave_the_earlier_file_as_it_was(
    tmp_path: Path, name: str, pieces: list[tuple[str, int, int]], problem: str
) -> None:
    (tmp_path / name).write_text("earlier")

    def write() -> None:
        with writer(tmp_path / name) as track:
            for contig, start, length in pieces:
                track.write(contig, start, np.ones(length, dtype=np.float32))

    with pytest.raises(StorageError) as refusal:
        write()
    assert problem in str(refusal.value)
    assert (tmp_path / name).read_text() == "earlier"
    assert os.listdir(tmp_path) == [name]


def test_a_bigwig_knows_its_contigs_and_their_ends(tmp_path: Path) -> None:
    path = tmp_path / "t.bw"
    with pytest.raises(StorageError, match=r"chr2:48-51, expected .* end <= 50 "):  # noqa: SIM117
        with writer(path) as track:
            track.write("chr2", 48, f32(1, NAN, NAN))
    with pytest.raises(StorageError, match="'chr3', which has no length among the 2"):  # noqa: SIM117
        with writer(path) as track:
            track.write("chr3", 0, f32(1))
    with pytest.raises(StorageError, match="found no score to write"):  # noqa: SIM117
        with writer(path) as track:
            track.write("chr2", 0, f32(NAN))
    with pytest.raises(StorageError, match="less than 4 Gbp"):
        BigWigWriter(path, {"chr1": 2**32})
    with writer(path) as track:
        track.write("chr2", 48, f32(1, 2))
    assert intervals(path) == expected(("chr2", 48, 49, 1), ("chr2", 49, 50, 2))


def test_what_is_no_score_is_a_value_error(tmp_path: Path) -> None:
    track = BedGraphWriter(tmp_path / "t.bedgraph")
    with pytest.raises(ValueError, match="isn't open"):
        track.write("chr1", 0, f32(1))
    with track, pytest.raises(ValueError, match="an infinite value at chr1:8"):
        track.write("chr1", 7, f32(1, math.inf))
    with pytest.raises(ValueError, match="isn't open"):
        track.write("chr1", 0, f32(1))
    assert (tmp_path / "t.bedgraph").read_text() == ""


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (BedGraphWriter, "t.bed"),
        (BedGraphWriter, "t.bedgraph.bz2"),
        (lambda path: BigWigWriter(path, {}), "t.bigwig"),
        (lambda path: BigWigWriter(path, {}), "t.bw.gz"),
        (BedWriter, "t.bedgraph"),
    ],
)
def test_another_suffix_is_refused(make: Callable[[Path], object], name: str) -> None:
    with pytest.raises(StorageError, match=r"found the suffix .*, expected .*; rename the output"):
        make(Path(name))


@pytest.mark.parametrize("name", ["t.bedgraph", "t.bedgraph.gz", "t.bw"])
def test_a_full_disk_is_a_storage_error_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    # As full as a test may make it: a file can't grow beyond 100 kB.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    scores = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    length_bp = {"chr1": 10**6}
    whole = BigWigWriter(tmp_path / name, length_bp) if name == "t.bw" else writer(tmp_path / name)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageError, match="can't be written"), whole as track:
            track.write("chr1", 0, scores)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_while_pybigtools_writes_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends in silence where it fails: what it left is looked at."""
    raw = pybigtools.open

    def cut(path: str, mode: str = "r") -> Any:
        if mode == "r":
            os.truncate(path, os.path.getsize(path) // 2)
        return raw(path, mode)

    monkeypatch.setattr(pybigtools, "open", cut)
    with pytest.raises(StorageError, match="most likely the disk"), writer(tmp_path / "t.bw") as t:
        t.write("chr2", 0, np.arange(50, dtype=np.float32))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_a_bigwig_is_made_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: BigWigWriter, kept: object) -> Any:
        yield ("chr2", 0, 1, 1.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(BigWigWriter, "_sorted_rows", interrupted)
    with pytest.raises(KeyboardInterrupt), writer(tmp_path / "t.bw") as track:
        track.write("chr2", 0, f32(1, 2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t.bedgraph", "t.bw"])
def test_memory_does_not_grow_with_the_track(tmp_path: Path, name: str) -> None:
    piece = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    length_bp = {"chr1": 40 * len(piece)}
    whole = BigWigWriter(tmp_path / name, length_bp) if name == "t.bw" else writer(tmp_path / name)
    tracemalloc.start()
    with whole as track:
        for number in range(40):
            track.write("chr1", number * len(piece), piece)
        del track
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6  # a row of four Python numbers takes some 150 bytes: 60 MB in all


def test_a_bed_has_the_columns_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.bed"
    wanted = {
        3: "chr1\t3\t9\nchr1\t3\t5\nchr2\t0\t1\n",
        4: "chr1\t3\t9\tgene A\nchr1\t3\t5\t.\nchr2\t0\t1\t.\n",
        5: "chr1\t3\t9\tgene A\t7\nchr1\t3\t5\t.\t0\nchr2\t0\t1\t.\t0\n",
        6: "chr1\t3\t9\tgene A\t7\t-\nchr1\t3\t5\t.\t0\t.\nchr2\t0\t1\t.\t0\t.\n",
    }
    values = {"name": "gene A", "score": 7, "strand": "-"}
    for columns, text in wanted.items():
        with BedWriter(path, columns) as bed:  # type: ignore[arg-type]
            bed.write("chr1", 3, 9, **dict(itertools.islice(values.items(), columns - 3)))  # type: ignore[arg-type]
            bed.write("chr1", 3, 5)
            bed.write("chr2", 0, 1)
        assert path.read_text() == text
    read = [(i.contig, i.start, i.end, i.name, i.strand) for i in read_bed(path)]
    assert read[0] == ("chr1", 3, 9, "gene A", "-")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ((5, 5), "start 5 and end 5"),
        ((5, 9, ""), "the name ''"),
        ((5, 9, "a\tb"), "the name"),
        ((5, 9, "a", 1001), "the score 1001"),
        ((5, 9, "a", 1, "+"), "more values than 5 columns"),
    ],
)
def test_a_value_that_bed_can_not_hold_is_refused(
    tmp_path: Path, values: tuple[Any, ...], problem: str
) -> None:
    with BedWriter(tmp_path / "t.bed", 5) as bed, pytest.raises(ValueError, match=problem):
        bed.write("chr1", *values)
    assert (tmp_path / "t.bed").read_text() == ""


@pytest.mark.parametrize(
    ("intervals", "problem"),
    [
        ([("chr1", 3, 9), ("chr1", 2, 4)], "found chr1:2-4, expected a start of 3 or more"),
        ([("chr1", 3, 9), ("chr2", 3, 9), ("chr1", 9, 10)], "found 'chr1' again after 'chr2'"),
    ],
)
def test_a_bed_is_in_order(
    tmp_path: Path, intervals: list[tuple[str, int, int]], problem: str
) -> None:
    def write() -> None:
        with BedWriter(tmp_path / "t.bed") as bed:
            for interval in intervals:
                bed.write(*interval)

    with pytest.raises(StorageError, match=f"{problem}.*; sort the input"):
        write()
    with pytest.raises(ValueError, match="isn't open"):
        BedWriter(tmp_path / "t.bed").write("chr1", 3, 9)
    assert not (tmp_path / "t.bed").exists()
