"""Numbers found on training regions give the patches asked for, there and elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hyena_glt.calibrate import (
    Prepared,
    mean_patch_bp,
    prepare,
    prepare_in,
    refuse_seen,
    repatched,
    validation_sample,
)
from hyena_glt.calibrate.sample import emissions_of
from hyena_glt.checkpoint import build_network, load_checkpoint
from hyena_glt.config import Recipe, load_recipe
from hyena_glt.data import Region, open_sources
from hyena_glt.errors import CalibrationError, CheckpointError, HyenaGLTError
from hyena_glt.model import HyenaGLT
from hyena_glt.model.entropy import KmerEntropy
from hyena_glt.tokenize import BOS
from hyena_glt.train import train

RECIPES = Path(__file__).parents[2] / "recipes"
ENTROPY = "model.entropy={kind: kmer, k: 8}"
SAMPLE_BP = 200_000
TOLERANCE = 0.02


def recipe(patch: str, *overrides: str) -> Recipe:
    entropy = [ENTROPY] if any(word in patch for word in ("entropy", "budget")) else []
    first = f"model.stages.0.patch={patch}"
    return load_recipe(RECIPES / "tiny.yaml", [first, *entropy, *overrides])


@pytest.fixture
def genome(tmp_path: Path) -> str:
    """An override that names a small genome, rich in A."""
    letters = np.random.default_rng(0).choice(list("ACGT"), 20_000, p=[0.4, 0.2, 0.2, 0.2])
    path = tmp_path / "genome.fa"
    path.write_text(">one\n" + "".join(letters) + "\n")
    return f"data={{genome: {path}, window_bp: 256, split: {{by: fraction, guard_bp: 10}}}}"


def prepared(wanted: Recipe, cache: Path) -> tuple[Prepared, HyenaGLT]:
    found = prepare(wanted, open_sources(wanted, cache), SAMPLE_BP)
    network = HyenaGLT(found.recipe.model, "dna")
    found.fill(network)
    return found, network


@pytest.mark.parametrize(
    ("patch", "window_bp"),
    [
        ("{kind: entropy}", 2048),
        ("{kind: entropy_jump, mean_bp: 8}", 2048),
        ("{kind: entropy_dual, mean_bp: 4}", 2048),
        ("{kind: budget}", 2048),
        ("{kind: budget, mean_bp: 9.5}", 2048),
    ],
)
def test_patches_have_the_wanted_mean_where_nothing_was_counted(
    patch: str, window_bp: int, tmp_path: Path
) -> None:
    wanted = recipe(patch, f"data.window_bp={window_bp}", "train.validation_bases=400_000")
    found, network = prepared(wanted, tmp_path)
    (calibration,) = found.calibrations
    mean_bp = wanted.model.stages[0].patch.mean_bp  # type: ignore[union-attr]
    assert calibration.wanted_bp == mean_bp
    assert calibration.mean_bp == pytest.approx(mean_bp, rel=TOLERANCE)
    fresh = validation_sample(wanted, open_sources(wanted, tmp_path), network)
    (emission,) = emissions_of(network.patchers, fresh)
    assert mean_patch_bp(emission) == pytest.approx(mean_bp, rel=TOLERANCE)
    below, above = calibration.sensitivity[0], calibration.sensitivity[-1]
    assert below[0] < calibration.value < above[0]
    assert below[1] < calibration.mean_bp < above[1]


def test_an_inner_stage_is_calibrated_inside_the_outer_one(tmp_path: Path) -> None:
    wanted = load_recipe(
        RECIPES / "two-stage.yaml",
        [
            "model.stages.0.patch={kind: budget, mean_bp: 3, min_bp: 2}",
            "model.stages.1.patch={kind: entropy, mean_bp: 8, max_bp: 32}",
            ENTROPY,
        ],
    )
    found, network = prepared(wanted, tmp_path)
    assert [c.kind for c in found.calibrations] == ["budget", "entropy"]
    assert found.calibrations[1].mean_bp == pytest.approx(8, rel=TOLERANCE)
    assert [p.mean_bp for p in network.patchers] == [3, 8]


def test_byte_pairs_are_joined_until_tokens_are_as_long_as_asked(tmp_path: Path) -> None:
    wanted = recipe(
        "{kind: bpe, mean_bp: 3, vocabulary: 256}",
        *("model.direction=bidirectional", "objective={kind: masked}"),
    )
    found, _ = prepared(wanted, tmp_path)
    patch = found.recipe.model.stages[0].patch
    merges: Any = patch.merges  # type: ignore[union-attr]
    assert 4 < len(merges) < 252
    assert found.calibrations[0].mean_bp == pytest.approx(3, rel=TOLERANCE)


def test_a_mean_that_no_number_gives_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    wanted = recipe("{kind: entropy, mean_bp: 4}", "model.entropy={kind: kmer, k: 1}")
    with pytest.raises(CalibrationError, match=r"no threshold_bits gives .* 4 bp .* nearest are"):
        prepared(wanted, tmp_path)


def test_a_rule_inside_learned_patches_cannot_be_calibrated(tmp_path: Path) -> None:
    wanted = load_recipe(
        RECIPES / "two-stage.yaml",
        [
            "train.ema_decay=null",
            "model.stages.0.patch={kind: learned, mean_bp: 3}",
            "model.stages.1.patch={kind: budget, mean_bp: 8}",
            ENTROPY,
        ],
    )
    with pytest.raises(CalibrationError, match="inside the learned patches of stage 0"):
        prepared(wanted, tmp_path)


def test_the_callers_random_numbers_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    wanted = recipe("{kind: entropy}")
    prepare(wanted, open_sources(wanted, tmp_path), SAMPLE_BP)
    assert torch.equal(torch.rand(2), expected)


def test_what_was_found_stands_in_the_runs_folder_and_is_found_once(
    genome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe("{kind: budget}", genome)
    sources = open_sources(wanted, tmp_path / "cache")
    first = prepare_in(tmp_path, wanted, sources)

    def refuse(*_: object) -> None:
        raise AssertionError("is counted again")

    with monkeypatch.context() as patch:
        patch.setattr(KmerEntropy, "fit", refuse)
        again = prepare_in(tmp_path, wanted, sources)
    assert again.recipe == first.recipe
    assert again.calibrations == first.calibrations
    assert all(torch.equal(again.entropy[name], first.entropy[name]) for name in first.entropy)
    other = recipe("{kind: budget, mean_bp: 8}", genome)
    assert prepare_in(tmp_path, other, sources).calibrations[0].wanted_bp == 8
    file = tmp_path / "patching" / "entropy.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match="damaged"):
        prepare_in(tmp_path, other, sources)


def test_what_has_seen_an_evaluation_region_is_refused() -> None:
    seen = {"genome": [Region("chr1", 0, 100), Region("chr2", 0, 50)]}
    refuse_seen(seen, {"genome": [Region("chr1", 100, 200)], "other": [Region("chr1", 0, 9)]}, "")
    with pytest.raises(
        CalibrationError, match="a table has seen chr1:0-100 of genome, and chr1:99"
    ):
        refuse_seen(seen, {"genome": [Region("chr1", 99, 200)]}, "a table")


def test_a_checkpoint_holds_its_table_and_its_number_and_closes_the_same_patches(
    genome: str, tmp_path: Path
) -> None:
    wanted = recipe("{kind: budget}", genome, "train.bases=4096", "train.validation_bases=1000")
    report = train(wanted, tmp_path / "run")
    checkpoint = load_checkpoint(Path(report.checkpoint))
    assert checkpoint.recipe.model.stages[0].patch.budget_bits is not None  # type: ignore[union-attr]
    found = prepare_in(tmp_path / "run", wanted, open_sources(wanted, tmp_path / "run" / "genome"))
    network = HyenaGLT(found.recipe.model, "dna")
    found.fill(network)
    sample = validation_sample(wanted, open_sources(wanted, tmp_path), network)
    loaded = build_network(checkpoint)
    assert torch.equal(loaded.entropy_of(sample.ids), network.entropy_of(sample.ids))
    ours, theirs = (emissions_of(n.patchers, sample)[0].mask for n in (network, loaded))
    assert torch.equal(ours, theirs)


def test_a_checkpoint_takes_another_rule_of_the_same_contract(genome: str, tmp_path: Path) -> None:
    short = (genome, "train.bases=2048", "train.validation_bases=1000")
    wanted = recipe("{kind: fixed, size_bp: 6}", *short)
    report = train(wanted, tmp_path / "run")
    checkpoint = load_checkpoint(Path(report.checkpoint))
    other = repatched(checkpoint, ["model.stages.0.patch={kind: budget, mean_bp: 5}", ENTROPY])
    assert other.recipe.model.stages[0].patch.budget_bits is not None  # type: ignore[union-attr]
    assert all(torch.equal(other.weights[name], t) for name, t in checkpoint.weights.items())
    ids = torch.tensor([[BOS, *b"ACGTTGCATTACCCGTGGTACCATG"]])
    before, after = build_network(checkpoint)(ids), build_network(other)(ids)
    assert not torch.equal(before.emissions[0].mask, after.emissions[0].mask)
    report = train(
        recipe("{kind: budget}", *short), tmp_path / "next", init_from=Path(report.checkpoint)
    )
    assert report.stopped == "finished"
    with pytest.raises(CalibrationError, match="not that of learned ones"):
        repatched(checkpoint, ["model.stages.0.patch={kind: learned}"])


def test_a_checkpoint_whose_genome_has_changed_is_not_calibrated_anew(
    genome: str, tmp_path: Path
) -> None:
    wanted = recipe("{kind: fixed, size_bp: 6}", genome, "train.bases=2048")
    checkpoint = load_checkpoint(Path(train(wanted, tmp_path / "run").checkpoint))
    (tmp_path / "genome.fa").write_text(">one\n" + 5_000 * "ACGT" + "\n")
    with pytest.raises(CalibrationError, match="isn't the file that checkpoint 'tiny' was"):
        repatched(checkpoint, ["model.stages.0.patch={kind: budget}", ENTROPY])


def test_a_rule_with_its_number_keeps_the_entropy_model_and_needs_no_genome(
    genome: str, tmp_path: Path
) -> None:
    wanted = recipe("{kind: budget, mean_bp: 6}", genome, "train.bases=2048")
    checkpoint = load_checkpoint(Path(train(wanted, tmp_path / "run").checkpoint))
    (tmp_path / "genome.fa").unlink()
    other = repatched(checkpoint, ["model.stages.0.patch={kind: entropy, threshold_bits: 1.9}"])
    assert other.weights.keys() == checkpoint.weights.keys()
    assert all(torch.equal(other.weights[name], t) for name, t in checkpoint.weights.items())
    with pytest.raises(HyenaGLTError, match=r"genome\.fa"):
        repatched(checkpoint, ["model.stages.0.patch={kind: entropy}"])
