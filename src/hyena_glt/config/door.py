"""The one door from YAML to a recipe, and to a dataset's config."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from hyena_glt.config.base import Config
from hyena_glt.config.examples import DatasetConfig
from hyena_glt.config.finetune import FinetuneRecipe
from hyena_glt.config.multitask import MultitaskRecipe, TuningRecipe
from hyena_glt.config.recipe import Recipe
from hyena_glt.errors import RecipeError

_Config = TypeVar("_Config", bound=Config)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe at ``path`` with ``key=value`` overrides such as ``train.lr=1e-3``.

    A value is read as YAML. Raises RecipeError naming the key, what was found and what is allowed.
    """
    return recipe_from(read_mapping(path, overrides), str(path))


def load_dataset_config(path: Path, overrides: Sequence[str] = ()) -> DatasetConfig:
    """Return the dataset's config at ``path``; overrides and errors as :func:`load_recipe`."""
    return dataset_config_from(read_mapping(path, overrides), str(path))


def load_finetune_recipe(path: Path, overrides: Sequence[str] = ()) -> FinetuneRecipe:
    """Return the fine-tuning recipe at ``path``; overrides and errors as :func:`load_recipe`."""
    return finetune_recipe_from(read_mapping(path, overrides), str(path))


def load_multitask_recipe(path: Path, overrides: Sequence[str] = ()) -> MultitaskRecipe:
    """Return the recipe of several tasks at ``path``; overrides and errors as `load_recipe`."""
    return multitask_recipe_from(read_mapping(path, overrides), str(path))


def load_tuning_recipe(path: Path, overrides: Sequence[str] = ()) -> TuningRecipe:
    """Return the fine-tuning recipe at ``path``, that of several tasks where it has ``tasks``.

    Overrides and errors are as of :func:`load_recipe`.
    """
    data = read_mapping(path, overrides)
    read = multitask_recipe_from if "tasks" in data else finetune_recipe_from
    return read(data, str(path))


def recipe_from(data: dict[str, Any], where: str) -> Recipe:
    """Return the recipe that plain ``data`` holds; ``where`` opens the error message."""
    return validated(Recipe, data, where)


def dataset_config_from(data: dict[str, Any], where: str) -> DatasetConfig:
    """Return the dataset's config that plain ``data`` holds; errors as :func:`recipe_from`."""
    return validated(DatasetConfig, data, where)


def finetune_recipe_from(data: dict[str, Any], where: str) -> FinetuneRecipe:
    """Return the fine-tuning recipe that plain ``data`` holds; errors as :func:`recipe_from`."""
    return validated(FinetuneRecipe, data, where)


def multitask_recipe_from(data: dict[str, Any], where: str) -> MultitaskRecipe:
    """Return the recipe of several tasks that plain ``data`` holds; errors as `recipe_from`."""
    return validated(MultitaskRecipe, data, where)


