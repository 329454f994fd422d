"""Every block of the README and of docs/ runs as written, beside a checkpoint as of the demo."""

import re
import shlex
import warnings
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from hyena_glt.cli.app import app
from hyena_glt.config import dataset_config_from, recipe_from

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
README = PAGES["README.md"]
TREE = re.search(r"```text\n(.*?)```", README, flags=re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page], flags=re.DOTALL)


def commands(page: str) -> list[str]:
    text = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def run_blocks(page: str) -> None:
    """Run all Python blocks of a page, each by itself, then all hyena-glt commands, where one is.

    In this process: to load PyTorch and its friends for each would take a minute a page.
    """
    for number, code in enumerate(blocks(page, "python")):
        exec(compile(code, f"{page}, Python block {number}", "exec"), {"__name__": "__main__"})
    for command in commands(page):
        if not command.startswith("hyena-glt"):
            continue
        words = shlex.split(command.partition("  #")[0])[1:]
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # as on a command line
            done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_readme_has_blocks_and_known_commands() -> None:
    assert blocks("README.md", "python")
    programs = {command.split()[0] for page in PAGES for command in commands(page)}
    assert programs == {"make", "hyena-glt"}
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for command in commands("README.md"):
        if command.startswith("make"):
            assert command.split()[1] in targets


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs_as_written(
    page: str, demo_like_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(demo_like_folder)
    run_blocks(page)


def test_every_page_is_linked_from_the_readme() -> None:
    for page in PAGES:
        assert page == "README.md" or f"({page})" in README


def test_every_file_that_a_page_names_is_there() -> None:
    for page, text in PAGES.items():
        for name in re.findall(r"`((?:scripts|recipes|tests|benchmarks)/[\w./-]+)`", text):
            assert (ROOT / name).exists(), f"{page}: {name}"


def test_the_mixture_of_the_docs_is_one(tmp_path: Path) -> None:
    (block,) = blocks("docs/recipes.md", "yaml")
    data = yaml.safe_load((ROOT / "recipes/tiny.yaml").read_text())
    recipe = recipe_from({**data, **yaml.safe_load(block)}, "docs")
    assert recipe.data.mixture is not None


def test_datasets_of_the_docs_are_such() -> None:
    kinds = [
        dataset_config_from(yaml.safe_load(block), "docs").sources[0].kind
        for block in blocks("docs/data.md", "yaml")
    ]
    assert kinds == ["annotation", "signal", "variants"]


def test_the_file_tree_is_true() -> None:
    assert TREE is not None
    named: set[str] = set()
    parents: list[str] = []
    for line in TREE[1].splitlines():
        text = line.partition("#")[0].rstrip()
        if not text:
            continue
        depth = (len(text) - len(text.lstrip())) // 2
        parents = [*parents[:depth], text.strip().rstrip("/")]
        for name in parents[-1].split():
            path = Path(*parents[:-1], name)
            assert (ROOT / path).exists(), path
            named.add(path.as_posix())
    rooms = {
        f"src/hyena_glt/{path.stem}"
        for path in (ROOT / "src/hyena_glt").iterdir()
        if path.name not in ("__init__.py", "__pycache__", "py.typed")
    }
    assert rooms <= {path.removesuffix(".py") for path in named}


def test_the_readme_holds_no_placeholder() -> None:
    for page, text in PAGES.items():
        placeholders = set(re.findall(r"TODO|FIXME|\b[A-Z]+_[A-Z]+\b", text))
        assert not placeholders - {"GLT_DLL", "GLT_SCORED", "GLT_REASON"}, page
