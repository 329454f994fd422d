"""Numbers found on training regions give the patches asked for, there and elsewhere."""

from bisect import bisect
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
from hyena_glt.calibrate.search import is_open
from hyena_glt.checkpoint import build_network, load_checkpoint, load_tree, save_checkpoint
from hyena_glt.config import Recipe, load_recipe
from hyena_glt.data import Region, file_sha256, open_genome, open_sources
from hyena_glt.errors import CalibrationError, CheckpointError, HyenaGLTError, RecipeError
from hyena_glt.model import HyenaGLT
from hyena_glt.model.entropy import KmerEntropy
from hyena_glt.tokenize import BOS, alphabet
from hyena_glt.train import train

RECIPES = Path(__file__).parents[2] / "recipes"
ENTROPY = "model.entropy={kind: kmer, k: 8}"
TABLE = "model.entropy={kind: kmer, k: 6}"
CONV = "model.entropy={kind: conv, width: 16, layers: 2, kernel: 3, bases: 200_000, lr: 0.03}"
SAMPLE_BP = 200_000
TOLERANCE = 0.02
TWO_STEPS = (
    "train.bases=2048",
    "train.validate_every_steps=2",
    "train.validation_bases=1000",
    "train.save_every_steps=2",
)


def patched(rule: str) -> str:
    return f"model.stages.0.patch={rule}"


def recipe(patch: str, *overrides: str) -> Recipe:
    entropy = [ENTROPY] if any(word in patch for word in ("entropy", "budget")) else []
    first = f"model.stages.0.patch={patch}"
    return load_recipe(RECIPES / "tiny.yaml", [first, *entropy, *overrides])


@pytest.fixture(scope="module")
def bases() -> str:
    """20 kb in which a base hangs on the two before it, so that entropies differ by much."""
    rng = np.random.default_rng(0)
    up_to = rng.dirichlet([1.0] * 4, 16).cumsum(1)[:, :3].tolist()
    last_two, found = 0, []
    for drawn in rng.random(20_000).tolist():
        letter = bisect(up_to[last_two], drawn)
        found.append("ACGT"[letter])
        last_two = (last_two * 4 + letter) % 16
    return "".join(found)


@pytest.fixture
def genome(bases: str, tmp_path: Path) -> str:
    """An override that names a small genome."""
    path = tmp_path / "genome.fa"
    path.write_text(f">one\n{bases}\n")
    return f"data={{genome: {path}, window_bp: 256, split: {{by: fraction, guard_bp: 10}}}}"


@pytest.fixture
def track(tmp_path: Path) -> str:
    """A file of a random score for each base of the small genome."""
    scores = np.random.default_rng(1).random(20_000, np.float32)
    np.savez(tmp_path / "track.npz", one=scores)
    return str(tmp_path / "track.npz")


