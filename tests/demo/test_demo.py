"""The whole demo, once, as a user runs it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.demo, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "hyena_glt.cli", "demo", "--out", "runs/demo"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # other tests run beside it
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "runs/demo"


@pytest.fixture(scope="module")
def report(finished: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((finished / "report.json").read_text())
    return content


def test_the_model_beats_what_counting_can_do(report: dict[str, Any]) -> None:
    assert report["training_bases"] <= 6_000_000
    assert report["parameters"] <= 2_000_000
    assert report["heldout_bits_per_base"] <= 1.88
    assert report["heldout_bits_per_base"] <= report["markov_bits_per_base"] - 0.045
    assert report["heldout_bits_per_base_unshared"] < report["mixture_bits_per_base_unshared"]


def test_it_finds_stop_codons_worse_than_synonymous_changes(report: dict[str, Any]) -> None:
    assert report["auroc_stop_vs_synonymous"] >= 0.80
    assert report["auroc_stop_vs_synonymous"] > report["markov_auroc_stop_vs_synonymous"]
    assert 0 < report["auroc_missense_vs_synonymous"] < 1
    assert report["snvs"]["genes"] >= 40
    for consequence in ("stop_gained", "missense", "synonymous"):
        assert report["snvs"][consequence] >= 300


def test_the_report_and_the_checkpoint_name_the_command(
    finished: Path, report: dict[str, Any]
) -> None:
    assert report["command"] == "hyena-glt demo --out runs/demo"
    provenance = json.loads((finished / "checkpoint/provenance.json").read_text())
    assert provenance["command"] == report["command"]


def test_memory_stays_under_4_gb(report: dict[str, Any]) -> None:
    assert report["peak_memory_bytes"] < 4e9
    assert report["seconds_train"] < report["seconds_total"]


def test_the_held_out_score_is_what_the_command_line_gives(
    finished: Path, report: dict[str, Any]
) -> None:
    arguments = ["checkpoint", "heldout.fa", "--out", "heldout.tsv", "--both-strands"]
    subprocess.run(
        [sys.executable, "-m", "hyena_glt.cli", "score", "fasta", *arguments],
        cwd=finished,
        check=True,
    )
    header, line = (finished / "heldout.tsv").read_text().splitlines()
    row = dict(zip(header.split("\t"), line.split("\t"), strict=True))
    assert float(row["bits_per_base"]) == pytest.approx(report["heldout_bits_per_base"], rel=1e-6)


def test_the_page_needs_nothing_beside_it(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert page.count("<svg") == 3
    assert page.count("&gt;sample_") == 4
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
    assert "<script" not in page
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL).lower()
