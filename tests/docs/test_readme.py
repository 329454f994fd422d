"""Every block of the README runs as written, beside a checkpoint where the demo would leave one."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TREE = re.search(r"```text\n(.*?)```", README, flags=re.DOTALL)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    text = "\n".join(blocks("bash")).replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def run_blocks(folder: Path) -> None:
    """Run all Python blocks, then all hyena-glt commands, in ``folder``."""
    for code in blocks("python"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    for command in commands():
        if not command.startswith("hyena-glt"):
            continue
        words = shlex.split(command.partition("  #")[0])[1:]
        done = subprocess.run(
            [sys.executable, "-m", "hyena_glt.cli", *words],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_readme_has_blocks_and_known_commands() -> None:
    assert blocks("python")
    programs = {command.split()[0] for command in commands()}
    assert programs == {"make", "hyena-glt"}
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for command in commands():
        if command.startswith("make"):
            assert command.split()[1] in targets


@pytest.mark.slow
def test_every_block_runs_as_written(demo_like_folder: Path) -> None:
    run_blocks(demo_like_folder)


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
    assert not re.search(r"TODO|FIXME|\b[A-Z]+_[A-Z]+\b", README)
