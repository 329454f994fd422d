"""Help comes at once, with an example."""

import json
import subprocess
import sys

import pytest

import hyena_glt
from cli.asking import Run

SCORE = ["score", "score fasta", "score vcf", "score saturation"]
PATCH = ["patch", "patch map", "patch calibrate"]
DATA = ["data", "data inspect", "data prepare"]
TASKS = ["finetune", "sweep", "predict", "evaluate", "rank", "benchmark"]
VERBS = ["", "train", "info", *SCORE, *PATCH, *DATA, *TASKS, "embed", "generate", "schema", "demo"]
SLOW = {"torch", "lightning", "numpy", "pysam", "matplotlib", "hyena_glt.config"}
LOADED = """
import json, sys
from hyena_glt.cli import main
sys.argv = ["hyena-glt", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code, sorted(sys.modules)]))
"""


@pytest.mark.parametrize("verb", VERBS)
def test_help_gives_an_example(run: Run, verb: str) -> None:
    result = run(*verb.split(), "--help")
    assert result.exit_code == 0
    assert "Example: hyena-glt" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_help_loads_nothing_slow(verb: str) -> None:
    output = subprocess.run(
        [sys.executable, "-c", LOADED, *verb.split(), "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    code, loaded = json.loads(output.splitlines()[-1])
    assert code == 0
    assert not SLOW & set(loaded)


def test_per_base_says_how_positions_count(run: Run) -> None:
    shown = run("score", "fasta", "--help").stdout.replace("│", " ")
    assert "position (0-based)" in " ".join(shown.split())


def test_bed_says_what_is_written_beside_the_input(run: Run) -> None:
    shown = " ".join(run("score", "fasta", "--help").stdout.replace("│", " ").split())
    assert "(.fai, of bgzip .gzi too) is written beside the FASTA" in shown


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"hyena-glt {hyena_glt.__version__}\n"


def test_schema_is_the_recipes(run: Run) -> None:
    schema = json.loads(run("schema").stdout)
    assert {"data", "model", "train"} <= set(schema["properties"])


def test_an_unknown_verb_is_wrong_usage_and_names_the_nearest(run: Run) -> None:
    result = run("trian")
    assert result.exit_code == 2
    assert "train" in result.stderr
