"""A compiled run is the run, but for rounding; without a compiler it is the run itself."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hyena_glt.config import ModelConfig
from hyena_glt.model import HyenaGLT, compile_calls
from hyena_glt.tokenize import BOS

ROOT = Path(__file__).parents[2]


def network() -> HyenaGLT:
    torch.manual_seed(0)
    stage = {"width": 4, "mlp_width": 3, "encoder": "S", "decoder": ""}
    section = {
        "stages": [{**stage, "patch": {"kind": "fixed", "size_bp": 3}}],
        "backbone": {"width": 4, "mlp_width": 3, "layout": "L"},
    }
    return HyenaGLT(ModelConfig.model_validate(section), "dna")


def test_without_a_compiler_it_says_so_and_nothing_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "g++"))
    ids = torch.tensor([[BOS, *b"ACGTT"]])
    found, expected = network(), network()
    with pytest.warns(RuntimeWarning, match=r"and .*/g\+\+ isn't installed; going on without"):
        assert not compile_calls(found, "cpu")
    assert torch.equal(found(ids).logits, expected(ids).logits)


@pytest.mark.exhaustive  # two minutes and a half of one core
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_a_compiled_run_learns_what_another_learns(tmp_path: Path) -> None:
    bits = {}
    for compiled in ("false", "true"):
        out = tmp_path / compiled
        command = [
            sys.executable,
            "-m",
            "hyena_glt.cli",
            "train",
            "recipes/tiny.yaml",
            "--out",
            out,
        ]
        settings = ["train.bases=16384", "train.validate_every_steps=2", "model.backbone.layout=SL"]
        done = subprocess.run(
            [*map(str, command), *settings, f"train.compile={compiled}", "--json"],
            cwd=ROOT,
            env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=True,
        )
        bits[compiled] = json.loads(done.stdout)["validation_bits_per_base"]
    assert bits["true"] == pytest.approx(bits["false"], abs=1e-4)
