"""What the source as a whole keeps to: rooms, sizes, names, and promises."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from hyena_glt.config import Config, Recipe

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "src" / "hyena_glt"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
FILE_LINES, FUNCTION_LINES = 600, 100
FORBIDDEN = {
    *("utils", "util", "helpers", "helper", "common", "misc", "core", "manager"),
    *("enhanced", "advanced", "improved", "new", "old", "v1", "v2", "final"),
}

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions() -> Iterator[tuple[Path, Definition]]:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, Definition):
                yield path, node


def words(name: str) -> set[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return set(spaced.lower().split("_"))


def test_rooms_import_only_what_stands_above_them() -> None:
    result = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


def test_files_and_functions_stay_short() -> None:
    for path in FILES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_LINES, path
    for path, node in definitions():
        if not isinstance(node, ast.ClassDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < FUNCTION_LINES, f"{path}: {node.name}"


def test_names_say_what_a_thing_is() -> None:
    for path in PACKAGE.rglob("*"):
        if path.suffix in ("", ".py") and "__pycache__" not in path.parts:
            assert not words(path.stem) & FORBIDDEN, path
    for path, node in definitions():
        assert not words(node.name) & FORBIDDEN, f"{path}: {node.name}"


def test_nothing_but_the_command_line_prints() -> None:
    for path, tree in TREES.items():
        if path.is_relative_to(PACKAGE / "cli"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path}:{node.lineno}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                written = (node.value.id, node.attr)
                assert written not in {("sys", "stdout"), ("sys", "stderr")}, path


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.slow
def test_nothing_is_ever_unpickled() -> None:
    forbidden = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for path, tree in TREES.items():
        assert not {name.split(".")[0] for name in imported(tree)} & forbidden, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used = f"{node.value.id}.{node.attr}"
                assert used not in {"torch.load", "torch.save", "yaml.load", "pd.read_pickle"}, path
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path


def test_yaml_is_read_safely() -> None:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("yaml.load"):
                raise AssertionError(f"{path}:{node.lineno}: use yaml.safe_load")


def configs(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """All configs that a recipe holds, at any depth."""
    if model in seen:
        return seen
    seen.add(model)
    for field in model.model_fields.values():
        waiting: list[object] = [field.annotation]
        while waiting:
            kind = waiting.pop()
            waiting += getattr(kind, "__args__", ())
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                configs(kind, seen)
    return seen


def test_every_setting_of_a_recipe_is_read_somewhere() -> None:
    """A setting that nothing reads is a promise that nothing keeps."""
    read = {
        node.attr
        for path, tree in TREES.items()
        if not path.is_relative_to(PACKAGE / "config")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    tags = {"by", "kind"}  # they choose a config's class, in pydantic
    found = configs(Recipe, set())
    assert len(found) >= 18
    for config in found:
        assert issubclass(config, Config)
        chosen = {
            name
            for name, field in config.model_fields.items()
            if isinstance(field.annotation, type)
            and issubclass(field.annotation, Config)
            and set(field.annotation.model_fields) <= tags
        }
        unread = set(config.model_fields) - read - tags - chosen
        assert not unread, f"{config.__name__}: nothing reads {', '.join(sorted(unread))}"


@pytest.mark.slow
@pytest.mark.parametrize("room", ["config", "io", "tokenize", "errors"])
def test_rooms_that_need_no_torch_load_none(room: str) -> None:
    code = f"import sys, hyena_glt.{room}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_room_says_what_goes_in_and_what_comes_out() -> None:
    for path, tree in TREES.items():
        if path.name == "__init__.py" and path.read_text(encoding="utf-8").strip():
            assert ast.get_docstring(tree), path