def read_mapping(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Return what the YAML at ``path`` holds, ``overrides`` applied."""
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
        apply_override(data, override)
    return data


def validated(kind: type[_Config], data: dict[str, Any], where: str) -> _Config:
    """Return ``data`` as a ``kind``. Raises RecipeError that names every key that is wrong."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        # A list whose item failed is told to be too short as well.
        found = error.errors()
        parents = {e["loc"][:depth] for e in found for depth in range(len(e["loc"]))}
        schema = kind.model_json_schema()
        lines = [_describe(details, schema) for details in found if details["loc"] not in parents]
        raise RecipeError(f"{where}: " + "; ".join(lines)) from None


def with_overrides(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """Return ``recipe`` with ``key=value`` overrides, checked again as a whole."""
    data = recipe.model_dump(mode="json")
    for override in overrides:
        apply_override(data, override)
    return recipe_from(data, f"recipe {recipe.name!r}")


def with_dataset_overrides(config: DatasetConfig, overrides: Sequence[str]) -> DatasetConfig:
    """Return ``config`` with ``key=value`` overrides, checked again as a whole."""
    data = config.model_dump(mode="json", exclude_unset=True)
    for override in overrides:
        apply_override(data, override)
    return dataset_config_from(data, "dataset")


def recipe_schema() -> dict[str, Any]:
    """Return the recipe's JSON schema, for editors that complete YAML."""
    return Recipe.model_json_schema()


def finetune_schema() -> dict[str, Any]:
    """Return the JSON schema of a fine-tuning recipe, of one task or of several."""
    either: TypeAdapter[Any] = TypeAdapter(FinetuneRecipe | MultitaskRecipe)
    return either.json_schema()


def dataset_schema() -> dict[str, Any]:
    """Return the JSON schema of a dataset's config."""
    return DatasetConfig.model_json_schema()


class _OnceLoader(yaml.SafeLoader):
    """SafeLoader, but a key that stands twice in a mapping is an error."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} stands there a second time; keep one",
                        problem_mark=key.start_mark,
                    )
                seen.add((key.tag, key.value))
        return node


def _read_yaml(text: str, where: str) -> Any:
    try:
        loader = _OnceLoader(text)
    except yaml.YAMLError as error:  # a character that YAML doesn't have, such as NUL
        problem = getattr(error, "reason", None) or "can't be read"
        raise RecipeError(f"{where}: is no valid YAML: {problem}") from None
    try:
        return loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "can't be parsed"
        raise RecipeError(f"{where}{line}: is no valid YAML: {problem}") from None
    finally:
        loader.dispose()


def apply_override(data: dict[str, Any], override: str) -> None:
    """Set in ``data`` what ``override``, a ``key=value``, says. Raises RecipeError if it can't."""
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


def _describe(details: Any, schema: dict[str, Any]) -> str:
    """Return 'key: problem', with the nearest known key where one is unknown."""
    steps = [str(step) for step in details["loc"]]
    shown, known, tags = _locate(steps, schema)
    path = ".".join(shown) or "recipe"
    if details["type"] in ("union_tag_not_found", "union_tag_invalid"):
        return _describe_tag(details, path, tags)
    if details["type"] == "extra_forbidden":
        near = _nearest(steps[-1], known)
        hint = f"did you mean {near!r}?" if near else f"known keys: {', '.join(known)}"
        return f"{path}: unknown key; {hint}"
    if details["type"] == "missing":
        return f"{path}: required key is missing"
    message = details["msg"].removeprefix("Value error, ")
    found = details.get("input")
    if details["type"] == "value_error" or isinstance(found, dict | list):
        return f"{path}: {message}"
    return f"{path}: {message}, found {found!r}"


def _describe_tag(details: Any, path: str, tags: list[str]) -> str:
    """Say which tags, such as 'fixed', a union knows where its tag key is missing or unknown."""
    key = details["ctx"]["discriminator"].strip("'")
    choices = ", ".join(repr(tag) for tag in tags)
    if details["type"] == "union_tag_invalid":
        near = _nearest(details["ctx"]["tag"], tags)
        hint = f"; did you mean {near!r}?" if near else ""
        return f"{path}.{key}: found {details['ctx']['tag']!r}, expected one of {choices}{hint}"
    meant = get_close_matches(key, [str(given) for given in details["input"]], 1)
    if meant:
        return f"{path}.{meant[0]}: unknown key; did you mean {key!r}? It is one of {choices}"
    return f"{path}.{key}: required key is missing; expected one of {choices}"


def _nearest(key: str, known: list[str]) -> str | None:
    """Return the known key that ``key`` begins, or else is most like."""
    begun = [name for name in known if name.startswith(key)]
    near = get_close_matches(key, begun, 1, cutoff=0) or get_close_matches(key, known, 1)
    return near[0] if near else None


def _locate(steps: list[str], schema: dict[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """Return (``steps`` as a user writes them, the keys allowed beside the last, the tags there).

    Read off the JSON schema; pydantic puts a union's tag, such as 'fixed', among the steps.
    """
    definitions = schema["$defs"]

    def resolve(node: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in node:
            return resolve(definitions[node["$ref"].rsplit("/", 1)[1]])
        # What may be null is a choice between null and what it else is.
        some = [choice for choice in node.get("anyOf", ()) if choice.get("type") != "null"]
        return resolve(some[0]) if len(some) == 1 else node

    node, beside = resolve(schema), resolve(schema)
    shown = []
    for step in steps:
        tagged = node.get("discriminator", {}).get("mapping", {})
        if step in tagged:
            node = resolve({"$ref": tagged[step]})
            continue
        shown.append(step)
        beside = node
        if step in node.get("properties", {}):
            node = resolve(node["properties"][step])
        elif "items" in node and step.isdigit():
            node = resolve(node["items"])
        elif isinstance(node.get("additionalProperties"), dict):
            node = resolve(node["additionalProperties"])
        else:
            node = {}
    tag_of = {ref: tag for tag, ref in node.get("discriminator", {}).get("mapping", {}).items()}
    tags = [tag_of[choice["$ref"]] for choice in node.get("oneOf", ())] if tag_of else []
    return shown, sorted(beside.get("properties", {})), tags
