"""A variant is a window and the same with the allele in it, or an error that names the line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hyena_glt.config.examples import VariantsSourceConfig
from hyena_glt.errors import HyenaGLTError, SequenceFileError
from hyena_glt.io.examples.example import Example, Schema
from hyena_glt.io.examples.variants import VariantsSource

#       1        10        20
CHR1 = "AACCGGTTacgtRNTTTGCA"
INFO = "".join(
    f"##INFO=<ID={name},Number={number},Type={kind},Description={text}>\n"
    for name, number, kind, text in [
        ("DP", "1", "Integer", '"depth, of ID=AF,Number=G"'),
        ("AF", "A", "Float", '"share, \\"exact\\""'),
        ("AD", "R", "Integer", '"reads"'),
        ("SIG", ".", "String", '"class"'),
        ("SO", "1", "String", '"kind"'),
        ("DB", "0", "Flag", '"known"'),
        ("PL", "G", "Integer", '"x"'),
    ]
)
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{CHR1}\n>chr2\nGGUUA\n")
    return path


def source(genome: Path, records: str, **settings: Any) -> VariantsSource:
    path = genome.with_name("calls.vcf")
    path.write_text("##fileformat=VCFv4.3\n" + INFO + COLUMNS + records)
    wanted = {"label": "none", "window_bp": 6, **settings}
    return VariantsSource(
        VariantsSourceConfig(kind="variants", path=str(path), genome=str(genome), **wanted)
    )


def line(chrom: str, position: int, ref: str, alt: str, info: str = ".") -> str:
    return f"{chrom}\t{position}\trs1\t{ref}\t{alt}\t.\t.\t{info}\n"


def pairs(examples: VariantsSource) -> list[tuple[bytes, bytes | None]]:
    return [(one.sequence, one.alternative) for one in examples]


@pytest.mark.parametrize(
    ("record", "pair"),
    [
        # ..CCGGTT.. with an allele in the place of the first G, or of more.
        (("chr1", 5, "G", "T"), (b"CCGGTT", b"CCTGTT")),
        (("chr1", 5, "G", "GCAT"), (b"CCGGTT", b"CCGCATGTT")),
        (("chr1", 5, "GG", "G"), (b"CCGGTT", b"CCGTT")),
        (("chr1", 5, "GGT", "A"), (b"CGGTTa", b"CATa")),
        (("chr1", 3, "CCGGTT", "C"), (b"CCGGTT", b"C")),
        # At an end the window is shifted, not cut.
        (("chr1", 1, "A", "G"), (b"AACCGG", b"GACCGG")),
        (("chr1", 2, "A", "G"), (b"AACCGG", b"AGCCGG")),
        (("chr1", 20, "A", "G"), (b"TTTGCA", b"TTTGCG")),
        (("chr1", 18, "GCA", "G"), (b"TTTGCA", b"TTTG")),
        # Case is that of each file.
        (("chr1", 9, "A", "t"), (b"TTacgt", b"TTtcgt")),
    ],
)
def test_the_allele_takes_the_place_of_ref_in_the_window(
    genome: Path, record: tuple[str, int, str, str], pair: tuple[bytes, bytes]
) -> None:
    assert pairs(source(genome, line(*record))) == [pair]


@pytest.mark.parametrize(
    ("window_bp", "sequence"),
    [(1, b"G"), (2, b"GG"), (3, b"CGG"), (4, b"CGGT"), (5, b"CCGGT"), (20, CHR1.encode())],
)
def test_ref_is_in_the_middle_or_half_a_base_left_of_it(
    genome: Path, window_bp: int, sequence: bytes
) -> None:
    made = source(genome, line("chr1", 5, "G", "T"), window_bp=window_bp)
    assert [one.sequence for one in made] == [sequence]


def test_each_allele_is_an_example_and_those_of_a_position_a_group(genome: Path) -> None:
    made = source(genome, line("1", 5, "G", "T,GA") + line("chr1", 6, "G", "C"), part="test")
    path = genome.with_name("calls.vcf")
    assert made.schema == Schema("none", pairs=True)
    examples = list(made)
    first = Example(
        name="chr1:5:G>T",
        sequence=b"CCGGTT",
        label=None,
        where=f"{path}: line 10",
        part="test",
        group="chr1:5",
        contig="chr1",
        alternative=b"CCTGTT",
    )
    assert examples[0] == first
    assert examples[1] == first._replace(name="chr1:5:G>GA", alternative=b"CCGAGTT")
    assert (examples[2].group, examples[2].where) == ("chr1:6", f"{path}: line 11")
    assert list(made) == examples


@pytest.mark.parametrize("ref", ["C", "c", "N", "Y", "M"])
def test_ref_may_be_in_either_case_or_leave_its_base_open(genome: Path, ref: str) -> None:
    assert pairs(source(genome, line("chr1", 10, ref, "T"))) == [(b"TacgtR", b"TaTgtR")]


def test_a_base_that_the_genome_leaves_open_or_writes_as_u_is_what_ref_says(genome: Path) -> None:
    records = line("chr1", 13, "A", "G") + line("chr2", 3, "T", "C")
    assert pairs(source(genome, records, window_bp=3)) == [(b"tRN", b"tGN"), (b"GUU", b"GCU")]


def test_a_key_of_number_a_or_r_has_a_value_for_each_allele(genome: Path) -> None:
    records = line("chr1", 5, "G", "T,C", "DP=9;AF=0.25,1e-3;AD=7,2,1;SO=x")
    made = source(genome, records, label="values", info="AF")
    assert made.schema == Schema("values", ("AF",), pairs=True)
    labels = [one.label for one in made]
    assert all(isinstance(label, np.ndarray) and label.dtype == np.float32 for label in labels)
    assert labels == [np.float32(0.25), np.float32(0.001)]
    by_reads = source(genome, records, label="values", info="AD")
    assert [one.label for one in by_reads] == [2.0, 1.0]
    for_all = source(genome, records, label="values", info="DP")
    assert [one.label for one in for_all] == [9.0, 9.0]
    classes = source(genome, records, label="class", info="SO")
    assert classes.schema == Schema("class", pairs=True)
    assert [one.label for one in classes] == ["x", "x"]


def test_a_key_of_any_number_gives_its_text(genome: Path) -> None:
    records = line("chr1", 5, "G", "T", "SIG=Likely_benign,_low")
    made = source(genome, records, label="class", info="SIG")
    assert [one.label for one in made] == ["Likely_benign,_low"]


def test_info_is_read_before_samples_and_at_the_end_of_a_windows_line(genome: Path) -> None:
    path = genome.with_name("calls.vcf")
    config = VariantsSourceConfig(
        kind="variants", path=str(path), genome=str(genome), label="class", info="SO", window_bp=1
    )
    head = "##fileformat=VCFv4.3\n" + INFO + COLUMNS.rstrip("\n")
    record = line("chr1", 5, "G", "T", "DB;SO=x").rstrip("\n")
    path.write_text(f"{head}\tFORMAT\ts1\n{record}\tGT\tSO=y\n")
    assert [one.label for one in VariantsSource(config)] == ["x"]
    path.write_bytes(f"{head}\n{record}\n".replace("\n", "\r\n").encode())
    assert [one.label for one in VariantsSource(config)] == ["x"]


@pytest.mark.parametrize(
    ("record", "settings", "problem"),
    [
        (("chr1", 5, "A", "T"), {}, "found the REF 'A', expected 'G', which"),
        (("chr1", 5, "GA", "T"), {}, "found the REF 'GA', expected 'GG'"),
        (("chr1", 5, "R", "T"), {"window_bp": 21}, "found chr1 of 20 bp"),
        (("chr1", 3, "CCGGTTA", "C"), {}, "found a REF of 7 bp, expected at most window_bp=6"),
        (("chr1", 21, "A", "T"), {}, "found REF at 21 to 21, expected it inside 1 to 20"),
        (("chr1", 20, "AG", "T"), {}, "found REF at 20 to 21"),
        (("chr1", 0, "N", "T"), {}, "found REF at 0 to 0"),
        (("chr2", 1, "G", "T"), {}, "found chr2 of 5 bp"),
        (("chr3", 1, "G", "T"), {}, "found no record 'chr3'"),
        (("chr1", 5, "G", "<DEL>"), {}, "found the ALT '<DEL>', expected letters"),
        (("chr1", 5, "G", "T,*"), {}, "found the ALT '*'"),
        (("chr1", 5, "G", "T,."), {}, "found the ALT '.'"),
        (("chr1", 5, "G", "G[chr1:9["), {}, "found the ALT 'G[chr1:9['"),
        (("chr1", 5, "G", "."), {}, "found no ALT"),
        (("chr1", 5, "G", "T", "DP=3"), {"info": "SO"}, "found 0 times SO in INFO"),
        (("chr1", 5, "G", "T", "SO=a;SO=b"), {"info": "SO"}, "found 2 times SO"),
        (("chr1", 5, "G", "T", "SO=."), {"info": "SO"}, "SO: found '.', expected the name"),
        (("chr1", 5, "G", "T", "SO"), {"info": "SO"}, "SO: found '', expected the name"),
        (("chr1", 5, "G", "T", "SO=a,b"), {"info": "SO"}, "found SO='a,b', expected one value"),
        (("chr1", 5, "G", "T,C", "SIG=a,b"), {"info": "SIG"}, "found SIG with Number=. and 2 ALT"),
        (("chr1", 5, "G", "T", "AF=0.1,0.2"), {"info": "AF"}, "found 2 values of AF, expected 1"),
        (("chr1", 5, "G", "T,C", "AD=1,2"), {"info": "AD"}, "found 2 values of AD, expected 3"),
        (("chr1", 5, "G", "T", "AF=nan"), {"info": "AF", "label": "values"}, "found 'nan'"),
        (("chr1", 5, "G", "T", "AF=."), {"info": "AF", "label": "values"}, "found '.'"),
    ],
)
def test_a_line_that_is_no_example_is_named(
    genome: Path,
    record: tuple[str, int, str, str],
    settings: dict[str, Any],
    problem: str,
) -> None:
    if "info" in settings:
        settings = {"label": "class", **settings}
    good = line("chr1", 6, "G", "T", "DP=3;SO=x;SIG=x;AF=1;AD=1,2")
    made = iter(source(genome, good + line(*record), **settings))
    if settings.get("window_bp", 0) < 21:
        next(made)
    with pytest.raises(SequenceFileError) as refusal:
        list(made)
    at = 10 if settings.get("window_bp") == 21 else 11
    assert f"{genome.with_name('calls.vcf')}: line {at}: " in str(refusal.value)
    assert problem in str(refusal.value)


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        (
            "CLNSIG",
            "found no INFO 'CLNSIG' in the header, expected one of those that there are: 'D",
        ),
        ("DB", "found INFO DB with Number=0"),
        ("PL", "found INFO PL with Number=G"),
    ],
)
def test_a_key_that_gives_no_value_an_allele_is_refused_at_once(
    genome: Path, info: str, problem: str
) -> None:
    with pytest.raises(SequenceFileError, match=problem):
        source(genome, "", label="class", info=info)


def test_a_file_without_records_gives_no_examples_and_says_so(genome: Path) -> None:
    with pytest.raises(SequenceFileError, match="found no variant"):
        list(source(genome, ""))


ANY = "chr1\t\n\r\0\"'#,.;=+-0é²\x1c "
ALLELES = st.sampled_from(
    ["A", "C", "GG", "GGT", "N", "t", ".", "*", "<DEL>", "A.", "", "é", "A,C"]
)
INFOS = st.sampled_from(["AF=1", "AF=0.1,2", "AF=x", "AF", ".", "", "DP=1;AF=2", "AF=\udcff"])
RECORDS = st.builds(
    "{}\t{}\t.\t{}\t{}\t.\t.\t{}".format,
    st.sampled_from(["chr1", "1", "2", "x", ""]),
    st.integers(-1, 22),
    ALLELES,
    ALLELES,
    INFOS,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(text=st.one_of(st.lists(RECORDS, max_size=3).map("\n".join), st.text(ANY, max_size=30)))
@example(text="chr1\t5\t.\tGG\tA\t.\t.\tAF=1")
def test_any_text_gives_examples_or_an_error_that_names_the_file(genome: Path, text: str) -> None:
    path = genome.with_name("calls.vcf")
    head = "##fileformat=VCFv4.3\n" + INFO + COLUMNS
    path.write_bytes((head + text).encode("utf-8", "surrogateescape"))
    config = {"kind": "variants", "path": str(path), "genome": str(genome), "window_bp": 4}
    problem = ""
    try:
        made = VariantsSource(
            VariantsSourceConfig.model_validate({**config, "label": "values", "info": "AF"})
        )
        for one in made:
            assert len(one.sequence) == 4
            _, ref, alt = one.name.replace(">", ":").rsplit(":", 2)
            assert one.alternative is not None
            assert len(one.alternative) == 4 + len(alt) - len(ref)
    except HyenaGLTError as error:
        problem = str(error)
    assert not problem or str(path) in problem
