"""What moves, when and how fast; which examples are held back; runs that go on within an epoch."""

import dataclasses
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hyena_glt.checkpoint import (
    Checkpoint,
    Provenance,
    load_checkpoint,
    load_tree,
    save_checkpoint,
)
from hyena_glt.checkpoint.tasks import build_task_network, load_task_checkpoint
from hyena_glt.config import (
    FinetuneTrainConfig,
    finetune_recipe_from,
    finetune_schema,
    load_recipe,
)
from hyena_glt.config.finetune import (
    LoraTuningConfig,
    ScalesTuningConfig,
    TableCurriculumConfig,
    UnfreezeConfig,
)
from hyena_glt.config.tasks import ClassificationTaskConfig
from hyena_glt.data import Region, Split
from hyena_glt.data.examples import guess_dataset, open_dataset, prepare_dataset
from hyena_glt.errors import (
    HyenaGLTError,
    MissingExtraError,
    RecipeError,
    SequenceFileError,
)
from hyena_glt.finetune import finetune
from hyena_glt.finetune.difficulty import _from_table
from hyena_glt.finetune.predict import Predictor, predict
from hyena_glt.io.examples import Example
from hyena_glt.model import HyenaGLT, TaskNetwork
from hyena_glt.tokenize import BOS
from hyena_glt.train import adapters, epochs, tasks
from hyena_glt.train.optimiser import parameter_groups
from hyena_glt.train.tuning import (
    Unfreezing,
    is_read_at_bases,
    layers_of,
    optimiser_groups,
    prepare_tuning,
)

TINY = Path(__file__).parents[2] / "recipes" / "tiny.yaml"
MODEL = {
    "embed": {"exact_k": [2]},
    "stages": [
        {
            "width": 16,
            "mlp_width": 16,
            "encoder": "S",
            "patch": {"kind": "fixed", "size_bp": 4},
            "decoder": "S",
        }
    ],
    "backbone": {"width": 16, "mlp_width": 16, "layout": "SA"},
    "mixers": {"A": {"heads": 2, "kv_heads": 1}},
    "direction": "bidirectional",
}
PATCHES = {"kind": "classification", "pooling": {"over": "patches"}}
BLOCKS = ("encoder.blocks.0", "inner.blocks.0", "inner.blocks.1", "decoder.blocks.0")
SEEN = {"g.fa": Split((Region("chr1", 5, 9),), (), ())}
EXAMPLES, BATCH, STEPS = 30, 8, 4  # of training


@pytest.fixture(scope="module")
def donor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a network whose backbone counts."""
    changes = [f"model={MODEL}", "objective={kind: masked}"]
    recipe = load_recipe(TINY, changes)
    torch.manual_seed(4)
    network = HyenaGLT(recipe.model, recipe.modality)
    torch.nn.init.constant_(network.hierarchy.gate, 0.5)
    provenance = Provenance(
        command="none",
        data_sha256={"g.fa": "of the genome", "t.bw": "of a track"},
        steps=1,
        training_bases=1,
        validation_bits_per_base=2.0,
    )
    folder = tmp_path_factory.mktemp("donor") / "checkpoint"
    weights = network.state_dict()
    save_checkpoint(
        folder, Checkpoint(recipe=recipe, weights=weights, splits=SEEN, provenance=provenance)
    )
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 training examples of 10 to 39 bp, and 8 of validation, all of different lengths."""
    folder = tmp_path_factory.mktemp("dataset")
    rng = np.random.default_rng(0)
    for part, lengths in (("train", range(10, 40)), ("dev", range(40, 48))):
        lines = ["sequence,label"]
        for row, length in enumerate(rng.permutation(lengths)):
            lines.append("".join(rng.choice(list("ACGT"), int(length))) + f",{'ab'[row % 2]}")
        (folder / f"{part}.csv").write_text("\n".join([*lines, ""]))
    files = [str(folder / f"{part}.csv") for part in ("train", "dev")]
    prepare_dataset(guess_dataset(files), folder / "dataset")
    assert len(open_dataset(folder / "dataset").part("train")) == EXAMPLES
    return folder / "dataset"


def recipe_data(dataset: Path, donor: Path, **changes: Any) -> dict[str, Any]:
    train = {"epochs": 3, "batch_examples": BATCH, "lr": 1e-2, **changes.pop("train", {})}
    return {
        "name": "test",
        "seed": 1,
        "dataset": str(dataset),
        "init": str(donor),
        "task": {"kind": "classification"},
        "train": train,
        **changes,
    }


