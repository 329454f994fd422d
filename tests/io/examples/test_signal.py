"""A bin's number is the mean of its bases, in windows that hold every base of a contig."""

from pathlib import Path
from typing import Any

import numpy as np
import pybigtools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyena_glt.config.examples import SignalSourceConfig
from hyena_glt.errors import HyenaGLTError, RecipeError, SequenceFileError
from hyena_glt.io.examples.example import Example, Schema
from hyena_glt.io.examples.signal import SignalSource

NAN = np.nan
CHR1 = "ACGTACGTAC"
CHR2 = "GGG"
LINES = "chr1\t0\t2\t1\nchr1\t2\t4\t4\nchr1\t5\t6\t8\nchr1\t9\t10\t-2\nchr2\t0\t3\t0.5\n"


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{CHR1}\n>chr2\n{CHR2}\n")
    return path


def bedgraph(genome: Path, text: str = LINES, name: str = "a.bedgraph") -> str:
    path = genome.with_name(name)
    path.write_text(text)
    return str(path)


def source(genome: Path, paths: dict[str, str], **settings: Any) -> SignalSource:
    return SignalSource(
        SignalSourceConfig(kind="signal", paths=paths, genome=str(genome), **settings)
    )


def numbers(one: Example) -> list[list[float]]:
    assert isinstance(one.label, np.ndarray)
    assert one.label.dtype == np.float32
    rows: list[list[float]] = one.label.tolist()
    return rows


def test_a_bin_is_the_mean_of_its_bases_with_a_score_and_nan_without_one(genome: Path) -> None:
    made = source(genome, {"atac": bedgraph(genome)}, window_bp=8, bin_bp=4)
    assert made.schema == Schema("signal", ("atac",), 4)
    first, second, third = made
    assert numbers(first) == [[2.5], [8.0]]  # 1 1 4 4, then - 8 - -
    assert numbers(second) == [[-2.0]]  # the last window is 2 bases, its one bin - -2
    assert numbers(third) == [[0.5]]
    assert [one.sequence for one in (first, second, third)] == [b"ACGTACGT", b"AC", b"GGG"]
    assert [one.name for one in made] == ["chr1:0-8", "chr1:8-10", "chr2:0-3"]


def test_bases_without_a_score_are_zero_where_that_is_said(genome: Path) -> None:
    made = source(genome, {"atac": bedgraph(genome)}, window_bp=8, bin_bp=4, missing="zero")
    assert [numbers(one) for one in made] == [[[2.5], [2.0]], [[-1.0]], [[0.5]]]


def test_the_last_window_keeps_its_whole_bins_and_one_of_what_is_left(genome: Path) -> None:
    made = source(genome, {"a": bedgraph(genome)}, window_bp=6, bin_bp=3, contigs=("chr1",))
    first, second = made
    assert numbers(first) == [[2.0], [6.0]]  # 1 1 4, then 4 - 8
    assert len(second.sequence) == 4
    np.testing.assert_array_equal(numbers(second), [[NAN], [-2.0]])  # - - -, then -2


def test_tracks_are_columns_in_their_order_and_bases_are_bins_of_one(genome: Path) -> None:
    arrays = genome.with_name("b.npz")
    np.savez(arrays, chr1=np.arange(10.0), chr2=np.array([7.0, NAN, 9.0]))
    paths = {"late": str(arrays), "early": bedgraph(genome)}
    made = source(genome, paths, window_bp=5, contigs=("2", "chr1"), part="validation")
    assert made.schema == Schema("signal", ("late", "early"), 1)
    examples = list(made)
    assert [one.name for one in examples] == ["chr2:0-3", "chr1:0-5", "chr1:5-10"]
    np.testing.assert_array_equal(numbers(examples[0]), [[7.0, 0.5], [NAN, 0.5], [9.0, 0.5]])
    assert numbers(examples[1])[:4] == [[0.0, 1.0], [1.0, 1.0], [2.0, 4.0], [3.0, 4.0]]
    np.testing.assert_array_equal(numbers(examples[1])[4], [4.0, NAN])
    assert examples[2]._replace(label=None) == Example(
        "chr1:5-10", b"CGTAC", None, f"{genome}: chr1:5-10", "validation", contig="chr1"
    )


