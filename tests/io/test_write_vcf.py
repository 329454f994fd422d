"""What we write of a VCF is what was read, byte for byte, with our INFO beside it."""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pysam
import pytest

from hyena_glt.errors import SequenceFileError, StorageError
from hyena_glt.io import InfoField, VcfReader, VcfRecord, VcfWriter

DELTA = InfoField("HGLT", "A", "Float", 'Change of log-likelihood, "nats"')
DELTA_LINE = (
    '##INFO=<ID=HGLT,Number=A,Type=Float,Description="Change of log-likelihood, \\"nats\\"">'
)
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
HEADER = [
    "##fileformat=VCFv4.3",
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth, ID=HGLT, of reads">',
    '##FILTER=<ID=HGLT,Description="a filter of our field\'s name">',
    "##contig=<ID=chr1,length=300>",
]
OLD = '##INFO=<ID=HGLT,Number=1,Type=String,Description="of an earlier run">'

# Each with the INFO column that it has after `HGLT=0.5` was written to it.
ODD = [
    ("chr1\t0\ttelomere\tN\t]chr1:9]A\t.\t.\tDP=1", "DP=1;HGLT=0.5"),
    ("chr1\t5\trs1;rs2\tA\tC,G,*\t9.50\tPASS\t.", "HGLT=0.5"),
    ("chr1\t5\t.\tA\t<DEL>\t.\tq10;s50\tSVTYPE=DEL;END=90", "SVTYPE=DEL;END=90;HGLT=0.5"),
    ("chr1\t6\t.\tACG\t.\t.\t.\tDB;H2", "DB;H2;HGLT=0.5"),
    ("chr1\t7\tbnd_W\tG\tG]17:198982]\t.\tPASS\tMATEID=bnd_Y", "MATEID=bnd_Y;HGLT=0.5"),
    ("chr1\t8\t.\tG\t.A,G.\t.\t.\tHGLT=7;DP=2", "DP=2;HGLT=0.5"),
    ("chr1\t9\t.\tACG\tTTT\t.\t.\tDP=2;HGLT=7,8;XHGLT=3;HGLTX", "DP=2;XHGLT=3;HGLTX;HGLT=0.5"),
    ("chr1\t10\t.\tacg\tA\t1e-3\tmy filter\tHGLT", "HGLT=0.5"),
    ("chr1\t11\t.\tN\tR\t.\t.\tS=%3B,=x=|\xe9\udcff;DP=;", "S=%3B,=x=|\xe9\udcff;DP=;HGLT=0.5"),
    ("chr1\t12\t.\tA\tC\t.\t.\tLONG=" + "x" * 100_000, "LONG=" + "x" * 100_000 + ";HGLT=0.5"),
    ("chr1\t12\t.\tA\tC\t.\t.\tDP=2;;DP=3", "DP=2;;DP=3;HGLT=0.5"),
    ("chr2\t3\t.\tA\tC\t.\t.\tHGLT=1;HGLT=2", "HGLT=0.5"),
]  # fmt: skip


def write(path: Path, lines: Sequence[str], end: str = "\n") -> None:
    text = "".join(line + end for line in lines)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))


def lines_of(path: Path) -> list[str]:
    with pysam.BGZFile(str(path), "rb", None) if path.suffix == ".gz" else path.open("rb") as file:
        text: str = file.read().decode("utf-8", "surrogateescape")
    assert text.endswith("\n")
    return text[:-1].split("\n")


def annotate(source: Path, out: Path, comments: Sequence[str] = ()) -> VcfWriter:
    reader = VcfReader(source)
    with VcfWriter(out, reader.header, [DELTA], comments) as writer:
        for record in reader:
            writer.write(record, {"HGLT": "0.5"})
    return writer


def run(*command: str | Path) -> str:
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"needs {command[0]}")
    done = subprocess.run([str(part) for part in command], capture_output=True, check=True)
    return done.stdout.decode("utf-8", "surrogateescape")


