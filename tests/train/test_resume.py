"""A run that is killed, anywhere, goes on to the same bits."""

import csv
import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from forks import dies
from properties.tiny import tensors_of
from torch.optim.optimizer import register_optimizer_step_post_hook

from hyena_glt.checkpoint import load_checkpoint, load_tree
from hyena_glt.config import Recipe
from hyena_glt.errors import CheckpointError, RecipeError, StorageError, TrainingError
from hyena_glt.train import train

MakeRecipe = Callable[..., Recipe]
LOGGED = (
    *("step", "bits_per_base", "gradient_norm", "lr_fraction", "validation_bits_per_base"),
    *("causal_bits_per_base", "masked_bits_per_base", "validation_masked_bits_per_base"),
)
LAST = 8


@contextmanager
def after_step(step: int, action: Callable[[torch.optim.Optimizer], None]) -> Iterator[None]:
    """Act right after the optimiser has taken its ``step``-th step."""
    taken = 0

    def count(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        nonlocal taken
        if isinstance(optimiser, torch.optim.AdamW):  # Muon comes beside it
            taken += 1
            if taken == step:
                action(optimiser)

    handle = register_optimizer_step_post_hook(count)
    try:
        yield
    finally:
        handle.remove()


def kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def logged(out: Path) -> dict[tuple[str, str], str]:
    """(step, name) -> what the last CSV that has it says, digit for digit."""
    found = {}
    for file in sorted((out / "metrics").glob("version_*/metrics.csv")):
        with file.open() as lines:
            for row in csv.DictReader(lines):
                for name in LOGGED:
                    if row.get(name):
                        found[str(int(float(row["step"]))), name] = row[name]
    return found


def logged_since_resume(out: Path) -> dict[tuple[str, str], str]:
    newest = max((out / "metrics").glob("version_*"))
    with (newest / "metrics.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    return {
        (str(int(float(row["step"]))), name): row[name]
        for row in rows
        for name in LOGGED
        if row.get(name)
    }


def end_state(out: Path) -> dict[str, Any]:
    state: dict[str, Any] = load_tree(out / "resume" / f"step-{LAST:08d}" / "state")
    return state


def assert_same_run(out: Path, whole: Path) -> None:
    """Later losses digit for digit, the best network and the final state bit for bit."""
    since = logged_since_resume(out)
    assert (str(LAST), "bits_per_base") in since
    expected = logged(whole)
    assert since == {key: expected[key] for key in since}
    weights = (out / "checkpoint" / "weights.safetensors").read_bytes()
    assert weights == (whole / "checkpoint" / "weights.safetensors").read_bytes()
    found, wanted = end_state(out), end_state(whole)
    assert found.keys() == wanted.keys()
    for key in wanted:
        for one, other in zip(tensors_of(found[key]), tensors_of(wanted[key]), strict=True):
            assert torch.equal(one, other), key
    assert not list(out.glob("**/.*")), "a half-written folder is left"


SETTINGS = {
    "adamw": (),
    "muon and average": ("train.optimiser=muon", "train.ema_decay=0.6"),
    "micro-batches": ("train.micro_batch_windows=2", "train.ema_decay=0.9"),
    "learned patches": (
        "model.stages.0.patch={kind: learned, mean_bp: 4, min_bp: 1, max_bp: 12, gain: 1}",
    ),
    "longer and longer windows, in segments": (
        "train.window_schedule=[{window_bp: 8, until: 0.3}, {window_bp: 12, until: 0.8}]",
        "train.micro_batch_windows=2",
        "train.segment_bp=10",
    ),
    "both objectives, two genomes": (
        "model.direction=both",
        "objective={kind: causal_and_masked, fraction: 0.3, span_bp: 2}",
        "data.genome=null",
        "data.split=null",
        "data.mixture=["
        "{genome: GENOME, weight: 1, contigs: [chr1, chr2], "
        "split: {by: contig, validation: [chr2]}}, "
        "{genome: GENOME, weight: 2, contigs: [chr3], "
        "split: {by: fraction, heldout: 0, guard_bp: 0, validation: 0.3}}]",
    ),
}


@pytest.fixture(scope="module")
def whole(
    tiny: MakeRecipe, small_fasta: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Recipe, Path]]:
    """(recipe, folder) of an uninterrupted run of each setting."""
    done: dict[str, tuple[Recipe, Path]] = {}

    def run(name: str) -> tuple[Recipe, Path]:
        if name not in done:
            settings = [setting.replace("GENOME", str(small_fasta)) for setting in SETTINGS[name]]
            recipe, out = tiny(*settings), tmp_path_factory.mktemp("whole") / "run"
            assert train(recipe, out).steps == LAST
            done[name] = recipe, out
        return done[name]

    return run


