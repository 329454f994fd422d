"""What a name on the command line stands for."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from hyena_glt.config import Recipe, load_recipe
from hyena_glt.errors import RecipeError


def read_recipe(source: str, overrides: Sequence[str]) -> Recipe:
    """Return the recipe at the path ``source``, or the one of that name that the package brings.

    Raises RecipeError where there is neither, or the recipe is wrong.
    """
    path = Path(source)
    if not path.exists():
        brought = _brought_recipes()
        if source not in brought:
            names = ", ".join(sorted(brought)) or "none"
            raise RecipeError(
                f"{source}: found no such file, and no recipe of that name in the package "
                f"(it brings: {names}); check the path, which is taken from {Path.cwd()}"
            )
        path = brought[source]
    return load_recipe(path, overrides)


def _brought_recipes() -> dict[str, Path]:
    # Looked up from the top package: hyena_glt.demo itself imports PyTorch.
    folder = Path(str(resources.files("hyena_glt"))) / "demo/recipes"
    return {path.stem: path for path in folder.glob("*.yaml")}
