"""``hyena-glt finetune`` and ``predict``: from a checkpoint and tables to a table of answers."""

import json
from pathlib import Path

import numpy as np
import pytest

from cli.asking import Run, save
from hyena_glt.checkpoint import load_checkpoint
from hyena_glt.checkpoint.tasks import load_task_checkpoint
from hyena_glt.data.examples import guess_dataset, prepare_dataset

RECIPE = """
name: cli
seed: 1
dataset: {folder}/dataset
init: {folder}/pretrained
task: {{kind: classification}}
train: {{epochs: 2, batch_examples: 8}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pretrained checkpoint, a dataset of two classes, and the recipe that joins them."""
    rng = np.random.default_rng(0)
    rows = ["".join(rng.choice(list("ACGT"), 30)) for _ in range(40)]
    lines = [f"{row},{'rich' if row.count('G') > 7 else 'poor'}" for row in rows]
    (tmp_path / "t.csv").write_text("\n".join(["sequence,label", *lines, ""]))
    prepare_dataset(guess_dataset([str(tmp_path / "t.csv")]), tmp_path / "dataset")
    save(tmp_path / "pretrained", "dna")
    (tmp_path / "r.yaml").write_text(RECIPE.format(folder=tmp_path))
    (tmp_path / "new.fa").write_text(">a\nACGTACGT\n>b\nGGGGGGGGTT\n")
    return tmp_path


@pytest.mark.slow
def test_from_a_recipe_to_a_table(run: Run, folder: Path) -> None:
    out = folder / "tuned"
    shown = run("finetune", str(folder / "r.yaml"), "train.epochs=1", "--out", str(out), "--json")
    assert shown.exit_code == 0, shown.stderr
    report = json.loads(shown.stdout)
    assert (report["epochs"], report["stopped"]) == (1, "finished")
    assert {"loss", "accuracy", "mcc", "auroc"} <= set(report["validation"])
    command = ("predict", str(out / "checkpoint"), str(folder / "new.fa"))
    shown = run(*command, "--out", str(folder / "p.tsv"))
    assert shown.exit_code == 0, shown.stderr
    header, *lines = (folder / "p.tsv").read_text().splitlines()
    assert header == "name\tpoor\trich"
    table = {name: [float(n) for n in numbers] for name, *numbers in map(str.split, lines)}
    assert list(table) == ["a", "b"]
    assert all(sum(numbers) == pytest.approx(1) for numbers in table.values())
    shown = run(
        "evaluate",
        str(out / "checkpoint"),
        str(folder / "dataset"),
        "--out",
        str(folder / "e"),
        "--replicates",
        "20",
    )
    assert shown.exit_code == 0, shown.stderr
    assert {p.name for p in (folder / "e").iterdir()} == {
        "report.json",
        "report.html",
        "metrics.csv",
        "apart.csv",
        "predictions.csv",
    }
    assert "accuracy: " in shown.stdout
    both = run(*command, "--both-strands", "--out", str(folder / "both.tsv"))
    assert both.exit_code == 0
    assert (folder / "both.tsv").read_text() != (folder / "p.tsv").read_text()


@pytest.mark.slow
def test_a_table_without_labels_is_predicted_by_its_names(run: Run, folder: Path) -> None:
    assert run("finetune", str(folder / "r.yaml"), "--out", str(folder / "x")).exit_code == 0
    (folder / "new.csv").write_text("id,dna\nfirst,ACGT\nsecond,GGGTTTAA\n")
    command = ("predict", str(folder / "x/checkpoint"), str(folder / "new.csv"))
    columns = ("--sequence", "dna", "--name", "id")
    shown = run(*command, *columns, "--out", str(folder / "p.tsv"))
    assert shown.exit_code == 0, shown.stderr
    names = [line.split("\t")[0] for line in (folder / "p.tsv").read_text().splitlines()]
    assert names == ["name", "first", "second"]
    shown = run(*command, *columns, "--alternative", "id", "--out", str(folder / "a.tsv"))
    assert "--alternative has no effect" in shown.stderr
    shown = run(*command, "--out", str(folder / "q.tsv"))
    assert shown.exit_code == 1
    assert "dna" in shown.stderr
    assert not (folder / "q.tsv").exists()


