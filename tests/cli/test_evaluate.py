"""``hyena-glt evaluate``: files, comparisons, and examples that pretraining has seen."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from cli.asking import RECIPE, Run
from hyena_glt.checkpoint.tasks import TaskCheckpoint, TaskProvenance, save_task_checkpoint
from hyena_glt.config import finetune_recipe_from
from hyena_glt.config.examples import DatasetConfig
from hyena_glt.data import Region, Split
from hyena_glt.data.examples import prepare_dataset
from hyena_glt.model import HyenaGLT, TaskNetwork


def tuned(folder: Path, task: dict[str, Any], names: tuple[str, ...], seed: int = 0) -> Path:
    """Save a network that nobody trained, pretrained on chr1:0-400 of a genome that is gone."""
    model = yaml.safe_load(RECIPE)["model"]
    data = {
        "name": "tiny",
        "seed": 1,
        "dataset": "none",
        "model": model,
        "task": task,
        "train": {"epochs": 1},
    }
    recipe = finetune_recipe_from(data, "test")
    assert recipe.model is not None
    torch.manual_seed(seed)
    network = TaskNetwork(HyenaGLT(recipe.model, "dna"), recipe.task, len(names))
    torch.nn.init.normal_(network.head.out.weight)
    checkpoint = TaskCheckpoint(
        recipe=recipe,
        model=recipe.model,
        modality="dna",
        target="bases" if task["kind"] == "bases" else "class",
        answers=names,
        weights=network.state_dict(),
        splits={"gone.fa": Split((Region("chr1", 0, 400),), (), ())},
        provenance=TaskProvenance(
            command="none", dataset_sha256="", epochs=1, validation={}, initialised_from=None
        ),
    )
    save_task_checkpoint(folder, checkpoint)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two networks of two classes, and a dataset of 24 intervals, two of them seen before."""
    letters = np.random.default_rng(0).choice(list("ACGT"), 2000)
    (tmp_path / "g.fa").write_text(f">chr1\n{''.join(letters)}\n")
    starts = [380, 399, *range(400, 1500, 50)]
    lines = [f"chr1\t{at}\t{at + 20}\t{'yes' if at % 100 else 'no'}" for at in starts]
    (tmp_path / "i.bed").write_text("\n".join([*lines, ""]))
    source = {
        "kind": "intervals",
        "path": f"{tmp_path}/i.bed",
        "genome": f"{tmp_path}/g.fa",
        "label": "column",
        "column": 4,
        "part": "train",
    }
    config = {"modality": "dna", "sources": [source], "split": {"by": "file"}}
    prepare_dataset(DatasetConfig.model_validate(config), tmp_path / "dataset")
    for seed, name in enumerate(("one", "other")):
        tuned(tmp_path / name, {"kind": "classification"}, ("no", "yes"), seed)
    return tmp_path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_what_pretraining_saw_is_refused_and_else_compared(run: Run, folder: Path) -> None:
    asked = ("evaluate", folder / "one", folder / "dataset", "--part", "train", "--out")
    shown = run(*asked, folder / "e")
    assert shown.exit_code == 1
    assert "2 of 24 examples of train lie in regions that" in shown.stderr
    assert f"the first is chr1:380-400(+) ({folder}/i.bed: line 1)" in shown.stderr
    assert not (folder / "e").exists()
    options = ("--allow-overlap", "--against", folder / "other", "--replicates", 20)
    shown = run(*asked, folder / "e", *options)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stderr.count("warning: 2 of 24 examples") == 2
    names = "report.html, report.json, metrics.csv, predictions.csv, apart.csv, comparisons.csv"
    assert f"{folder}/e: {names}" in shown.stdout
    assert {path.name for path in (folder / "e").iterdir()} == set(names.split(", "))
    report = json.loads((folder / "e/report.json").read_text())
    overlap = report["pretraining_overlap"][str(folder / "one")]
    assert (overlap["rows"], overlap["overlapping"]) == (24, 2)
    rows = table(folder / "e/predictions.csv")
    assert [row["name"] for row in rows[:2]] == ["chr1:380-400(+)", "chr1:399-419(+)"]
    right = [row["label"] == row["predicted"] for row in rows]
    assert [float(row["score"]) for row in rows] == right
    assert np.mean(right) == pytest.approx(report["metrics"]["accuracy"]["value"])
    for row in rows:
        assert (float(row["p/yes"]) > float(row["p/no"])) == (row["predicted"] == "yes")
    (accuracy,) = (r for r in table(folder / "e/comparisons.csv") if r["metric"] == "accuracy")
    assert accuracy["against"] == str(folder / "other")
    difference = float(accuracy["value"]) - float(accuracy["other"])
    assert float(accuracy["difference"]) == pytest.approx(difference)
    for row in table(folder / "e/metrics.csv"):
        of = report["metrics"][row["metric"]]
        assert int(row["left_out"]) == of["left_out"]
        assert row["low"] == str(of["low"])
    assert accuracy["left_out"] == "0"
    apart = {(r["of"], r["name"], r["figure"]): r for r in table(folder / "e/apart.csv")}
    assert apart["class", "yes", "support"]["value"] == str(report["classes"]["yes"]["support"])
    recall = report["classes"]["yes"]["recall"]
    assert apart["class", "yes", "recall"]["low"] == str(recall["low"])
    on_chr1 = report["by_contig"]["chr1"]
    assert apart["chromosome", "chr1", "examples"]["value"] == str(on_chr1["examples"])
    assert apart["chromosome", "chr1", "score"]["high"] == str(on_chr1["score"]["high"])
    page = (folder / "e/report.html").read_text()
    assert "2 of 24 examples lie" in page
    assert f"<h3>{folder}/other</h3>" in page