def prepared(wanted: Recipe, cache: Path) -> tuple[Prepared, HyenaGLT]:
    found = prepare(wanted, open_sources(wanted, cache), SAMPLE_BP)
    network = HyenaGLT(found.recipe.model, "dna")
    found.fill(network)
    return found, network


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patch", "overrides"),
    [
        ("{kind: entropy}", []),
        ("{kind: entropy_jump, mean_bp: 8}", []),
        ("{kind: entropy_dual, mean_bp: 4}", []),
        ("{kind: budget}", []),
        ("{kind: budget, mean_bp: 9.5}", []),
        ("{kind: budget}", [CONV]),
        ("{kind: track}", []),
    ],
)
def test_patches_have_the_wanted_mean_where_nothing_was_counted(
    patch: str, overrides: list[str], tmp_path: Path
) -> None:
    if "track" in patch:
        dh1, _ = open_genome("builtin:ecoli_dh1", alphabet("dna"), tmp_path)
        rng = np.random.default_rng(2)
        (contig,) = dh1.names
        scores: dict[str, Any] = {contig: rng.random(dh1.length_bp(contig), np.float32)}
        np.savez(tmp_path / "track.npz", **scores)
        overrides = ["side_information=true", f"data.track={tmp_path}/track.npz"]
    of_windows = ("data.window_bp=2048", "train.validation_bases=400_000")
    wanted = recipe(patch, *overrides, *of_windows)
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


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["entropy", "budget"])
def test_a_run_of_unknown_bases_moves_no_number(kind: str, bases: str, tmp_path: Path) -> None:
    path = tmp_path / "genome.fa"
    path.write_text(f">one\n{bases[:8000]}{'N' * 8000}{bases[8000:]}\n")
    data = f"data={{genome: {path}, window_bp: 256, split: {{by: fraction, guard_bp: 10}}}}"
    wanted = recipe(f"{{kind: {kind}, mean_bp: 5}}", data, "train.validation_bases=2000")
    _, network = prepared(wanted, tmp_path)
    fresh = validation_sample(wanted, open_sources(wanted, tmp_path), network)
    (emission,) = emissions_of(network.patchers, fresh)
    assert mean_patch_bp(emission) == pytest.approx(5, rel=0.1)  # of 2,000 bases


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_mean_that_no_number_gives_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    wanted = recipe("{kind: entropy, mean_bp: 4}", "model.entropy={kind: kmer, k: 1}")
    with pytest.raises(CalibrationError, match=r"no threshold_bits gives .* 4 bp .* nearest are"):
        prepared(wanted, tmp_path)


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_callers_random_numbers_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    wanted = recipe("{kind: entropy}")
    prepare(wanted, open_sources(wanted, tmp_path), SAMPLE_BP)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.slow
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