@pytest.mark.slow
def test_windows_of_a_genome_are_predicted_whatever_their_files_are_called(
    run: Run, folder: Path
) -> None:
    assert run("finetune", str(folder / "r.yaml"), "--out", str(folder / "y")).exit_code == 0
    (folder / "genome.fa").write_text(">chr1\nACGTACGTAACCGGTT\n")
    (folder / "train.bed").write_text("chr1\t0\t8\nchr1\t8\t16\n")
    (folder / "more.bed").write_text("chr1\t2\t6\t.\t0\t-\n")
    paths = [str(folder / name) for name in ("train.bed", "more.bed")]
    options = ("--genome", str(folder / "genome.fa"), "--out", str(folder / "w.tsv"))
    shown = run("predict", str(folder / "y/checkpoint"), *paths, *options)
    assert shown.exit_code == 0, shown.stderr
    names = [line.split("\t")[:2] for line in (folder / "w.tsv").read_text().splitlines()]
    assert names == [
        ["file", "name"],
        [paths[0], "chr1:0-8(+)"],
        [paths[0], "chr1:8-16(+)"],
        [paths[1], "chr1:2-6(-)"],
    ]


@pytest.mark.slow
def test_pairs_have_a_column_each(run: Run, folder: Path) -> None:
    rows = ["sequence,other,label", *["ACGTACGT,ACGTTCGT,a", "ACGTACGT,ACCTACGT,b"] * 6]
    (folder / "pairs.csv").write_text("\n".join([*rows, ""]))
    label = {"kind": "class", "column": "label"}
    source = {"kind": "table", "path": f"{folder}/pairs.csv", "alternative": "other"}
    config = {"sources": [{**source, "label": label}], "split": {"by": "random", "validation": 0.3}}
    (folder / "pairs.yaml").write_text(json.dumps({"modality": "dna", **config}))
    made = run("data", "prepare", str(folder / "pairs.yaml"), "--out", str(folder / "pairs"))
    assert made.exit_code == 0, made.stderr
    task = "task={kind: pair, answer: {kind: classification}}"
    asked = ("finetune", str(folder / "r.yaml"), f"dataset={folder}/pairs", task)
    shown = run(*asked, "--out", str(folder / "z"))
    assert shown.exit_code == 0, shown.stderr
    command = ("predict", str(folder / "z/checkpoint"), str(folder / "pairs.csv"))
    shown = run(*command, "--alternative", "other", "--out", str(folder / "z.tsv"))
    assert shown.exit_code == 0, shown.stderr
    assert len((folder / "z.tsv").read_text().splitlines()) == 13
    shown = run(*command, "--out", str(folder / "none.tsv"))
    assert shown.exit_code == 1
    assert "name the column of the second (--alternative)" in shown.stderr


@pytest.mark.slow
def test_a_probe_changes_no_weight_of_the_network(run: Run, folder: Path) -> None:
    probe = ("tuning={kind: probe}", "--out", str(folder / "probe"))
    assert run("finetune", str(folder / "r.yaml"), *probe).exit_code == 0
    before = load_checkpoint(folder / "pretrained").weights
    after = load_task_checkpoint(folder / "probe/checkpoint").weights
    assert all((after[f"network.{name}"] == tensor).all() for name, tensor in before.items())
    assert after["head.out.weight"].abs().max() > 0


def test_mistakes_are_told(run: Run, folder: Path) -> None:
    recipe = str(folder / "r.yaml")
    for changes, message in (
        (["task.kind=regression"], "needs labels of kind values"),
        (["trian.epochs=1"], "did you mean 'train'"),
        ([f"init={folder}"], "is no checkpoint"),
    ):
        shown = run("finetune", recipe, *changes, "--out", str(folder / "wrong"))
        assert shown.exit_code == 1
        assert message in shown.stderr, shown.stderr
        assert "Traceback" not in shown.stderr
        assert not (folder / "wrong" / "checkpoint").exists()
    shown = run("predict", str(folder / "pretrained"), str(folder / "new.fa"), "--out", "p.tsv")
    assert "is no fine-tuned network" in shown.stderr
