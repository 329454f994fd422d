"""What a cell reads of its run, and which rule the screen chooses."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from patching.boundaries import agreement, boundary_figures, closes_of
from patching.cells import chosen_dynamic, place, read_curve
from patching.plan import CANDIDATES
from patching.results import PlanError

from hyena_glt.config import load_recipe
from hyena_glt.model import HyenaGLT
from hyena_glt.patch import Emission

A, C = ord("A"), ord("C")
PLAN = {"phases": {"screen": {"genomes": ["one", "two"], "seeds": [1, 2]}}}


def screened(best: str) -> dict[str, dict[str, Any]]:
    """The screen's cells; ``best`` is best over both genomes, though not on the second."""
    done = {}
    for rule in CANDIDATES:
        for seed in (1, 2):
            on_one, on_two = (1.8, 1.92) if rule == best else (1.9, 1.9)
            done[f"screen/one/{rule}/{seed}"] = {"validation_bits_per_base": on_one}
            done[f"screen/two/{rule}/{seed}"] = {"validation_bits_per_base": on_two}
    return done


@pytest.mark.parametrize("best", CANDIDATES)
def test_the_screen_chooses_the_lowest_over_genomes_and_seeds(best: str) -> None:
    assert chosen_dynamic(PLAN, screened(best)) == best


def test_an_unfinished_screen_chooses_nothing() -> None:
    done = screened("budget")
    del done["screen/two/entropy/2"]
    with pytest.raises(PlanError, match=r"1 of its cells are not run \(screen/two/entropy/2"):
        chosen_dynamic(PLAN, done)


def test_a_trial_keeps_its_results_away_from_those_of_the_plan() -> None:
    results = Path("benchmarks") / "results" / "patchers.json"
    assert place(results, None).results == results
    trial = place(results, 4096)
    assert trial.results.parent == trial.work != place(results, None).work


def test_steps_replayed_after_a_kill_are_read_from_the_last_attempt(tmp_path: Path) -> None:
    texts = {
        "version_9": "kb_per_s,step,validation_bits_per_base\n4,1,\n,1,1.99\n4,2,\n,2,7.0\n",
        "version_10": "kb_per_s,step,validation_bits_per_base\n6,2,\n,2,1.95\n9,3,\n,3,1.94\n",
    }
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(text)
    recipe = load_recipe(Path(__file__).parents[2] / "recipes" / "tiny.yaml")
    step = recipe.train.batch_windows * recipe.data.window_bp
    curve, speed = read_curve(tmp_path, recipe)
    assert curve == [(step, 1.99), (2 * step, 1.95), (3 * step, 1.94)]
    assert speed == 6000  # the median of 4, 6 and 9


class Cutting:
    """A network that closes patches of three bases, or where an A stands."""

    def __init__(self, rule: str) -> None:
        self.rule = rule

    def parameters(self) -> Any:
        return iter([torch.zeros(1)])

    def __call__(self, ids: torch.Tensor, length: torch.Tensor) -> Any:
        position = torch.arange(ids.shape[1]).expand(ids.shape)
        mask = position % 3 == 0 if self.rule == "fixed" else (ids == A) | (position == 0)
        mask = mask | (position == length[:, None] - 1)
        emission = Emission(mask, ids.shape[1], torch.ones_like(length))
        return type("Answer", (), {"emissions": [emission]})()


def network(rule: str) -> HyenaGLT:
    return cast(HyenaGLT, Cutting(rule))


def windows() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.where(rng.random(600) < 0.3, A, C).astype(np.uint8) for _ in range(6)]


@pytest.mark.parametrize(("rule", "agrees"), [("fixed", 0.0), ("letters", 1.0)])
def test_a_deletion_moves_fixed_patches_and_not_those_of_letters(rule: str, agrees: float) -> None:
    figures = boundary_figures(network(rule), windows(), 100, (10, 200))
    assert figures.deletion_agreement_near == figures.deletion_agreement_far == agrees
    assert figures.bf16_agreement == 1
    if rule == "fixed":
        assert figures.mean_patch_bp == [pytest.approx(3, rel=0.01)]
        assert figures.overflow_share == pytest.approx(1 / 200, rel=0.01)


def test_the_close_at_a_rows_end_is_no_rules_doing() -> None:
    (closes,), overflow = closes_of(network("letters"), [np.full(9, C, np.uint8)])
    assert closes.shape == (1, 8)
    assert not closes.any()
    assert overflow == 1


def test_nothing_to_agree_on_is_no_agreement() -> None:
    none, both = np.zeros((1, 4), bool), np.array([[True, True, False, True]])
    assert agreement(none, none) is None
    assert agreement(none, both) == 0
    assert agreement(both, np.array([[True, False, True, True]])) == 0.5
