"""``hyena-glt rank``: from a pretrained checkpoint to a table of scores and figures of labels."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cli.asking import Run, save

ROWS = ["ACGTTGCA", "GGCATTTA", "CCCCGT", "ATATATATCC", "GATTACA", "TTTTGGGG"]
LABELS = ["yes", "no", "yes", "no", "no", "yes"]


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("masked") / "checkpoint", "dna", "bidirectional")


def table(path: Path) -> list[dict[str, str]]:
    header, *lines = (line.split("\t") for line in path.read_text().splitlines())
    return [dict(zip(header, line, strict=True)) for line in lines]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    path = tmp_path / "labelled.csv"
    lines = [f"{row},{label},{len(row)}" for row, label in zip(ROWS, LABELS, strict=True)]
    path.write_text("\n".join(["sequence,kind,weight", *lines, ""]))
    return path


def test_sequences_have_the_scores_of_score_fasta(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ranks.tsv"
    shown = run("rank", checkpoint, fasta, "--out", out, "--both-strands")
    assert shown.exit_code == 0, shown.stderr
    assert "3 sequences, 1 of them without a score" in shown.stdout
    plain = run("score", "fasta", checkpoint, fasta, "--both-strands", "--out", tmp_path / "s.tsv")
    assert plain.exit_code == 0
    found, expected = table(out), table(tmp_path / "s.tsv")
    assert list(found[0]) == ["name", "score_nats", "scored_bp", "reason"]
    assert [row["name"] for row in found] == [row["name"] for row in expected]
    for row, score in zip(found[:2], expected[:2], strict=True):
        mean = float(score["loglik_nats"]) / int(score["scored_bp"])
        assert float(row["score_nats"]) == pytest.approx(mean, rel=1e-9)
    assert found[2]["score_nats"] == "NA"
    assert found[2]["reason"] == "no_letter"


@pytest.mark.slow
def test_labels_are_compared_with_scores(
    run: Run, checkpoint: Path, labelled: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ranks.tsv"
    asked = ("rank", checkpoint, labelled, "--out", out, "--replicates", "20")
    shown = run(*asked, "--label", "kind", "--json")
    assert shown.exit_code == 0, shown.stderr
    report = json.loads(shown.stdout)
    rows = table(out)
    assert [row["label"] for row in rows] == LABELS
    assert [row["name"] for row in rows] == [f"row{number}" for number in range(1, 7)]
    numbers, truth = [float(row["score_nats"]) for row in rows], [one == "yes" for one in LABELS]
    figures = report["metrics"]
    assert figures["auroc/yes"]["value"] == pytest.approx(roc_auc_score(truth, numbers))
    expected = average_precision_score(truth, numbers)
    assert figures["auprc/yes"]["value"] == pytest.approx(expected)
    assert figures["auroc/no"]["value"] == pytest.approx(1 - figures["auroc/yes"]["value"])
    assert (report["examples"], report["scored"], report["labels"]) == (6, 6, "class")
    shown = run(*asked, "--label", "kind", "--negate")
    assert f"auroc/no: {figures['auroc/yes']['value']:.4g} [" in shown.stdout
    shown = run(*asked, "--label", "weight", "--kind", "values")
    assert shown.exit_code == 0, shown.stderr
    assert "spearman/weight: " in shown.stdout
    assert [float(row["weight"]) for row in table(out)] == [len(row) for row in ROWS]
    assert "auroc" not in run(*asked).stdout
    assert "label" not in table(out)[0]


def test_a_file_of_each_class(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        lines = (f">{name}{at}\n{row}\n" for at, row in enumerate(ROWS))
        (tmp_path / f"{name}.fa").write_text("".join(lines))
    paths = (f"first={tmp_path}/a.fa", f"second={tmp_path}/b.fa")
    out = tmp_path / "r.tsv"
    shown = run("rank", checkpoint, *paths, "--out", out, "--replicates", "10", "--json")
    assert shown.exit_code == 0, shown.stderr
    assert json.loads(shown.stdout)["metrics"]["auroc/first"]["value"] == 0.5
    shown = run("rank", checkpoint, paths[0], tmp_path / "b.fa", "--out", out)
    assert shown.exit_code == 1
    assert "labels of kind class in one file" in shown.stderr
    shown = run("rank", checkpoint, paths[0], tmp_path / "b.fa", "--kind", "none", "--out", out)
    assert shown.exit_code == 0, shown.stderr
    files = [str(tmp_path / f"{name}.fa") for name in ("a", "b") for _ in ROWS]
    assert [row["file"] for row in table(out)] == files


@pytest.fixture
def variants(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    letters = "".join(rng.choice(list("ACGT"), 90))
    (tmp_path / "genome.fa").write_text(f">chr\n{letters}\n")
    lines = ['##INFO=<ID=SIG,Number=1,Type=String,Description="x">']
    lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
    for at in range(30, 60, 5):
        alt = "ACGT"["ACGT".index(letters[at]) - 1]
        info = "bad" if at < 45 else "good"
        lines.append(f"chr\t{at + 1}\t.\t{letters[at]}\t{alt}\t.\t.\tSIG={info}")
    (tmp_path / "v.vcf").write_text("\n".join(["##fileformat=VCFv4.2", *lines, ""]))
    return tmp_path / "v.vcf", tmp_path / "genome.fa"


@pytest.mark.parametrize("direction", ["causal", "bidirectional"])
def test_variants_have_the_effects_of_score_vcf(
    run: Run, checkpoint: Path, masked: Path, variants: tuple[Path, Path], direction: str
) -> None:
    vcf, genome = variants
    model = checkpoint if direction == "causal" else masked
    out, scored = vcf.with_name("r.tsv"), vcf.with_name("s.tsv")
    of_genome = ("--genome", genome, "--window-bp", "21")
    shown = run(
        "rank", model, vcf, *of_genome, "--label", "SIG", "--replicates", "10", "--out", out
    )
    assert shown.exit_code == 0, shown.stderr
    assert "auroc/bad: " in shown.stdout
    assert "6 pairs" in shown.stdout
    assert run("score", "vcf", model, vcf, *of_genome, "--out", scored).exit_code == 0
    found, expected = table(out), table(scored)
    assert [row["label"] for row in found] == ["bad"] * 3 + ["good"] * 3
    effects = [float(next(v for k, v in row.items() if "dll" in k.lower())) for row in expected]
    assert [float(row["score_nats"]) for row in found] == pytest.approx(effects, rel=1e-4)


def test_two_columns_are_a_pair(run: Run, masked: Path, checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("ref,alt,id\nACGTACGT,ACGAACGT,one\nACGT,ACGGT,two\n")
    columns = ("--sequence", "ref", "--alternative", "alt", "--name", "id")
    for model, reason in ((checkpoint, "NA"), (masked, "length_change")):
        shown = run("rank", model, path, *columns, "--out", tmp_path / "r.tsv")
        assert shown.exit_code == 0, shown.stderr
        rows = table(tmp_path / "r.tsv")
        assert [row["name"] for row in rows] == ["one", "two"]
        assert [row["reason"] for row in rows] == ["NA", reason]


def test_mistakes_are_told(
    run: Run, checkpoint: Path, masked: Path, labelled: Path, variants: tuple[Path, Path]
) -> None:
    vcf, genome = variants
    out = labelled.with_name("wrong.tsv")
    fasta = labelled.with_name("x.fa")
    fasta.write_text(">a\nACGT\n")
    for asked, code, message in (
        ((masked, labelled), 1, "no likelihood of a sequence"),
        ((checkpoint, labelled, "--label", "knd"), 1, "knd"),
        ((checkpoint, labelled, "--kind", "values"), 2, "name its column"),
        ((checkpoint, labelled, "--label", "kind", "--kind", "none"), 2, "has no effect"),
        ((checkpoint, labelled, "--label", "kind", "--label", "weight"), 1, "found 2 with --label"),
        ((checkpoint, fasta, "--label", "kind"), 1, "for tables alone"),
        ((checkpoint, fasta, "--alternative", "alt"), 1, "for tables alone"),
        ((checkpoint, vcf), 1, "--genome"),
        ((checkpoint, vcf, fasta, "--genome", genome), 1, "VCF files among others"),
        ((checkpoint, vcf, "--genome", genome, "--name", "x"), 1, "have no effect"),
        ((labelled.parent, labelled), 1, "is no checkpoint"),
    ):
        shown = run("rank", *asked, "--out", out)
        assert shown.exit_code == code, (asked, shown.output)
        assert message in " ".join(shown.stderr.replace("│", " ").split()), shown.stderr
        assert "Traceback" not in shown.stderr
        assert not out.exists()
