"""How hard each training example is, as a recipe's curriculum says."""

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from hyena_glt.config import FinetuneRecipe
from hyena_glt.config.finetune import TableCurriculumConfig
from hyena_glt.data.examples import Rows
from hyena_glt.data.examples.order import Curriculum
from hyena_glt.errors import RecipeError, SequenceFileError
from hyena_glt.io.examples.cell import finite
from hyena_glt.io.examples.rows import open_tables, shown


def curriculum_of(recipe: FinetuneRecipe, rows: Rows) -> Curriculum | None:
    """Return the recipe's curriculum of ``rows``, the training part; None where it has none.

    Raises RecipeError for one without effect: all examples equally hard, or so few that the first
    epoch takes all. Raises SequenceFileError for a table that is none, that has no row for an
    example, two that differ, or a cell that is no number.
    """
    asked = recipe.curriculum
    if asked is None:
        return None
    lengths = rows.lengths()
    difficulty, unit = None, " bp"
    if isinstance(asked, TableCurriculumConfig):
        difficulty, unit = _from_table(asked, rows), f" in {asked.path}"
    hard = lengths if difficulty is None else difficulty
    if (hard == hard[0]).all():
        raise RecipeError(
            f"curriculum.by={asked.by}: all {len(hard)} training examples have {hard[0]:g}{unit}, "
            "none is easier; order them by something else, or remove the curriculum"
        )
    found = Curriculum(asked.from_share, asked.until_epoch, difficulty)
    if len(found.allowed(0, lengths, recipe.seed)) == len(lengths):
        raise RecipeError(
            f"curriculum.from_share={asked.from_share} has no effect: it is all of {len(lengths)} "
            "training examples; lower it, or remove the curriculum"
        )
    return found


def _from_table(config: TableCurriculumConfig, rows: Rows) -> Float64[np.ndarray, " R"]:
    """Return the number of each row in the table that ``config`` names."""
    path = Path(config.path)
    by_name: dict[str, float] = {}
    for _, table in open_tables(path):
        for where, (cell, number_cell) in table.rows((config.name_column, config.column)):
            number = finite(number_cell)
            if number is None:
                raise SequenceFileError(
                    f"{where}: found {shown(number_cell)} in column {config.column!r}, "
                    "expected a number; correct it"
                )
            name = str(cell)
            if by_name.setdefault(name, number) != number:
                raise SequenceFileError(
                    f"{where}: found {name!r} a second time, with another number; keep one"
                )
    hard = np.empty(len(rows))
    first: dict[str, str] = {}
    for place, example in enumerate(rows):
        if first.setdefault(example.name, example.where) != example.where:
            raise SequenceFileError(
                f"{example.where}: the training example is called {example.name!r} as that of "
                f"{first[example.name]} is, and a table of difficulty tells them by name; prepare "
                "the dataset with a column of names"
            )
        if example.name not in by_name:
            raise SequenceFileError(
                f"{path}: has no row for the training example {example.name!r} ({example.where}) "
                f"in column {config.name_column!r}; add it"
            )
        hard[place] = by_name[example.name]
    return hard
