"""Proteins and coding RNA are made of the genes, letter for letter."""

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from hyena_glt.errors import SequenceError
from hyena_glt.io import read_fasta

SCRIPT = Path(__file__).parents[2] / "scripts" / "gene_products.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = spec_from_file_location("gene_products", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("coding", "expected"),
    [
        ("ATGTGGAAATAA", "MWK"),
        ("GTGTGGTGA", "MW"),  # another start codon is read as M all the same
        ("ATGTGNTAG", "MX"),
    ],
)
def test_a_protein_begins_with_m_and_has_no_stop(
    coding: str, expected: str, script: ModuleType
) -> None:
    assert script.protein(coding, "tiny") == expected


@pytest.mark.parametrize(
    ("coding", "message"),
    [
        ("ATGTAAAAATAA", r"gene tiny: stops at codons \[1, 3\] of 4"),
        ("ATGAAA", r"gene tiny: stops at codons \[\] of 2"),
        ("ATGAA", "5 bases are no whole number of codons"),
    ],
)
def test_a_gene_with_a_stop_inside_or_none_at_the_end_is_refused(
    coding: str, message: str, script: ModuleType
) -> None:
    with pytest.raises(SequenceError, match=message):
        script.protein(coding, "tiny")


@pytest.mark.slow
def test_both_files_have_every_whole_gene(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, SCRIPT, "--out", tmp_path / "made"], check=True, capture_output=True
    )
    proteins = list(read_fasta(tmp_path / "made" / "ecoli_dh1_proteins.fa"))
    rnas = list(read_fasta(tmp_path / "made" / "ecoli_dh1_mrna.fa"))
    assert len(proteins) == len(rnas) > 4000
    for protein, rna in zip(proteins, rnas, strict=True):
        assert protein.name == rna.name
        assert len(rna.sequence) == 3 * (len(protein.sequence) + 1)
        assert set(rna.sequence) <= set("ACGUN")
        assert rna.sequence[-3:] in ("UAA", "UAG", "UGA")
        assert protein.sequence[0] == "M"
    # thrA, the first gene of the threonine operon: a textbook's sequence.
    thra = "MRVLKFGGTSVANAERFLRVADILESNARQGQVATVLSAPAKITNHLVAMIEKTISGQDALPNISDAERIF"
    assert sum(protein.sequence.startswith(thra) for protein in proteins) == 1
