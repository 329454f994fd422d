"""The files of ``patch`` hold the maps, and load in what reads their formats."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hyena_glt as glt
from cli.asking import Run, save
from cli.test_mistakes import refused
from hyena_glt.io import open_track, read_bed, read_fasta

GFF = """##gff-version 3
1\tx\tCDS\t3\t11\t.\t+\t0\tID=first
chr2\tx\tCDS\t1\t9\t.\t-\t0\tID=second
chr9\tx\tCDS\t1\t9\t.\t-\t0\tID=elsewhere
"""


@pytest.fixture
def annotation(tmp_path: Path) -> Path:
    path = tmp_path / "genes.gff3"
    path.write_text(GFF)
    return path


def ends(path: Path, contig: str) -> list[int]:
    """Where patches of a contig end, which fill it from its first base on."""
    found = [line for line in read_bed(path) if line.contig == contig]
    assert [line.start for line in found] == [0, *(line.end for line in found[:-1])]
    assert [line.name for line in found] == [f"{line.length_bp}bp" for line in found]
    return [line.end for line in found]


def long_fasta(path: Path, length_bp: int = 9_000) -> Path:
    index = torch.randint(4, (length_bp,), generator=torch.Generator().manual_seed(1))
    path.write_text(">chr1\n" + "".join("ACGT"[i] for i in index.tolist()) + "\n")
    return path


@pytest.mark.slow
def test_the_files_hold_patches_and_surprisal(
    run: Run, checkpoint: Path, fasta: Path, annotation: Path, tmp_path: Path
) -> None:
    out = tmp_path / "map"
    result = run("patch", checkpoint, fasta, "--out", out, "--annotation", annotation)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == [
        *("lengths.png", "patches.bed", "region.png", "summary.json"),
        *("surprisal.bedgraph", "surprisal.bw"),
    ]
    assert ends(out / "patches.bed", "chr1") == [*range(3, 25, 3), 25]
    assert ends(out / "patches.bed", "chr2") == [3, 6, 9]
    records = {record.name: record.sequence for record in read_fasta(fasta)}
    expected = glt.load(checkpoint).surprisal_bits(list(records.values()))
    for suffix in ("bw", "bedgraph"):
        with open_track(out / f"surprisal.{suffix}") as track:
            for name, bits in zip(records, expected, strict=True):
                if name == "gap":  # of N alone: no base has a score
                    assert name not in track.names
                    continue
                found = track.fetch(name, 0, len(bits))
                np.testing.assert_allclose(found, bits, rtol=1e-5)
    assert "contig names: '1' in the file is 'chr1' in the genome" in result.stdout
    assert "1 contigs aren't in the sequences" in result.stdout
    assert "behind codon base 3" in result.stdout


@pytest.mark.slow
def test_the_bigwig_is_one_to_another_library(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path
) -> None:
    reader = pytest.importorskip("pyBigWig", reason="pyBigWig isn't installed")
    assert run("patch", checkpoint, fasta, "--out", tmp_path / "map").exit_code == 0
    with reader.open(str(tmp_path / "map/surprisal.bw")) as wig:
        assert wig.isBigWig()
        assert wig.chroms()["chr2"] == 9
        expected = glt.load(checkpoint).surprisal_bits(["TTTGGGCAC"])[0]
        np.testing.assert_allclose(wig.values("chr2", 0, 9), expected, rtol=1e-5)


@pytest.mark.slow
def test_means_around_landmarks_are_drawn_and_written(run: Run, tmp_path: Path) -> None:
    """Genes of two exons: 12 read forward, 10 backward."""
    spans = [(start, start + 180) for start in range(150, 150 + 22 * 260, 260)]
    parts = {"exon": [(0, 60), (100, 180)], "CDS": [(20, 60), (100, 150)]}
    lines = ["##gff-version 3"]
    for number, (start, end) in enumerate(spans):
        strand = "+" if number < 12 else "-"
        for kind, pieces in parts.items():
            for first, last in pieces:
                left, right = (start + first, start + last)
                if strand == "-":
                    left, right = (end - last, end - first)
                place = f"chr1\tx\t{kind}\t{left + 1}\t{right}\t.\t{strand}\t.\tParent=t{number}"
                lines.append(place)
    annotation, fasta = tmp_path / "genes.gff3", long_fasta(tmp_path / "g.fa", spans[-1][1] + 150)
    annotation.write_text("\n".join(lines) + "\n")
    patch = {"kind": "entropy", "threshold_bits": 1.5}
    stage = {"width": 16, "mlp_width": 16, "encoder": "S", "patch": patch, "decoder": "S"}
    model = save(tmp_path / "model", "dna", stages=[stage], entropy={"kind": "kmer", "k": 2})
    out = tmp_path / "map"
    result = run("patch", model, fasta, "--out", out, "--annotation", annotation, "--json")
    assert result.exit_code == 0, result.output
    assert (out / "profiles.png").read_bytes()[:4] == b"\x89PNG"
    text = (out / "summary.json").read_text()
    assert len(text.splitlines()) < 300  # not a line a number
    profiles = json.loads(text)["profiles_bits"]
    assert profiles == json.loads(result.stdout)["profiles_bits"]
    assert profiles["first_offset_bp"] == -100
    within = {"start codon": 20, "stop codon": 147, "exon start": 100, "exon end": 60}
    within["transcription start"] = 0
    for name, score in profiles["scores"].items():
        with open_track(out / f"{name.split()[0]}.bw") as track:
            bits = track.fetch("chr1", 0, spans[-1][1] + 150).astype(np.float64)
        assert score.keys() == within.keys()
        for kind, offset in within.items():
            forward = [bits[start + offset - 100 :][:200] for start, _ in spans[:12]]
            backward = [bits[end - offset - 100 :][:200][::-1] for _, end in spans[12:]]
            for strand, windows in (("+", forward), ("-", backward)):
                found, stacked = score[kind][strand], np.stack(windows)
                assert found["places"] == len(windows)
                np.testing.assert_allclose(found["mean"], stacked.mean(0), atol=1e-5)
                margin = 1.96 * stacked.std(0, ddof=1) / len(windows) ** 0.5
                np.testing.assert_allclose(found["margin"], margin, atol=1e-5)
    assert [name.split()[0] for name in profiles["scores"]] == ["surprisal", "entropy"]


@pytest.mark.slow
def test_another_rule_is_drawn_beside_the_own_one(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    out, fasta = tmp_path / "map", long_fasta(tmp_path / "g.fa")
    command = ("patch", checkpoint, fasta, "--out", out, "--kind", "fixed", "--mean-bp", "4")
    result = run(*command, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert ends(out / "patches.fixed.bed", "chr1")[:3] == [4, 8, 12]
    assert summary["agreement"] == {
        "between": ["fixed 3", "fixed 4"],
        # Of 3s and 4s below 9,000: 2,999 and 2,249, of which 749 are 12s.
        "jaccard": 749 / (2_999 + 2_249 - 749),
    }
    assert summary["patchers"]["fixed 4"]["mean_bp"] == 4.0
    assert summary["patchers"]["fixed 3"]["windows"]["windows"] == 1
    jaccard = summary["patchers"]["fixed 4"]["after_a_deletion"]["jaccard"]
    assert jaccard["1000_to_4000_bp"] == 0.0
    assert {key: value for key, value in summary.items() if key != "out"} == json.loads(
        (out / "summary.json").read_text()
    )


@pytest.mark.slow
def test_syncmers_come_as_long_as_asked(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    out, fasta = tmp_path / "map", long_fasta(tmp_path / "g.fa", 30_000)
    command = ("patch", checkpoint, fasta, "--out", out, "--kind", "syncmer", "--mean-bp", "8")
    found = json.loads(run(*command, "--json").stdout)["patchers"]["syncmer"]
    assert found["mean_bp"] == pytest.approx(8, rel=0.1)
    assert found["after_a_deletion"]["jaccard"]["200_to_1000_bp"] == 1.0


@pytest.mark.slow
def test_a_recipe_has_patches_but_no_surprisal(
    run: Run, recipe: Path, fasta: Path, tmp_path: Path
) -> None:
    out = tmp_path / "map"
    result = run("patch", "map", recipe, fasta, "--out", out, "--figures", "svg")
    assert result.exit_code == 0, result.output
    names = ["lengths.svg", "patches.bed", "region.svg", "summary.json"]
    assert sorted(path.name for path in out.iterdir()) == names


@pytest.mark.slow
def test_a_rule_with_a_number_is_calibrated_on_the_recipes_training_regions(
    run: Run, recipe: Path, tmp_path: Path
) -> None:
    out, fasta = tmp_path / "map", long_fasta(tmp_path / "g.fa", 3_000)
    text = recipe.read_text()
    genome = long_fasta(tmp_path / "train.fa", 40_000)
    recipe.write_text(text.replace(text.split("genome: ")[1].split("\n")[0], str(genome)))
    command = ("patch", recipe, fasta, "--out", out, "--kind", "budget", "--mean-bp", "5")
    result = run(*command, "--json")
    assert result.exit_code == 0, result.output
    assert ends(out / "patches.budget.bed", "chr1")
    with open_track(out / "entropy.budget.bw") as track:
        bits = track.fetch("chr1", 0, 3_000)
    assert (bits <= 2).all()
    found = run("patch", "calibrate", recipe, "--kind", "budget", "--mean-bp", "5", "--json")
    assert found.exit_code == 0, found.output
    calibration = json.loads(found.stdout)
    assert calibration["mean_bp"] == pytest.approx(5, rel=0.02)
    patches = json.loads(result.stdout)["patchers"]["budget 5"]
    assert patches["mean_bp"] == pytest.approx(calibration["fresh_mean_bp"], rel=0.1)
    shown = run("patch", "calibrate", recipe, "--kind", "budget", "--mean-bp", "5").stdout
    assert f"budget_bits: {calibration['value']}" in shown
    refused(run("patch", "calibrate", recipe, "--mean-bp", "5"), "kind fixed", "no number")


@pytest.mark.slow
def test_a_region_can_be_named(run: Run, checkpoint: Path, fasta: Path, tmp_path: Path) -> None:
    def patch(region: str) -> Any:
        return run("patch", checkpoint, fasta, "--out", tmp_path / "map", "--region", region)

    refused(patch("chr3:0-5"), "no record 'chr3'")
    refused(patch("chr2:5-10"), "start < end <= 9")
    refused(patch("chr2"), "expected CONTIG:START-END")
    assert not (tmp_path / "map").exists()
    assert "region chr2:2-8 is drawn" in patch("chr2:2-8").stdout


def test_a_folder_that_holds_something_is_left_alone(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path
) -> None:
    out = tmp_path / "map"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    refused(run("patch", checkpoint, fasta, "--out", out), "is there already")
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_mistakes_are_named_and_leave_no_folder(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path
) -> None:
    out = tmp_path / "map"

    def patch(*arguments: object) -> Any:
        return run("patch", checkpoint, *arguments, "--out", out)

    wrong = tmp_path / "wrong.fa"
    wrong.write_text(">a\nACGT\n>b\nACGTE\n")
    refused(patch(wrong), f"{wrong}: record 'b', position 4", "found 'E'")
    wrong.write_text("@a\nACGT\n+\nIIII\n" * 2)
    refused(patch(wrong), "a second record 'a'")
    wrong.write_text(">a\nNNNNNNNN\n>b\nnn\n")
    refused(patch(wrong), f"{wrong}: found none of ACGT in 2 records")
    refused(patch(fasta, "--mean-bp", "4"), "give --kind too", code=2)
    refused(patch(fasta, "--kind", "none", "--mean-bp", "4"), "leave --mean-bp out", code=2)
    refused(patch(fasta, "--kind", "fixed", "--mean-bp", "4.5"), "give a whole number")
    refused(patch(fasta, "--kind", "syncmer", "--mean-bp", "400"), "bp can be had")
    refused(patch(fasta, "--track", tmp_path / "t.bw"), "reads no track")
    bed = tmp_path / "a.bed"
    bed.write_text("chr7\t0\t9\n")
    refused(patch(fasta, "--annotation", bed), "found no feature on the sequences")
    assert not out.exists()
    assert not list(tmp_path.glob(".map.*"))


@pytest.mark.slow
def test_a_protein_and_a_two_sided_model_have_patches_too(run: Run, tmp_path: Path) -> None:
    fasta = tmp_path / "p.fa"
    fasta.write_text(">p\nMKVLAWQE\n")
    model = save(tmp_path / "protein", "protein")
    assert run("patch", model, fasta, "--out", tmp_path / "one").exit_code == 0
    assert ends(tmp_path / "one/patches.bed", "p") == [3, 6, 8]
    fasta.write_text(">p\nACGTACGT\n")
    model = save(tmp_path / "sides", "dna", "bidirectional")
    assert run("patch", model, fasta, "--out", tmp_path / "two").exit_code == 0
    assert not list((tmp_path / "two").glob("surprisal*"))
