"""The plan: fair arms, and nothing read that is held out."""

from typing import Any

import numpy as np
import pytest
from jaxtyping import UInt8
from patching.cells import read_plan, recipe_of, spread
from patching.plan import (
    GENOMES,
    MOST_FLOPS_OFF,
    PHASES,
    PLAN_PATH,
    RULES,
    Cell,
    all_cells,
    make_plan,
    plan_text,
)

from hyena_glt.config import SourceConfig
from hyena_glt.data import Region
from hyena_glt.data.splits import split_genome

LENGTHS = {"ecoli_k12": ("NC_000913.3", 4_641_652), "human_chr20": ("20", 50_000_000)}


class Contig:
    """A genome of one contig, of which only the length is known."""

    def __init__(self, name: str, length_bp: int) -> None:
        self.names = (name,)
        self._length_bp = length_bp

    def length_bp(self, name: str) -> int:
        return self._length_bp

    def fetch_bytes(self, name: str, start: int, end: int) -> UInt8[np.ndarray, " L"]:
        raise AssertionError("a split reads no letters")


@pytest.fixture(scope="module")
def plan() -> dict[str, Any]:
    return read_plan(PLAN_PATH)


@pytest.mark.slow  # builds some hundred networks
def test_the_plan_written_down_is_what_the_code_plans() -> None:
    assert PLAN_PATH.read_text() == plan_text(make_plan())


def test_every_arm_costs_what_the_reference_does(plan: dict[str, Any]) -> None:
    arms = plan["arms"]
    assert all(abs(arm["of_reference"] - 1) <= MOST_FLOPS_OFF for arm in arms.values())
    for phase, millions in (("screen", 1), ("confirm", 2), ("gpu", 20)):
        arm = arms[f"{phase}/human_chr20/fixed_6"]
        assert arm["parameters"] == pytest.approx(millions * 1e6, rel=0.1)
        assert arm["of_reference"] == 1


@pytest.mark.slow
def test_every_cell_has_a_recipe_that_is_whole(plan: dict[str, Any]) -> None:
    for cell in all_cells():
        for rule in RULES:
            if f"{cell.phase}/{cell.genome}/{rule}" in plan["arms"]:
                recipe = recipe_of(plan, cell, rule, None)
                steps = recipe.train.bases // (recipe.train.batch_windows * recipe.data.window_bp)
                assert 5 <= steps // recipe.train.validate_every_steps <= 8
        assert Cell.named(cell.name) == cell


def test_each_seed_goes_over_all_arms_before_the_next_begins() -> None:
    screen = [cell for cell in all_cells() if cell.phase == "screen"]
    assert [cell.seed for cell in screen] == [1] * 24 + [2] * 24
    assert screen[0].name == "screen/ecoli_k12/fixed_6/1"
    assert not {1, 2} & set(PHASES["confirm"]["seeds"])


@pytest.mark.parametrize("name", GENOMES)
def test_blocks_are_held_out_and_never_read_twice(name: str) -> None:
    about = GENOMES[name]
    source = SourceConfig.model_validate({"genome": "x", "weight": 1, "split": about["split"]})
    split = split_genome(Contig(*LENGTHS[name]), source, seed=1)
    region = Region(*about["heldout"])
    starts = spread(region, about["heldout_blocks"], 8_192)
    (heldout,) = split.heldout
    assert heldout.start <= region.start == starts[0]
    assert starts[-1] + 8_192 == region.end <= heldout.end
    assert min(np.diff(starts)) >= 8_192
    for trained in split.train + split.validation:
        assert trained.end + 10_000 <= heldout.start


def test_human_training_lies_inside_40_mb() -> None:
    split = GENOMES["human_chr20"]["split"]
    source = SourceConfig.model_validate({"genome": "x", "weight": 1, "split": split})
    parts = split_genome(Contig("20", 50_000_000), source, seed=1)
    assert parts.train == (Region("20", 0, 39_990_000),)
    assert parts.validation == (Region("20", 40_000_000, 42_000_000),)
