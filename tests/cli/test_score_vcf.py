"""``score vcf``: what went in comes out, with the numbers of the Python call."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from properties.tolerances import BF16_NATS_A_BASE

import hyena_glt as glt
from cli.asking import Run, save
from hyena_glt.score import annotation

GENOME = {"chr1": "ACGTTGCATTAACGACGTAACCATGACGGT", "chr2": "TTTGGGCACNACGT"}
HEADER = """\
##fileformat=VCFv4.2
##contig=<ID=chr1,length=30>
##contig=<ID=chr2,length=14>
##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">
##INFO=<ID=DB,Number=0,Type=Flag,Description="Known">
##FILTER=<ID=q10,Description="Quality below 10">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tyeast\tcell
"""
RECORDS = [
    "chr1\t5\trs1\tT\tG\t50\tPASS\tAF=0.5;DB\tGT\t0/1\t1|1",
    "chr1\t5\t.\tT\tC,*\t.\t.\t.\tGT\t./.\t0/0",
    "chr1\t6\t.\tGCA\tG,<DEL>\t3.5\tq10\tDB\tGT\t0/1\t1|1",
    "chr1\t9\tins;x\tt\ttAC\t.\tPASS\tAF=1e-3\tGT\t0/1\t1|1",
    "chr1\t12\t.\tA\t.\t.\tPASS\tDB\tGT\t0/0\t0/0",
    "chr2\t3\t.\tT\tT\t.\tPASS\t.\tGT\t0/1\t1|1",
    "chr2\t4\t.\tG\tA\t.\tPASS\t.\tGT\t0/1\t1|1",
]
BAD = [
    "chr1\t7\t.\tT\tG\t.\t.\t.\tGT\t0/1\t1|1",
    "chr1\t31\t.\tT\tG\t.\t.\t.\tGT\t0/1\t1|1",
    "chr3\t7\t.\tT\tG,A\t.\t.\t.\tGT\t0/1\t1|1",
]
needs_bcftools = pytest.mark.skipif(
    shutil.which("bcftools") is None, reason="bcftools isn't installed (Debian: bcftools)"
)


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    path = tmp_path / "genome.fa"
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in GENOME.items()))
    return path


@pytest.fixture
def vcf(tmp_path: Path) -> Path:
    path = tmp_path / "in.vcf"
    path.write_text(HEADER + "".join(f"{record}\n" for record in RECORDS))
    return path


def info_of(record: str) -> dict[str, str]:
    entries = record.split("\t")[7].split(";")
    return dict(entry.partition("=")[::2] for entry in entries)


def records_of(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def test_the_records_are_kept_and_the_effects_stand_in_info(
    run: Run, checkpoint: Path, genome: Path, vcf: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.vcf"
    result = run("score", "vcf", checkpoint, vcf, "--genome", genome, "--out", out)
    assert result.exit_code == 0, result.output
    effects = glt.score_variants(glt.load(checkpoint), genome=genome, variants=vcf)
    for before, after, (variant, found) in zip(RECORDS, records_of(out), effects, strict=True):
        old, new = before.split("\t"), after.split("\t")
        assert new[:7] + new[8:] == old[:7] + old[8:]
        assert old[7] == "." or new[7].split(";")[: old[7].count(";") + 1] == old[7].split(";")
        info = info_of(after)
        assert ("GLT_DLL" in info) == bool(variant.alts)
        if not variant.alts:
            continue
        for place, effect in enumerate(found):
            texts = [info[name].split(",")[place] for name in info if name.startswith("GLT_")]
            reason = effect.reason or "."
            if effect.reason is not None:
                assert texts == [".", ".", ".", reason]
                continue
            assert float(texts[0]) == pytest.approx(effect.dll_nats, rel=1e-8)
            assert float(texts[1]) == pytest.approx(effect.dll_flank_nats, rel=1e-8)
            assert texts[2:] == [str(effect.scored_bp), "."]
    lines = result.stdout.splitlines()
    assert lines[0] == f"{out}: 7 records, 4 alleles scored"
    assert "  1 not scored: spanning_deletion (ALT is *)" in lines


def test_the_header_declares_the_fields_and_names_the_command(
    run: Run, checkpoint: Path, genome: Path, vcf: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.vcf"
    options = ("--genome", genome, "--out", out, "--window-bp", 12, "--both-strands")
    assert run("score", "vcf", checkpoint, vcf, *options).exit_code == 0
    header = [line for line in out.read_text().splitlines() if line.startswith("#")]
    for line in HEADER.splitlines():
        assert line in header
    for name, kind in (
        ("GLT_DLL", "Float"),
        ("GLT_DLL_FLANK", "Float"),
        ("GLT_SCORED_BP", "Integer"),
        ("GLT_REASON", "String"),
        ("GLT_CUT_BP", "Integer"),
    ):
        (line,) = (line for line in header if line.startswith(f"##INFO=<ID={name},"))
        assert f"Number=A,Type={kind},Description=" in line
    assert sum("use GLT_DLL_FLANK for indels" in line for line in header) == 2
    assert any(line.startswith("##hyena-glt_command=hyena-glt") for line in header)
    assert "##hyena-glt_window_bp=12" in header
    assert "##hyena-glt_strands=both" in header
    assert "##hyena-glt_precision=fp32" in header


def test_effects_in_bf16_are_near_those_in_fp32_and_the_header_tells_them_apart(
    run: Run, checkpoint: Path, genome: Path, vcf: Path, tmp_path: Path
) -> None:
    out, found = tmp_path / "out.vcf", {}
    options = ("--genome", genome, "--out", out, "--window-bp", 12)
    for precision in ("fp32", "bf16"):
        asked = (*options, "--precision", precision)
        assert run("score", "vcf", checkpoint, vcf, *asked).exit_code == 0
        assert f"##hyena-glt_precision={precision}\n" in out.read_text()
        effects = [info_of(record).get("GLT_DLL", ".").split(",") for record in records_of(out)]
        found[precision] = np.array([float(x) for at in effects for x in at if x != "."])
    exact, rounded = found["fp32"], found["bf16"]
    assert len(exact) > 3
    assert (exact != rounded).any()
    limit_nats = 2 * 12 * BF16_NATS_A_BASE  # an effect is the difference of two windows
    assert np.abs(rounded - exact).mean() < limit_nats
    assert np.abs(exact).mean() > 10 * limit_nats


@pytest.mark.slow
def test_what_was_cut_is_counted_and_the_settings_stand_in_the_header(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    genome, vcf, out = tmp_path / "g.fa", tmp_path / "in.vcf", tmp_path / "out.vcf"
    letters = "ACGTTGCATTAACGACGTAACCATGACGGT" * 50
    genome.write_text(f">chr1\n{letters}\n")
    lines = (HEADER + "chr1\t701\t.\tA\tC,*\t.\t.\t.\tGT\t0/1\t1|1\n").splitlines()
    vcf.write_text("\n".join(lines) + "\n")
    options = ("--genome", genome, "--out", out, "--window-bp", 1000, "--stride-bp", 100)
    told = []
    for tolerance in (0, 1e6):
        result = run("score", "vcf", checkpoint, vcf, *options, "--tail-tolerance", tolerance)
        assert result.exit_code == 0, result.output
        told.append(result.stdout)
    # The window is 201 to 1,200; ALT and 256 of the 499 bases after it were read.
    assert "left unread" not in told[0]
    assert "  243 bp of the windows of 1 alleles left unread" in told[1]
    result = run("score", "vcf", checkpoint, vcf, *options, "--tail-tolerance", 1e6, "--json")
    summary = json.loads(result.stdout)
    assert (summary["alleles_cut"], summary["cut_bp"]) == (1, 243)
    header = out.read_text()
    assert "##hyena-glt_stride_bp=100\n" in header
    assert "##hyena-glt_tail_tolerance_nats=1000000.0\n" in header
    (record,) = records_of(out)
    assert info_of(record)["GLT_SCORED_BP"] == "1000,."
    assert info_of(record)["GLT_CUT_BP"] == "243,."
    (line,) = (line for line in header.splitlines() if "ID=GLT_CUT_BP," in line)
    assert "Number=A,Type=Integer,Description=" in line
    tsv = (*options[:2], "--out", tmp_path / "t.tsv", *options[4:])
    assert run("score", "vcf", checkpoint, vcf, *tsv, "--tail-tolerance", 1e6).exit_code == 0
    names, *rows = [row.split("\t") for row in (tmp_path / "t.tsv").read_text().splitlines()]
    assert [names[-1], *(row[-1] for row in rows)] == ["glt_cut_bp", "243", "NA"]
    again = (*options[:2], "--out", tmp_path / "again.vcf", *options[4:])
    assert run("score", "vcf", checkpoint, out, *again).exit_code == 0
    (record,) = records_of(tmp_path / "again.vcf")
    assert "GLT_CUT_BP" not in info_of(record)  # nor an earlier run's


@pytest.mark.parametrize("tolerance", ["inf", "nan", "-1"])
def test_a_tolerance_is_a_number_from_0_on(
    run: Run, checkpoint: Path, genome: Path, vcf: Path, tmp_path: Path, tolerance: str
) -> None:
    options = ("--genome", genome, "--out", tmp_path / "o.vcf", "--tail-tolerance", tolerance)
    result = run("score", "vcf", checkpoint, vcf, *options)
    assert result.exit_code == 2
    assert "--tail-tolerance" in result.stderr
    assert not (tmp_path / "o.vcf").exists()


@needs_bcftools
def test_bcftools_reads_what_is_written(
    run: Run, checkpoint: Path, genome: Path, vcf: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.vcf.gz"
    assert run("score", "vcf", checkpoint, vcf, "--genome", genome, "--out", out).exit_code == 0
    query = "%POS %ALT %INFO/GLT_DLL %INFO/GLT_SCORED_BP %INFO/GLT_REASON\n"
    done = subprocess.run(
        ["bcftools", "query", "-r", "chr1:5-6", "-f", query, out],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    rows = [line.split(" ") for line in done.stdout.splitlines()]
    assert [(row[0], row[1], *row[3:]) for row in rows] == [
        ("5", "G", "30", "."),
        ("5", "C,*", "30,.", ".,spanning_deletion"),
        ("6", "G,<DEL>", "28,.", ".,symbolic"),
    ]
    ((_, (effect,)), *_) = glt.score_variants(glt.load(checkpoint), genome=genome, variants=vcf)
    assert float(rows[0][2]) == pytest.approx(effect.dll_nats, rel=1e-4)


def test_tables_have_a_row_an_alternative_with_exact_numbers(
    run: Run, checkpoint: Path, genome: Path, vcf: Path, tmp_path: Path
) -> None:
    tsv, parquet = tmp_path / "t.tsv", tmp_path / "t.parquet"
    for out in (tsv, parquet):
        result = run("score", "vcf", checkpoint, vcf, "--genome", genome, "--out", out)
        assert result.exit_code == 0, result.output
    header, *rows = [line.split("\t") for line in tsv.read_text().splitlines()]
    assert header == [
        *("chrom", "pos", "id", "ref", "alt"),
        *("glt_dll", "glt_dll_flank", "glt_scored_bp", "glt_reason"),
    ]
    effects = glt.score_variants(glt.load(checkpoint), genome=genome, variants=vcf)
    expected = [
        (variant.contig, variant.start + 1, variant.name, variant.ref, alt, *effect[:4])
        for variant, found in effects
        for alt, effect in zip(variant.alts, found, strict=True)
    ]
    assert [tuple(row) for row in rows] == [
        tuple("NA" if value is None else str(value) for value in row) for row in expected
    ]
    table = pyarrow.parquet.read_table(parquet).to_pylist()
    assert [tuple(row.values()) for row in table] == expected


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (BAD[0], "line 10: chr1:7 T>G: found REF T, expected C"),
        (BAD[1], "line 10: chr1:31 T>G: found REF at 31 to 31, expected it inside 1 to 30"),
        (BAD[2], "line 10: chr3:7 T>G,A: "),
    ],
)
def test_a_record_of_another_genome_stops_the_command_and_leaves_no_file(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path, bad: str, message: str
) -> None:
    vcf, out = tmp_path / "in.vcf", tmp_path / "out.vcf"
    vcf.write_text(HEADER + f"{RECORDS[0]}\n{bad}\n")
    result = run("score", "vcf", checkpoint, vcf, "--genome", genome, "--out", out)
    assert result.exit_code == 1
    assert f"{vcf}: {message}" in result.stderr
    assert "--skip-bad" in result.stderr
    assert not out.exists()
    assert not list(tmp_path.glob("*.bad.tsv"))


def test_skipped_bad_records_are_written_listed_and_counted(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotation, "FIRST_BAD", 2)
    vcf, out = tmp_path / "in.vcf", tmp_path / "out.vcf"
    vcf.write_text(HEADER + "\n".join([RECORDS[0], *BAD, RECORDS[-2]]) + "\n")
    arguments = ("score", "vcf", checkpoint, vcf, "--genome", genome, "--out", out, "--skip-bad")
    shown = run(*arguments).stdout
    assert "chr1:31" in shown
    assert "chr3:7" not in shown  # the first two alone
    assert f"{out}.bad.tsv: all 3 bad records" in shown
    summary = json.loads(run(*arguments, "--json").stdout)
    reasons = ["reference_mismatch", "beyond_contig", "unknown_contig"]
    assert [info_of(record)["GLT_REASON"] for record in records_of(out)] == [
        ".",
        *reasons[:2],
        "unknown_contig,unknown_contig",
        "same_as_reference",
    ]
    assert summary["records"] == 5
    assert summary["alleles_scored"] == 1
    assert summary["alleles_not_scored"] == {
        "reference_mismatch": 1,
        "beyond_contig": 1,
        "unknown_contig": 2,
        "same_as_reference": 1,
    }
    assert [(bad["line"], bad["reason"]) for bad in summary["bad"]] == list(
        zip([10, 11, 12], reasons, strict=True)
    )
    listed = Path(summary["bad_records_path"]).read_text().splitlines()
    assert len(listed) == 1 + summary["bad_records"] == 4


def test_names_that_differ_by_a_prefix_are_found_and_said(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path
) -> None:
    vcf, out = tmp_path / "in.vcf", tmp_path / "out.vcf"
    vcf.write_text(HEADER.replace("chr", "") + RECORDS[0].removeprefix("chr") + "\n")
    result = run("score", "vcf", checkpoint, vcf, "--genome", genome, "--out", out)
    assert "contig names: '1' in the file is 'chr1' in the genome" in result.stdout
    assert records_of(out)[0].startswith("1\t5\trs1\t")


def test_an_unsorted_file_is_written_in_its_order_without_an_index(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path
) -> None:
    vcf, out = tmp_path / "in.vcf", tmp_path / "out.vcf.gz"
    for records, indexed in ((RECORDS, True), (RECORDS[::-1], False)):
        vcf.write_text(HEADER + "".join(f"{record}\n" for record in records))
        result = run("score", "vcf", checkpoint, vcf, "--genome", genome, "--out", out)
        assert ("no index" in result.stdout) != indexed
        assert (tmp_path / "out.vcf.gz.tbi").exists() == indexed


def test_a_circle_is_read_over_its_end(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path
) -> None:
    vcf, out = tmp_path / "in.vcf", tmp_path / "out.vcf"
    vcf.write_text(HEADER + "chr1\t2\t.\tC\tA\t.\t.\t.\tGT\t0/1\t1|1\n")
    arguments = ("score", "vcf", checkpoint, vcf, "--genome", genome, "--out", out)
    found = []
    for options in ((), ("--circular", "chr1")):
        assert run(*arguments, "--window-bp", 10, *options).exit_code == 0
        info = info_of(records_of(out)[0])
        found.append((float(info["GLT_DLL"]), info["GLT_SCORED_BP"]))
    assert (found[0][1], found[1][1]) == ("6", "9")
    old, new = glt.load(checkpoint).score(["GGTACGTTG", "GGTAAGTTG"])
    assert found[1][0] == pytest.approx(new.loglik_nats - old.loglik_nats, abs=2e-5)
    assert "chr9" in run(*arguments, "--circular", "chr9").stderr


@pytest.mark.parametrize("out", ["in.vcf", "genome.fa", "out.txt", "out.bcf"])
def test_an_output_that_is_an_input_or_of_no_known_kind_is_refused(
    run: Run, checkpoint: Path, genome: Path, vcf: Path, tmp_path: Path, out: str
) -> None:
    before = vcf.read_bytes(), genome.read_bytes()
    result = run("score", "vcf", checkpoint, vcf, "--genome", genome, "--out", tmp_path / out)
    assert result.exit_code == 1
    assert out in result.stderr
    assert (vcf.read_bytes(), genome.read_bytes()) == before


def test_a_protein_model_is_refused_by_name(
    run: Run, genome: Path, vcf: Path, tmp_path: Path
) -> None:
    protein = save(tmp_path / "protein", "protein")
    out = tmp_path / "out.vcf"
    result = run("score", "vcf", protein, vcf, "--genome", genome, "--out", out)
    assert result.exit_code == 1
    assert "protein" in result.stderr
    assert not out.exists()


@pytest.mark.slow
def test_a_second_run_replaces_the_first_ones_numbers(
    run: Run, checkpoint: Path, genome: Path, vcf: Path, tmp_path: Path
) -> None:
    once, twice = tmp_path / "once.vcf", tmp_path / "twice.vcf"
    run("score", "vcf", checkpoint, vcf, "--genome", genome, "--out", once, "--window-bp", 8)
    run("score", "vcf", checkpoint, once, "--genome", genome, "--out", twice)
    run("score", "vcf", checkpoint, vcf, "--genome", genome, "--out", once)
    assert records_of(twice) == records_of(once)


def test_python_scores_variants_of_its_own(checkpoint: Path, genome: Path, tmp_path: Path) -> None:
    model = glt.load(checkpoint)
    asked = [glt.Variant("chr1", 4, "T", ("G",)), glt.Variant("chr2", 3, "GG", ("T", "*"), "me")]
    found = glt.score_variants(model, genome=genome, variants=asked, window_bp=12)
    assert [variant for variant, _ in found] == asked
    assert [effect.reason for _, effects in found for effect in effects] == [
        None,
        "ambiguous_base",
        "spanning_deletion",
    ]
    out = tmp_path / "own.vcf"
    tally = glt.score_variants(model, genome=genome, variants=asked, out=out, window_bp=12)
    assert (tally.records, tally.scored) == (2, 1)
    assert "##contig=<ID=chr2,length=14>" in out.read_text()
    assert records_of(out)[1].startswith("chr2\t4\tme\tGG\tT,*\t.\t.\tGLT_DLL=.,.;")
    wrong = [glt.Variant("chr1", 4, "A", ("G",))]
    with pytest.raises(glt.HyenaGLTError, match="chr1:5 A>G: found REF A, expected T"):
        glt.score_variants(model, genome=genome, variants=wrong)
    ((_, (skipped,)),) = glt.score_variants(model, genome=genome, variants=wrong, skip_bad=True)
    assert skipped.reason == "reference_mismatch"