Whole = Callable[[str], tuple[Recipe, Path]]


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_killed_between_two_states_it_replays_the_same_bits(
    name: str, whole: Whole, tmp_path: Path
) -> None:
    recipe, uninterrupted = whole(name)

    def body() -> None:
        with after_step(6, kill):
            train(recipe, tmp_path / "run")

    assert dies(body)
    assert not (tmp_path / "run" / "resume" / "step-00000006").exists()
    report = train(recipe, tmp_path / "run", resume=True)
    assert (report.steps, report.stopped) == (LAST, "finished")
    assert_same_run(tmp_path / "run", uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "call"),
    [
        ("step-00000004", "write"),  # a state half written
        ("step-00000004", "rename"),  # a state written, not yet in place
        ("checkpoint", "rename"),  # the old best network moved away, the new one not in place
    ],
)
def test_killed_while_writing_it_replays_the_same_bits(
    target: str, call: str, whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, uninterrupted = whole("adamw")
    out = tmp_path / "run"

    def body() -> None:
        rename, save_file = os.rename, safetensors.torch.save_file

        def rename_or_die(source: Any, to: Any) -> None:
            into_place = Path(to).name == target and str(source).endswith(".partial")
            # The second rename of a replacement, where there is an old folder.
            replaced = Path(to).with_name(f".{target}.previous").exists()
            if call == "rename" and into_place and replaced == (target == "checkpoint"):
                kill()
            rename(source, to)

        def write_or_die(tensors: Any, path: Any) -> None:
            save_file(tensors, path)
            if call == "write" and target in str(path):
                Path(path).write_bytes(Path(path).read_bytes()[:1000])
                kill()

        monkeypatch.setattr(os, "rename", rename_or_die)
        monkeypatch.setattr("hyena_glt.checkpoint.tree.save_file", write_or_die)
        train(recipe, out)

    assert dies(body)
    assert list(out.glob("**/.*.partial"))
    train(recipe, out, resume=True)
    assert_same_run(out, uninterrupted)


@pytest.mark.slow
def test_killed_before_the_first_state_it_starts_over(whole: Whole, tmp_path: Path) -> None:
    recipe, uninterrupted = whole("adamw")

    def body() -> None:
        with after_step(1, kill):
            train(recipe, tmp_path / "run")

    assert dies(body)
    train(recipe, tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", uninterrupted)


@pytest.mark.slow
def test_a_damaged_newest_state_is_passed_over(whole: Whole, tmp_path: Path) -> None:
    recipe, uninterrupted = whole("adamw")
    out = tmp_path / "run"

    def body() -> None:
        with after_step(7, kill):
            train(recipe, out)

    assert dies(body)
    newest = out / "resume" / "step-00000006" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    train(recipe, out, resume=True)
    assert_same_run(out, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 5])
def test_sigterm_saves_ends_and_goes_on_to_the_same_bits(
    step: int, whole: Whole, tmp_path: Path
) -> None:
    recipe, uninterrupted = whole("muon and average")
    before = signal.getsignal(signal.SIGTERM)
    with after_step(step, lambda _: os.kill(os.getpid(), signal.SIGTERM)):
        report = train(recipe, tmp_path / "run")
    assert (report.stopped, report.steps) == ("terminated", step)
    assert (tmp_path / "run" / "resume" / f"step-{step:08d}" / "manifest.json").is_file()
    assert signal.getsignal(signal.SIGTERM) == before
    train(recipe, tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", uninterrupted)


def poison(optimiser: torch.optim.Optimizer) -> None:
    with torch.no_grad():
        optimiser.param_groups[0]["params"][0].fill_(torch.nan)


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 4, 5, 6])  # before a validation, a state, none, or both
def test_a_nan_loss_ends_the_run_and_leaves_what_was_good(
    step: int, whole: Whole, tmp_path: Path
) -> None:
    recipe, uninterrupted = whole("adamw")
    out = tmp_path / "run"
    with (
        after_step(step, poison),
        pytest.raises(TrainingError, match=r"step \d.*\bnan\b"),
    ):
        train(recipe, out)
    for folder in (out / "resume").glob("step-*"):
        assert all(t.isfinite().all() for t in tensors_of(load_tree(folder / "state")))
    if (out / "checkpoint").exists():
        weights = load_checkpoint(out / "checkpoint").weights
        assert all(tensor.isfinite().all() for tensor in weights.values())
    train(recipe, out, resume=True)
    assert_same_run(out, uninterrupted)


