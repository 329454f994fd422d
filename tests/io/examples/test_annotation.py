"""A base has the class of the features over it, whatever their strand, order and overlap."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hyena_glt.config.examples import AnnotationSourceConfig
from hyena_glt.errors import HyenaGLTError, RecipeError, SequenceFileError
from hyena_glt.io.examples.annotation import AnnotationSource
from hyena_glt.io.examples.example import BaseClasses, Example, Schema

#            1   5    10   15   20   25
CHR1 = "ttttATGCATTAAtttTTATTTCATggg"  # ATGCATTAA from 5 on; ATGAAATAA on minus, 17 to 25
CHR2 = "CCCCCCCC"
GENE = "chr1\tx\tgene\t5\t13\t.\t+\t.\tID=g\n"
PLUS = "chr1\tx\tCDS\t5\t13\t.\t+\t0\tID=a\n"
MINUS = "chr1\tx\tCDS\t17\t25\t.\t-\t0\tID=b\n"
CODING = {"CDS": "coding"}


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{CHR1}\n>chr2\n{CHR2}\n")
    return path


def source(genome: Path, text: str, **settings: Any) -> AnnotationSource:
    path = genome.with_name("features.gff")
    path.write_text(text)
    wanted = {"features": CODING, "window_bp": 100, **settings}
    return AnnotationSource(
        AnnotationSourceConfig(kind="annotation", path=str(path), genome=str(genome), **wanted)
    )


def labels(one: Example) -> BaseClasses:
    assert isinstance(one.label, BaseClasses)
    assert len(one.label.codes) == len(one.sequence)
    return one.label


def codes(examples: AnnotationSource) -> list[str]:
    return ["".join(map(str, labels(one).codes)) for one in examples]


def labelled(examples: AnnotationSource, name: str) -> str:
    """The bases of all windows in one class, in their order."""

    def bases() -> Iterator[str]:
        for one in examples:
            label = labels(one)
            code = label.classes.index(name)
            yield from (
                chr(base)
                for base, its in zip(one.sequence, label.codes, strict=True)
                if its == code
            )

    return "".join(bases())


@pytest.mark.parametrize("window_bp", [1, 3, 7, 28, 1000])
def test_bases_of_a_class_spell_its_genes_in_windows_of_any_size(
    genome: Path, window_bp: int
) -> None:
    made = source(genome, GENE + PLUS + MINUS, window_bp=window_bp)
    assert labelled(made, "coding+") == "ATGCATTAA"
    assert labelled(made, "coding-") == "TTATTTCAT"
    assert labelled(made, "background") == "tttt" + "ttt" + "ggg" + CHR2
    assert b"".join(one.sequence for one in made).decode() == CHR1 + CHR2


def test_windows_tile_contigs_and_the_last_is_what_is_left(genome: Path) -> None:
    made = source(genome, PLUS, window_bp=10, part="train")
    path = genome.with_name("features.gff")
    assert made.schema == Schema("bases")
    examples = list(made)
    assert [one.name for one in examples] == ["chr1:0-10", "chr1:10-20", "chr1:20-28", "chr2:0-8"]
    assert [len(one.sequence) for one in examples] == [10, 10, 8, 8]
    classes = ("background", "coding+", "coding-")
    assert examples[1] == Example(
        "chr1:10-20",
        b"TAAtttTTAT",
        BaseClasses(bytes([1, 1, 1, 0, 0, 0, 0, 0, 0, 0]), classes),
        f"{path}: chr1:10-20",
        "train",
        contig="chr1",
    )
    assert list(made) == examples


def test_the_feature_named_first_has_a_base_whatever_the_order_of_lines(genome: Path) -> None:
    lines = [
        "chr2\tx\tgene\t1\t8\t.\t+\t.\t.\n",
        "chr2\tx\texon\t2\t5\t.\t-\t.\t.\n",
        "chr2\tx\tCDS\t3\t4\t.\t-\t0\t.\n",
        "chr2\tx\texon\t5\t6\t.\t+\t.\t.\n",
    ]
    features = {"CDS": "coding", "exon": "exon", "gene": "gene"}
    wanted = {"features": features, "contigs": ("chr2",)}
    for text in ("".join(lines), "".join(reversed(lines))):
        stranded = source(genome, text, **wanted)
        assert codes(stranded) == ["54223355"]  # base 5, exon on both strands, is plus
        classes = ("background", "coding+", "coding-", "exon+", "exon-", "gene+", "gene-")
        assert [labels(one).classes for one in stranded] == [classes]
        assert codes(source(genome, text, stranded=False, **wanted)) == ["32112233"]
    turned = dict(reversed(features.items()))
    made = source(genome, "".join(lines), stranded=False, features=turned, contigs=("chr2",))
    assert codes(made) == ["11111111"]


def test_types_of_one_class_are_one_class(genome: Path) -> None:
    text = "chr2\tx\ttRNA\t1\t2\t.\t+\t.\t.\nchr2\tx\tCDS\t2\t4\t.\t+\t0\t.\n"
    text += "chr2\tx\trRNA\t4\t6\t.\t+\t.\t.\n"
    features = {"tRNA": "rna", "CDS": "coding", "rRNA": "rna"}
    made = source(genome, text, features=features, stranded=False, contigs=("chr2",))
    assert [labels(one).classes for one in made] == [("background", "rna", "coding")]
    assert codes(made) == ["11211100"]


def test_a_feature_without_a_strand_needs_none_where_classes_have_none(genome: Path) -> None:
    text = PLUS + "chr1\tx\tCDS\t1\t2\t.\t.\t0\t.\n"
    assert codes(source(genome, text, stranded=False))[0].startswith("1100111")
    for strand in ".?":
        with pytest.raises(SequenceFileError, match=r"features\.gff: line 2: .* the strand '[.?]'"):
            source(genome, PLUS + f"chr1\tx\tCDS\t1\t2\t.\t{strand}\t0\t.\n")
    # One of no class needs none either.
    assert codes(source(genome, PLUS + "chr1\tx\tregion\t1\t2\t.\t.\t.\t.\n"))[0][:2] == "00"


def test_gtf_and_the_other_name_of_a_contig_are_read(genome: Path) -> None:
    text = '1\tx\tCDS\t1\t3\t.\t+\t0\tgene_id "a";\n2\tx\tCDS\t8\t8\t.\t-\t0\tgene_id "b";\n'
    assert codes(source(genome, text)) == ["111" + "0" * 25, "00000002"]


def test_each_place_in_the_codon_has_the_class_of_its_strand(genome: Path) -> None:
    """By hand: in the frame of the first base that is read, whatever the phase cuts off."""
    found = source(genome, PLUS + MINUS, codons=True)
    classes = ("background", *(f"coding{place}{strand}" for strand in "+-" for place in "123"))
    assert labels(next(iter(found))).classes == classes
    assert codes(found) == ["0000" + "123123123" + "000" + "654654654" + "000", "0" * 8]
    cut = PLUS.replace("\t5\t13\t.\t+\t0", "\t7\t13\t.\t+\t1") + MINUS.replace(
        "\t17\t25\t.\t-\t0", "\t17\t24\t.\t-\t2"
    )
    assert codes(source(genome, cut, codons=True))[0] == (
        "000000" + "3123123" + "000" + "65465465" + "0000"
    )
    for place, bases in enumerate(("ACT", "TAA", "GTA"), 1):
        assert labelled(source(genome, PLUS, codons=True), f"coding{place}+") == bases


def test_of_overlapping_frames_one_feature_has_a_base_and_plus_comes_first(genome: Path) -> None:
    first = "chr1\tx\tCDS\t1\t6\t.\t+\t0\tID=c\n"
    shifted = "chr1\tx\tCDS\t2\t10\t.\t+\t0\tID=d\n"
    minus = "chr1\tx\tCDS\t9\t14\t.\t-\t0\tID=e\n"
    for text, expected in (
        (first + shifted + minus, "123123" + "3123" + "4654"),
        (shifted + minus + first, "1" + "123123123" + "4654"),
    ):
        assert codes(source(genome, text, codons=True))[0].startswith(expected)


@pytest.mark.parametrize("strand", "+-")
def test_a_frame_goes_on_over_the_origin_of_a_circle(genome: Path, strand: str) -> None:
    region = "chr2\tx\tregion\t1\t8\t.\t+\t.\tID=r;Is_circular=true\n"
    over = f"chr2\tx\tCDS\t7\t12\t.\t{strand}\t0\tID=c\n"
    found = codes(source(genome, region + over, window_bp=8, contigs=("2",), codons=True))
    assert found == [{"+": "31230012", "-": "46540065"}[strand]]


def test_codons_without_a_phase_or_a_strand_are_refused(genome: Path) -> None:
    with pytest.raises(SequenceFileError, match=r"line 1: found a CDS without a phase"):
        source(genome, PLUS.replace("+\t0", "+\t."), codons=True)
    with pytest.raises(ValueError, match="codons=true with stranded=false"):
        source(genome, PLUS, codons=True, stranded=False)


REGION = "chr2\tx\tregion\t1\t8\t.\t+\t.\tID=r;Is_circular=true\n"
ROUND = "chr2\tx\tCDS\t7\t10\t.\t-\t0\tID=c\n"


@pytest.mark.parametrize("text", [REGION + ROUND, ROUND + REGION])
def test_a_feature_over_the_origin_of_a_circle_goes_on_at_its_start(
    genome: Path, text: str
) -> None:
    assert codes(source(genome, text, window_bp=8, contigs=("2",))) == ["22000022"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (PLUS + "chr2\tx\tCDS\t7\t9\t.\t+\t0\t.\n", "line 2: found a CDS at chr2 7 to 9, expected"),
        (PLUS + "chr2\tx\tCDS\t9\t9\t.\t+\t0\t.\n", "line 2: found a CDS at chr2 9 to 9"),
        (REGION + "chr2\tx\tCDS\t9\t10\t.\t+\t0\t.\n", "line 2: found a CDS at chr2 9 to 10"),
        (REGION + "chr2\tx\tCDS\t2\t10\t.\t+\t0\t.\n", "line 2: found a CDS at chr2 2 to 10"),
        (PLUS + "chr2\tx\tCDS\t1\t99999999999999999999\t.\t+\t0\t.\n", "line 2: found a CDS"),
        (PLUS + "chr7\tx\tCDS\t1\t2\t.\t+\t0\t.\n", "line 2: "),
        (PLUS + "chr7\tx\tCDS\t1\t2\t.\t+\t0\t.\n", "found no record 'chr7'"),
        (GENE + "chr1\tx\texon\t1\t2\t.\t+\t.\t.\n", "the type 'CDS', expected one of those that"),
        (GENE + "chr1\tx\texon\t1\t2\t.\t+\t.\t.\n", "there are: 'exon', 'gene'; correct"),
        ("##gff-version 3\n", "there are: none"),
        (PLUS + "chr1\tx\tCDS\t9\t2\t.\t+\t0\t.\n", "line 2: found start 9 after end 2"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_at_once(genome: Path, text: str, problem: str) -> None:
    with pytest.raises(SequenceFileError) as refusal:
        source(genome, text)
    assert str(genome.with_name("features.gff")) in str(refusal.value)
    assert problem in str(refusal.value)


def test_only_the_contigs_chosen_are_read_in_the_order_given(genome: Path) -> None:
    text = PLUS + "chr2\tx\tCDS\t1\t1\t.\t+\t0\t.\nchrUn\tx\tCDS\t1\t99\t.\t.\t0\t.\n"
    made = source(genome, text, contigs=("2", "chr1"), window_bp=20)
    assert [one.name for one in made] == ["chr2:0-8", "chr1:0-20", "chr1:20-28"]
    assert codes(made)[0] == "10000000"
    with pytest.raises(SequenceFileError, match="no feature of CDS on the contigs chr2"):
        source(genome, PLUS, contigs=("chr2",))
    with pytest.raises(SequenceFileError, match="'chr5'"):
        source(genome, PLUS, contigs=("chr5",))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"contigs": ()}, "contigs: found none"),
        ({"contigs": ("chr2", "chr1", "1")}, "found 'chr1' and '1', which are one contig"),
        ({"features": {"CDS": "coding", "region": "background"}}, "the class 'background'"),
        ({"features": {f"t{i}": f"c{i}" for i in range(128)}}, "found 257 classes"),
    ],
)
def test_settings_that_can_not_be_are_refused(
    genome: Path, settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(RecipeError, match=problem):
        source(genome, PLUS, **settings)


def test_a_byte_holds_as_many_classes_as_are_allowed(genome: Path) -> None:
    kinds = [f"t{i}" for i in range(255)]
    text = "".join(f"chr1\tx\t{kind}\t1\t1\t.\t.\t.\t.\n" for kind in kinds[:-1])
    text += f"chr1\tx\t{kinds[-1]}\t2\t2\t.\t.\t.\t.\n"
    features = {kind: kind for kind in kinds}
    first, _ = source(genome, text, features=features, stranded=False)
    assert labels(first).codes[:3] == bytes([1, 255, 0])


INTERVALS = st.tuples(st.integers(1, 28), st.integers(1, 28)).map(sorted)
FEATURES = st.lists(
    st.tuples(INTERVALS, st.sampled_from(["CDS", "exon"]), st.sampled_from("+-")), max_size=8
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(features=FEATURES, window_bp=st.integers(1, 30))
def test_each_base_has_the_first_class_of_those_over_it(
    genome: Path, features: list[tuple[list[int], str, str]], window_bp: int
) -> None:
    present = [([1, 1], "CDS", "+"), ([28, 28], "exon", "-"), *features]
    text = "".join(
        f"chr1\tx\t{kind}\t{first}\t{last}\t.\t{strand}\t.\t.\n"
        for (first, last), kind, strand in present
    )
    order = [("CDS", "+"), ("CDS", "-"), ("exon", "+"), ("exon", "-")]
    expected = np.zeros(28, dtype=np.uint8)
    for place in range(28):
        over = [
            1 + order.index((kind, strand))
            for (first, last), kind, strand in present
            if first <= place + 1 <= last
        ]
        expected[place] = min(over, default=0)
    wanted = {"features": {"CDS": "coding", "exon": "exon"}, "contigs": ("chr1",)}
    made = source(genome, text, window_bp=window_bp, **wanted)
    assert b"".join(labels(one).codes for one in made) == expected.tobytes()


ANY = "chr1\t\n\r\0\"'#,.;=+-0é²\x1c "
CELLS = st.sampled_from(
    ["chr1", "2", "chr7", "CDS", "gene", "1", "8", "9", "0", ".", "+", "-", "?", "a=b", "é", ""]
)
LINES = st.lists(st.lists(CELLS, min_size=7, max_size=9).map("\t".join), max_size=4).map("\n".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(text=st.one_of(LINES, st.text(ANY, max_size=40)))
@example(text="2\tx\tCDS\t8\t9\t.\t+\t.\tIs_circular=true")
@example(text="chr1\tx\t\udcff\t8\t9\t.\t+\t.\t.")
def test_any_text_gives_examples_or_an_error_that_names_the_file(genome: Path, text: str) -> None:
    path = genome.with_name("features.gff")
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    config = {"kind": "annotation", "path": str(path), "genome": str(genome), "window_bp": 5}
    problem = ""
    try:
        made = AnnotationSource(
            AnnotationSourceConfig.model_validate({**config, "features": CODING})
        )
        assert sum(len(labels(one).codes) for one in made) == len(CHR1 + CHR2)
    except HyenaGLTError as error:
        problem = str(error)
    assert not problem or str(path) in problem