@pytest.fixture(params=[".vcf", ".vcf.gz"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / f"out{request.param}"
    assert not list(tmp_path.glob(".*")), "a temporary file is left"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("samples", ["", "\tGT:DP:AD"])
def test_odd_records_stay_byte_for_byte_but_for_our_info(
    tmp_path: Path, out: Path, end: str, samples: str
) -> None:
    after = f"{samples}\t0|1:3:1,2\t./.\t." if samples else ""
    columns = COLUMNS + ("\tFORMAT\ts1\ts 2\ts3" if samples else "")
    write(tmp_path / "in.vcf", [*HEADER, columns, *(line + after for line, _ in ODD)], end)
    annotate(tmp_path / "in.vcf", out)
    expected = [
        "\t".join([*line.split("\t")[:7], info]) + after + end.rstrip("\n") for line, info in ODD
    ]
    head = [line + end.rstrip("\n") for line in (*HEADER, DELTA_LINE, columns)]
    assert lines_of(out) == head + expected


def test_a_second_run_replaces_what_the_first_one_wrote(tmp_path: Path) -> None:
    write(tmp_path / "in.vcf", [*HEADER, COLUMNS, *(line for line, _ in ODD)])
    annotate(tmp_path / "in.vcf", tmp_path / "once.vcf", ["##hyena-glt=1"])
    annotate(tmp_path / "once.vcf", tmp_path / "twice.vcf", ["##hyena-glt=1"])
    assert (tmp_path / "twice.vcf").read_bytes() == (tmp_path / "once.vcf").read_bytes()
    assert lines_of(tmp_path / "once.vcf")[4:7] == [DELTA_LINE, "##hyena-glt=1", COLUMNS]


def test_a_declaration_of_the_same_field_is_replaced_where_it_stands(tmp_path: Path) -> None:
    write(tmp_path / "in.vcf", [HEADER[0], OLD, *HEADER[1:], OLD, COLUMNS])
    annotate(tmp_path / "in.vcf", tmp_path / "out.vcf")
    assert lines_of(tmp_path / "out.vcf") == [HEADER[0], DELTA_LINE, *HEADER[1:], COLUMNS]


def test_a_value_that_is_not_given_leaves_no_old_one_and_a_flag_stands_alone(
    tmp_path: Path,
) -> None:
    write(tmp_path / "in.vcf", [*HEADER, COLUMNS, "c\t1\t.\tA\tC\t.\t.\tHGLT=3"])
    reader = VcfReader(tmp_path / "in.vcf")
    (record,) = reader
    flag = InfoField("SEEN", "0", "Flag", "seen")
    with VcfWriter(tmp_path / "out.vcf", reader.header, [DELTA, flag]) as writer:
        writer.write(record, {})
        writer.write(record, {"SEEN": "", "HGLT": "1"})
    infos = [line.split("\t")[7] for line in lines_of(tmp_path / "out.vcf")[-2:]]
    assert infos == [".", "SEEN;HGLT=1"]


@pytest.mark.parametrize("info", [{"OTHER": "1"}, {"HGLT": "1;2"}, {"HGLT": "1 2"}])
def test_info_that_would_break_the_line_is_refused_and_nothing_is_left(
    tmp_path: Path, out: Path, info: dict[str, str]
) -> None:
    write(tmp_path / "in.vcf", [*HEADER, COLUMNS, "c\t1\t.\tA\tC\t.\t.\t."])
    reader = VcfReader(tmp_path / "in.vcf")
    (record,) = reader
    with (
        pytest.raises(ValueError, match="INFO"),
        VcfWriter(out, reader.header, [DELTA]) as writer,
    ):
        writer.write(record, info)
    assert not out.exists()


def test_a_run_that_fails_leaves_the_file_and_index_of_the_one_before(tmp_path: Path) -> None:
    source, out = tmp_path / "in.vcf", tmp_path / "out.vcf.gz"
    write(source, [*HEADER, COLUMNS, "c\t1\t.\tA\tC\t.\t.\t."])
    annotate(source, out)
    before = {path: path.read_bytes() for path in tmp_path.glob("out*")}
    assert len(before) == 2
    write(source, [*HEADER, COLUMNS, "c\t1\t.\tA\tC\t.\t.\t.", "c\tx\t.\tA\tC\t.\t.\t."])
    with pytest.raises(SequenceFileError):
        annotate(source, out)
    assert {path: path.read_bytes() for path in tmp_path.glob("*out*")} == before


@pytest.mark.parametrize(
    ("places", "indexed"),
    [
        ([("a", 1), ("a", 1), ("a", 7), ("b", 2)], True),
        ([], True),
        ([("b", 9), ("a", 1)], True),
        ([("a", 7), ("a", 6)], False),
        ([("a", 1), ("b", 1), ("a", 2)], False),
        ([("a", 600_000_000)], False),
    ],
)
def test_a_file_has_an_index_where_its_order_and_positions_allow(
    tmp_path: Path, places: list[tuple[str, int]], indexed: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    records = [f"{contig}\t{place}\t.\tA\tC\t.\t.\t." for contig, place in places]
    write(tmp_path / "in.vcf", [*HEADER, COLUMNS, *records])
    stale = tmp_path / "out.vcf.gz.tbi"
    stale.write_bytes(b"of an earlier file")
    assert annotate(tmp_path / "in.vcf", tmp_path / "out.vcf.gz").indexed is indexed
    assert stale.exists() is indexed
    assert len(lines_of(tmp_path / "out.vcf.gz")) == 6 + len(places)
    if indexed:
        with pysam.TabixFile(str(tmp_path / "out.vcf.gz")) as tabix:
            found = [line for contig in tabix.contigs for line in tabix.fetch(contig)]
        assert [line.split("\t")[7] for line in found] == ["HGLT=0.5"] * len(places)
    assert capfd.readouterr().err == ""


def test_plain_text_has_no_index_and_leaves_others_alone(tmp_path: Path) -> None:
    write(tmp_path / "in.vcf", [*HEADER, COLUMNS, "c\t1\t.\tA\tC\t.\t.\t."])
    assert annotate(tmp_path / "in.vcf", tmp_path / "out.vcf").indexed is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.vcf", "out.vcf"]


@pytest.mark.slow
def test_a_file_may_be_annotated_in_place(tmp_path: Path) -> None:
    path = tmp_path / "in.vcf"
    write(path, [*HEADER, COLUMNS, *(f"c\t{i}\t.\tA\tC\t.\t.\t." for i in range(1, 5000))])
    annotate(path, path)
    assert [record.text[-8:] for record in VcfReader(path)] == ["HGLT=0.5"] * 4999


@pytest.mark.parametrize("name", ["out.bcf", "out.txt", "out.vcf.bz2", "vcf"])
def test_another_suffix_is_refused_with_those_there_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match=r"expected \.vcf or \.vcf\.gz"):
        VcfWriter(tmp_path / name, [*HEADER, COLUMNS], [DELTA])


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="make the folder first"),
        VcfWriter(tmp_path / "none" / "out.vcf.gz", [*HEADER, COLUMNS], [DELTA]),
    ):
        pass