@pytest.mark.slow
def test_steps_in_bf16_clip_gradients_too(
    dataset: Path, donor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyena_glt.model.precision.has_bf16_units", lambda device: True)
    after: list[float] = []
    clip = torch.nn.utils.clip_grad_norm_

    def seen(parameters: Any, limit: float) -> torch.Tensor:
        moving = [p for p in parameters if p.grad is not None]
        before = clip(moving, limit)
        after.append(torch.nn.utils.get_total_norm([p.grad for p in moving]).item())
        return before

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", seen)
    train = {"precision": "bf16", "epochs": 1, "clip_norm": 1e-3}
    recipe = finetune_recipe_from(recipe_data(dataset, donor, train=train), "test")
    assert np.isfinite(finetune(recipe, tmp_path / "run").validation["loss"])
    assert after == pytest.approx([1e-3] * STEPS, rel=1e-2)


class KilledError(Exception):
    pass


class Seen:
    """The rows of each training step, and what happens after the one of the number ``after``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[list[int]] = []
        self.after: int | None = None
        self.signal: int | None = None
        real = tasks.loss_of

        def recorded(network: Any, outputs: Any, batch: Any, weights: Any) -> Any:
            if torch.is_grad_enabled():
                if len(self.steps) == self.after:
                    if self.signal is None:
                        raise KilledError
                    os.kill(os.getpid(), self.signal)
                self.steps.append(batch.rows.tolist())
            return real(network, outputs, batch, weights)

        monkeypatch.setattr(tasks, "loss_of", recorded)

    def taken(self) -> list[list[int]]:
        steps, self.steps = self.steps, []
        return steps


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    return Seen(monkeypatch)


def task_network() -> TaskNetwork:
    recipe = finetune_recipe_from(
        {**recipe_data(Path("d"), Path("c")), "init": None, "model": MODEL}, "test"
    )
    assert recipe.model is not None
    torch.manual_seed(2)
    network = TaskNetwork(
        HyenaGLT(recipe.model, "dna"), ClassificationTaskConfig(kind="classification"), 2
    )
    torch.nn.init.constant_(network.network.hierarchy.gate, 0.5)
    torch.nn.init.normal_(network.head.out.weight)
    return network.eval()


def lora(**settings: Any) -> LoraTuningConfig:
    return LoraTuningConfig(kind="lora", **settings)


IDS = torch.tensor([[BOS, *b"ACGTTGCATTTA"], [BOS, *b"GGGACCATTACG"]])
LENGTH = torch.tensor([13, 13])


def answers(network: TaskNetwork) -> torch.Tensor:
    found: torch.Tensor = network(IDS, LENGTH)
    return found


def random_adapters(network: TaskNetwork) -> Iterator[torch.nn.Parameter]:
    """The second matrix of each adapter, which begins at zero."""
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            yield parameter


@pytest.mark.slow
def test_each_adapter_is_heard_and_the_sums_answer_alike() -> None:
    network = task_network()
    before = answers(network)
    plain = network.state_dict().keys()
    adapters.add_adapters(network.network, lora(rank=2, alpha=3), seed=0)
    assert torch.equal(answers(network), before)  # none says anything yet
    layers = adapters.adapted_layers(task_network().network, lora())
    assert len([*random_adapters(network)]) == len(layers) == 4 * 4 + 1
    for parameter in random_adapters(network):
        with torch.no_grad():
            parameter.normal_()
            assert not torch.allclose(answers(network), before, atol=1e-5)
            parameter.zero_()
    with torch.no_grad():
        for parameter in random_adapters(network):
            parameter.normal_(std=0.1)
    merged = task_network()
    weights = adapters.plain_weights(network)
    assert weights.keys() == plain
    merged.load_state_dict(weights)
    torch.testing.assert_close(answers(merged), answers(network), atol=1e-6, rtol=0)
    assert not torch.allclose(answers(merged), before, atol=1e-2)


def test_gradients_reach_adapters_and_head_alone() -> None:
    network = task_network().train()
    adapters.add_adapters(network.network, lora(dropout=0.5), seed=0)
    with torch.no_grad():
        for parameter in random_adapters(network):
            parameter.normal_()
    first, second = answers(network), answers(network)
    assert not torch.equal(first, second)  # dropout
    assert torch.equal(answers(network.eval()), answers(network))
    answers(network.train()).square().sum().backward()
    for name, parameter in network.named_parameters():
        moves = "lora_" in name or name.startswith("head.")
        assert (parameter.grad is not None) == moves, name
        assert parameter.grad is None or parameter.grad.any(), name


def test_targets_are_whole_parts_of_names() -> None:
    network = task_network().network
    assert adapters.adapted_layers(network, lora(targets=["hierarchy.pool", "mlp.down"])) == [
        "hierarchy.encoder.blocks.0.mlp.down",
        "hierarchy.pool",
        "hierarchy.inner.blocks.0.mlp.down",
        "hierarchy.inner.blocks.1.mlp.down",
        "hierarchy.decoder.blocks.0.mlp.down",
    ]
    for target in ("own", "hierarchy.po", "embed", "head.out"):
        with pytest.raises(RecipeError, match=rf"{target}'; there are hierarchy.encoder.blocks.0"):
            adapters.adapted_layers(network, lora(targets=[target]))
    with pytest.raises(RecipeError, match=r"'mlp' names no layer that the others don't"):
        adapters.adapted_layers(network, lora(targets=["hierarchy", "mlp"]))


@pytest.mark.parametrize("kind", ["lora", "ia3"])
def test_no_adapter_stands_where_no_head_reads(donor: Path, kind: str) -> None:
    data = recipe_data(Path("d"), donor, task=PATCHES, tuning={"kind": kind})
    recipe = finetune_recipe_from(data, "test")

    def tuned(at_bases: bool, recipe: Any = recipe) -> TaskNetwork:
        network = TaskNetwork(HyenaGLT(task_network().network.config, "dna"), recipe.task, 2)
        torch.nn.init.normal_(network.head.out.weight)
        prepare_tuning(network, recipe, at_bases=at_bases)
        return network

    network = tuned(False)
    answers(network).square().sum().backward()
    moving = {name: p for name, p in network.network.named_parameters() if p.requires_grad}
    assert all(parameter.grad is not None for parameter in moving.values())
    decoder = "hierarchy.decoder."
    assert not any(decoder in name for name in moving)
    others = tuned(True).network.named_parameters()  # where another task's head reads at bases
    assert any(decoder in name and p.requires_grad for name, p in others)
    data["tuning"] = {"kind": kind, "targets": ["hierarchy.decoder"]}
    with pytest.raises(RecipeError, match=r"layer that a head reads .*'hierarchy.decoder'"):
        tuned(False, finetune_recipe_from(data, "test"))


@pytest.mark.slow
def test_scales_multiply_outputs_and_the_checkpoint_is_plain(
    dataset: Path, donor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {"epochs": 2, "lr": 0.05, "weight_decay": 0.5}
    targets = ["hierarchy.inner", "mlp.down"]
    tuning = {"kind": "ia3", "targets": targets}
    recipe = finetune_recipe_from(recipe_data(dataset, donor, tuning=tuning, train=train), "test")
    answered: list[torch.Tensor] = []
    plain = adapters.plain_weights

    def seen(network: TaskNetwork) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            answered.append(answers(network))
        return plain(network)

    monkeypatch.setattr(sys.modules["hyena_glt.finetune.run"], "plain_weights", seen)
    finetune(recipe, tmp_path / "run")
    before, after = _weights(donor), load_task_checkpoint(tmp_path / "run/checkpoint").weights
    assert {name for name in after if name.startswith("network.")} == {
        f"network.{name}" for name in before
    }
    config = ScalesTuningConfig(kind="ia3", targets=tuple(targets))
    scaled = adapters.adapted_layers(task_network().network, config)
    moved = {name for name in before if not torch.equal(before[name], after[f"network.{name}"])}
    biases = {f"{layer}.bias" for layer in scaled} & {
        name for name, tensor in before.items() if tensor.abs().max() > 0
    }
    assert moved == {f"{layer}.weight" for layer in scaled} | biases
    for layer in scaled:
        ratio = after[f"network.{layer}.weight"] / before[f"{layer}.weight"]
        torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-4, atol=1e-5)
        assert ratio.min() > 0.5  # decay, which would pull to 0, isn't for them
    # What trained and what was kept answer the same.
    other = task_network()
    other.load_state_dict(after)
    with torch.no_grad():
        torch.testing.assert_close(answers(other), answered[-1])


@pytest.mark.slow
def test_a_checkpoint_of_adapters_holds_plain_weights(
    dataset: Path, donor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = recipe_data(dataset, donor, tuning={"kind": "lora", "rank": 2}, train={"epochs": 1})
    recipe = finetune_recipe_from(data, "test")
    finetune(recipe, tmp_path / "run")
    found = load_task_checkpoint(tmp_path / "run/checkpoint")
    assert found.splits == SEEN
    assert found.provenance.pretraining_sha256 == {"g.fa": "of the genome"}
    before = {f"network.{name}": t for name, t in _weights(donor).items()}
    adapted = adapters.adapted_layers(task_network().network, lora())
    moved = {name for name, t in before.items() if not torch.equal(t, found.weights[name])}
    assert moved == {f"network.{name}.weight" for name in adapted}
    # From here on as where peft isn't installed.
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setitem(sys.modules, "peft.tuners.lora", None)
    adapters._adapted_linear.cache_clear()
    build_task_network(found)
    (one,) = predict(Predictor([tmp_path / "run/checkpoint"]), [Example("a", b"ACGT", None, "1")])
    assert one.values.sum() == pytest.approx(1)
    with pytest.raises(MissingExtraError, match=r'pip install "hyena-glt\[lora\]"'):
        finetune(recipe, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_table_of_difficulty_needs_names_that_tell_examples_apart(tmp_path: Path) -> None:
    paths = [tmp_path / name / "train.csv" for name in ("one", "two")]
    for path in paths:
        path.parent.mkdir()
        path.write_text("sequence,label\nACGT,a\nGGGG,b\n")
    prepare_dataset(guess_dataset([str(path) for path in paths]), tmp_path / "dataset")
    (tmp_path / "hard.tsv").write_text("name\tloss\nrow1\t1\nrow2\t2\n")
    asked = {"by": "table", "path": str(tmp_path / "hard.tsv"), "column": "loss"}
    rows = open_dataset(tmp_path / "dataset").part("train")
    config = TableCurriculumConfig.model_validate({**asked, "from_share": 0.5, "until_epoch": 1})
    with pytest.raises(
        SequenceFileError, match=r"two/train.csv.*is called 'row1' as that of .*one"
    ):
        _from_table(config, rows)


def _weights(donor: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(donor).weights


def test_rates_fall_from_the_head_down() -> None:
    network = task_network()
    config = FinetuneTrainConfig(epochs=1, lr=0.1, head_lr=0.3, weight_decay=0.5)
    names = {id(p): name for name, p in network.named_parameters()}
    rates = {
        names[id(p)].removeprefix("network."): (group["lr"], group["weight_decay"])
        for group in optimiser_groups(network, config, 0.5)[0]
        for p in group["params"]
    }
    assert rates.keys() == {
        name.removeprefix("network.") for name, p in network.named_parameters() if p.requires_grad
    }
    expected = {
        "head.out.weight": (0.3, 0.0),
        "hierarchy.decoder.blocks.0.mlp.down.weight": (0.05, 0.5),
        "hierarchy.decoder.blocks.0.mlp_norm.weight": (0.05, 0.0),
        "hierarchy.gate": (0.025, 0.0),
        "hierarchy.up.weight": (0.025, 0.5),
        "hierarchy.inner.blocks.1.mixer.query.weight": (0.0125, 0.5),
        "hierarchy.inner.blocks.0.mlp.down.weight": (0.00625, 0.5),
        "hierarchy.pool.bias": (0.003125, 0.0),
        "hierarchy.encoder.blocks.0.mlp.down.weight": (0.0015625, 0.5),
        "embed.symbol.weight": (0.00078125, 0.0),
    }
    for name, (rate, decay) in expected.items():
        assert rates[name] == (pytest.approx(rate), decay), name
    flat, of_muon = optimiser_groups(network, config, None)
    assert not of_muon
    assert [(group["lr"], group["weight_decay"]) for group in flat] == [
        (0.1, 0.5),
        (0.1, 0.0),
        (0.3, 0.0),
    ]


def test_muon_moves_the_matrices_of_the_hierarchy_and_adamw_the_rest() -> None:
    network = task_network()
    settings = {"lr": 0.1, "head_lr": 0.3, "weight_decay": 0.5}
    config = FinetuneTrainConfig(epochs=1, **settings, optimiser="muon", muon_lr=0.2)
    adamw, muon = optimiser_groups(network, config, 0.5)
    matrices = {id(p) for p in parameter_groups(network.network)[0]}
    assert {id(p) for group in muon for p in group["params"]} == matrices
    rest = {id(p) for p in network.parameters() if p.requires_grad} - matrices
    assert {id(p) for group in adamw for p in group["params"]} == rest
    names = {id(p): name for name, p in network.network.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in muon for p in group["params"]}
    assert rates["hierarchy.decoder.blocks.0.mlp.down.weight"] == pytest.approx(0.1)
    assert rates["hierarchy.up.weight"] == pytest.approx(0.05)
    assert {group["weight_decay"] for group in muon} == {0.5}
    for frozen in network.network.hierarchy.encoder.parameters():
        frozen.requires_grad_(False)
    _, fewer = optimiser_groups(network, config, None)
    moving = {names[id(p)] for group in fewer for p in group["params"]}
    assert moving == {name for name in rates if not name.startswith("hierarchy.encoder")}


@pytest.mark.slow
def test_a_step_of_muon_moves_each_matrix_by_its_rate(
    dataset: Path, donor: Path, tmp_path: Path
) -> None:
    """Directions are orthogonal, so that their size is known. The head is zero at the first step.

    It lets no gradient through then; the second is at half the rates.
    """
    rates = {"lr": 1e-4, "muon_lr": 0.1, "weight_decay": 0.0, "warmup_fraction": 0.0}
    train = {"epochs": 2, "batch_examples": EXAMPLES, "optimiser": "muon", **rates}
    recipe = finetune_recipe_from(recipe_data(dataset, donor, train=train), "test")
    finetune(recipe, tmp_path / "run")
    after = _last_state(tmp_path / "run")
    network = task_network().network
    names = {id(p): name for name, p in network.named_parameters()}
    for matrix in parameter_groups(network)[0]:
        name = names[id(matrix)]
        step = (after[f"network.network.{name}"] - _weights(donor)[name]).norm()
        rows, columns = matrix.shape
        expected = 0.05 * max(1, rows / columns) ** 0.5 * min(rows, columns) ** 0.5
        assert 0.5 * expected <= step <= 1.3 * expected, name
    gate = (after["network.network.hierarchy.gate"] - _weights(donor)["hierarchy.gate"]).abs()
    assert 0 < gate.max() <= 0.51e-4


def test_layers_are_freed_from_the_last_block_down() -> None:
    network = task_network().network
    layers = [parts[0] for parts in layers_of(network)]
    unfreezing = Unfreezing(network, UnfreezeConfig(every_epochs=2), ["hierarchy.up"])

    def moving() -> set[str]:
        names = [name for name, p in network.named_parameters() if p.requires_grad]
        return {layer for layer in layers if any(f"{n}.".startswith(f"{layer}.") for n in names)}

    counts = []
    for epoch in (0, 1, 2, 3, 4, 6, 99):
        unfreezing.begin(epoch)
        assert moving() == set(layers[len(layers) - len(moving()) :])
        counts.append(len(moving()))
    assert counts == [0, 0, 1, 1, 2, 3, 7]
    assert not network.get_parameter("hierarchy.up.weight").requires_grad
    assert not network.get_parameter("head.out.weight").requires_grad


def test_over_patches_each_layer_that_is_freed_learns(donor: Path) -> None:
    data = recipe_data(Path("d"), donor, task=PATCHES, train={"epochs": 9})
    data["tuning"] = {"kind": "full", "layer_decay": 0.5, "unfreeze": {"every_epochs": 1}}
    recipe = finetune_recipe_from(data, "test")
    network = TaskNetwork(HyenaGLT(task_network().network.config, "dna"), recipe.task, 2).train()
    torch.nn.init.normal_(network.head.out.weight)
    unfreezing = prepare_tuning(network, recipe, at_bases=is_read_at_bases(recipe.task))
    assert unfreezing is not None
    layers = layers_of(network.network, at_bases=False)
    assert layers[-1] == ("hierarchy.inner.blocks.1",)
    counts = []
    for epoch in range(len(layers) + 1):
        unfreezing.begin(epoch)
        network.zero_grad()
        answers(network).square().sum().backward()
        moving = [n for n, p in network.network.named_parameters() if p.requires_grad]
        assert all(network.network.get_parameter(name).grad is not None for name in moving)
        counts.append(
            sum(any(f"{n}.".startswith(f"{layer[0]}.") for n in moving) for layer in layers)
        )
    assert counts == [*range(len(layers) + 1)]
    groups, _ = optimiser_groups(network, recipe.train, 0.5, at_bases=False)
    top = id(network.network.get_parameter("hierarchy.inner.blocks.1.mlp.down.weight"))
    (rate,) = [g["lr"] for g in groups if top in map(id, g["params"])]
    assert rate == pytest.approx(recipe.train.lr * 0.5)


def _saved_as(folder: Path, donor: Path, change: float) -> None:
    """Put a checkpoint like ``donor`` in ``folder``, with its gate changed."""
    found = load_checkpoint(donor)
    gate = "hierarchy.gate"
    weights = {**found.weights, gate: found.weights[gate] + change}
    save_checkpoint(folder, dataclasses.replace(found, weights=weights))


@pytest.mark.slow
def test_a_run_does_not_go_on_with_another_checkpoint_or_table(
    dataset: Path, donor: Path, tmp_path: Path, seen: Seen
) -> None:
    own, table = tmp_path / "own", tmp_path / "hard.csv"
    _saved_as(own, donor, 0.0)
    names = [row.name for row in open_dataset(dataset).part("train")]
    lines = [f"{name},{number}" for number, name in enumerate(names)]
    table.write_text("\n".join(["name,difficulty", *lines, ""]))
    curriculum = {"by": "table", "path": str(table), "from_share": 0.5, "until_epoch": 1}
    data = recipe_data(dataset, own, curriculum=curriculum, train={"epochs": 2})
    recipe = finetune_recipe_from(data, "test")
    seen.after = 0
    with pytest.raises(KilledError):
        finetune(recipe, tmp_path / "run")
    written = table.read_text()
    table.write_text(written.replace(",0\n", ",99\n"))
    with pytest.raises(RecipeError, match="another dataset, or other files"):
        finetune(recipe, tmp_path / "run", resume=True)
    table.write_text(written)
    _saved_as(own, donor, 1.0)
    with pytest.raises(RecipeError, match="another dataset, or other files"):
        finetune(recipe, tmp_path / "run", resume=True)
    _saved_as(own, donor, 0.0)
    with pytest.raises(KilledError):
        finetune(recipe, tmp_path / "run", resume=True)


UNFREEZE = {
    "kind": "full",
    "unfreeze": {
        "steps": [
            {"epoch": 2, "parts": ["hierarchy.decoder"]},
            {"epoch": 3, "parts": ["hierarchy.inner", "embed"]},
        ]
    },
}


@pytest.mark.slow
def test_parts_move_from_their_epoch_on(
    dataset: Path, donor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[dict[str, torch.Tensor]] = []
    real = epochs.Epochs._end_epoch

    def recorded(self: Any, trainer: Any, module: Any) -> None:
        states.append({k: t.clone() for k, t in module.network.network.state_dict().items()})
        real(self, trainer, module)

    monkeypatch.setattr(epochs.Epochs, "_end_epoch", recorded)
    finetune(finetune_recipe_from(recipe_data(dataset, donor, tuning=UNFREEZE), "test"), tmp_path)
    moved = [
        {name.rsplit(".", 1)[0] for name, t in after.items() if not torch.equal(t, before[name])}
        for before, after in zip([_weights(donor), *states], states, strict=False)
    ]
    first, second, third = (
        {part for name in names for part in _PARTS if name.startswith(part)} for names in moved
    )
    assert not moved[0]
    assert not first
    assert second == {"hierarchy.decoder"}
    assert third == {"hierarchy.decoder", "hierarchy.inner.", "embed"}
    assert all(name.startswith(tuple(third)) for name in moved[2])


_PARTS = ("embed", "hierarchy.encoder", "hierarchy.inner.", "hierarchy.pool", "hierarchy.decoder")


@pytest.mark.slow
def test_hard_examples_are_held_back(
    dataset: Path, donor: Path, tmp_path: Path, seen: Seen
) -> None:
    data = recipe_data(
        dataset,
        donor,
        tuning={"kind": "probe"},
        curriculum={"by": "length", "from_share": 0.2, "until_epoch": 2},
        train={"epochs": 4},
    )
    finetune(finetune_recipe_from(data, "test"), tmp_path / "run")
    steps = seen.taken()
    lengths = open_dataset(dataset).part("train").lengths()
    epochs = [steps[:1], steps[1:4], steps[4:8], steps[8:]]  # 6, 18, 30 and 30 examples
    found = [sorted(lengths[[row for step in epoch for row in step]]) for epoch in epochs]
    assert found == [[*range(10, 16)], [*range(10, 28)], [*range(10, 40)], [*range(10, 40)]]


@pytest.mark.slow
def test_a_table_says_what_is_hard(dataset: Path, donor: Path, tmp_path: Path, seen: Seen) -> None:
    rows = open_dataset(dataset).part("train")
    hard = {row.name: -len(row.sequence) for row in rows}
    table = tmp_path / "hard.tsv"

    def write(numbers: dict[str, Any]) -> None:
        lines = [f"{name}\t{number}" for name, number in numbers.items()]
        table.write_text("\n".join(["name\tloss", *lines, ""]))

    write(hard)
    asked = {"by": "table", "path": str(table), "column": "loss"}
    data = recipe_data(
        dataset,
        donor,
        tuning={"kind": "probe"},
        curriculum={**asked, "from_share": 0.2, "until_epoch": 1},
        train={"epochs": 2},
    )
    recipe = finetune_recipe_from(data, "test")
    finetune(recipe, tmp_path / "run")
    (first, *_) = seen.taken()
    assert sorted(rows.lengths()[first]) == [*range(34, 40)]
    names = [*hard]
    for numbers, message in (
        (dict.fromkeys(names[1:], 1), f"no row for the training example '{names[0]}'"),
        ({**hard, names[3]: "x"}, r"hard.tsv.*found 'x' in column 'loss', expected a number"),
        (dict.fromkeys(names, 7), "all 30 training examples have 7 in .*none is easier"),
    ):
        write(numbers)
        with pytest.raises(HyenaGLTError, match=message):
            finetune(recipe, tmp_path / "other")
    assert not (tmp_path / "other").exists()


SETTINGS: dict[str, dict[str, Any]] = {
    "muon": {"train": {"optimiser": "muon", "muon_lr": 0.05}},
    "adapters": {"tuning": {"kind": "lora", "rank": 2, "dropout": 0.3}},
    "all": {
        "tuning": {**UNFREEZE, "layer_decay": 0.8},
        "augment": {"mutation": 0.1},
        "curriculum": {"by": "length", "from_share": 0.5, "until_epoch": 1},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all", "muon", "adapters"])
def test_a_run_killed_within_an_epoch_goes_on_to_the_same_bits(
    dataset: Path, donor: Path, tmp_path: Path, seen: Seen, name: str
) -> None:
    data = recipe_data(
        dataset,
        donor,
        **SETTINGS[name]
        | {
            "train": {"metric": "accuracy", "save_every_steps": 2, "patience_epochs": 9}
            | SETTINGS[name].get("train", {})
        },
    )
    recipe = finetune_recipe_from(data, "test")
    whole = finetune(recipe, tmp_path / "whole")
    expected = seen.taken()
    steps = len(expected)
    # In the second epoch, a step after a state was saved; in the third, at none, by SIGTERM.
    second = steps - 2 * STEPS
    seen.after = second + 3
    with pytest.raises(KilledError):
        finetune(recipe, tmp_path / "killed")
    assert seen.taken() == expected[: second + 3]
    seen.after = 2
    seen.signal = signal.SIGTERM
    stopped = finetune(recipe, tmp_path / "killed", resume=True)
    assert stopped.stopped == "terminated"
    assert seen.taken() == expected[second + 2 : second + 5]
    seen.after = None
    resumed = finetune(recipe, tmp_path / "killed", resume=True)
    assert seen.taken() == expected[second + 5 :]
    assert resumed.as_dict() | {"checkpoint": whole.checkpoint} == whole.as_dict()
    assert finetune(recipe, tmp_path / "killed", resume=True) == resumed
    assert not seen.taken()
    _same_end(tmp_path / "whole", tmp_path / "killed")


def _last_state(out: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_tree(max((out / "resume").glob("step-*")) / "state")[
        "state_dict"
    ]
    return found


def _same_end(one: Path, other: Path) -> None:
    end = _last_state(other)
    for name, tensor in _last_state(one).items():
        assert torch.equal(tensor, end[name]), name
    kept = [load_task_checkpoint(out / "checkpoint") for out in (one, other)]
    assert kept[0].provenance.epochs == kept[1].provenance.epochs
    for name, tensor in kept[0].weights.items():
        assert torch.equal(tensor, kept[1].weights[name]), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning": {"kind": "lora", "targets": ["q_proj"]}}, "holds 'q_proj'; there are hier"),
        ({"tuning": {"kind": "full", "layer_decay": 1}}, "tuning.layer_decay: .*less than 1"),
        (
            {"tuning": {"kind": "full", "layer_decay": 0.9, "freeze": ["embed", "hierarchy"]}},
            "layer_decay has no effect",
        ),
        ({"tuning": {"kind": "full", "freeze": ["hierarchy.inner.block"]}}, "begins with 'hier"),
        ({"tuning": {"kind": "full", "freeze": ["head"]}}, "'head' has no .*letters' head"),
        (
            {"tuning": {"kind": "full", "freeze": ["embed", "embed.table"]}},
            "'embed.table' has no effect",
        ),
        (
            {"task": PATCHES, "tuning": {"kind": "full", "freeze": ["hierarchy.decoder"]}},
            "'hierarchy.decoder' has no effect.*pooling.over=patches",
        ),
        ({"task": PATCHES, "unfreeze": [(2, "hierarchy.up")]}, "'hierarchy.up' has no effect"),
        ({"tuning": {"kind": "full", "unfreeze": {}}}, "every_epochs, a rule, or steps, a list"),
        ({"tuning": {"kind": "full", "unfreeze": {"every_epochs": 3}}}, "in epoch 4, and .* is 3"),
        ({"tuning": {"kind": "lora", "unfreeze": {"every_epochs": 1}}}, "unfreeze: unknown key"),
        ({"unfreeze": [(1, "decoders")]}, "steps.0.parts: no parameter's name begins with 'decod"),
        ({"unfreeze": [(2, "embed"), (4, "hierarchy")]}, "frees parts in epoch 4"),
        ({"unfreeze": [(2, "embed"), (2, "hierarchy")]}, "epochs must rise"),
        ({"unfreeze": [(2, "hierarchy"), (3, "hierarchy.up")]}, "'hierarchy.up' has no effect"),
        ({"unfreeze": [(2, "head")]}, "'head' has no effect"),
        ({"unfreeze": [(2, "embed")], "freeze": ["embed"]}, "'embed' has no effect"),
        ({"unfreeze": [(2, "embed")], "freeze": ["hierarchy"]}, "no step of tuning.unfreeze frees"),
        ({"curriculum": ("length", 0.5, 3)}, "no epoch would take all examples"),
        ({"curriculum": ("length", 0.99, 1)}, "from_share=0.99 has no effect"),
        ({"curriculum": ("length", 1, 1)}, "from_share: .*less than 1"),
        ({"curriculum": ("loss", 0.5, 1)}, "expected one of 'length', 'table'"),
        ({"train": {"save_every_steps": 4}}, "has no effect: an epoch has 4 steps"),
        ({"train": {"muon_lr": 0.1}}, "muon_lr has no effect with optimiser=adamw"),
        (
            {"train": {"optimiser": "muon"}, "tuning": {"kind": "probe"}},
            "optimiser=muon is for matrices of the network, which tuning.kind=probe leaves",
        ),
        (
            {
                "train": {"optimiser": "muon"},
                "tuning": {"kind": "full", "freeze": ["hierarchy"]},
            },
            "optimiser=muon has no effect: tuning lets no matrix of the network move",
        ),
        (
            {
                "train": {"optimiser": "muon"},
                "tuning": {
                    "kind": "full",
                    "unfreeze": {"steps": [{"epoch": 2, "parts": ["embed"]}]},
                },
            },
            "optimiser=muon has no effect: tuning lets no matrix of the network move",
        ),
    ],
)
def test_settings_without_effect_are_refused(
    dataset: Path, donor: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    if "unfreeze" in changes:
        steps = [{"epoch": epoch, "parts": [part]} for epoch, part in changes["unfreeze"]]
        tuning = {"kind": "full", "unfreeze": {"steps": steps}, "freeze": changes.get("freeze", [])}
        changes = {**changes, "tuning": tuning}
        changes = {key: changes[key] for key in ("task", "tuning") if key in changes}
    if "curriculum" in changes:
        names = ("by", "from_share", "until_epoch")
        changes = {"curriculum": dict(zip(names, changes["curriculum"], strict=True))}
    data = recipe_data(dataset, donor, **changes)
    with pytest.raises(HyenaGLTError, match=message):
        finetune(finetune_recipe_from(data, "test"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_schema_explains_each_setting() -> None:
    definitions = finetune_schema()["$defs"]
    named = ("FullTuning", "LoraTuning", "Unfreeze", "UnfreezeStep", "LengthCurriculum")
    for name in (*named, "TableCurriculum"):
        for key, field in definitions[f"{name}Config"]["properties"].items():
            assert "description" in field or "const" in field, f"{name}.{key}"
    assert "description" in definitions["FinetuneRecipe"]["properties"]["curriculum"]
    assert "description" in definitions["FinetuneTrainConfig"]["properties"]["save_every_steps"]
