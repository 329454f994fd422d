"""Fine-tuning end to end: planted signals are found, what is to stay stays, runs go on."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning.fabric.loggers.csv_logs import _ExperimentWriter
from typer.testing import CliRunner

from hyena_glt.checkpoint.tasks import build_task_network, load_task_checkpoint
from hyena_glt.cli import app
from hyena_glt.config import finetune_recipe_from
from hyena_glt.data.examples import guess_dataset, prepare_dataset
from hyena_glt.errors import (
    CheckpointError,
    HyenaGLTError,
    RecipeError,
    StorageError,
    TrainingError,
)
from hyena_glt.finetune import FinetuningReport, finetune
from hyena_glt.finetune.predict import Predictor, predict
from hyena_glt.io.examples import Example
from hyena_glt.model import HyenaGLT
from hyena_glt.train import tasks
from hyena_glt.train.best import BestEpoch

MOTIF = "TGACTCA"
MODEL = {
    "embed": {"exact_k": [2, 3]},
    "stages": [
        {
            "width": 16,
            "mlp_width": 16,
            "encoder": "S",
            "patch": {"kind": "fixed", "size_bp": 4},
            "decoder": "S",
        }
    ],
    "backbone": {"width": 16, "mlp_width": 16, "layout": "S"},
    "direction": "bidirectional",
}


def table(folder: Path, rows: int, label: Callable[[str, bool], str], seed: int = 0) -> Path:
    """A dataset of sequences of 40 bp; every second one holds the motif."""
    rng = np.random.default_rng(seed)
    lines = []
    for row in range(rows):
        letters = "".join(rng.choice(list("ACGT"), 40))
        has_motif = row % 2 == 0
        if has_motif:
            at = int(rng.integers(0, 33))
            letters = letters[:at] + MOTIF + letters[at + 7 :]
        lines.append(f"{letters},{label(letters, has_motif)}")
    path = folder / "table.csv"
    path.write_text("\n".join(["sequence,label", *lines, ""]))
    return path


def recipe_data(dataset: Path, task: dict[str, Any], **train: Any) -> dict[str, Any]:
    return {
        "name": "test",
        "seed": 1,
        "dataset": str(dataset),
        "model": MODEL,
        "task": task,
        "train": {"epochs": 2, "batch_examples": 16, **train},
    }


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classes")
    path = table(folder, 120, lambda _, has: "motif" if has else "none")
    prepare_dataset(guess_dataset([str(path)]), folder / "dataset")
    return folder / "dataset"


CLASSIFY = {"kind": "classification"}


@pytest.mark.slow
def test_a_planted_motif_is_learned(tmp_path: Path) -> None:
    path = table(tmp_path, 800, lambda _, has: "motif" if has else "none")
    prepare_dataset(guess_dataset([str(path)]), tmp_path / "dataset")
    task = {"kind": "classification", "pooling": {"kind": "max"}}
    data = recipe_data(
        tmp_path / "dataset",
        task,
        epochs=5,
        optimiser="muon",
        lr=3e-3,
        head_lr=3e-3,
        metric="auroc",
    )
    report = finetune(finetune_recipe_from(data, "test"), tmp_path / "run")
    assert report.validation["auroc"] > 0.99


@pytest.mark.slow
def test_the_best_epoch_is_kept_and_answers_as_it_did(classes: Path, tmp_path: Path) -> None:
    data = recipe_data(classes, CLASSIFY, epochs=3)
    report = finetune(finetune_recipe_from(data, "test"), tmp_path / "run")
    found = load_task_checkpoint(tmp_path / "run/checkpoint")
    assert found.answers == ("motif", "none")
    assert found.provenance.epochs == report.best_epoch
    assert found.provenance.validation["loss"] == report.validation["loss"]
    network = build_task_network(found)
    assert all(p.isfinite().all() for p in network.parameters())
    assert report.stopped == "finished"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_a_resumed_run_too(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = finetune_recipe_from(
        {**recipe_data(classes, CLASSIFY, epochs=3), "augment": {"mutation": 0.1}}, "test"
    )
    whole = finetune(recipe, tmp_path / "whole")
    real = BestEpoch.offer

    def killed(self: BestEpoch, found: Any) -> bool:
        if self.done == 1:
            raise KeyboardInterrupt
        return real(self, found)

    monkeypatch.setattr(BestEpoch, "offer", killed)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        finetune(recipe, tmp_path / "killed")
    monkeypatch.setattr(BestEpoch, "offer", real)
    with pytest.raises(RecipeError, match="holds a run already"):
        finetune(recipe, tmp_path / "killed")
    resumed = finetune(recipe, tmp_path / "killed", resume=True)
    assert resumed.validation == whole.validation
    one, other = (load_task_checkpoint(tmp_path / n / "checkpoint") for n in ("whole", "killed"))
    assert one.provenance.epochs == other.provenance.epochs
    for name, tensor in one.weights.items():
        assert torch.equal(tensor, other.weights[name]), name
    with pytest.raises(CheckpointError, match="no run to resume"):
        finetune(recipe, tmp_path / "none", resume=True)


@pytest.mark.slow
def test_every_epoch_takes_every_example_once_in_another_order(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def recorded(network: Any, outputs: Any, batch: Any, weights: Any) -> Any:
        if weights is None and network.training:
            seen.extend(batch.rows.tolist())
        return real(network, outputs, batch, weights)

    real = tasks.loss_of
    monkeypatch.setattr(tasks, "loss_of", recorded)
    finetune(finetune_recipe_from(recipe_data(classes, CLASSIFY), "test"), tmp_path / "run")
    rows = len(seen) // 2
    assert sorted(seen[:rows]) == sorted(seen[rows:]) == list(range(rows))
    assert seen[:rows] != seen[rows:]


@pytest.mark.slow
def test_a_run_stops_early(classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BestEpoch, "_is_gain", lambda self, value: False)
    data = recipe_data(classes, CLASSIFY, epochs=9, patience_epochs=2)
    report = finetune(finetune_recipe_from(data, "test"), tmp_path / "run")
    assert (report.epochs, report.best_epoch, report.stopped) == (3, 1, "early")
    recipe = finetune_recipe_from(data, "test")
    assert finetune(recipe, tmp_path / "run", resume=True) == report
    other = recipe.model_copy(update={"seed": 2})
    with pytest.raises(RecipeError, match="begun with another recipe or another dataset"):
        finetune(other, tmp_path / "run", resume=True)


def test_what_is_not_defined_is_none_in_a_report() -> None:
    report = FinetuningReport(
        checkpoint="c",
        epochs=1,
        best_epoch=1,
        validation={"loss": 0.5, "auroc": float("nan")},
        stopped="finished",
    )
    assert report.as_dict()["validation"] == {"loss": 0.5, "auroc": None}


def test_counts_below_zero_are_refused_with_their_row(tmp_path: Path) -> None:
    path = table(tmp_path, 40, lambda letters, _: f"{letters.count('G') - 40}")
    prepare_dataset(guess_dataset([str(path)], kind="values"), tmp_path / "dataset")
    task = {"kind": "regression", "likelihood": "poisson"}
    recipe = finetune_recipe_from(recipe_data(tmp_path / "dataset", task), "test")
    with pytest.raises(RecipeError, match=r"table.csv.*line \d+.*below 0.*gaussian"):
        finetune(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_frozen_parts_stay_and_all_else_learns(classes: Path, tmp_path: Path) -> None:
    data = recipe_data(classes, CLASSIFY, epochs=2, metric="accuracy")
    data["tuning"] = {"kind": "full", "freeze": ["embed", "hierarchy.encoder"]}
    recipe = finetune_recipe_from(data, "test")
    torch.manual_seed(recipe.seed)
    assert recipe.model is not None
    before = dict(HyenaGLT(recipe.model, "dna").state_dict())
    finetune(recipe, tmp_path / "run")
    after = load_task_checkpoint(tmp_path / "run/checkpoint").weights
    kept = ("embed.", "hierarchy.encoder.", "head.")
    for name, tensor in before.items():
        moved = not torch.equal(tensor, after[f"network.{name}"])
        if tensor.is_floating_point() and name != "hierarchy.gate":
            assert moved != name.startswith(kept), name
    data["tuning"]["freeze"] = ["encoders"]
    with pytest.raises(RecipeError, match="no parameter's name begins with 'encoders'"):
        finetune(finetune_recipe_from(data, "test"), tmp_path / "other")


@pytest.mark.slow
def test_numbers_are_answered_in_their_own_units(tmp_path: Path) -> None:
    path = table(tmp_path, 80, lambda letters, _: f"{1000 + 50 * letters.count('G')}")
    prepare_dataset(guess_dataset([str(path)], kind="values"), tmp_path / "dataset")
    data = recipe_data(
        tmp_path / "dataset", {"kind": "regression"}, epochs=12, lr=1e-2, head_lr=1e-2
    )
    report = finetune(finetune_recipe_from(data, "test"), tmp_path / "run")
    assert report.validation["pearson"] > 0.5
    predictor = Predictor([tmp_path / "run/checkpoint"])
    rows = [Example("a", b"ACGT" * 10, None, "line 1"), Example("b", b"GGGG" * 10, None, "line 2")]
    (poor, rich) = [found.values[0] for found in predict(predictor, rows)]
    assert 1000 < poor < rich


def test_a_metric_without_a_value_chooses_nothing_and_says_so() -> None:
    best = BestEpoch("auroc", False, None)
    with pytest.warns(RuntimeWarning, match=r"auroc isn't defined after epoch 1.*train\.metric"):
        assert best.offer({"auroc": float("nan")})
    assert best.offer({"auroc": 0.4})
    with pytest.warns(RuntimeWarning, match="after epoch 3"):
        assert not best.offer({"auroc": float("nan")})
    assert best.epoch == 2


@pytest.mark.parametrize("kind", ["class", "bases"])
def test_one_class_alone_is_refused(tmp_path: Path, kind: Any) -> None:
    path = table(tmp_path, 20, lambda letters, _: "x" * len(letters) if kind == "bases" else "x")
    prepare_dataset(guess_dataset([str(path)], kind=kind), tmp_path / "dataset")
    task = {"kind": "classification" if kind == "class" else kind}
    with pytest.raises(RecipeError, match="found the classes x, expected 2 or more"):
        finetune(
            finetune_recipe_from(recipe_data(tmp_path / "dataset", task), "test"), tmp_path / "run"
        )


@pytest.mark.slow
def test_answers_alone_in_a_batch_and_on_both_strands(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finetune(finetune_recipe_from(recipe_data(classes, CLASSIFY), "test"), tmp_path / "run")
    predictor = Predictor([tmp_path / "run/checkpoint", tmp_path / "run/checkpoint"])
    letters = [b"ACGTTGCA" * n for n in (1, 7, 3)]
    rows = [Example(str(n), s, None, f"line {n}") for n, s in enumerate(letters)]
    together = [found.values for found in predict(predictor, rows)]
    alone = [found.values for row in rows for found in predict(predictor, [row])]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
        assert one.sum() == pytest.approx(1)
    # Long ones aren't padded to, and answers stay in the order of their sequences.
    read: list[list[int]] = []
    whole = predictor._of_batch

    def seen(sequences: list[np.ndarray], alternatives: None) -> list[np.ndarray]:
        read.append([len(sequence) for sequence in sequences])
        return whole(sequences, alternatives)

    monkeypatch.setattr(predictor, "_of_batch", seen)
    monkeypatch.setattr(sys.modules["hyena_glt.finetune.predict"], "_BATCH_POSITIONS", 50)
    for one, cut in zip(together, predict(predictor, rows), strict=True):
        np.testing.assert_allclose(one, cut.values, atol=1e-6)
    assert read == [[8, 24], [56]]
    turned = [
        row._replace(sequence=row.sequence[::-1].translate(bytes.maketrans(b"ACGT", b"TGCA")))
        for row in rows
    ]
    both = [found.values for found in predict(predictor, rows, both_strands=True)]
    turned_both = [found.values for found in predict(predictor, turned, both_strands=True)]
    for one, two in zip(both, turned_both, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-7)


@pytest.mark.slow
def test_classes_that_are_strands_swap_on_the_other_one(classes: Path, tmp_path: Path) -> None:
    task = {**CLASSIFY, "strand_pairs": [["motif", "none"]]}
    data = {**recipe_data(classes, task), "augment": {"reverse_complement": 0.5}}
    finetune(finetune_recipe_from(data, "test"), tmp_path / "run")
    predictor = Predictor([tmp_path / "run/checkpoint"])
    given = Example("a", b"ACGGTTGCAACC", None, "line 1")
    turned = given._replace(sequence=b"GGTTGCAACCGT")
    ((one,), (other,)) = (
        [found.values for found in predict(predictor, [row], both_strands=True)]
        for row in (given, turned)
    )
    np.testing.assert_allclose(one, other[::-1], atol=1e-7)
    (alone,) = predict(predictor, [given])
    assert abs(alone.values[0] - alone.values[1]) > 1e-4, "the network tells nothing apart"
    assert abs(one[0] - one[1]) > 1e-6, "both strands were averaged without a swap"
    # Another network's answers mean another thing there.
    finetune(finetune_recipe_from(recipe_data(classes, CLASSIFY), "test"), tmp_path / "other")
    with pytest.raises(CheckpointError, match="answers another task"):
        Predictor([tmp_path / "run/checkpoint", tmp_path / "other/checkpoint"])


@pytest.mark.slow
def test_labels_of_bases(tmp_path: Path) -> None:
    path = table(tmp_path, 60, lambda letters, _: letters.translate(str.maketrans("ACGT", "nyyn")))
    prepare_dataset(guess_dataset([str(path)], kind="bases"), tmp_path / "dataset")
    data = recipe_data(tmp_path / "dataset", {"kind": "bases"}, epochs=4, lr=1e-2, head_lr=3e-2)
    report = finetune(finetune_recipe_from(data, "test"), tmp_path / "run")
    assert report.validation["accuracy"] > 0.9
    predictor = Predictor([tmp_path / "run/checkpoint"])
    rows = [Example("a", b"ACGTA", None, "line 1")]
    (found,) = predict(predictor, rows, both_strands=True)
    assert found.values.shape == (5, 2)
    assert found.values.argmax(1).tolist() == [0, 1, 1, 0, 0]


ONE_STEP = {"epochs": 1, "batch_examples": 200, "warmup_fraction": 0}


def test_an_epoch_that_diverges_in_its_last_step_is_never_kept(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = {**ONE_STEP, "lr": 1e20, "head_lr": 1e20}  # finite weights, and answers that aren't
    recipe = finetune_recipe_from(recipe_data(classes, CLASSIFY, **rate), "test")
    with pytest.raises(TrainingError, match=r"validation: .*answers aren't finite .*lower rates"):
        finetune(recipe, tmp_path / "answers")
    real = tasks.loss_of

    def steep(network: Any, outputs: Any, batch: Any, weights: Any) -> Any:
        found = real(network, outputs, batch, weights)
        return found._replace(total=found.total + (0 * outputs.sum()).sqrt())  # the slope is NaN

    monkeypatch.setattr(tasks, "loss_of", steep)
    recipe = finetune_recipe_from(recipe_data(classes, CLASSIFY, **ONE_STEP), "test")
    with pytest.raises(TrainingError, match=r"epoch 1: its steps have left network\..*finite"):
        finetune(recipe, tmp_path / "weights")
    assert not [*tmp_path.glob("*/checkpoint")]


@pytest.mark.slow
def test_terminated_in_its_first_epoch_a_run_has_no_checkpoint_yet(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_data(classes, CLASSIFY, epochs=1)))
    real = tasks.loss_of

    def terminated(*given: Any) -> Any:
        if torch.is_grad_enabled():
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*given)

    command = ["finetune", str(path), "--out", str(tmp_path / "run")]
    monkeypatch.setattr(tasks, "loss_of", terminated)
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 143
    assert "there is no checkpoint yet; go on with --resume" in shown.stdout
    assert "None" not in shown.stdout
    monkeypatch.setattr(tasks, "loss_of", real)
    shown = CliRunner().invoke(app, [*command, "--resume", "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["checkpoint"] == str(tmp_path / "run/checkpoint")


def test_a_full_disk_is_told_of(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_ExperimentWriter, "save", full)
    recipe = finetune_recipe_from(recipe_data(classes, CLASSIFY, epochs=1), "test")
    with pytest.raises(StorageError, match=r"run: can't be written \(No space left .*--resume"):
        finetune(recipe, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": {"shift_bp": 40}}, r"table.csv: line \d+: augment.shift_bp=40: .*of 40 bp"),
        ({"task": {"kind": "regression"}}, "needs labels of kind values; .* has class"),
        ({"train": {"epochs": 1, "metric": "auc"}}, "train.metric=auc: .*expected one of accuracy"),
        ({"task": {**CLASSIFY, "class_weights": {"x": 1}}}, "the classes are motif, none"),
        ({"model": None}, "give init, a checkpoint"),
        ({"task": {**CLASSIFY, "strand_pairs": [["motif", "x"]]}}, "found 'x', expected of motif"),
        ({"task": {**CLASSIFY, "strand_pairs": [["a", "b"], ["b", "c"]]}}, "'b' stands there tw"),
        (
            {"task": {**CLASSIFY, "strand_pairs": [["motif", "none"]], "strands": "both"}},
            "can't tell them apart",
        ),
        ({"tuning": {"kind": "probe"}}, "a fresh one knows nothing"),
        ({"dataset": "nowhere"}, "no such folder"),
    ],
)
def test_what_does_not_fit_is_refused(
    classes: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    data = {**recipe_data(classes, CLASSIFY), **changes}
    with pytest.raises(HyenaGLTError, match=message):
        finetune(finetune_recipe_from(data, "test"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