def test_bcftools_reads_what_we_write_as_it_reads_the_source(tmp_path: Path, out: Path) -> None:
    write(tmp_path / "in.vcf", [*HEADER, COLUMNS, *(line for line, _ in ODD)])
    annotate(tmp_path / "in.vcf", out)
    assert run("bcftools", "query", "-f", "%INFO/HGLT\n", out).split() == ["0.5"] * len(ODD)
    sites = "%CHROM %POS %ID %REF %ALT %QUAL %FILTER\n"
    wanted = run("bcftools", "query", "-f", sites, tmp_path / "in.vcf")
    assert run("bcftools", "query", "-f", sites, out) == wanted


def test_tabix_finds_an_annotated_record_by_its_place(
    tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    source, out = shared_data("brca1_sge/BRCA1_clinvar_grch37.vcf.gz"), tmp_path / "out.vcf.gz"
    assert annotate(source, out).indexed
    assert run("tabix", "-l", out).split() == ["17"]
    records: list[VcfRecord] = list(VcfReader(source))
    at = records[500].variant.start
    wanted = [r.text + ";HGLT=0.5" for r in records if r.variant.start <= at < r.variant.end]
    assert run("tabix", out, f"17:{at + 1}-{at + 1}").splitlines() == wanted
    assert run("bcftools", "view", "-H", out).count("HGLT=0.5") == len(records)
