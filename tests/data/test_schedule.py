"""Runs whose windows grow: every step takes the same bases, and an index decides a window."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from hyena_glt.config import Recipe
from hyena_glt.data import (
    RunWindows,
    bases_in,
    batch_sizes,
    held_windows,
    legs_of,
    open_sources,
    training_loader,
    training_windows,
)
from hyena_glt.errors import RecipeError
from hyena_glt.tokenize import decode

MakeRecipe = Callable[..., Recipe]
GROWING = "train.window_schedule=[{window_bp: 6, until: 0.3}, {window_bp: 12, until: 0.75}]"


def texts(recipe: Recipe, cache: Path) -> list[str]:
    windows = RunWindows(open_sources(recipe, cache), recipe)
    return [decode(windows[i].ids) for i in range(len(windows))]


def test_every_step_takes_the_same_bases(tiny: MakeRecipe, tmp_path: Path) -> None:
    recipe = tiny(GROWING)
    legs = legs_of(recipe)
    assert [tuple(leg) for leg in legs] == [(2, 6, 12), (4, 12, 6), (2, 24, 3)]
    windows = RunWindows(open_sources(recipe, tmp_path), recipe)
    assert len(windows) == 2 * 12 + 4 * 6 + 2 * 3
    loader = training_loader(windows, batch_sizes(legs), rank=0, world=1)
    seen = [(batch["causal"].ids.shape, bases_in(batch)) for batch in loader]  # type: ignore[attr-defined]
    assert seen == [((12, 6), 72)] * 2 + [((6, 12), 72)] * 4 + [((3, 24), 72)] * 2


def test_an_index_and_the_seed_decide_a_window(tiny: MakeRecipe, tmp_path: Path) -> None:
    recipe = tiny(GROWING)
    windows = RunWindows(open_sources(recipe, tmp_path), recipe)
    forwards = texts(recipe, tmp_path)
    assert [decode(windows[i].ids) for i in reversed(range(len(windows)))] == forwards[::-1]
    assert [len(text) for text in forwards] == [6] * 24 + [12] * 24 + [24] * 6
    assert texts(tiny(GROWING, "seed=2"), tmp_path) != forwards


def test_without_a_schedule_a_run_has_the_windows_that_it_always_had(
    tiny: MakeRecipe, tmp_path: Path
) -> None:
    recipe = tiny()
    plain = training_windows(open_sources(recipe, tmp_path), recipe, 24)
    assert texts(recipe, tmp_path) == [decode(plain[i].ids) for i in range(24)]


def test_validation_reads_the_longest_windows(tiny: MakeRecipe, tmp_path: Path) -> None:
    growing, plain = tiny(GROWING), tiny()
    found, expected = (
        held_windows(open_sources(recipe, tmp_path), recipe) for recipe in (growing, plain)
    )
    assert [decode(window.ids) for window in found] == [decode(window.ids) for window in expected]


@pytest.mark.parametrize("world", [1, 3])
def test_the_loader_goes_on_in_the_middle_of_a_schedule(
    world: int, tiny: MakeRecipe, tmp_path: Path
) -> None:
    recipe = tiny(GROWING)
    windows, sizes = (
        RunWindows(open_sources(recipe, tmp_path), recipe),
        batch_sizes(legs_of(recipe)),
    )
    rows: list[set[bytes]] = [set() for _ in sizes]
    for rank in range(world):
        whole = [batch["causal"].ids for batch in training_loader(windows, sizes, rank, world)]  # type: ignore[attr-defined]
        assert [len(ids) for ids in whole] == [size // world for size in sizes]
        for step, ids in enumerate(whole):
            rows[step] |= {np.asarray(row).tobytes() for row in ids}
        for done in (1, 2, 5):
            first = training_loader(windows, sizes, rank, world)
            stream = iter(first)  # type: ignore[call-overload]
            for _ in range(done):
                next(stream)
            later = training_loader(windows, sizes, rank, world)
            later.load_state_dict(first.state_dict())  # type: ignore[attr-defined]
            rest = [batch["causal"].ids for batch in later]  # type: ignore[attr-defined]
            pairs = zip(rest, whole[done:], strict=True)
            assert all(torch.equal(one, other) for one, other in pairs)
    one = training_loader(windows, sizes, rank=0, world=1)
    for step, batch in enumerate(one):  # type: ignore[arg-type, var-annotated]
        assert rows[step] == {np.asarray(row).tobytes() for row in batch["causal"].ids}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("train.window_schedule=[{window_bp: 24, until: 0.5}]",), "24 doesn't divide .*=24"),
        (("train.window_schedule=[{window_bp: 48, until: 0.5}]",), "48 doesn't divide .*=24"),
        (("train.window_schedule=[{window_bp: 7, until: 0.5}]",), "7 doesn't divide .*=24"),
        (
            ("train.window_schedule=[{window_bp: 12, until: 0.5}, {window_bp: 6, until: 0.7}]",),
            "12 bp until 0.5 before 6 bp until 0.7; both must rise",
        ),
        (
            ("train.window_schedule=[{window_bp: 6, until: 0.5}, {window_bp: 12, until: 0.5}]",),
            "both must rise",
        ),
        (
            ("train.window_schedule=[{window_bp: 4, until: 0.5}]",),
            r"size_bp=6 is above train\.window_schedule\.0\.window_bp=4",
        ),
        (
            (
                "train.window_schedule=[{window_bp: 6, until: 0.5}]",
                "model.direction=bidirectional",
                "objective={kind: masked, fraction: 0.25, span_bp: 5}",
            ),
            r"above the 2 bases that fraction=0.25 masks in train\.window_schedule\.0\.window_bp=6",
        ),
    ],
)
def test_schedules_that_can_not_be_are_refused(
    overrides: Sequence[str], message: str, tiny: MakeRecipe
) -> None:
    with pytest.raises(RecipeError, match=message):
        tiny(*overrides)


@pytest.mark.parametrize(
    ("schedule", "window_bp"),
    [
        ("[{window_bp: 12, until: 0.05}]", 12),
        ("[{window_bp: 12, until: 0.95}]", 24),
        ("[{window_bp: 6, until: 0.5}, {window_bp: 12, until: 0.51}]", 12),
    ],
)
def test_a_length_that_gets_no_step_is_an_error(
    schedule: str, window_bp: int, tiny: MakeRecipe
) -> None:
    with pytest.raises(RecipeError, match=f"no step for windows of {window_bp} bp in a run of 8"):
        legs_of(tiny(f"train.window_schedule={schedule}"))
