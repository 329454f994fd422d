"""``score saturation``: every SNV of a region, once, and a picture of them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

import hyena_glt as glt
from cli.asking import Run
from hyena_glt.io import Interval
from hyena_glt.score import Effect
from hyena_glt.score.heat_map import HeatMap

LETTERS = "ACGTTGCATTAacgACGTAACCATGACGGT"


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{LETTERS}\n>chr2\nTTTGGGCACNACGT\n")
    return path


@pytest.fixture
def bed(tmp_path: Path) -> Path:
    path = tmp_path / "regions.bed"
    path.write_text("chr1\t3\t6\tfirst\t0\t-\nchr1\t10\t14\n")
    return path


def records_of(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines() if line[0] != "#"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_snv_of_the_regions_is_a_record_a_position(
    run: Run, checkpoint: Path, genome: Path, bed: Path, tmp_path: Path, precision: Any
) -> None:
    out = tmp_path / "s.vcf"
    options = ("--genome", genome, "--bed", bed, "--out", out, "--precision", precision)
    result = run("score", "saturation", checkpoint, *options)
    assert result.exit_code == 0, result.output
    assert f"##hyena-glt_precision={precision}\n" in out.read_text()
    assert "7 records, 21 alleles scored" in result.stdout
    rows = records_of(out)
    assert [(row[1], row[3], row[4]) for row in rows] == [
        ("4", "T", "A,C,G"),
        ("5", "T", "A,C,G"),
        ("6", "G", "A,C,T"),
        ("11", "A", "C,G,T"),
        ("12", "A", "C,G,T"),
        ("13", "C", "A,G,T"),
        ("14", "G", "A,C,T"),
    ]
    asked = [glt.Variant(row[0], int(row[1]) - 1, row[3], tuple(row[4].split(","))) for row in rows]
    model = glt.load(checkpoint, precision=precision)
    effects = glt.score_variants(model, genome=genome, variants=asked)
    for row, (_, found) in zip(rows, effects, strict=True):
        numbers = row[7].split(";")[0].removeprefix("GLT_DLL=").split(",")
        assert [float(number) for number in numbers] == pytest.approx(
            [effect.dll_nats for effect in found], rel=1e-8
        )


def test_around_an_open_base_nothing_is_scored_and_the_reason_is_said(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path
) -> None:
    bed, out = tmp_path / "gap.bed", tmp_path / "s.tsv"
    bed.write_text("2\t8\t11\n")
    options = ("--bed", bed, "--out", out, "--window-bp", 3, "--json")
    result = run("score", "saturation", checkpoint, "--genome", genome, *options)
    summary = json.loads(result.stdout)
    assert summary["renamed_contigs"] == {"2": "chr2"}
    assert (summary["alleles_scored"], summary["alleles_not_scored"]) == (0, {"ambiguous_base": 10})
    rows = [line.split("\t") for line in out.read_text().splitlines()[1:]]
    assert [(row[1], row[3], row[4]) for row in rows[3:7]] == [("10", "N", b) for b in "ACGT"]
    assert {tuple(row[5:]) for row in rows} == {("NA", "NA", "NA", "ambiguous_base")}


@pytest.mark.skipif(shutil.which("bcftools") is None, reason="bcftools isn't installed (Debian)")
def test_bcftools_reads_the_new_file_by_its_index(
    run: Run, checkpoint: Path, genome: Path, bed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.vcf.gz"
    run("score", "saturation", checkpoint, "--genome", genome, "--bed", bed, "--out", out)
    done = subprocess.run(
        ["bcftools", "query", "-r", "chr1:12", "-f", "%REF %ALT %GLT_REASON", out],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.strip(), done.stderr) == ("A C,G,T .,.,.", "")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1\t28\t31", "line 2: found chr1:28-31, expected an end of 30 or less"),
        ("chr5\t1\t2", "line 2: .*no record 'chr5'"),
    ],
)
def test_a_region_beyond_the_genome_is_an_error_with_its_line(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path, line: str, message: str
) -> None:
    bed, out = tmp_path / "r.bed", tmp_path / "s.vcf"
    bed.write_text(f"chr1\t0\t3\n{line}\n")
    result = run("score", "saturation", checkpoint, "--genome", genome, "--bed", bed, "--out", out)
    assert result.exit_code == 1
    assert re.search(message, result.stderr)
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_heat_map_is_a_picture_of_all_regions(
    run: Run, checkpoint: Path, genome: Path, bed: Path, tmp_path: Path, suffix: str
) -> None:
    picture = tmp_path / f"map{suffix}"
    arguments = ("--genome", genome, "--bed", bed, "--out", tmp_path / "s.tsv")
    result = run("score", "saturation", checkpoint, *arguments, "--heatmap", picture)
    assert result.exit_code == 0, result.output
    assert str(picture) in result.stdout
    if suffix == ".svg":
        assert picture.read_text().startswith("<?xml")
    else:
        assert imread(picture).std() > 0.01


def test_worse_is_red_better_is_blue_and_the_reference_is_neither(tmp_path: Path) -> None:
    picture = HeatMap(tmp_path / "map.png", [Interval("c", 0, 2, "r", "+", 1)])
    worse, better = (Effect(nats, nats, 9, None) for nats in (-3.0, 3.0))
    picture.add(glt.Variant("c", 0, "A", ("C", "G", "T")), (worse, better, worse))
    picture.add(glt.Variant("c", 1, "T", ("A", "C", "G")), (better, worse, better))
    picture.draw()
    colours = imread(tmp_path / "map.png")[..., :3].reshape(-1, 3)
    red = (colours[:, 0] > 0.3) & (colours[:, 1] < 0.1) & (colours[:, 2] < 0.2)
    blue = (colours[:, 2] > 0.3) & (colours[:, 0] < 0.1)
    cells = np.array([red.sum(), blue.sum()])
    assert cells.min() > 1000
    assert abs(cells[0] - cells[1]) < 0.2 * cells.max()


@pytest.mark.parametrize(
    ("picture", "end", "message"),
    [("map.jpg", 5, "expected .png or .svg"), ("map.png", 2001, "found 2,001 bp of regions")],
)
def test_a_heat_map_that_can_not_be_is_refused_before_any_work(
    run: Run, checkpoint: Path, tmp_path: Path, picture: str, end: int, message: str
) -> None:
    genome, bed, out = tmp_path / "long.fa", tmp_path / "r.bed", tmp_path / "s.tsv"
    genome.write_text(">chr1\n" + "ACGT" * 600 + "\n")
    bed.write_text(f"chr1\t0\t{end}\n")
    arguments = ("--genome", genome, "--bed", bed, "--out", out, "--heatmap", tmp_path / picture)
    result = run("score", "saturation", checkpoint, *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert not out.exists()


def test_regions_that_are_not_on_the_genome_are_left_out_and_listed(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    genome, bed, out = tmp_path / "g.fa", tmp_path / "r.bed", tmp_path / "s.tsv"
    genome.write_text(">chr1\nACGTTGCATTAACGACGTAA\n")
    bed.write_text("chr1\t3\t5\nchr2\t0\t4\nchr1\t19\t21\n")
    command = ("score", "saturation", checkpoint, "--genome", genome, "--bed", bed, "--out", out)
    assert run(*command).exit_code == 1
    result = run(*command, "--skip-bad", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["records"] == 2
    assert "line 2" in told["intervals_left_out"][0]
    assert "line 3" in told["intervals_left_out"][1]
    assert "2 intervals left out" in run(*command, "--skip-bad").stdout


def test_windows_run_on_over_the_end_of_a_circle(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    genome, bed = tmp_path / "g.fa", tmp_path / "r.bed"
    genome.write_text(">ring\nACGTTGCATTAACGACGTAA\n")
    bed.write_text("ring\t0\t1\n")
    lengths = []
    for options in ((), ("--circular", "ring")):
        out = tmp_path / f"{len(options)}.tsv"
        command = ("score", "saturation", checkpoint, "--genome", genome, "--bed", bed)
        assert run(*command, "--out", out, "--window-bp", 11, *options).exit_code == 0
        lengths.append(out.read_text().splitlines()[1].split("\t")[7])
    assert lengths == ["6", "11"]


def test_neighbours_that_share_their_windows_have_the_numbers_of_the_python_call(
    run: Run, checkpoint: Path, genome: Path, bed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.tsv"
    command = ("score", "saturation", checkpoint, "--genome", genome, "--bed", bed, "--out", out)
    assert run(*command, "--window-bp", 8, "--stride-bp", 10).exit_code == 0
    rows = [line.split("\t") for line in out.read_text().splitlines()[1:]]
    # Centred, the windows of the first region are 0 to 7, 1 to 8 and 2 to 9: now all are 0 to 10.
    assert [row[7] for row in rows[:9]] == ["10"] * 9
    snv = glt.Variant("chr1", 5, "G", ("A",))
    ((_, (effect,)),) = glt.score_variants(
        glt.load(checkpoint), genome=genome, variants=[snv], window_bp=8, stride_bp=10
    )
    assert float(rows[6][5]) == pytest.approx(effect.dll_nats, rel=1e-9)
