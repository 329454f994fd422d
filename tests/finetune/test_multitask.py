"""Several tasks on one network: all are learned, each answers alone, runs go on exactly."""

import json
import math
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from cli.asking import save
from finetune.motifs import prepared
from typer.testing import CliRunner

from hyena_glt.checkpoint import load_checkpoint, load_tree
from hyena_glt.checkpoint.tasks import load_task_checkpoint
from hyena_glt.cli.app import app
from hyena_glt.config import load_tuning_recipe, multitask_recipe_from
from hyena_glt.config.finetune import FinetuneRecipe
from hyena_glt.config.multitask import MultitaskRecipe
from hyena_glt.data.examples import guess_dataset, open_dataset, prepare_dataset
from hyena_glt.errors import CheckpointError, HyenaGLTError, RecipeError, TrainingError
from hyena_glt.finetune import Predictor, evaluate, predict
from hyena_glt.finetune import multitask as whole_run
from hyena_glt.finetune.multitask import MultitaskReport, finetune_tasks
from hyena_glt.io.examples import Example
from hyena_glt.model import HyenaGLT, TaskNetwork
from hyena_glt.objective.balance import build_balance
from hyena_glt.train import epochs, multitask, tasks
from hyena_glt.train.best import BestEpoch

ROOT = Path(__file__).parents[2]
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
CLASSIFY = {"kind": "classification", "pooling": {"kind": "max"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datasets of two motifs, the second half as large, of numbers, and of proteins."""
    folder = tmp_path_factory.mktemp("datasets")
    prepared(folder / "ap1", "TGACTCA", 80)
    prepared(folder / "tata", "TATAAAAG", 40, seed=1)
    prepared(folder / "numbers", "TGACTCA", 40, numbers=True)
    rows = [f"{letters},{label}" for letters, label in (("MKWLEF", "a"), ("QQHRMD", "b"))] * 10
    (folder / "protein.csv").write_text("\n".join(["sequence,label", *rows, ""]))
    proteins = guess_dataset([str(folder / "protein.csv")], modality="protein")
    prepare_dataset(proteins, folder / "protein/dataset")
    return folder


def recipe_data(
    folder: Path, names: tuple[str, ...] = ("ap1", "tata"), **changes: Any
) -> dict[str, Any]:
    tasks = {name: {"dataset": str(folder / name / "dataset"), "task": CLASSIFY} for name in names}
    if "numbers" in names:
        tasks["numbers"]["task"] = {"kind": "regression"}
    train = {"epochs": 2, "batch_examples": 32, **changes.pop("train", {})}
    return {"name": "test", "seed": 1, "model": MODEL, "tasks": tasks, "train": train, **changes}


def run(data: dict[str, Any], out: Path, **how: Any) -> MultitaskReport:
    return finetune_tasks(multitask_recipe_from(data, "test"), out, **how)


@pytest.mark.parametrize(
    ("balance", "optimiser", "epochs"),
    [
        pytest.param("uncertainty", "muon", 5, marks=pytest.mark.slow),
        pytest.param("uncertainty", "adamw", 12, marks=pytest.mark.exhaustive),
        pytest.param("gradnorm", "adamw", 12, marks=pytest.mark.exhaustive),
    ],
)
def test_two_planted_motifs_are_learned(
    tmp_path: Path, balance: str, optimiser: str, epochs: int
) -> None:
    prepared(tmp_path / "ap1", "TGACTCA", 600)
    prepared(tmp_path / "tata", "TATAAAAG", 400, seed=1)
    rates = {"lr": 3e-3, "head_lr": 3e-3}
    train = {"epochs": epochs, "batch_examples": 16, **rates, "optimiser": optimiser}
    report = run(recipe_data(tmp_path, train=train, balance={"kind": balance}), tmp_path / "run")
    assert report.validation["ap1/auroc"] > 0.95
    assert report.validation["tata/auroc"] > 0.95
    for name in ("ap1", "tata"):
        predictor = Predictor([Path(report.checkpoints[name])])
        found = evaluate(predictor, open_dataset(tmp_path / name / "dataset"), replicates=10)
        assert found.report["metrics"]["auroc"]["value"] > 0.9


@pytest.mark.slow
def test_each_checkpoint_is_whole_in_itself_and_of_the_best_epoch(
    folder: Path, tmp_path: Path
) -> None:
    data = recipe_data(folder, ("ap1", "numbers"), train={"epochs": 3})
    report = run(data, tmp_path / "run")
    (tmp_path / "run/checkpoint/numbers").rename(tmp_path / "alone")
    kinds = load_task_checkpoint(tmp_path / "run/checkpoint/ap1")
    numbers = load_task_checkpoint(tmp_path / "alone")
    assert (kinds.target, numbers.target) == ("class", "values")
    assert kinds.provenance.epochs == numbers.provenance.epochs == report.best_epoch
    shared = [name for name in kinds.weights if name.startswith("network.")]
    assert shared
    assert all(torch.equal(kinds.weights[name], numbers.weights[name]) for name in shared)
    assert not torch.equal(kinds.weights["head.norm.weight"], numbers.weights["head.norm.weight"])
    assert isinstance(kinds.recipe, FinetuneRecipe)
    assert kinds.recipe.dataset == data["tasks"]["ap1"]["dataset"]
    assert numbers.provenance.validation == report.of_task("numbers")
    whole = load_tuning_recipe(tmp_path / "alone/multitask.yaml")
    assert whole == multitask_recipe_from(data, "test")
    mean = (report.validation["ap1/loss"] + report.validation["numbers/loss"]) / 2
    assert report.validation["loss"] == pytest.approx(mean)
    row = Example("a", b"ACGT" * 10, None, "line 1")
    (number,) = predict(Predictor([tmp_path / "alone"]), [row])
    assert 500 < number.values[0] < 1500  # units of the data, not of their deviation
    (chances,) = predict(Predictor([tmp_path / "run/checkpoint/ap1"]), [row])
    assert chances.values.sum() == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "balance",
    [
        "uncertainty",
        "gradnorm",
        "dynamic_average",
    ],
)
def test_a_resumed_run_has_the_same_bits_and_weights_move(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, balance: str
) -> None:
    data = recipe_data(folder, train={"epochs": 3, "lr": 3e-3}, balance={"kind": balance})
    data["tasks"]["ap1"]["augment"] = {"mutation": 0.1}
    if balance != "gradnorm":
        data["sampler"] = {"kind": "uniform"}
    whole = run(data, tmp_path / "whole")
    assert whole.weights["ap1"] != whole.weights["tata"]
    if balance != "uncertainty":
        assert sum(whole.weights.values()) == pytest.approx(2)

    real = BestEpoch.offer

    def killed(self: BestEpoch, found: Mapping[str, float]) -> bool:
        if self.done == 1:
            raise KeyboardInterrupt
        return real(self, found)

    with monkeypatch.context() as patch:
        patch.setattr(BestEpoch, "offer", killed)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run(data, tmp_path / "killed")
    with pytest.raises(RecipeError, match="holds a run already"):
        run(data, tmp_path / "killed")
    resumed = run(data, tmp_path / "killed", resume=True)
    assert resumed.validation == whole.validation
    assert resumed.weights == whole.weights
    for name in ("ap1", "tata"):
        one, other = (
            load_task_checkpoint(tmp_path / run_name / "checkpoint" / name)
            for run_name in ("whole", "killed")
        )
        assert one.provenance.epochs == other.provenance.epochs
        for key, tensor in one.weights.items():
            assert torch.equal(tensor, other.weights[key]), key
    again = run(data, tmp_path / "whole", resume=True)  # it has ended: nothing moves
    assert again.as_dict() == whole.as_dict()
    turned = {**data, "tasks": dict(reversed(data["tasks"].items()))}
    with pytest.raises(RecipeError, match="begun with another recipe"):
        run(turned, tmp_path / "whole", resume=True)
    with pytest.raises(CheckpointError, match="no run to resume"):
        run(data, tmp_path / "none", resume=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "balance",
    [
        "dynamic_average",
        "gradnorm",
        "uncertainty",
    ],
)
def test_a_run_stopped_within_an_epoch_goes_on_to_the_same_bits(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, balance: str
) -> None:
    optimiser = "muon" if balance == "dynamic_average" else "adamw"
    steps_of = {"batch_examples": 8, "save_every_steps": 2}
    train = {"epochs": 3, "lr": 3e-3, "optimiser": optimiser, **steps_of}
    data = recipe_data(folder, train=train, balance={"kind": balance})
    data["tasks"]["ap1"]["augment"] = {"mutation": 0.1}
    if balance != "gradnorm":
        data["tuning"] = {"kind": "full", "unfreeze": {"every_epochs": 1}}
    real = multitask.MultitaskModule.training_step
    steps: list[dict[str, list[int]]] = []
    stop: dict[str, Any] = {"after": None, "how": None}

    def counted(self: Any, batch: Any, batch_idx: int) -> Any:
        if len(steps) == stop["after"]:
            stop["how"]()
        steps.append({name: own.rows.tolist() for name, own in batch.items()})
        return real(self, batch, batch_idx)

    def killed() -> None:
        raise KeyboardInterrupt

    def taken() -> list[dict[str, list[int]]]:
        found = steps.copy()
        steps.clear()
        return found

    monkeypatch.setattr(multitask.MultitaskModule, "training_step", counted)
    whole = run(data, tmp_path / "whole")
    expected = taken()
    epoch = len(expected) // 3
    assert epoch > 5
    stop |= {"after": epoch + 3, "how": killed}  # a step after a state was saved
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(data, tmp_path / "stopped")
    assert taken() == expected[: epoch + 3]
    stop |= {"after": 2, "how": lambda: os.kill(os.getpid(), signal.SIGTERM)}
    stopped = run(data, tmp_path / "stopped", resume=True)
    assert stopped.stopped == "terminated"
    done = epoch + 5  # a step after a state, too: one is saved because of the signal
    assert taken() == expected[epoch + 2 : done]
    stop["after"] = None
    resumed = run(data, tmp_path / "stopped", resume=True)
    assert taken() == expected[done:]
    assert (resumed.validation, resumed.weights) == (whole.validation, whole.weights)
    one, other = (
        load_tree(max((tmp_path / out / "resume").glob("step-*")) / "state")
        for out in ("whole", "stopped")
    )
    assert all(
        torch.equal(tensor, other["state_dict"][n]) for n, tensor in one["state_dict"].items()
    )
    own, others = (_moments(state["optimizer_states"][0]) for state in (one, other))
    assert own
    assert own.keys() == others.keys()
    assert all(torch.equal(tensor, others[key]) for key, tensor in own.items())


def _moments(optimiser: dict[str, Any]) -> dict[tuple[int, int, str], torch.Tensor]:
    """Return what an optimiser, or those that are joined in it, remembers of each parameter."""
    return {
        (part, number, key): tensor
        for part, each in enumerate(optimiser.get("parts", [optimiser]))
        for number, about in each["state"].items()
        for key, tensor in about.items()
    }


def test_an_epoch_without_a_label_of_a_task_moves_no_weight(folder: Path) -> None:
    recipe = multitask_recipe_from(recipe_data(folder, balance={"kind": "dynamic_average"}), "test")
    assert recipe.model is not None
    network = HyenaGLT(recipe.model, "dna")
    tasks = {name: TaskNetwork(network, one.task, 2) for name, one in recipe.tasks.items()}
    balance = build_balance(recipe.balance, tuple(tasks))
    shared = multitask.SharedNetwork(tasks)
    module = multitask.MultitaskModule(shared, recipe, 4, dict.fromkeys(tasks), balance)
    for totals in ((2.0, 1.0), (1.0, 1.0)):
        module.sums.copy_(torch.tensor([totals, (1.0, 1.0)]))
        weights = module.end_epoch()
    assert weights["weight_ap1"] < 1 < weights["weight_tata"]
    module.sums.copy_(torch.tensor([(0.5, 0.0), (1.0, 0.0)]))
    assert module.end_epoch() == weights
    assert not module.sums.any()


@pytest.mark.slow
def test_parts_move_from_their_epoch_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = epochs.Epochs._end_epoch
    states: list[dict[str, torch.Tensor]] = []

    def recorded(self: Any, trainer: Any, module: Any) -> None:
        shared = module.networks.shared.state_dict()
        states.append({name: tensor.clone() for name, tensor in shared.items()})
        real(self, trainer, module)

    monkeypatch.setattr(epochs.Epochs, "_end_epoch", recorded)
    steps = [{"epoch": 2, "parts": ["hierarchy.decoder"]}, {"epoch": 3, "parts": ["embed"]}]
    tuning = {"kind": "full", "unfreeze": {"steps": steps}}
    data = recipe_data(folder, train={"epochs": 3, "lr": 3e-3}, tuning=tuning)
    run(data, tmp_path / "run")
    torch.manual_seed(1)
    shape = multitask_recipe_from(data, "test").model
    assert shape is not None
    before: Mapping[str, torch.Tensor] = HyenaGLT(shape, "dna").state_dict()
    moved = []
    for after in states:
        moved.append({name for name, tensor in after.items() if not tensor.equal(before[name])})
        before = after
    assert not moved[0]
    assert moved[1]
    assert all(name.startswith("hierarchy.decoder") for name in moved[1])
    assert any(name.startswith("embed") for name in moved[2])
    assert all(name.startswith(("hierarchy.decoder", "embed")) for name in moved[2])


@pytest.mark.slow
def test_a_failure_between_two_checkpoints_leaves_all_of_the_epoch_before(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, saved = whole_run._save, []

    def failing(target: Path, *rest: Any) -> None:
        saved.append(target)
        if len(saved) == 4:
            raise OSError(28, "No space left on device")
        real(target, *rest)

    monkeypatch.setattr(whole_run, "_save", failing)
    monkeypatch.setattr(BestEpoch, "_is_gain", lambda self, value: True)
    with pytest.raises(HyenaGLTError, match="nothing that stood there is lost"):
        run(recipe_data(folder), tmp_path / "run")
    epochs = {
        load_task_checkpoint(tmp_path / "run/checkpoint" / name).provenance.epochs
        for name in ("ap1", "tata")
    }
    assert epochs == {1}
    assert [path.name for path in (tmp_path / "run").glob(".checkpoint*")] == []


def test_an_epoch_that_diverges_in_its_last_step_is_never_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, steps = tasks.loss_of, []

    def steep(network: Any, outputs: Any, batch: Any, weights: Any) -> Any:
        found = real(network, outputs, batch, weights)
        steps.append(batch)
        if len(steps) == 1:
            return found
        return found._replace(total=found.total + (0 * outputs.sum()).sqrt())  # the slope is NaN

    monkeypatch.setattr(multitask, "loss_of", steep)
    data = recipe_data(folder, train={"epochs": 1, "batch_examples": 200})
    data["balance"] = {"kind": "dynamic_average"}
    data["sampler"] = {"kind": "uniform"}  # a step of each
    with pytest.raises(TrainingError, match=r"epoch 1: its steps have left .* aren't finite"):
        run(data, tmp_path / "run")
    assert not (tmp_path / "run/checkpoint").exists()


def test_terminated_in_its_first_epoch_a_run_has_no_checkpoint_yet(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tasks.loss_of

    def terminated(*given: Any) -> Any:
        if torch.is_grad_enabled():
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*given)

    monkeypatch.setattr(multitask, "loss_of", terminated)
    report = run(recipe_data(folder, train={"batch_examples": 8}), tmp_path / "run")
    assert (report.stopped, report.best_epoch, report.checkpoints) == ("terminated", 0, {})


@pytest.mark.slow
def test_a_metric_of_one_task_chooses(folder: Path, tmp_path: Path) -> None:
    data = recipe_data(folder, ("ap1", "numbers"), train={"metric": "numbers/rmse", "epochs": 3})
    report = run(data, tmp_path / "run")
    assert load_task_checkpoint(tmp_path / "run/checkpoint/numbers").recipe.train.metric == "rmse"
    assert load_task_checkpoint(tmp_path / "run/checkpoint/ap1").recipe.train.metric == "loss"
    header, *lines = next((tmp_path / "run/metrics").rglob("metrics.csv")).read_text().splitlines()
    column = header.split(",").index("validation_numbers/rmse")
    measured = [float(line.split(",")[column]) for line in lines if line.split(",")[column]]
    assert len(measured) == 3
    assert report.validation["numbers/rmse"] == pytest.approx(min(measured))


@pytest.mark.parametrize(
    ("metric", "before", "after", "better"),
    [
        ("loss", 1.0, 0.5, True),
        ("a/mcc", 0.2, 0.5, True),
        ("a/loss", 0.2, 0.5, False),
        ("loss/mcc", 0.2, 0.5, True),
        ("a/rmse/height", 0.5, 0.2, True),
        ("a/mcc", float("nan"), 0.1, True),
        ("a/mcc", 0.1, float("nan"), False),
        ("a/mcc", float("nan"), float("nan"), False),
        ("loss", float("nan"), float("inf"), True),
        ("loss", float("inf"), float("inf"), False),
        ("loss", float("inf"), 9.0, True),
    ],
)
@pytest.mark.filterwarnings("ignore:validation. .* isn't defined:RuntimeWarning")
def test_what_is_better(metric: str, before: float, after: float, better: bool) -> None:
    best = BestEpoch(metric, multitask.is_lower_better_of_task(metric), None)
    assert best.offer({metric: before})
    assert best.offer({metric: after}) == better


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"metric": "mcc"}}, "train.metric=mcc: .*expected one of ap1/.*, tata/mcc"),
        ({"balance": {"kind": "fixed", "weights": {"ap1": 1.0}}}, "the tasks are ap1, tata"),
        ({"tuning": {"kind": "probe"}}, "a fresh one knows nothing"),
        (
            {
                "tuning": {"kind": "full", "unfreeze": {"every_epochs": 1}},
                "balance": {"kind": "gradnorm"},
            },
            "tuning.unfreeze lets none of them move before epoch 2",
        ),
        (
            {"tuning": {"kind": "full", "unfreeze": {"every_epochs": 2}}},
            "frees parts in epoch 3, and .* is 2",
        ),
        ({"train": {"save_every_steps": 99}}, "save_every_steps=99 has no effect: an epoch has"),
        ({"tuning": {"kind": "full", "freeze": ["x"]}}, "no parameter's name begins with 'x'"),
        (
            {
                "tuning": {"kind": "full", "freeze": ["embed", "hierarchy"]},
                "balance": {"kind": "gradnorm"},
            },
            "freeze fewer parts",
        ),
        (
            {"balance": {"kind": "gradnorm"}, "sampler": {"kind": "uniform"}},
            "sampler has no effect with balance.kind=gradnorm",
        ),
        ({"sampler": {"kind": "uniform", "temperature": 2.0}}, "temperature has no effect with"),
        ({"sampler": {"kind": "temperature"}}, "temperature is needed for kind=temperature"),
        ({"model": None}, "give init, a checkpoint to begin with, or model"),
    ],
)
def test_what_does_not_fit_is_refused(
    folder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        run(recipe_data(folder, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_tasks_that_do_not_fit_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    def refused(data: dict[str, Any], message: str) -> None:
        with pytest.raises(HyenaGLTError, match=message):
            run(data, tmp_path / "run")
        assert not (tmp_path / "run").exists()

    refused(recipe_data(folder, ("ap1",)), "found 1, expected two or more; for one task give its")
    refused(
        recipe_data(folder, ("ap1", "protein")),
        "tasks.protein: .*holds protein, and ap1 has dna; .*run of its own",
    )
    data = recipe_data(folder)
    data["tasks"]["tata"]["task"] = {"kind": "regression"}
    refused(data, "tasks.tata: task.kind=regression needs labels of kind values; .* has class")
    data = recipe_data(folder)
    data["tasks"]["tata"]["taks"] = {}
    refused(data, "tasks.tata.taks: unknown key; did you mean 'task'")
    data = recipe_data(folder)
    data["tasks"]["tata"]["dataset"] = "nowhere"
    refused(data, "tasks.tata: .*no such folder")
    data = recipe_data(folder)
    data["tasks"]["../x"] = data["tasks"].pop("tata")
    refused(data, "found the name '../x', which a folder is to have")


@pytest.mark.slow
def test_a_frozen_part_stays_and_tasks_may_be_called_anything(folder: Path, tmp_path: Path) -> None:
    data = recipe_data(folder, tuning={"kind": "full", "freeze": ["embed", "hierarchy"]})
    data["tasks"] = dict(zip(("train", "type"), data["tasks"].values(), strict=True))
    run(data, tmp_path / "run")
    found = load_task_checkpoint(tmp_path / "run/checkpoint/train")
    torch.manual_seed(1)
    recipe = multitask_recipe_from(data, "test")
    assert recipe.model is not None
    for name, tensor in HyenaGLT(recipe.model, "dna").state_dict().items():
        assert torch.equal(tensor, found.weights[f"network.{name}"]), name
    assert found.weights["head.out.weight"].abs().max() > 0


@pytest.mark.slow
def test_steps_in_bf16_clip_gradients_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyena_glt.model.precision.has_bf16_units", lambda device: True)
    clipped = []
    clip = torch.nn.utils.clip_grad_norm_

    def counted(parameters: Any, limit: float) -> torch.Tensor:
        clipped.append(limit)
        return clip(parameters, limit)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", counted)
    train = {"precision": "bf16", "epochs": 1, "clip_norm": 0.5}
    report = run(recipe_data(folder, train=train), tmp_path / "run")
    assert math.isfinite(report.validation["loss"])
    assert set(clipped) == {0.5}


@pytest.mark.slow
def test_adapters_are_shared_and_the_checkpoints_plain(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    pretrained = save(tmp_path / "pretrained", "dna", gate=1.0)
    data = recipe_data(folder, balance={"kind": "gradnorm"}, train={"lr": 1e-2})
    data |= {"model": None, "init": str(pretrained)}
    data["tuning"] = {"kind": "lora", "rank": 2, "dropout": 0.2}
    run(data, tmp_path / "run")
    before = load_checkpoint(pretrained).weights
    one, other = (
        load_task_checkpoint(tmp_path / "run/checkpoint" / name).weights for name in ("ap1", "tata")
    )
    moved = [name for name, tensor in before.items() if (one[f"network.{name}"] != tensor).any()]
    assert moved
    assert all("blocks" in name for name in moved)
    assert all(torch.equal(one[f"network.{name}"], other[f"network.{name}"]) for name in before)


@pytest.mark.slow
def test_the_command_line_tells_of_each_task(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe_data(folder), sort_keys=False))
    ask = ["finetune", str(tmp_path / "r.yaml"), "train.epochs=1", "--out", str(tmp_path / "run")]
    shown = CliRunner().invoke(app, ask)
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert "finished after 1 epochs, the best was 1" in lines
    assert any(line.startswith("validation, mean of the tasks: loss ") for line in lines)
    (tata,) = [line for line in lines if line.startswith("tata, at a weight of 1.0000: loss ")]
    assert ", mcc " in tata
    assert str(tmp_path / "run/checkpoint/tata") in lines
    shown = CliRunner().invoke(app, [*ask, "--resume", "--json"])
    assert shown.exit_code == 0, shown.output
    report = json.loads(shown.stdout)
    assert {"loss", "ap1/mcc", "tata/mcc"} <= set(report["validation"])


def test_the_recipe_that_is_shipped_is_valid() -> None:
    found = load_tuning_recipe(ROOT / "recipes/finetune/multitask.yaml")
    assert isinstance(found, MultitaskRecipe)
    assert isinstance(load_tuning_recipe(ROOT / "recipes/finetune/promoters.yaml"), FinetuneRecipe)