def full_disk(tensors: Any, path: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["tree", "folder"])
def test_a_full_disk_is_an_error_that_loses_nothing(
    writer: str, whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, uninterrupted = whole("adamw")
    out = tmp_path / "run"

    def fill(_: object) -> None:
        monkeypatch.setattr(f"hyena_glt.checkpoint.{writer}.save_file", full_disk)

    with (
        # Next comes the state after step 4, or the first best network, after step 3.
        after_step(3 if writer == "tree" else 2, fill),
        pytest.raises(StorageError, match=r"No space left.*nothing.*lost.*free some space"),
    ):
        train(recipe, out)
    monkeypatch.undo()
    assert (out / "resume" / "step-00000002" / "manifest.json").is_file()
    if writer == "tree":
        assert load_checkpoint(out / "checkpoint").provenance.steps == 3
    assert not list(out.glob("**/.*"))
    train(recipe, out, resume=True)
    assert_same_run(out, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("limit_bytes", [1, 3000])  # the log can't grow; a state can't be written
def test_a_write_that_the_system_refuses_is_a_storage_error(
    limit_bytes: int, whole: Whole, tmp_path: Path
) -> None:
    """The real thing, through the libraries that write: a limit on a file's size."""
    recipe, uninterrupted = whole("adamw")
    out = tmp_path / "run"

    def body() -> None:
        def limit(_: object) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

        try:
            with after_step(3, limit):
                train(recipe, out)
        except StorageError:
            kill()  # what the test waits for

    assert dies(body)
    assert (out / "resume" / "step-00000002").is_dir()
    train(recipe, out, resume=True)
    assert_same_run(out, uninterrupted)


@pytest.mark.slow
def test_a_finished_run_resumes_to_its_own_report(whole: Whole) -> None:
    recipe, out = whole("adamw")
    before = (out / "checkpoint" / "weights.safetensors").read_bytes()
    report = train(recipe, out, resume=True)
    assert (report.steps, report.stopped) == (LAST, "finished")
    assert (out / "checkpoint" / "weights.safetensors").read_bytes() == before


def test_another_recipe_can_not_be_resumed(whole: Whole, tiny: MakeRecipe, tmp_path: Path) -> None:
    _, out = whole("adamw")
    with pytest.raises(RecipeError, match="another recipe, in seed, train;"):
        train(tiny("train.lr=1e-2", "seed=2"), out, resume=True)
    with pytest.raises(CheckpointError, match="no run to resume"):
        train(tiny(), tmp_path / "nothing", resume=True)


def test_an_early_stop_is_not_trained_on(tiny: MakeRecipe, tmp_path: Path) -> None:
    recipe = tiny("train.patience=1", "train.lr=1e-12", "train.validate_every_steps=1")
    first = train(recipe, tmp_path / "run")
    assert first.stopped == "early"
    assert train(recipe, tmp_path / "run", resume=True) == first


@pytest.mark.slow
def test_a_resumed_run_remembers_how_it_began(
    tiny: MakeRecipe, whole: Whole, tmp_path: Path
) -> None:
    _, done = whole("adamw")
    recipe, out = tiny(), tmp_path / "run"
    with after_step(2, lambda _: os.kill(os.getpid(), signal.SIGTERM)):
        train(recipe, out, init_from=done / "checkpoint", command="the first")
    report = train(recipe, out, resume=True, command="the second")
    provenance = load_checkpoint(out / "checkpoint").provenance
    assert provenance.command == "the first"
    assert provenance.initialised_from == str(done / "checkpoint")
    assert report.training_bases == LAST * 72


def test_a_genome_that_changed_can_not_be_resumed(tiny: MakeRecipe, tmp_path: Path) -> None:
    genome, out = tmp_path / "genome.fa", tmp_path / "run"
    genome.write_text(Path(str(tiny().data.genome)).read_text())
    recipe = tiny(f"data.genome={genome}")
    with after_step(2, lambda _: os.kill(os.getpid(), signal.SIGTERM)):
        train(recipe, out)
    genome.write_text(genome.read_text() + "A\n")
    with pytest.raises(RecipeError, match="other data"):
        train(recipe, out, resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_record_says_so(content: str, tiny: MakeRecipe, tmp_path: Path) -> None:
    recipe, out = tiny(), tmp_path / "run"
    train(recipe, out)
    (out / "run.json").write_text(content)
    with pytest.raises(CheckpointError, match="is damaged"):
        train(recipe, out, resume=True)


@pytest.mark.slow
def test_a_run_leaves_the_files_of_its_folder_alone(tiny: MakeRecipe, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("# mine")
    train(tiny(), tmp_path)
    assert (tmp_path / "recipe.yaml").read_text() == "# mine"


def test_a_folder_with_a_run_is_not_trained_over(whole: Whole) -> None:
    recipe, out = whole("adamw")
    with pytest.raises(RecipeError, match="holds a run already"):
        train(recipe, out)
