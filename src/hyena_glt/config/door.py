"""The one door from YAML to a recipe."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from hyena_glt.config.recipe import Recipe
from hyena_glt.errors import RecipeError


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe at ``path`` with ``key=value`` overrides such as ``train.lr=1e-3``.

    A value is read as YAML. Raises RecipeError naming the key, what was found and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe") from None
    except IsADirectoryError:
        raise RecipeError(f"{path}: is a folder; expected a YAML file") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: is no text file; expected a YAML recipe") from None
    data = _read_yaml(text, str(path))
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: expected a mapping of keys to values, found {data!r:.60}")
    for override in overrides:
        _override(data, override)
    return recipe_from(data, str(path))


def recipe_from(data: dict[str, Any], where: str) -> Recipe:
    """Return the recipe that plain ``data`` holds; ``where`` opens the error message."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        lines = [_describe(details, data) for details in error.errors()]
        raise RecipeError(f"{where}: " + "; ".join(lines)) from None


def recipe_schema() -> dict[str, Any]:
    """Return the recipe's JSON schema, for editors that complete YAML."""
    return Recipe.model_json_schema()


def _read_yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "can't be parsed"
        raise RecipeError(f"{where}{line}: is no valid YAML: {problem}") from None


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"override {override!r}: expected key=value, such as train.lr=1e-3")
    *parents, last = key.split(".")
    place: Any = data
    for step in parents:
        if isinstance(place, list) and step.isdigit() and int(step) < len(place):
            place = place[int(step)]
        elif isinstance(place, dict):
            if place.get(step) is None:
                place[step] = {}
            place = place[step]
        else:
            raise RecipeError(f"override {override!r}: nothing at {step!r} to set a key of")
    value = _read_yaml(text, f"override {override!r}")
    if isinstance(place, dict):
        place[last] = value
    elif isinstance(place, list) and last.isdigit() and int(last) < len(place):
        place[int(last)] = value
    else:
        raise RecipeError(f"override {override!r}: nothing at {last!r} to set")


def _describe(details: Any, data: dict[str, Any]) -> str:
    """Return 'key: problem', with the nearest known key where one is unknown."""
    steps = [str(step) for step in details["loc"]]
    path = ".".join(steps) or "recipe"
    if details["type"] == "extra_forbidden":
        known = _known_keys(steps[:-1])
        near = get_close_matches(steps[-1], known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"{path}: unknown key; {hint}"
    if details["type"] == "missing":
        return f"{path}: required key is missing"
    message = details["msg"].removeprefix("Value error, ")
    found = details.get("input")
    if details["type"] == "value_error" or isinstance(found, dict | list):
        return f"{path}: {message}"
    return f"{path}: {message}, found {found!r}"


def _known_keys(steps: list[str]) -> list[str]:
    """Return the keys allowed at ``steps``, read off the JSON schema (union tags included)."""
    schema = recipe_schema()
    definitions = schema["$defs"]

    def resolve(node: dict[str, Any]) -> dict[str, Any]:
        return definitions[node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node

    node = resolve(schema)
    for step in steps:
        if step in node.get("properties", {}):
            node = resolve(node["properties"][step])
        elif "items" in node and step.isdigit():
            node = resolve(node["items"])
        elif step in node.get("discriminator", {}).get("mapping", {}):
            node = resolve({"$ref": node["discriminator"]["mapping"][step]})
    return sorted(node.get("properties", {}))
