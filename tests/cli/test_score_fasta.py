"""The tables say what ``model.score`` says."""

import json
import math
from pathlib import Path

import pytest

import hyena_glt as glt
from cli.asking import Run
from hyena_glt import api
from hyena_glt.cli import records
from hyena_glt.io import read_fasta
from hyena_glt.model import HyenaGLT

Rows = list[list[str]]


def read(path: Path) -> Rows:
    return [line.split("\t") for line in path.read_text().splitlines()]


@pytest.mark.parametrize("both", [False, True])
def test_the_table_is_what_score_gives(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path, both: bool
) -> None:
    out = tmp_path / "t.tsv"
    result = run("score", "fasta", checkpoint, fasta, "--out", out, *["--both-strands"] * both)
    assert result.exit_code == 0, result.output
    assert "37 bp" in result.stdout
    header, *rows = read(out)
    assert header == ["name", "length_bp", "scored_bp", "loglik_nats", "bits_per_base"]
    records = list(read_fasta(fasta))
    scores = glt.load(checkpoint).score([record.sequence for record in records], both)
    assert [row[0] for row in rows] == ["chr1", "chr2", "gap"]
    for row, score in zip(rows, scores, strict=True):
        assert (int(row[1]), int(row[2]), float(row[3])) == score
    assert [float(row[4]) for row in rows[:2]] == [score.bits_per_base for score in scores[:2]]
    assert rows[2] == ["gap", "3", "0", "0.0", "NA"]


@pytest.mark.parametrize("both", [False, True])
def test_bases_sum_to_the_total(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path, both: bool
) -> None:
    total, bases = tmp_path / "t.tsv", tmp_path / "b.tsv"
    options = ["--both-strands"] * both
    run("score", "fasta", checkpoint, fasta, "--out", total, *options)
    run("score", "fasta", checkpoint, fasta, "--out", bases, "--per-base", *options)
    header, *rows = read(bases)
    assert header == ["name", "position", "base", "surprisal_bits"]
    for record, (_, length, scored, loglik, _) in zip(
        read_fasta(fasta), read(total)[1:], strict=True
    ):
        mine = [row for row in rows if row[0] == record.name]
        assert "".join(row[2] for row in mine) == record.sequence
        assert [int(row[1]) for row in mine] == list(range(int(length)))
        known = [float(row[3]) for row in mine if row[3] != "NA"]
        assert len(known) == int(scored)
        assert math.fsum(known) * math.log(2) == pytest.approx(-float(loglik), abs=1e-6 * len(mine))


def test_intervals_are_scored_on_their_strand(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path
) -> None:
    bed, out = tmp_path / "regions.bed", tmp_path / "t.tsv"
    bed.write_text("chr2\t0\t9\nchr1\t2\t9\tgeneA\nchr1\t2\t9\tgeneB\t0\t-\n")
    result = run("score", "fasta", checkpoint, fasta, "--bed", bed, "--out", out)
    assert result.exit_code == 0, result.output
    _, *rows = read(out)
    assert [row[0] for row in rows] == ["chr2:0-9", "geneA", "geneB"]
    scores = glt.load(checkpoint).score(["TTTGGGCAC", "GTTGCAT", "ATGCAAC"])
    assert [float(row[3]) for row in rows] == [score.loglik_nats for score in scores]
    run("score", "fasta", checkpoint, fasta, "--bed", bed, "--out", out, "--per-base")
    assert "".join(row[2] for row in read(out) if row[0] == "geneB") == "ATGCAAC"


def test_a_contig_is_found_without_its_prefix_and_said_to_be(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path
) -> None:
    bed, out = tmp_path / "regions.bed", tmp_path / "t.tsv"
    bed.write_text("2\t0\t9\tgene\n")
    arguments = ("score", "fasta", checkpoint, fasta, "--bed", bed, "--out", out)
    assert "contig names: '2' in the file is 'chr2' in the genome" in run(*arguments).stdout
    (score,) = glt.load(checkpoint).score(["TTTGGGCAC"])
    assert float(read(out)[1][3]) == score.loglik_nats
    assert json.loads(run(*arguments, "--json").stdout)["renamed_contigs"] == {"2": "chr2"}


def test_reads_are_scored_as_records_are(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    reads, out = tmp_path / "reads.fq", tmp_path / "t.tsv"
    reads.write_text("@pair one\nACGTN\n+\nIIII!\n@pair two\nGGCA\n+\n@III\n")
    result = run("score", "fasta", checkpoint, reads, "--out", out)
    assert result.exit_code == 0, result.output
    scores = glt.load(checkpoint).score(["ACGTN", "GGCA"])
    assert [row[0] for row in read(out)[1:]] == ["pair", "pair"]
    assert [float(row[3]) for row in read(out)[1:]] == [score.loglik_nats for score in scores]


def test_groups_change_no_score_and_a_second_run_no_byte(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outs = [tmp_path / f"{name}.tsv" for name in "abc"]
    for out in outs[:2]:
        run("score", "fasta", checkpoint, fasta, "--out", out)
    monkeypatch.setattr(records, "GROUP_BP", 1)
    run("score", "fasta", checkpoint, fasta, "--out", outs[2])
    whole, again, grouped = (read(out) for out in outs)
    assert whole == again
    for one, other in zip(whole[1:], grouped[1:], strict=True):
        assert one[:3] == other[:3]
        assert float(one[3]) == pytest.approx(float(other[3]), rel=1e-6)


def test_json_is_the_summary_and_nothing_else(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t.tsv"
    result = run("score", "fasta", checkpoint, fasta, "--out", out, "--json")
    summary = json.loads(result.stdout)
    loglik = sum(float(row[3]) for row in read(out)[1:])
    bits = summary.pop("bits_per_base")
    assert bits == pytest.approx(-loglik / math.log(2) / summary["scored_bp"])
    assert summary == {
        "out": str(out),
        "precision": "fp32",
        "sequences": 3,
        "length_bp": 37,
        "scored_bp": 32,
        "renamed_contigs": {},
        "intervals_left_out": [],
    }


@pytest.mark.slow
def test_every_verb_of_score_can_ask_for_a_compiled_model(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def compile_readings(network: HyenaGLT, device: str, piece_bp: int) -> bool:
        asked.append(verb)
        return True

    monkeypatch.setattr(api, "compile_readings", compile_readings)
    bed, vcf = tmp_path / "r.bed", tmp_path / "v.vcf"
    bed.write_text("chr2\t0\t2\n")
    vcf.write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
    genome = ("--genome", fasta)
    verbs = {"fasta": (fasta,), "vcf": (vcf, *genome), "saturation": (*genome, "--bed", bed)}
    for verb, inputs in verbs.items():
        for options in ([], ["--compile"]):
            out = tmp_path / "out.tsv"
            result = run("score", verb, checkpoint, *inputs, *options, "--out", out)
            assert result.exit_code == 0, result.output
    assert asked == list(verbs)


def test_nothing_scored_is_null_in_json_and_na_in_words(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    gap = tmp_path / "gap.fa"
    gap.write_text(">gap\nNNNN\n")
    arguments = ("score", "fasta", checkpoint, gap, "--out", tmp_path / "t.tsv")
    assert "NA bits per base" in run(*arguments).stdout
    assert json.loads(run(*arguments, "--json").stdout)["bits_per_base"] is None
