"""The windows of a whole run, in order: of one length, or short ones first and longer ones later.

Every step takes the same bases, batch_windows * data.window_bp of them, whatever the length.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from hyena_glt.config import Recipe
from hyena_glt.data.sources import Source, training_windows
from hyena_glt.data.windows import Window
from hyena_glt.errors import RecipeError


class Leg(NamedTuple):
    """Steps whose windows have one length."""

    steps: int
    window_bp: int
    batch_windows: int


def legs_of(recipe: Recipe) -> tuple[Leg, ...]:
    """Return the legs of a run; the last has windows of data.window_bp.

    Raises RecipeError where the run, or a leg of it, is less than one step.
    """
    config, last_bp = recipe.train, recipe.data.window_bp
    steps = config.bases // (config.batch_windows * last_bp)
    if steps == 0:
        raise RecipeError(
            f"train.bases={config.bases} is less than one step of "
            f"{config.batch_windows} windows of {last_bp} bp"
        )
    ends = [round(part.until * steps) for part in config.window_schedule]
    lengths_bp = [part.window_bp for part in config.window_schedule]
    legs = []
    for start, end, window_bp in zip(
        [0, *ends], [*ends, steps], [*lengths_bp, last_bp], strict=True
    ):
        if end <= start:
            raise RecipeError(
                f"train.window_schedule leaves no step for windows of {window_bp} bp in a run of "
                f"{steps} steps; use another schedule or more train.bases"
            )
        legs.append(Leg(end - start, window_bp, config.batch_windows * last_bp // window_bp))
    return tuple(legs)


def batch_sizes(legs: Sequence[Leg]) -> list[int]:
    """Return the number of windows that each step takes."""
    return [leg.batch_windows for leg in legs for _ in range(leg.steps)]


class RunWindows:
    """All windows of a run; item i depends on the recipe and i alone.

    Each leg draws its windows anew, by a seed of its own.
    """

    def __init__(self, sources: Sequence[Source], recipe: Recipe) -> None:
        legs = legs_of(recipe)
        counts = [leg.steps * leg.batch_windows for leg in legs]
        self._ends = list(accumulate(counts))
        self._legs = [
            training_windows(sources, _of_leg(recipe, number, leg, len(legs)), count)
            for number, (leg, count) in enumerate(zip(legs, counts, strict=True))
        ]

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Window:
        leg = bisect_right(self._ends, index)
        return self._legs[leg][index - (self._ends[leg - 1] if leg else 0)]


def _of_leg(recipe: Recipe, number: int, leg: Leg, legs: int) -> Recipe:
    """The recipe of a leg's windows; of a run of one leg it is the run's own."""
    if legs == 1:
        return recipe
    seeds = np.random.SeedSequence((recipe.seed, 6, number)).generate_state(1, np.uint64)
    data = recipe.data.model_copy(update={"window_bp": leg.window_bp})
    return recipe.model_copy(update={"data": data, "seed": int(seeds[0])})
