"""Masked and joint runs: the loss is the one documented, and its gradient is exact."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from properties.tolerances import GRADIENT_FP32_RELATIVE
from torch.optim.optimizer import register_optimizer_step_pre_hook

from hyena_glt.checkpoint import load_checkpoint
from hyena_glt.config import Recipe
from hyena_glt.data import KINDS, collate, open_sources, training_windows
from hyena_glt.model import HyenaGLT
from hyena_glt.objective import base_loss
from hyena_glt.train import train

MakeRecipe = Callable[..., Recipe]
MASKED = (
    "model.direction=bidirectional",
    "objective={kind: masked, fraction: 0.3, span_bp: 2}",
)
JOINT = (
    "model.direction=both",
    "objective={kind: causal_and_masked, fraction: 0.3, masked_share: 0.4}",
)


def column(out: Path, name: str) -> list[float]:
    with (out / "metrics" / "version_0" / "metrics.csv").open() as lines:
        return [float(row[name]) for row in csv.DictReader(lines) if row.get(name)]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [MASKED, (*MASKED, "model.rc=equivariant")])
def test_a_masked_run_starts_at_two_bits_and_learns(
    settings: tuple[str, ...], tiny: MakeRecipe, tmp_path: Path
) -> None:
    recipe = tiny(*settings, "train.bases=2880", "train.lr=0.03")
    report = train(recipe, tmp_path / "run")
    assert report.training_bases == 2880
    bits = column(tmp_path / "run", "bits_per_base")
    assert bits[0] == pytest.approx(2, abs=1e-6)
    assert np.mean(bits[-10:]) < 1.85  # the genome is rich in A: 1.57 bits
    assert report.validation_bits_per_base is not None
    assert report.validation_bits_per_base < 1.85


@pytest.mark.slow
def test_a_joint_run_logs_both_kinds_and_minimises_their_shares(
    tiny: MakeRecipe, tmp_path: Path
) -> None:
    train(tiny(*JOINT, "train.batch_windows=8", "train.bases=1536"), tmp_path / "run")
    names = ("bits_per_base", "causal_bits_per_base", "masked_bits_per_base")
    for prefix in ("", "validation_"):
        total, causal, masked = (column(tmp_path / "run", prefix + name) for name in names)
        assert len(total) == len(causal) == len(masked) > 0
        expected = 0.6 * np.array(causal) + 0.4 * np.array(masked)
        np.testing.assert_allclose(total, expected, rtol=1e-6)


@pytest.mark.slow
def test_a_step_in_which_a_kind_is_absent_is_the_other_kinds(
    tiny: MakeRecipe, tmp_path: Path
) -> None:
    train(tiny(*JOINT, "train.batch_windows=1", "train.bases=480"), tmp_path / "run")
    kinds = [column(tmp_path / "run", f"{kind}_bits_per_base") for kind in KINDS]
    causal, masked = np.array(kinds)
    total = np.array(column(tmp_path / "run", "bits_per_base"))
    assert 2 < np.isnan(causal).sum() < 18
    assert (np.isnan(causal) != np.isnan(masked)).all()
    assert (total == np.where(np.isnan(causal), masked, causal)).all()


def first_gradients(recipe: Recipe, out: Path) -> list[torch.Tensor]:
    """Gradients as the first optimiser step finds them, by parameter in the network's order."""
    found: dict[tuple[int, ...], Any] = {}

    def collect(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        if not found:
            for group in optimiser.param_groups:
                for p in group["params"]:
                    found.setdefault(tuple(p.shape), []).append(p.grad.detach().clone())

    handle = register_optimizer_step_pre_hook(collect)
    try:
        train(recipe, out)
    finally:
        handle.remove()
    return [gradient for shape in sorted(found) for gradient in found[shape]]


@pytest.mark.slow
@pytest.mark.parametrize("micro", ["null", "1", "3"])
@pytest.mark.parametrize("settings", [MASKED, JOINT], ids=["masked", "joint"])
def test_a_steps_gradient_is_that_of_the_documented_loss_however_the_batch_is_cut(
    settings: tuple[str, ...], micro: str, tiny: MakeRecipe, tmp_path: Path
) -> None:
    """Windows weigh unevenly here: N weighs nothing, lower case a quarter."""
    recipe = tiny(
        *settings,
        "train.clip_norm=null",
        "train.batch_windows=7",
        "train.bases=168",
        f"train.micro_batch_windows={micro}",
        "train.optimiser=adamw",
    )
    found = first_gradients(recipe, tmp_path / "run")
    sources = open_sources(recipe, tmp_path / "cache")
    windows = training_windows(sources, recipe, 7)
    torch.manual_seed(recipe.seed)
    network = HyenaGLT(recipe.model, recipe.modality)
    shares = {"causal": 0.6, "masked": 0.4} if settings is JOINT else {"masked": 1.0}
    loss = torch.zeros(())
    for kind, batch in collate([windows[i] for i in range(7)]).items():
        output = network(batch.ids, batch.length, two_sided=kind == "masked")
        parts = base_loss(output.logits, batch.target, batch.weight)
        loss = loss + shares.pop(kind) * parts.nll_nats / parts.weight
    assert not shares
    torch.autograd.backward(loss)
    by_shape: dict[tuple[int, ...], list[torch.Tensor]] = {}
    for parameter in network.parameters():
        assert parameter.grad is not None
        by_shape.setdefault(tuple(parameter.shape), []).append(parameter.grad)
    wanted = [gradient for shape in sorted(by_shape) for gradient in by_shape[shape]]
    norms = sorted(float(gradient.norm()) for gradient in wanted)
    np.testing.assert_allclose(
        sorted(float(gradient.norm()) for gradient in found),
        norms,
        rtol=GRADIENT_FP32_RELATIVE,
        atol=norms[-1] * 1e-6,
    )
    assert column(tmp_path / "run", "bits_per_base") == [
        pytest.approx(loss.item() / math.log(2), rel=1e-6)
    ]


@pytest.mark.slow
def test_a_mixtures_checkpoint_names_the_regions_of_each_genome(
    tiny: MakeRecipe, tmp_path: Path
) -> None:
    for name, letters in (("one", "ACGGT"), ("other", "ATTTA")):
        records = "".join(f">{name}{i}\n{letters * (9 + i)}\n" for i in range(5))
        (tmp_path / f"{name}.fa").write_text(records)
    one, other = str(tmp_path / "one.fa"), str(tmp_path / "other.fa")
    by_record = "split: {by: record, validation: 0.2, heldout: 0.2}"
    report = train(
        tiny(
            "data.genome=null",
            "data.split=null",
            f"data.mixture=[{{genome: {one}, weight: 1, {by_record}}}, "
            f"{{genome: {other}, weight: 3, {by_record}}}]",
        ),
        tmp_path / "run",
    )
    checkpoint = load_checkpoint(Path(report.checkpoint))
    assert list(checkpoint.splits) == list(checkpoint.provenance.data_sha256) == [one, other]
    for name, split in zip(("one", "other"), checkpoint.splits.values(), strict=True):
        assert [len(part) for part in split] == [3, 1, 1]
        assert {region.contig for part in split for region in part} == {
            f"{name}{i}" for i in range(5)
        }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modality", "letters", "bits"),
    [("rna", "ACGU", 2.0), ("protein", "ACDEFGHIKLMNPQRSTVWY", math.log2(20))],
)
def test_rna_and_proteins_train_end_to_end(
    modality: str, letters: str, bits: float, tiny: MakeRecipe, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    share = np.full(len(letters), 0.3 / (len(letters) - 1))
    share[0] = 0.7  # something to learn
    records = ("".join(rng.choice(list(letters), 30, p=share)) for _ in range(20))
    fasta = tmp_path / "records.fa"
    fasta.write_text("".join(f">r{i}\n{record}\n" for i, record in enumerate(records)))
    recipe = tiny(
        f"modality={modality}",
        f"data.genome={fasta}",
        "data.split={by: record}",
        "data.reverse_complement=false",
        "model.embed={hashed_k: [2], hashed_rows: 50}",
        "train.bases=2880",
        "train.lr=0.03",
    )
    report = train(recipe, tmp_path / "run")
    assert column(tmp_path / "run", "bits_per_base")[0] == pytest.approx(bits, abs=1e-5)
    assert report.validation_bits_per_base is not None
    assert report.validation_bits_per_base < 0.8 * bits
