"""``hyena-glt benchmark``: what it lists, what it shows, and how mistakes end."""

import json
from pathlib import Path

import numpy as np
import pytest

from cli.asking import Run, save
from hyena_glt.checkpoint import load_checkpoint
from hyena_glt.checkpoint.tasks import load_task_checkpoint
from hyena_glt.suites import absent_files, load_suite, suite_names

SUITE = """
name: mine
about: a suite of my own
sets:
  - name: rich
    about: rich in G or poor
    sources:
      - {kind: table, path: rich.csv, label: {kind: class, column: label}}
    split: {by: random, validation: 0.2, test: 0.2}
    task: {kind: classification}
    metrics: [accuracy]
  - name: gone
    sources:
      - {kind: table, path: gone.csv, label: {kind: class, column: label}}
    split: {by: random}
    task: {kind: classification}
    metrics: [accuracy]
"""
RECIPE = """
name: own
seed: 0
dataset: ""
init: ""
tuning: {kind: probe}
task: {kind: classification}
train: {epochs: 1, batch_examples: 7}
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = ["".join(rng.choice(list("ACGT"), 30)) for _ in range(60)]
    lines = [f"{row},{'rich' if row.count('G') > 7 else 'poor'}" for row in rows]
    (tmp_path / "rich.csv").write_text("\n".join(["sequence,label", *lines, ""]))
    (tmp_path / "suite.yaml").write_text(SUITE)
    return tmp_path / "suite.yaml"


@pytest.mark.slow
def test_a_suite_runs_and_shows_its_tables(run: Run, suite: Path) -> None:
    out = suite.parent / "out"
    command = ("benchmark", suite, "--data", suite.parent, "--out", out, "--seeds", "2")
    shown = run(*command, "--contenders", "onehot")
    assert shown.exit_code == 0, shown.stderr
    assert "gone onehot seed 0: not run, gone.csv absent" in shown.stdout
    assert "| gone | accuracy | not run |" in shown.stdout
    assert "| rich | accuracy | " in shown.stdout
    assert {"results.json", "results.csv", "results.md"} <= {p.name for p in out.iterdir()}
    again = run(*command, "--contenders", "onehot", "--json")
    told = json.loads(again.stdout)
    assert again.exit_code == 0
    assert [(cell["set"], cell["seed"]) for cell in told["cells"]] == [("rich", 0), ("rich", 1)]
    # Both seeds have the one dataset, and this floor draws nothing: run once.
    assert told["cells"][0]["seconds"] == told["cells"][1]["seconds"]
    (row,) = [line for line in shown.stdout.splitlines() if line.startswith("| rich | accuracy")]
    assert row.endswith(" (1) |")
    assert {each["reason"] for each in told["not_run"]} == {"gone.csv absent"}


@pytest.mark.slow
def test_ours_begins_with_a_checkpoint_and_moves_as_a_recipe_says(run: Run, suite: Path) -> None:
    folder = suite.parent
    save(folder / "pretrained", "dna")
    (folder / "own.yaml").write_text(RECIPE)
    command = ("benchmark", suite, "--data", folder, "--contenders", "ours", "--seeds", "1")
    asked = ("--only", "rich", "--recipe", folder / "own.yaml", "--json")
    shown = run(*command, *asked, "--init", folder / "pretrained", "--out", folder / "probe")
    assert shown.exit_code == 0, shown.stderr
    (probe,) = json.loads(shown.stdout)["cells"]
    assert probe["epochs"] == 1
    (kept,) = (folder / "probe/runs/rich").glob("ours-0-*/checkpoint")
    tuned, donor = load_task_checkpoint(kept), load_checkpoint(folder / "pretrained")
    assert tuned.provenance.initialised_from == str(folder / "pretrained")
    assert tuned.recipe.train.batch_examples == 7
    for name, tensor in donor.weights.items():
        assert (tuned.weights[f"network.{name}"] == tensor).all(), name
    full = ("tuning={kind: full}", *asked, "--init", folder / "pretrained")
    shown = run(*command, *full, "--out", folder / "full")
    assert shown.exit_code == 0, shown.stderr
    (kept,) = (folder / "full/runs/rich").glob("ours-0-*/checkpoint")
    moved = load_task_checkpoint(kept).weights
    assert any((moved[f"network.{name}"] != t).any() for name, t in donor.weights.items())


def test_the_list_names_every_suite_set_and_absent_file(run: Run, suite: Path) -> None:
    shown = run("benchmark", "--list", "--json")
    assert shown.exit_code == 0, shown.stderr
    listed = {
        one["suite"]: [s["name"] for s in one["sets"]] for one in json.loads(shown.stdout)["suites"]
    }
    assert set(listed) == {
        "annotation",
        "genomic_benchmarks",
        "gue",
        "mpra",
        "other",
        "variant_effects",
    }
    assert len(listed["gue"]) == 28
    assert len(listed["genomic_benchmarks"]) == 9
    mine = run("benchmark", suite, "--list", "--data", suite.parent)
    assert "rich in G or poor\n" in mine.stdout
    assert "gone  classification, accuracy   [gone.csv absent]" in mine.stdout


@pytest.mark.parametrize("name", suite_names())
def test_a_suite_of_the_package_without_files_is_all_not_run(name: str, tmp_path: Path) -> None:
    suite = load_suite(name)
    assert suite.name == name
    for each in suite.sets:
        assert absent_files(each, tmp_path)


def test_published_figures_are_of_metrics_and_have_a_source() -> None:
    for name in ("gue", "genomic_benchmarks"):
        for each in load_suite(name).sets:
            for found in each.published:
                assert 0 < found.value < 1
                assert "arXiv:" in found.source
                assert found.metric in ("mcc", "accuracy", "f1")


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (("zebra", "--data", "."), 1, "expected one of annotation, genomic_benchmarks, gue"),
        (("gue", "--data", ".", "--contenders", "ours,zebra"), 2, "zebra"),
        (("gue", "--data", ".", "--only", "zebra"), 1, "no set of gue has such a name"),
        (("gue", "--data", ".", "--init", "nowhere"), 1, "nowhere: no such folder"),
        (("nowhere.yaml", "--data", "."), 1, "no such file"),
    ],
)
def test_mistakes_are_told(
    run: Run, tmp_path: Path, asked: tuple[str, ...], code: int, message: str
) -> None:
    shown = run("benchmark", *asked, "--out", tmp_path / "out")
    assert shown.exit_code == code, shown.stderr
    assert message in " ".join(shown.stderr.replace("│", " ").split())
    assert "Traceback" not in shown.stderr


def test_without_a_folder_of_data_it_asks_for_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HYENA_GLT_DATA", raising=False)
    shown = run("benchmark", "gue")
    assert shown.exit_code == 2
    assert "--data" in shown.stderr


def test_a_suite_that_is_wrong_names_the_key(run: Run, suite: Path) -> None:
    suite.write_text(SUITE.replace("name: gone", "name: rich"))
    shown = run("benchmark", suite, "--list")
    assert "two sets have the name 'rich'" in shown.stderr
    suite.write_text(SUITE.replace("about: rich in G or poor", "abuot: x"))
    shown = run("benchmark", suite, "--list")
    assert shown.exit_code == 1
    assert "sets.0.abuot" in shown.stderr


def test_the_suite_of_the_docs_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/benchmarks.md").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    suite = load_suite(str(tmp_path / "mine.yaml"))
    assert absent_files(suite.sets[0], tmp_path) == ["train.csv", "test.csv"]
    for name in suite_names():
        assert f"| `{name}` |" in page
