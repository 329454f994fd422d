"""A VCF line is a variant with its text untouched, or an error that names it."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pysam
import pytest

from hyena_glt.errors import SequenceFileError
from hyena_glt.io import Variant, VcfReader, is_symbolic

HEADER = "##fileformat=VCFv4.3\n##contig=<ID=chr1>\n"
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.vcf"


def test_columns_become_a_variant_counted_from_zero_and_the_line_stays(path: Path) -> None:
    path.write_text(HEADER + COLUMNS + "chr1\t5\trs1\tAc\tA,AcT\t9\tPASS\tDP=3\n")
    reader = VcfReader(path)
    (record,) = reader
    assert record.variant == Variant("chr1", 4, "Ac", ("A", "AcT"), "rs1")
    assert record.variant.end == 6
    assert record.text == "chr1\t5\trs1\tAc\tA,AcT\t9\tPASS\tDP=3"
    assert record.line == 4
    assert reader.header == (*HEADER.splitlines(), COLUMNS.rstrip("\n"))


@pytest.mark.parametrize(
    ("alt", "alts", "symbolic"),
    [
        (".", (), []),
        ("t", ("t",), [False]),
        ("T,*", ("T", "*"), [False, False]),
        ("R,N", ("R", "N"), [False, False]),
        ("<DEL>,<INS:ME:ALU>", ("<DEL>", "<INS:ME:ALU>"), [True, True]),
        ("<*>", ("<*>",), [True]),
        ("G]17:198982],]13:123456]T", ("G]17:198982]", "]13:123456]T"), [True, True]),
        ("[<ctg>:1[A", ("[<ctg>:1[A",), [True]),
        (".A,G.", (".A", "G."), [True, True]),
    ],
)
def test_every_kind_of_alt_is_kept_as_written(
    path: Path, alt: str, alts: tuple[str, ...], symbolic: list[bool]
) -> None:
    path.write_text(f"{HEADER}{COLUMNS}chr1\t5\t.\tG\t{alt}\t.\t.\t.\n")
    (record,) = VcfReader(path)
    assert record.variant.alts == alts
    assert [is_symbolic(alt) for alt in alts] == symbolic


def test_position_zero_is_the_telomere_before_the_first_base(path: Path) -> None:
    path.write_text(f"{HEADER}{COLUMNS}chr1\t0\t.\tN\t]chr1:9]A\t.\t.\t.\n")
    (record,) = VcfReader(path)
    assert (record.variant.start, record.variant.end) == (-1, 0)


def test_windows_line_ends_trailing_tabs_and_bytes_that_are_no_text_survive(path: Path) -> None:
    line = b"chr1\t5\t.\tA\tC\t.\t.\tX=\xff\xc3\xa9\tGT\t0/1\t\r"
    columns = COLUMNS.encode().strip() + b"\tFORMAT\ts1\t \r\n"
    path.write_bytes(HEADER.replace("\n", "\r\n").encode() + columns + line + b"\n")
    reader = VcfReader(path)
    (record,) = reader
    assert record.text.encode("utf-8", "surrogateescape") == line
    assert reader.header[1] == "##contig=<ID=chr1>\r"
    assert reader.header[2].encode() == columns[:-1]


@pytest.mark.parametrize("pack", [gzip.open, lambda name, mode: pysam.BGZFile(name, mode, None)])
def test_gzip_and_bgzip_are_read_as_plain(
    path: Path, pack: Callable[[str, str], gzip.GzipFile]
) -> None:
    with pack(f"{path}.gz", "wb") as file:
        file.write((HEADER + COLUMNS + "chr1\t5\t.\tA\tC\t.\t.\t.\n").encode())
    assert [record.variant.start for record in VcfReader(f"{path}.gz")] == [4]


def test_a_reader_starts_over_and_a_header_alone_has_no_records(path: Path) -> None:
    path.write_text(HEADER + COLUMNS)
    with VcfReader(path) as reader:
        assert list(reader) == []
    path.write_text(HEADER + COLUMNS + "chr1\t5\t.\tA\tC\t.\t.\t.\nchr1\t5\t.\tA\tC\t.\t.\t.")
    with VcfReader(path) as reader:
        assert [record.line for record in reader] == [4, 5]
        assert [record.line for record in reader] == [4, 5]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("chr1\t5\t.\tA\tC\t.\t.", "found 7 tab-separated columns, expected the 8"),
        ("chr1\t5\t.\tA\tC\t.\t.\t.\tGT", "found 9 tab-separated columns, expected the 8"),
        ("chr1\tfive\t.\tA\tC\t.\t.\t.", "found the POS 'five'"),
        ("chr1\t-1\t.\tA\tC\t.\t.\t.", "found the POS '-1'"),
        ("chr1\t\t.\tA\tC\t.\t.\t.", "found the POS ''"),
        ("chr1\t²\t.\tA\tC\t.\t.\t.", "found the POS '²'"),
        ("\t5\t.\tA\tC\t.\t.\t.", "found an empty CHROM"),
        ("chr1\t5\t.\t\tC\t.\t.\t.", "found the REF ''"),
        ("chr1\t5\t.\t.\tC\t.\t.\t.", "found the REF '.'"),
        ("chr1\t5\t.\tA-\tC\t.\t.\t.", "found the REF 'A-'"),
        ("chr1\t5\t.\tAX\tC\t.\t.\t.", "found the REF 'AX'"),
        ("chr1\t5\t.\tA\t\t.\t.\t.", "found the ALT ''"),
        ("chr1\t5\t.\tA\tC,\t.\t.\t.", "found the ALT ''"),
        ("chr1\t5\t.\tA\tC T\t.\t.\t.", "found the ALT 'C T'"),
        ("chr1\t5\t.\tA\t<DEL\t.\t.\t.", "found the ALT '<DEL'"),
        ("chr1\t5\t.\tA\tG]17:1[\t.\t.\t.", "found the ALT 'G]17:1['"),
        ("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO", "after the header"),
    ],
)
def test_a_line_that_is_no_variant_is_named(path: Path, line: str, problem: str) -> None:
    path.write_text(f"{HEADER}{COLUMNS}chr1\t5\t.\tA\tC\t.\t.\t.\n{line}\n", encoding="utf-8")
    with pytest.raises(SequenceFileError) as refusal:
        list(VcfReader(path))
    assert f"{path}: line 5: " in str(refusal.value)
    assert problem in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty file"),
        ("chr1\t5\t.\tA\tC\t.\t.\t.\n", "expected ##fileformat"),
        (COLUMNS, "expected ##fileformat"),
        (HEADER, "2 header lines and no line #CHROM"),
        (HEADER + "chr1\t5\t.\tA\tC\t.\t.\t.\n", "line 3: found 'chr1.*#CHROM before"),
        (HEADER + COLUMNS.replace("\t", " "), "line 3: .*#CHROM before"),
        (HEADER + COLUMNS.replace("ALT\t", ""), "line 3: found the columns #CHROM POS ID REF QUAL"),
        (HEADER + COLUMNS.rstrip("\n") + "\ts1\n", "then nothing or FORMAT and samples"),
        ("BCF\2\2 and more", "bcftools view"),
    ],
)
def test_a_file_without_a_header_of_vcf_is_refused_at_once(
    path: Path, text: str, problem: str
) -> None:
    path.write_text(text)
    with pytest.raises(SequenceFileError, match=problem):
        VcfReader(path)


def test_a_bcf_file_in_bgzip_is_told_how_to_become_vcf(path: Path) -> None:
    with pysam.BGZFile(str(path), "wb", None) as file:
        file.write(b"BCF\2\2" + bytes(40))
    with pytest.raises(SequenceFileError, match=r"found a BCF file.*bcftools view"):
        VcfReader(path)


def test_a_gzip_file_that_was_cut_off_is_an_error_and_no_short_result(path: Path) -> None:
    line = "chr1\t5\t.\tA\tC\t.\t.\t.\n"
    whole = gzip.compress((HEADER + COLUMNS + line * 5000).encode())
    path.write_bytes(whole[:-12])
    with pytest.raises(SequenceFileError, match="cut-off gzip"):
        list(VcfReader(path))


def test_real_calls_are_all_read(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("brca1_sge/BRCA1_clinvar_grch37.vcf.gz")
    with gzip.open(path, "rt") as file:
        lines = [line.rstrip("\n") for line in file if not line.startswith("#")]
    assert [record.text for record in VcfReader(path)] == lines


def test_calls_without_a_header_are_refused(shared_data: Callable[[str], Path]) -> None:
    with pytest.raises(SequenceFileError, match="with its header"):
        VcfReader(shared_data("genome_1pct/mcb185_C.elegans.vcf.gz"))
