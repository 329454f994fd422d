"""Sweeps: the same again, gone on with after a kill, refused before anything trains."""

import builtins
import csv
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from hyena_glt.cli import app
from hyena_glt.config import (
    MultitaskRecipe,
    finetune_recipe_from,
    load_finetune_recipe,
    load_tuning_recipe,
)
from hyena_glt.config.sweep import load_sweep, setting_text, values_to_check
from hyena_glt.data.examples import Dataset, guess_dataset, open_dataset, prepare_dataset
from hyena_glt.errors import (
    CheckpointError,
    HyenaGLTError,
    MissingExtraError,
    RecipeError,
    TrainingError,
)
from hyena_glt.finetune import FinetuningReport, finetune
from hyena_glt.finetune.sweep import sweep

pytest.importorskip("optuna")
sweeping = importlib.import_module("hyena_glt.finetune.sweep")
MODEL = {
    "embed": {"exact_k": [2]},
    "stages": [
        {
            "width": 8,
            "mlp_width": 8,
            "encoder": "S",
            "patch": {"kind": "fixed", "size_bp": 4},
            "decoder": "S",
        }
    ],
    "backbone": {"width": 8, "mlp_width": 8, "layout": "S"},
    "direction": "bidirectional",
}
VARY = {
    "train.lr": {"kind": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "train.batch_examples": {"kind": "choice", "values": [8, 16]},
    "train.epochs": {"kind": "int", "low": 1, "high": 2},
}
Losses = Callable[[float], float]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    rows = ["".join(rng.choice(list("ACGT"), 24)) for _ in range(40)]
    lines = [f"{row},{'rich' if row.count('G') > 5 else 'poor'}" for row in rows]
    (folder / "t.csv").write_text("\n".join(["sequence,label", *lines, ""]))
    prepare_dataset(guess_dataset([str(folder / "t.csv")]), folder / "dataset")
    return folder / "dataset"


@pytest.fixture
def write(dataset: Path, tmp_path: Path) -> Callable[..., Path]:
    """A sweep's YAML beside its recipe, with changes to the sweep."""

    def written(**changes: Any) -> Path:
        recipe = {
            "name": "test",
            "seed": 1,
            "dataset": str(dataset),
            "model": MODEL,
            "task": {"kind": "classification"},
            "train": {"epochs": 1, "batch_examples": 16},
        }
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        data = {"recipe": str(tmp_path / "recipe.yaml"), "vary": VARY, "trials": 3, "seed": 5}
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**data, **changes}, sort_keys=False))
        return tmp_path / "sweep.yaml"

    return written


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Losses], list[float]]:
    """Let runs of fine-tuning end at once, with a loss that depends on the rate."""

    def pretended(loss: Losses) -> list[float]:
        rates: list[float] = []

        def run(recipe: Any, out: Path, **_: Any) -> FinetuningReport:
            out.mkdir(parents=True, exist_ok=True)
            (out / "finetune.json").write_text("{}")
            rates.append(recipe.train.lr)
            return FinetuningReport(
                checkpoint=str(out),
                epochs=recipe.train.epochs,
                best_epoch=1,
                validation={"loss": loss(recipe.train.lr)},
                stopped="finished",
            )

        monkeypatch.setattr(sweeping, "tune", run)
        return rates

    return pretended


