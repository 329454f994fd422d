"""Whose turn a step is: each example once before any comes again, and on from any step."""

import json
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest
from finetune.motifs import prepared

from hyena_glt.data.examples import open_dataset
from hyena_glt.data.examples.batch import TaskBatch
from hyena_glt.data.examples.loader import ExampleLoader
from hyena_glt.data.examples.order import EpochOrder, TaskOrder
from hyena_glt.errors import RecipeError, StateError
from hyena_glt.train.multitask import TaskTurns


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets, the second half as large."""
    folder = tmp_path_factory.mktemp("datasets")
    prepared(folder / "ap1", "TGACTCA", 80)
    prepared(folder / "tata", "TATAAAAG", 40, seed=1)
    return folder


def loaders(folder: Path, batch_examples: int) -> dict[str, ExampleLoader]:
    found = {}
    for name in ("ap1", "tata"):
        rows = open_dataset(folder / name / "dataset").part("train")
        lengths = rows.lengths()

        def order(epoch: int, lengths: Any = lengths) -> EpochOrder:
            return EpochOrder(lengths, batch_examples, 1, epoch)

        found[name] = ExampleLoader(rows, "class", order)
    return found


def test_turns_take_each_example_once_before_any_a_second_time(folder: Path) -> None:
    batches = loaders(folder, 8)
    sizes = {name: len(loader) for name, loader in batches.items()}
    turns = TaskTurns(batches, TaskOrder(sizes, "uniform"))
    seen: dict[str, list[int]] = {"ap1": [], "tata": []}
    for epoch in range(4):
        assert (turns.epoch, turns.step) == (epoch, 0)
        steps = list(turns)
        assert len(steps) == len(turns) == sum(sizes.values())
        assert all(len(step) == 1 for step in steps)
        for step in steps:
            for name, batch in step.items():
                seen[name] += batch.rows.tolist()
    for name, rows in seen.items():
        count = max(rows) + 1
        for start in range(0, len(rows) - count + 1, count):
            assert sorted(rows[start : start + count]) == list(range(count)), (name, start)


@pytest.mark.slow
@pytest.mark.parametrize("drawn", [True, False])
def test_turns_go_on_from_any_step(folder: Path, drawn: bool) -> None:
    def turns(batch_examples: int = 8) -> TaskTurns:
        batches = loaders(folder, batch_examples)
        sizes = {name: len(loader) for name, loader in batches.items()}
        return TaskTurns(batches, TaskOrder(sizes, "uniform") if drawn else None)

    def rows(steps: Iterable[Mapping[str, TaskBatch]]) -> list[dict[str, list[int]]]:
        return [{name: batch.rows.tolist() for name, batch in step.items()} for step in steps]

    whole = turns()
    expected = rows([*whole, *whole])
    count = len(whole)
    for taken in range(2 * count):
        begun = turns()
        steps = chain(begun, begun)
        given = rows(islice(steps, taken))
        later = turns()
        later.load_state_dict(json.loads(json.dumps(begun.state_dict())))
        assert (later.epoch, later.step) == (begun.epoch, begun.step)
        for each in (later, begun):  # what was broken off goes on, too
            left = [each] if each.epoch else [each, each]
            assert given + rows(chain(*left)) == expected, taken
    with pytest.raises(StateError, match=r"steps=.*resume with the tasks"):
        turns(16).load_state_dict(whole.state_dict())
    state = whole.state_dict()
    state["loaders"]["ap1"]["seed"] = 9
    with pytest.raises(StateError, match=r"loaders=.*resume with the tasks"):
        turns().load_state_dict(state)


def test_without_an_order_a_step_takes_one_of_each(folder: Path) -> None:
    batches = loaders(folder, 8)
    turns = TaskTurns(batches, None)
    steps = list(turns)
    assert len(steps) == len(batches["ap1"]) > len(batches["tata"])
    assert all(set(step) == {"ap1", "tata"} for step in steps)
    taken = {n: [r for step in steps for r in step[n].rows.tolist()] for n in ("ap1", "tata")}
    assert sorted(taken["ap1"]) == list(range(len(taken["ap1"])))
    assert max(taken["tata"]) + 1 < len(taken["tata"])  # the smaller comes again


def test_a_task_without_a_step_is_refused(folder: Path) -> None:
    batches = loaders(folder, 64)
    order = TaskOrder({"ap1": 1000, "tata": 1}, "proportional")
    with pytest.raises(RecipeError, match=r"'tata' has none of an epoch's .* steps"):
        TaskTurns(batches, order)