TWO_SIDED = ("model.direction=bidirectional", "objective={kind: masked}")
TWO_STAGES = (
    "model.stages=[{width: 8, mlp_width: 8, encoder: S, decoder: S, patch: {kind: syncmer, k: 3, "
    "s: 1, min_bp: 1}}, {width: 8, mlp_width: 8, encoder: S, decoder: '', patch: {kind: entropy, "
    "mean_bp: 6}}]"
)
RUNS: dict[str, tuple[str, ...]] = {
    **{
        f"{kind} on {name}": (patched(f"{{kind: {kind}, mean_bp: 5}}"), model)
        for kind in ("entropy", "entropy_jump", "entropy_dual", "budget")
        for name, model in (("kmer", TABLE), ("conv", CONV))
    },
    "syncmer": (patched("{kind: syncmer, k: 5, s: 2}"),),
    "delimiter": (patched("{kind: delimiter, motifs: [TAA, CG]}"),),
    "track": (patched("{kind: track, mean_bp: 5}"), "side_information=true"),
    "bpe": (patched("{kind: bpe, mean_bp: 3, vocabulary: 128}"), *TWO_SIDED),
    "learned": (patched("{kind: learned, mean_bp: 4}"),),
    "entropy in syncmer": (TWO_STAGES, TABLE),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
@torch.no_grad()
def test_a_checkpoint_of_one_command_closes_every_patch_of_the_run_that_wrote_it(
    name: str, genome: str, track: str, tmp_path: Path
) -> None:
    of_track = [f"data.track={track}"] if name == "track" else []
    wanted = load_recipe(RECIPES / "tiny.yaml", [genome, *TWO_STEPS, *RUNS[name], *of_track])
    report = train(wanted, tmp_path / "run")
    checkpoint = load_checkpoint(Path(report.checkpoint))
    sources = open_sources(wanted, tmp_path / "run" / "genome")
    found = prepare_in(tmp_path / "run", wanted, sources)
    assert checkpoint.recipe == found.recipe
    assert not any(is_open(stage.patch) for stage in checkpoint.recipe.model.stages)
    for key, tensor in found.entropy.items():
        assert torch.equal(checkpoint.weights[f"entropy.{key}"], tensor)
    # The network as the last step left it.
    ours = HyenaGLT(found.recipe.model, "dna").eval()
    state = load_tree(tmp_path / "run" / "resume" / "step-00000002" / "state")["state_dict"]
    ours.load_state_dict({key.removeprefix("network."): tensor for key, tensor in state.items()})
    loaded = build_network(checkpoint)
    ids, length, entropy, scores = validation_sample(wanted, sources, ours)
    if entropy is not None:
        assert torch.equal(loaded.entropy_of(ids), entropy)
    for one, other in zip(
        loaded(ids, length, track=scores).emissions,
        ours(ids, length, track=scores).emissions,
        strict=True,
    ):
        assert torch.equal(one.mask, other.mask)
        assert torch.equal(one.overflow, other.overflow)
        assert len(one.mask[0].nonzero()[:, 0].diff().unique()) > 2, "a limit closes all patches"


@pytest.mark.slow
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


@pytest.mark.slow
def test_aligned_patches_give_their_place_to_none_of_another_size(
    genome: str, tmp_path: Path
) -> None:
    wanted = recipe(
        "{kind: fixed, size_bp: 6}",
        genome,
        "train.bases=1024",
        "train.validation_bases=500",
        "model.stages.0.pooling=aligned",
    )
    checkpoint = load_checkpoint(Path(train(wanted, tmp_path / "run").checkpoint))
    shifted = repatched(checkpoint, ["model.stages.0.patch.frame=2"])
    assert shifted.recipe.model.stages[0].patch.frame == 2  # type: ignore[union-attr]
    with pytest.raises(CalibrationError, match="nor aligned ones that of another size"):
        repatched(checkpoint, ["model.stages.0.patch.size_bp=5"])
    with pytest.raises(RecipeError, match="pooling=aligned"):
        repatched(checkpoint, ["model.stages.0.patch={kind: syncmer}"])


@pytest.mark.slow
def test_a_checkpoint_takes_patches_of_a_track_and_gives_them_back(
    genome: str, track: str, tmp_path: Path
) -> None:
    wanted = recipe("{kind: fixed, size_bp: 6}", genome, *TWO_STEPS)
    checkpoint = load_checkpoint(Path(train(wanted, tmp_path / "run").checkpoint))
    rule = (patched("{kind: track, mean_bp: 5, max_bp: 24}"), f"data.track={track}")
    with pytest.raises(RecipeError, match="say side_information: true"):
        repatched(checkpoint, rule)
    save_checkpoint(tmp_path / "tracked", repatched(checkpoint, [*rule, "side_information=true"]))
    tracked = load_checkpoint(tmp_path / "tracked")
    assert tracked.weights.keys() == checkpoint.weights.keys()
    assert all(torch.equal(tracked.weights[name], t) for name, t in checkpoint.weights.items())
    network, sources = build_network(tracked), open_sources(tracked.recipe, tmp_path / "cache")
    assert network.side_information
    ids, length, _, scores = validation_sample(tracked.recipe, sources, network)
    assert scores is not None
    (emission,) = network(ids, length, track=scores).emissions
    threshold = tracked.recipe.model.stages[0].patch.threshold  # type: ignore[union-attr]
    for row, mask in zip(scores, emission.mask, strict=True):
        ends = mask.nonzero()[:, 0]
        is_long = ends.diff() == 24
        assert bool(((row[ends[1:]] > threshold) | is_long).all())
        assert not is_long.all()
    assert mean_patch_bp(emission) == pytest.approx(5, rel=0.1)  # of 1,000 bases
    back = [patched("{kind: fixed, size_bp: 6}"), "data.track=null"]
    assert repatched(tracked, [*back, "side_information=false"]).recipe == checkpoint.recipe
    assert tracked.provenance.data_sha256[track] == file_sha256(Path(track))
    np.savez(track, one=np.zeros(20_000, np.float32))
    with pytest.raises(CalibrationError, match="isn't the file that checkpoint"):
        repatched(tracked, [patched("{kind: track, mean_bp: 7}")])


def test_a_checkpoint_whose_genome_has_changed_is_not_calibrated_anew(
    genome: str, tmp_path: Path
) -> None:
    wanted = recipe("{kind: fixed, size_bp: 6}", genome, "train.bases=2048")
    checkpoint = load_checkpoint(Path(train(wanted, tmp_path / "run").checkpoint))
    (tmp_path / "genome.fa").write_text(">one\n" + 5_000 * "ACGT" + "\n")
    with pytest.raises(CalibrationError, match="isn't the file that checkpoint 'tiny' was"):
        repatched(checkpoint, ["model.stages.0.patch={kind: budget}", ENTROPY])


@pytest.mark.slow
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
