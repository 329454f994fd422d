"""The BRCA1 script: the data are what they are said to be, and without them it says what to do."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "brca1_sge.py"
DATA = Path(os.environ.get("HYENA_GLT_DATA", ROOT.parent / "shared" / "data")) / "brca1_sge"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("brca1_sge", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_without_the_data_it_says_where_they_should_be(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path, "--data", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert ".fa.gz: found no such file" in done.stderr
    assert "HYENA_GLT_DATA" in done.stderr
    assert "Traceback" not in done.stderr


def test_pieces_outside_exons_keep_away_from_them(script: ModuleType) -> None:
    position = np.array([5000, 5100, 9000])
    empty = np.array(["A"] * 3)
    exon = np.array(["X1", "X1", "X2"])
    snvs = script.Snvs(position, empty, empty, empty, empty, exon)
    codes = np.arange(12_000, dtype=np.int64)
    first, second, third = script.outside_exons(codes, snvs)
    assert (first[0], first[-1]) == (0, 3999)
    assert (second[0], second[-1]) == (6101, 7999)
    assert (third[0], third[-1]) == (10_001, 11_999)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} isn't there; set HYENA_GLT_DATA")
def test_the_consequence_class_alone_gives_what_is_known(script: ModuleType) -> None:
    snvs = script.read_snvs(DATA / script.TABLE)
    assert len(snvs.position) == 3893
    rule = np.array([float(script.RULE.get(name, 0)) for name in snvs.consequence])
    found = script.aurocs(rule, snvs)
    assert found["all_lof_vs_func_int"]["auroc"] == pytest.approx(0.762, abs=0.001)
    assert found["missense_lof_vs_func_int"]["auroc"] == 0.5
    (region,) = script.read_fasta(DATA / script.FASTA)
    letters = np.array(list(region.sequence.upper()))
    assert (letters[snvs.position] == snvs.ref).all()
