"""A fine-tuning of one task or of several, by its recipe alone."""

from pathlib import Path

from hyena_glt.config import FinetuneRecipe, MultitaskRecipe, TuningRecipe
from hyena_glt.data import file_sha256
from hyena_glt.data.examples import open_dataset
from hyena_glt.data.examples.dataset import MANIFEST
from hyena_glt.finetune.multitask import MultitaskReport, PreparedTasks, finetune_tasks
from hyena_glt.finetune.multitask import prepare_tasks as prepare_several
from hyena_glt.finetune.run import FinetuningReport, Prepared, finetune
from hyena_glt.finetune.run import prepare as prepare_one
from hyena_glt.train.best import is_lower_better as is_lower_better_of_one
from hyena_glt.train.multitask import is_lower_better_of_task
from hyena_glt.train.run import Device


def tune(
    recipe: TuningRecipe,
    out: Path,
    *,
    resume: bool = False,
    device: Device = "cpu",
    command: str = "",
    progress: bool = False,
) -> FinetuningReport | MultitaskReport:
    """Fine-tune ``recipe`` as `finetune` and `finetune_tasks` do; raises what they raise."""
    if isinstance(recipe, MultitaskRecipe):
        return finetune_tasks(
            recipe, out, resume=resume, device=device, command=command, progress=progress
        )
    return finetune(recipe, out, resume=resume, device=device, command=command, progress=progress)


def prepare(recipe: TuningRecipe) -> Prepared | PreparedTasks:
    """Return all that ``recipe`` trains, checked, on the CPU; nothing is written.

    Raises RecipeError, SequenceFileError, MissingExtraError and CheckpointError.
    """
    if isinstance(recipe, MultitaskRecipe):
        return prepare_several(recipe)
    return prepare_one(recipe, open_dataset(Path(recipe.dataset)))


def recipes_of(recipe: TuningRecipe) -> tuple[FinetuneRecipe, ...]:
    """Return the recipe of each task alone."""
    if isinstance(recipe, MultitaskRecipe):
        return tuple(recipe.of_task(name) for name in recipe.tasks)
    return (recipe,)


def datasets_sha256(recipe: TuningRecipe) -> dict[str, str]:
    """Return the SHA-256 of each dataset's manifest, by its folder.

    Raises SequenceFileError for a folder that is no dataset.
    """
    folders = dict.fromkeys(one.dataset for one in recipes_of(recipe))
    for folder in folders:
        open_dataset(Path(folder))
    return {folder: file_sha256(Path(folder) / MANIFEST) for folder in folders}


def is_lower_better(recipe: TuningRecipe) -> bool:
    """Return whether less is better of the metric that chooses the best epoch."""
    if isinstance(recipe, MultitaskRecipe):
        return is_lower_better_of_task(recipe.train.metric)
    return is_lower_better_of_one(recipe.train.metric)