def test_bigwig_gives_what_bedgraph_does_each_time(genome: Path) -> None:
    path = genome.with_name("a.bw")
    rows = [line.split() for line in LINES.splitlines()]
    records = [(contig, int(start), int(end), float(value)) for contig, start, end, value in rows]
    pybigtools.open(str(path), "w").write({"chr1": 10, "chr2": 3}, iter(records))
    both = source(genome, {"a": bedgraph(genome), "b": str(path)}, window_bp=4, bin_bp=2)
    for _ in range(2):
        for one in both:
            columns = np.array(numbers(one))
            np.testing.assert_array_equal(columns[:, 0], columns[:, 1])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("chr1\t0\t2\t1\n", "found no record 'chr2'"),
        (LINES.replace("9\t10", "9\t11"), "found scores up to 11 bp of 'chr1', expected 10"),
        (LINES + "chr2\t1\t2\t4\n", "lines 5 and 6"),
    ],
)
def test_a_track_that_does_not_fit_is_refused_at_once(
    genome: Path, text: str, problem: str
) -> None:
    paths = {"a": bedgraph(genome), "b": bedgraph(genome, text, "b.bedgraph")}
    with pytest.raises(SequenceFileError) as refusal:
        source(genome, paths, window_bp=4)
    assert str(genome.with_name("b.bedgraph")) in str(refusal.value)
    assert problem in str(refusal.value)


def test_a_contig_that_is_not_asked_for_need_not_be_in_the_track(genome: Path) -> None:
    paths = {"a": bedgraph(genome, "1\t0\t10\t1\n")}
    assert len(list(source(genome, paths, window_bp=4, contigs=("chr1",)))) == 3
    with pytest.raises(RecipeError, match="contigs: found none"):
        source(genome, paths, window_bp=4, contigs=())


def test_an_infinite_score_is_named_with_its_place(genome: Path) -> None:
    made = source(genome, {"a": bedgraph(genome, LINES.replace("-2", "inf"))}, window_bp=4)
    with pytest.raises(SequenceFileError, match=r"infinite score at chr1:9 "):
        list(made)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    scores=st.lists(
        st.one_of(st.just(NAN), st.floats(width=32, allow_nan=False, allow_infinity=False)),
        min_size=10,
        max_size=10,
    ),
    bins=st.integers(1, 4),
    bin_bp=st.integers(1, 12),
)
def test_any_scores_are_the_means_of_stretches_of_the_contig(
    genome: Path, scores: list[float], bins: int, bin_bp: int
) -> None:
    path = genome.with_name("a.npz")
    np.savez(path, chr1=np.array(scores, dtype=np.float32))
    made = source(
        genome, {"a": str(path)}, window_bp=bins * bin_bp, bin_bp=bin_bp, contigs=("chr1",)
    )
    # Windows are whole bins, so that the bins of all windows are those of the contig.
    found = [number for one in made for (number,) in numbers(one)]
    expected = []
    for start in range(0, 10, bin_bp):
        known = [one for one in scores[start : start + bin_bp] if not np.isnan(one)]
        expected.append(sum(known) / len(known) if known else NAN)
    np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32))


ANY = "chr1\t\n\r\0\"'#,.;=+-0é²\x1c "
CELLS = st.sampled_from(["chr1", "chr2", "0", "3", "11", "1e40", "nan", "x", "-1", ""])
TEXTS = st.lists(st.lists(CELLS, max_size=5).map("\t".join), max_size=3).map("\n".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(text=st.one_of(TEXTS, st.text(ANY, max_size=30)))
def test_any_text_gives_examples_or_an_error_that_names_the_file(genome: Path, text: str) -> None:
    path = bedgraph(genome, "chr2\t0\t1\t1\n" + text)
    problem = ""
    try:
        made = source(genome, {"a": path}, window_bp=2, contigs=("chr2",))
        assert sum(len(numbers(one)) for one in made) == 3
    except HyenaGLTError as error:
        problem = str(error)
    assert not problem or path in problem


def test_a_track_without_a_contig_says_that_contigs_may_be_named(genome: Path) -> None:
    track = {"a": bedgraph(genome, "chr1\t0\t2\t1\n")}
    with pytest.raises(SequenceFileError, match=r"'chr2'.*name those to take in contigs"):
        source(genome, track, window_bp=8)
    assert len(list(source(genome, track, window_bp=8, contigs=("chr1",)))) == 2