def table(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_trials_are_runs_and_the_best_is_a_recipe(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = set()
    real = Dataset.part

    def part(self: Dataset, name: Any) -> Any:
        asked.add(name)
        return real(self, name)

    monkeypatch.setattr(Dataset, "part", part)
    out = tmp_path / "out"
    report = sweep(load_sweep(write(trials=2)), out)
    assert asked == {"train", "validation"}
    rows = table(out)
    assert [row["trial"] for row in rows] == ["trial-000", "trial-001"]
    assert list(rows[0]) == ["trial", "loss", "best_epoch", "epochs", *VARY, "error"]
    losses = [float(row["loss"]) for row in rows]
    best = losses.index(min(losses))
    assert report.best is not None
    assert (report.best.number, report.best.value) == (best, losses[best])
    for row in rows:
        assert 1e-4 <= float(row["train.lr"]) <= 1e-2
        assert row["train.batch_examples"] in ("8", "16")
        assert row["epochs"] == row["train.epochs"]
        assert (out / row["trial"] / "checkpoint").is_dir()
    recipe = load_finetune_recipe(out / "best.yaml")
    assert recipe.train.lr == float(rows[best]["train.lr"])
    assert finetune(recipe, tmp_path / "again").validation["loss"] == losses[best]


@pytest.mark.slow
def test_a_killed_sweep_goes_on_to_what_a_whole_one_finds(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_sweep(write(trials=2))
    whole = sweep(config, tmp_path / "whole")
    real, runs = sweeping.tune, []

    def killed(recipe: Any, out: Path, **how: Any) -> FinetuningReport:
        runs.append((out.name, how["resume"]))
        report: FinetuningReport = real(recipe, out, **how)
        if len(runs) == 2:
            raise KeyboardInterrupt  # trained, but not told to the study
        return report

    monkeypatch.setattr(sweeping, "tune", killed)
    with pytest.raises(KeyboardInterrupt):
        sweep(config, tmp_path / "killed")
    assert len(table(tmp_path / "killed")) == 1
    with (tmp_path / "killed/study.journal").open("ab") as file:
        file.write(b'{"op_code":4,"wor')  # as a power cut leaves it
    with pytest.raises(RecipeError, match=r"is there already; go on with --resume"):
        sweep(config, tmp_path / "killed")
    assert sweep(config, tmp_path / "killed", resume=True) == whole
    assert runs == [
        ("trial-000", False),
        ("trial-001", False),
        ("trial-001", True),
    ]
    for name in ("trials.csv", "best.yaml"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_the_seed_decides_the_settings_also_of_a_sweep_gone_on_with(
    write: Callable[..., Path], tmp_path: Path, pretend: Callable[[Losses], list[float]]
) -> None:
    # 12 trials: the last two are drawn by what the first ten found.
    rates = pretend(lambda lr: abs(np.log10(lr) + 3))
    config = load_sweep(write(trials=12))
    whole = sweep(config, tmp_path / "whole")
    assert len(set(rates)) == 12
    assert whole.best is not None
    assert whole.best.value == min(abs(np.log10(lr) + 3) for lr in rates)
    few = config.model_copy(update={"trials": 11})
    assert sweep(few, tmp_path / "few").trials == whole.trials[:11]
    assert sweep(config, tmp_path / "few", resume=True) == whole
    other = sweep(config.model_copy(update={"seed": 6, "trials": 1}), tmp_path / "other")
    assert other.trials[0].settings != whole.trials[0].settings


def test_higher_is_better_unless_the_metric_is_an_error(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(recipe: Any, out: Path, **_: Any) -> FinetuningReport:
        assert recipe.train.metric == "accuracy"
        return FinetuningReport(
            checkpoint="c",
            epochs=1,
            best_epoch=1,
            validation={"accuracy": recipe.train.lr, "loss": 0.0},
            stopped="finished",
        )

    monkeypatch.setattr(sweeping, "tune", run)
    report = sweep(load_sweep(write(metric="accuracy")), tmp_path / "out")
    assert not report.lower_is_better
    assert report.best is not None
    assert report.best.value == max(float(trial.settings["train.lr"]) for trial in report.trials)
    assert load_finetune_recipe(tmp_path / "out/best.yaml").train.metric == "accuracy"


def test_a_failed_trial_is_told_and_the_sweep_goes_on(
    write: Callable[..., Path], tmp_path: Path, pretend: Callable[[Losses], list[float]]
) -> None:
    rates: list[float] = []

    def loss(lr: float) -> float:
        rates.append(lr)
        if len(rates) == 1:
            raise TrainingError("step 3: the loss is nan")
        if len(rates) == 2:
            raise torch.OutOfMemoryError("out of memory")
        return float("nan") if len(rates) == 3 else lr

    pretend(loss)
    report = sweep(load_sweep(write(trials=4)), tmp_path / "out")
    rows = table(tmp_path / "out")
    assert [row["loss"] for row in rows] == ["", "", "", str(rates[3])]
    assert [row["error"] for row in rows] == [
        "step 3: the loss is nan",
        "out of memory",
        "loss isn't defined at any epoch",
        "",
    ]
    assert report.best == report.trials[3]


def test_a_sweep_of_failures_alone_is_an_error(
    write: Callable[..., Path], tmp_path: Path, pretend: Callable[[Losses], list[float]]
) -> None:
    pretend(lambda _: float("nan"))
    with pytest.raises(TrainingError, match=r"all 3 trials failed, .*isn't defined"):
        sweep(load_sweep(write()), tmp_path / "out")
    assert len(table(tmp_path / "out")) == 3


def test_a_terminated_sweep_exits_so_and_its_trial_is_gone_on_with(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[str, float]] = []

    def run(recipe: Any, out: Path, **_: Any) -> FinetuningReport:
        runs.append((out.name, recipe.train.lr))
        return FinetuningReport(
            checkpoint="c",
            epochs=1,
            best_epoch=1,
            validation={"loss": 0.5},
            stopped="terminated" if len(runs) == 2 else "finished",
        )

    monkeypatch.setattr(sweeping, "tune", run)
    command = ["sweep", str(write(trials=2)), "--out", str(tmp_path / "out")]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 143
    assert "terminated after 1 trials" in shown.stdout
    assert CliRunner().invoke(app, [*command, "--resume"]).exit_code == 0
    assert [name for name, _ in runs] == ["trial-000", "trial-001", "trial-001"]
    assert runs[1] == runs[2]
    assert len(table(tmp_path / "out")) == 2


@pytest.mark.slow
def test_no_trial_begins_after_its_minutes(
    write: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pretend: Callable[[Losses], list[float]],
) -> None:
    now = [0.0]

    def loss(lr: float) -> float:
        now[0] += 50
        return lr

    pretend(loss)
    monkeypatch.setattr(sweeping.time, "monotonic", lambda: now[0])
    config = load_sweep(write(minutes=1.5, trials=4))
    report = sweep(config, tmp_path / "out")
    assert (report.stopped, len(report.trials)) == ("minutes", 2)
    assert sweep(config, tmp_path / "out", resume=True).stopped == "finished"


SMOOTHED: list[dict[str, Any]] = [{}, {"label_smoothing": 0.1}]


def one(name: str, **vary: Any) -> dict[str, Any]:
    return {"vary": {name: vary}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (one("train.lrr", kind="float", low=1, high=2), r"train\.lrr: unknown key; .*'lr'"),
        (one("train.lr", kind="float", low=0, high=1), r"vary: train\.lr=0\.0: .*greater than 0"),
        (one("train.warmup_fraction", kind="float", low=0, high=1), "less than 1, found 1"),
        (one("train.batch_examples", kind="float", low=8, high=64), "valid integer"),
        (one("train.lr", kind="float", low=2, high=1), r"low=2.0 isn't below high=1.0"),
        (one("train.lr", kind="float", low=0, high=1, log=True), "has no logarithm"),
        (one("train.lr", kind="choice", values=[1, 1]), "found 1 more than once"),
        (one("train.lr", kind="flaot", low=1, high=2), "did you mean 'float'"),
        (one("train.metric", kind="choice", values=["loss"]), "is the same in all trials"),
        (one("tasks.a.task.kind", kind="choice", values=["pair"]), "tasks: unknown key"),
        (one("tuning", kind="choice", values=[{"kind": "probe"}]), "a fresh one knows nothing"),
        (
            one("tuning", kind="choice", values=[{"kind": "full", "freeze": ["encoders"]}]),
            "tuning.freeze: .*'encoders'",
        ),
        (one("task", kind="choice", values=[{"kind": "regression"}]), "labels of kind values"),
        (one("task.class_weights", kind="choice", values=[{"x": 1}]), "classes are poor, rich"),
        ({"vary": {**VARY, "train": {"kind": "choice", "values": [{}]}}}, "is a part of train"),
        (one("task.focal_gamma", kind="choice", values=[0.0, 2.0]), "changes what the loss is"),
        (
            one("task", kind="choice", values=[{"kind": "classification", **s} for s in SMOOTHED]),
            "vary: task changes what the loss is.*nll_nats",
        ),
        (one("augment.shift_bp", kind="int", low=1, high=24), "shift_bp=24: .*of 24 bp"),
        (one("train.save_every_steps", kind="choice", values=[1, 9]), "save_every_steps=9 has no"),
        ({"metric": "auc"}, "metric=auc: validation measures no such; .*auroc"),
        ({"recipe": "nowhere.yaml"}, "nowhere.yaml: no such recipe"),
        ({"trials": 0}, "trials: .*greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_an_error_before_anything_trains(
    write: Callable[..., Path],
    tmp_path: Path,
    pretend: Callable[[Losses], list[float]],
    changes: dict[str, Any],
    message: str,
) -> None:
    rates = pretend(lambda lr: lr)
    with pytest.raises(HyenaGLTError, match=message):
        sweep(load_sweep(write(**changes)), tmp_path / "out")
    assert not rates
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": {"shift_bp": 24}}, r"t.csv: line \d+: augment.shift_bp=24"),
        ({"train": {"epochs": 1, "save_every_steps": 99}}, "save_every_steps=99 has no effect"),
        (
            {
                "train": {"epochs": 2},
                "curriculum": {"by": "length", "from_share": 0.5, "until_epoch": 1},
            },
            "training examples have 24 bp, none is easier",
        ),
    ],
)
def test_what_is_wrong_in_all_trials_is_an_error_before_any(
    write: Callable[..., Path], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    vary = {"train.lr": VARY["train.lr"]}
    config = load_sweep(_changed(write(vary=vary), changes))
    with pytest.raises(RecipeError, match=message):
        sweep(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def of_two_tasks(write: Callable[..., Path], dataset: Path, **changes: Any) -> Path:
    """A sweep of a recipe with two tasks; ``changes`` are of the sweep."""
    sweep_path = write(**changes)
    path = Path(yaml.safe_load(sweep_path.read_text())["recipe"])
    recipe = yaml.safe_load(path.read_text())
    del recipe["dataset"]
    each = {"dataset": str(dataset), "task": recipe.pop("task")}
    path.write_text(yaml.safe_dump({**recipe, "tasks": {"one": each, "two": each}}))
    return sweep_path


@pytest.mark.slow
def test_a_recipe_of_several_tasks_varies_too(
    write: Callable[..., Path], dataset: Path, tmp_path: Path
) -> None:
    vary = {
        "train.lr": VARY["train.lr"],
        "tasks.two.task.pooling.kind": {"kind": "choice", "values": ["max", "mean"]},
    }
    out = tmp_path / "out"
    written = of_two_tasks(write, dataset, vary=vary, trials=2, metric="two/accuracy")
    report = sweep(load_sweep(written), out)
    assert (report.metric, report.lower_is_better) == ("two/accuracy", False)
    rows = table(out)
    assert [row["tasks.two.task.pooling.kind"] in ("max", "mean") for row in rows] == [True] * 2
    assert report.best is not None
    assert report.best.value == max(float(row["two/accuracy"]) for row in rows)
    assert {p.name for p in (out / "trial-000/checkpoint").iterdir()} == {"one", "two"}
    best = load_tuning_recipe(out / "best.yaml")
    assert isinstance(best, MultitaskRecipe)
    assert best.train.metric == "two/accuracy"
    chosen = rows[report.best.number]["tasks.two.task.pooling.kind"]
    assert best.tasks["two"].model_dump()["task"]["pooling"]["kind"] == chosen
    assert best.train.lr == float(rows[report.best.number]["train.lr"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (one("tasks.two.dataset", kind="choice", values=["x"]), "is the same in all trials"),
        (one("tasks.two", kind="choice", values=[{}]), "is the same in all trials"),
        (one("tasks.three.task.kind", kind="choice", values=["pair"]), "tasks.three"),
        (
            one(
                "tasks.two.task",
                kind="choice",
                values=[{"kind": "classification", **s} for s in SMOOTHED],
            ),
            "tasks.two.task changes what the loss is",
        ),
        (
            {
                "metric": "two/loss",
                **one("tasks.two.task.focal_gamma", kind="choice", values=[0.0, 2.0]),
            },
            "focal_gamma changes what the loss is.*TASK/mcc",
        ),
        ({"metric": "accuracy"}, "metric=accuracy: validation measures no such; .*two/accuracy"),
    ],
)
def test_what_is_wrong_with_several_tasks_is_an_error_before_anything_trains(
    write: Callable[..., Path],
    dataset: Path,
    tmp_path: Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(HyenaGLTError, match=message):
        sweep(load_sweep(of_two_tasks(write, dataset, **changes)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _changed(written: Path, changes: dict[str, Any]) -> Path:
    """Change the recipe beside a sweep."""
    path = written.parent / "recipe.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))
    return written


def test_numbers_below_zero_are_no_counts_in_any_trial(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    lines = [f"{'ACGT' * 5}{letters},{-1.5 * row}" for row, letters in enumerate(["AC", "GT"] * 20)]
    (tmp_path / "n.csv").write_text("\n".join(["sequence,label", *lines, ""]))
    prepare_dataset(guess_dataset([str(tmp_path / "n.csv")], kind="values"), tmp_path / "n")
    task = {"kind": "regression", "likelihood": "poisson"}
    config = load_sweep(_changed(write(), {"dataset": str(tmp_path / "n"), "task": task}))
    with pytest.raises(RecipeError, match=r"n.csv: line \d+: found a number below 0"):
        sweep(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pooling_may_vary_and_a_table_may_not_change(
    write: Callable[..., Path],
    dataset: Path,
    tmp_path: Path,
    pretend: Callable[[Losses], list[float]],
) -> None:
    pretend(lambda lr: lr)
    names = [row.name for row in open_dataset(dataset).part("train")]
    hard = tmp_path / "hard.csv"
    hard.write_text("\n".join(["name,difficulty", *(f"{n},{i}" for i, n in enumerate(names)), ""]))
    curriculum = {"by": "table", "path": str(hard), "from_share": 0.5, "until_epoch": 1}
    vary = {"task.pooling.kind": {"kind": "choice", "values": ["mean", "max"]}}
    changes = {"curriculum": curriculum, "train": {"epochs": 2}}
    config = load_sweep(_changed(write(vary=vary, trials=1), changes))
    assert sweep(config, tmp_path / "out").best is not None
    assert sweep(config, tmp_path / "out", resume=True).best is not None
    hard.write_text(hard.read_text().replace(",0\n", ",99\n"))
    with pytest.raises(RecipeError, match=r"begun with another checkpoint .* table"):
        sweep(config, tmp_path / "out", resume=True)


def test_another_sweep_is_not_gone_on_with(
    write: Callable[..., Path], tmp_path: Path, pretend: Callable[[Losses], list[float]]
) -> None:
    pretend(lambda lr: lr)
    config, out = load_sweep(write(trials=1)), tmp_path / "out"
    with pytest.raises(CheckpointError, match="no sweep to resume"):
        sweep(config, out, resume=True)
    sweep(config, out)
    for update, message in (
        ({"seed": 9}, "another seed"),
        ({"metric": "auroc"}, "another recipe"),
        ({"vary": {"train.lr": config.vary["train.lr"]}}, "another vary"),
    ):
        with pytest.raises(RecipeError, match=message):
            sweep(config.model_copy(update=update), out, resume=True)


def test_settings_are_written_as_an_override_takes_them() -> None:
    values: list[Any] = [1e-5, 8, "mean", "1", None, True, {"kind": "probe"}]
    assert [setting_text(value) for value in values] == [
        "1.0e-05",
        "8",
        "mean",
        "'1'",
        "null",
        "true",
        "{kind: probe}",
    ]


def test_the_recipe_of_the_repository_can_be_swept() -> None:
    folder = Path(__file__).parents[2] / "recipes/finetune"
    config = load_sweep(folder / "sweep.yaml")
    data = yaml.safe_load((folder / "promoters.yaml").read_text())
    for name, vary in config.vary.items():
        *parents, last = name.split(".")
        for value in values_to_check(vary):
            place = changed = json.loads(json.dumps(data))
            for step in parents:
                place = place[step]
            assert last in place
            place[last] = value
            finetune_recipe_from(changed, name)


@pytest.mark.slow
def test_the_command_prints_its_trials(
    write: Callable[..., Path], tmp_path: Path, pretend: Callable[[Losses], list[float]]
) -> None:
    pretend(lambda lr: lr)
    command = ["sweep", str(write()), "trials=2", "--out", str(tmp_path / "out")]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.count("trial-001: train.lr=") == 2  # when it ended, and in the table
    assert "finished after 2 trials; loss on validation, lower is better:" in shown.stdout
    shown = CliRunner().invoke(app, [*command, "trials=3", "--resume", "--json"])
    found = json.loads(shown.stdout)
    assert [trial["number"] for trial in found["trials"]] == [0, 1, 2]
    assert found["best"]["value"] == min(trial["value"] for trial in found["trials"])


def test_without_the_extra_the_message_says_how_to_get_it(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("optuna"):
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r'pip install "hyena-glt\[sweep\]"'):
        sweep(load_sweep(write()), tmp_path / "out")