@pytest.mark.slow
def test_each_base_is_written_where_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    lines = ["sequence,label", "ACGTA,oxxoo", "ACGT,ooxx"]
    (tmp_path / "t.csv").write_text("\n".join([*lines, ""]))
    label = {"kind": "bases", "column": "label"}
    source = {"kind": "table", "path": f"{tmp_path}/t.csv", "label": label, "part": "train"}
    config = {"modality": "dna", "sources": [source], "split": {"by": "file"}}
    prepare_dataset(DatasetConfig.model_validate(config), tmp_path / "dataset")
    tuned(tmp_path / "one", {"kind": "bases"}, ("o", "x"))
    asked = ("evaluate", tmp_path / "one", tmp_path / "dataset", "--part", "train")
    options = ("--replicates", 10, "--out", tmp_path / "e", "--each-base", "--json")
    shown = run(*asked, *options)
    assert shown.exit_code == 0, shown.stderr
    assert json.loads(shown.stdout)["files"][-2:] == ["apart.csv", "bases.parquet"]
    from pyarrow import parquet

    found = parquet.read_table(tmp_path / "e/bases.parquet").to_pylist()
    assert "".join(row["label"] for row in found) == "oxxooooxx"
    assert [row["position"] for row in found] == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    right = [row["label"] == row["predicted"] for row in found]
    first, second = table(tmp_path / "e/predictions.csv")
    assert (first["bases"], second["bases"]) == ("5", "4")
    assert float(first["score"]) == pytest.approx(np.mean(right[:5]))
    assert all(row["p/o"] + row["p/x"] == pytest.approx(1) for row in found)


def test_mistakes_are_told(run: Run, folder: Path) -> None:
    asked = ("evaluate", folder / "one", folder / "dataset", "--out", folder / "e")
    for options, message in (
        (("--each-base",), "--each-base is for tasks of bases and tracks"),
        (("--against", folder / "one"), "is named already"),
        (("--against", folder / "other", "--against", folder / "other"), "is named already"),
        (("--against", folder), "is no checkpoint"),
    ):
        shown = run(*asked, *options)
        assert shown.exit_code != 0
        assert message in " ".join(shown.stderr.replace("│", " ").split())
        assert not (folder / "e").exists()
