"""A whole run, end to end."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from properties.tolerances import GRADIENT_FP32_RELATIVE, UNIFORM_BITS
from torch.optim.optimizer import register_optimizer_step_post_hook

from hyena_glt.checkpoint import build_network, load_checkpoint, load_tree
from hyena_glt.config import Recipe
from hyena_glt.data import held_windows, open_sources
from hyena_glt.errors import CheckpointError, RecipeError, TrainingError
from hyena_glt.model import HyenaGLT
from hyena_glt.train import train
from hyena_glt.train.run import mean_bits

MakeRecipe = Callable[..., Recipe]


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "metrics" / "version_0" / "metrics.csv").open() as lines:
        return list(csv.DictReader(lines))


def column(out: Path, name: str) -> list[float]:
    return [float(row[name]) for row in rows(out) if row.get(name)]


@pytest.mark.slow
def test_a_run_takes_the_steps_that_its_bases_pay_for(tiny: MakeRecipe, tmp_path: Path) -> None:
    report = train(tiny("train.bases=647"), tmp_path / "run", command="the command")
    assert (report.steps, report.training_bases, report.stopped) == (8, 576, "finished")
    assert column(tmp_path / "run", "step")[-1] == 8
    assert len(column(tmp_path / "run", "bits_per_base")) == 8
    assert len(column(tmp_path / "run", "validation_bits_per_base")) == 3  # after 3, 6 and 8
    assert list((tmp_path / "run" / "tensorboard").glob("version_0/events*"))
    checkpoint = load_checkpoint(Path(report.checkpoint))
    assert checkpoint.provenance.command == "the command"
    assert checkpoint.provenance.steps == report.best_step
    assert checkpoint.provenance.validation_bits_per_base == report.validation_bits_per_base
    (split,) = checkpoint.splits.values()
    assert [str(region) for region in split.validation] == ["chr2:0-300"]
    assert [str(region) for region in split.train] == ["chr1:0-700", "chr3:0-90"]


@pytest.mark.slow
def test_the_first_loss_is_two_bits_and_learning_lowers_it(
    tiny: MakeRecipe, tmp_path: Path
) -> None:
    train(tiny("train.bases=1440", "train.lr=0.03"), tmp_path / "run")
    bits = column(tmp_path / "run", "bits_per_base")
    assert bits[0] == pytest.approx(2, abs=1e-6)
    assert np.mean(bits[-5:]) < 1.9  # the genome is rich in A: 1.57 bits


@pytest.mark.slow
def test_the_kept_network_gives_the_validation_that_the_report_names(
    tiny: MakeRecipe, tmp_path: Path
) -> None:
    recipe = tiny("train.lr=0.02")
    report = train(recipe, tmp_path / "run")
    checkpoint = load_checkpoint(Path(report.checkpoint))
    sources = open_sources(recipe, tmp_path / "cache")
    assert checkpoint.provenance.data_sha256 == {recipe.data.genome: sources[0].sha256}
    with torch.no_grad():
        windows = held_windows(sources, recipe)
        measured = mean_bits(build_network(checkpoint), windows, 3, recipe.objective)
    assert measured == {"bits_per_base": pytest.approx(report.validation_bits_per_base, abs=1e-9)}
    assert report.validation_bits_per_base == min(
        column(tmp_path / "run", "validation_bits_per_base")
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2])
def test_windows_in_memory_at_once_change_no_result(
    tiny: MakeRecipe, tmp_path: Path, size: int
) -> None:
    """Windows weigh unevenly here: N weighs nothing, lower case a quarter."""
    settings = ("train.clip_norm=null", "train.lr=1e-4", "train.bases=216")
    train(tiny(*settings), tmp_path / "all")
    train(tiny(*settings, f"train.micro_batch_windows={size}"), tmp_path / "some")
    for name in ("bits_per_base", "gradient_norm"):
        np.testing.assert_allclose(
            column(tmp_path / "some", name),
            column(tmp_path / "all", name),
            rtol=GRADIENT_FP32_RELATIVE,
        )


@pytest.mark.slow
def test_a_seed_decides_everything(tiny: MakeRecipe, tmp_path: Path) -> None:
    one, same, other = (
        train(tiny(f"seed={seed}"), tmp_path / name)
        for name, seed in (("one", 1), ("same", 1), ("other", 2))
    )
    files = [Path(run.checkpoint) / "weights.safetensors" for run in (one, same, other)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes() != files[2].read_bytes()


@pytest.mark.slow
def test_training_stops_early_when_validation_gains_nothing(
    tiny: MakeRecipe, tmp_path: Path
) -> None:
    report = train(tiny("train.lr=1e-30", "train.patience=1"), tmp_path / "run")
    assert (report.stopped, report.steps, report.best_step) == ("early", 6, 3)


@pytest.mark.slow
def test_the_average_is_validated_and_kept_instead_of_the_weights(
    tiny: MakeRecipe, tmp_path: Path
) -> None:
    seen: list[list[torch.Tensor]] = []

    def collect(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        groups = optimiser.param_groups
        seen.append([p.detach().clone() for group in groups for p in group["params"]])

    handle = register_optimizer_step_post_hook(collect)
    try:
        train(tiny("train.ema_decay=0.7", "train.validate_every_steps=8"), tmp_path / "run")
    finally:
        handle.remove()
    average = seen[0]
    for weights in seen[1:]:
        average = [0.7 * old + 0.3 * new for old, new in zip(average, weights, strict=True)]
    kept = build_network(load_checkpoint(tmp_path / "run" / "checkpoint"))
    by_shape = sorted(kept.parameters(), key=lambda p: (p.shape, float(p.detach().sum())))
    expected = sorted(average, key=lambda p: (p.shape, float(p.sum())))
    for found, wanted in zip(by_shape, expected, strict=True):
        torch.testing.assert_close(found.detach(), wanted)


@pytest.mark.slow
def test_bf16_and_recomputed_activations_train_without_a_warning(
    tiny: MakeRecipe, tmp_path: Path
) -> None:
    train(tiny("train.bases=144"), tmp_path / "plain")
    settings = ("train.bases=144", "model.activation_checkpointing=true")
    train(tiny(*settings), tmp_path / "recomputed")
    assert column(tmp_path / "recomputed", "gradient_norm") == pytest.approx(
        column(tmp_path / "plain", "gradient_norm"), rel=GRADIENT_FP32_RELATIVE
    )
    train(tiny(*settings, "train.precision=bf16"), tmp_path / "bf16")
    assert column(tmp_path / "bf16", "bits_per_base") == pytest.approx(
        column(tmp_path / "plain", "bits_per_base"), abs=0.01 / math.log(2)
    )
    state = load_tree(tmp_path / "bf16" / "resume" / "step-00000002" / "state")
    assert all(t.dtype == torch.float32 for t in state["state_dict"].values())


@pytest.mark.slow
def test_a_new_run_may_start_from_a_checkpoints_weights(tiny: MakeRecipe, tmp_path: Path) -> None:
    first = train(tiny("train.bases=1440", "train.lr=0.03"), tmp_path / "first")
    second = train(tiny("train.lr=1e-30"), tmp_path / "second", init_from=Path(first.checkpoint))
    assert column(tmp_path / "second", "bits_per_base")[0] < 1.95
    assert second.validation_bits_per_base == pytest.approx(
        first.validation_bits_per_base, abs=1e-6
    )
    provenance = load_checkpoint(Path(second.checkpoint)).provenance
    assert provenance.initialised_from == first.checkpoint
    assert provenance.steps == 3


@pytest.mark.slow
def test_weights_that_do_not_fit_are_refused(tiny: MakeRecipe, tmp_path: Path) -> None:
    first = train(tiny("train.bases=72"), tmp_path / "first")
    for number, override in enumerate(
        ("model.stages.0.width=16", "modality=rna", "model.embed={exact_k: [3]}")
    ):
        with pytest.raises(CheckpointError, match="don't fit this recipe"):
            train(tiny(override), tmp_path / str(number), init_from=Path(first.checkpoint))
    with pytest.raises(CheckpointError, match="no such folder"):
        train(tiny(), tmp_path / "none", init_from=tmp_path / "nothing")


@pytest.mark.slow
def test_positions_side_by_side_dont_take_weights_of_mean_and_maximum(
    tiny: MakeRecipe, tmp_path: Path
) -> None:
    """Of patches of two bases the weights have one shape."""
    settings = ("train.bases=72", "model.stages.0.patch.size_bp=2")
    first = Path(train(tiny(*settings), tmp_path / "first").checkpoint)
    with pytest.raises(CheckpointError, match=r"have pooling=\['mean_max'\], the recipe's"):
        train(tiny(*settings, "model.stages.0.pooling=aligned"), tmp_path / "next", init_from=first)


def kept(validation: str, heldout: str = "") -> str:
    regions = f"validation: ['{validation}'], heldout: [{heldout}]"
    return f"data.split={{by: region, {regions}, guard_bp: 0}}"


@pytest.mark.slow
def test_weights_that_saw_what_a_run_evaluates_on_are_refused(
    tiny: MakeRecipe, tmp_path: Path
) -> None:
    one_step, split = "train.bases=72", kept("chr2:0-300", "'chr3:0-60'")
    donor = Path(train(tiny(one_step, split), tmp_path / "donor").checkpoint)
    for other, message in {
        kept("chr1:600-700"): r"donor/checkpoint: was trained on chr1:0-700 of .*genome\.fa, and "
        "chr1:600-700 is a validation region of this run",
        kept("chr2:0-300", "'chr3:59-61'"): "was trained on chr3:60-90 .* is a held-out region",
        kept("chr3:0-60", "'chr2:0-1'"): "was chosen on chr2:0-300 .* is a held-out region",
    }.items():
        with pytest.raises(CheckpointError, match=message):
            train(tiny(one_step, other), tmp_path / "refused", init_from=donor)
        assert not (tmp_path / "refused" / "run.json").exists()
    # The same split, to validate on what was held out, and another genome.
    train(tiny(one_step, split), tmp_path / "same", init_from=donor)
    train(tiny(one_step, kept("chr3:0-60")), tmp_path / "fresh", init_from=donor)
    genome = tmp_path / "other.fa"
    genome.write_text(Path(str(tiny().data.genome)).read_text() + "A\n")
    elsewhere = tiny(one_step, kept("chr1:600-700"), f"data.genome={genome}")
    train(elsewhere, tmp_path / "elsewhere", init_from=donor)


def test_a_run_too_short_for_a_step_says_so(tiny: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="less than one step of 3 windows of 24 bp"):
        train(tiny("train.bases=71"), tmp_path / "run")


@pytest.mark.slow
def test_a_batch_of_n_is_a_step_that_moves_nothing(tiny: MakeRecipe, tmp_path: Path) -> None:
    fasta = tmp_path / "n.fa"
    fasta.write_text(f">chr1\n{'N' * 200}\n>chr2\n{'ACGT' * 30}\n")
    report = train(tiny(f"data.genome={fasta}"), tmp_path / "run")
    assert report.steps == 8
    assert report.validation_bits_per_base == pytest.approx(2, abs=1e-6)
    assert column(tmp_path / "run", "gradient_norm") == []
    assert column(tmp_path / "run", "empty_batches")[-1] == 8


@pytest.mark.slow
def test_a_validation_without_letters_says_so(tiny: MakeRecipe, tmp_path: Path) -> None:
    fasta = tmp_path / "n.fa"
    fasta.write_text(f">chr1\n{'ACGT' * 50}\n>chr2\n{'N' * 120}\n")
    with pytest.raises(TrainingError, match="no base of the validation windows weighs anything"):
        train(tiny(f"data.genome={fasta}"), tmp_path / "run")


@pytest.mark.slow
def test_a_model_of_uniform_letters_ends_at_two_bits(tiny: MakeRecipe, tmp_path: Path) -> None:
    """It can't see the future: any leak would show as less than two bits."""
    rng = np.random.default_rng(0)
    fasta = tmp_path / "uniform.fa"
    contigs = {"chr1": 120_000, "chr2": 30_000}
    fasta.write_text(
        "".join(f">{n}\n{''.join(rng.choice(list('ACGT'), bp))}\n" for n, bp in contigs.items())
    )
    settings = [
        f"data.genome={fasta}",
        "data.window_bp=100",
        "train.bases=80_000",
        "train.batch_windows=8",
        "train.lr=3e-3",
        "train.validate_every_steps=100",
        "train.validation_bases=30_000",
        "train.save_every_steps=100",
        "model.backbone.layout=MLA",
        "model.mixers.A={heads: 2, window_bp: 32}",
    ]
    recipe = tiny(*settings)
    train(recipe, tmp_path / "run")
    last = column(tmp_path / "run", "validation_bits_per_base")[-1]
    assert last == pytest.approx(2, abs=UNIFORM_BITS)
    assert column(tmp_path / "run", "gradient_norm")[-1] > 0


def test_a_network_that_was_trained_is_in_evaluation_mode_when_it_is_built(
    tiny: MakeRecipe, tmp_path: Path
) -> None:
    report = train(tiny("train.bases=72"), tmp_path / "run")
    network = build_network(load_checkpoint(Path(report.checkpoint)))
    assert isinstance(network, HyenaGLT)
    assert not network.training
