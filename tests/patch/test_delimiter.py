"""Delimiters: a motif closes the patch that it ends, and so does the end of a run."""

import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyena_glt.config import DelimiterPatchConfig
from hyena_glt.patch import DelimiterPatcher, build_patcher
from hyena_glt.tokenize import BOS, Modality


def patcher(modality: Modality = "dna", **settings: Any) -> DelimiterPatcher:
    config = DelimiterPatchConfig.model_validate({"kind": "delimiter", **settings})
    built = build_patcher(config, modality)
    assert isinstance(built, DelimiterPatcher)
    return built


def cut_up(rule: DelimiterPatcher, sequence: str) -> str:
    """The sequence with '|' behind every base that closes a patch."""
    ids = torch.tensor([[BOS, *sequence.encode()]])
    begun = rule.begin(1, torch.device("cpu"))
    emission, _ = rule.emit(ids, torch.tensor([ids.shape[1]]), begun)
    mask = emission.mask[0].tolist()
    assert mask[0]
    return "".join(base + "|" * close for base, close in zip(sequence, mask[1:], strict=True))


def test_a_patch_ends_with_a_stop_codon_in_any_frame() -> None:
    rule = patcher(motifs=["TAA", "TAG", "TGA"])
    assert cut_up(rule, "ATGTAACTGACTAGTA") == "ATGTAA|CTGA|CTAG|TA"


def test_motifs_may_overlap_and_need_not_be_of_one_length() -> None:
    assert cut_up(patcher(motifs=["AA"]), "CAAAAC") == "CAA|A|A|C"
    assert cut_up(patcher(motifs=["GATC", "C"]), "CGATCAC") == "C|GATC|AC|"


def test_a_motif_that_the_row_begins_within_is_none() -> None:
    assert cut_up(patcher(motifs=["CG"]), "GCG") == "GCG|"


def test_case_and_uracil_do_not_matter_in_nucleic_acids() -> None:
    for motif in ("tga", "UGA", "TgA"):
        assert cut_up(patcher(motifs=[motif]), "ctgaAUGAtgA") == "ctga|AUGA|tgA|"
        assert cut_up(patcher("rna", motifs=[motif]), "ctgaAUGAtgA") == "ctga|AUGA|tgA|"


def test_a_code_stands_for_its_bases_and_n_for_itself() -> None:
    assert cut_up(patcher(motifs=["RGY"]), "AGTGGCCGTRGY") == "AGT|GGC|CGTRGY"
    assert cut_up(patcher(motifs=["CN"]), "CACNCn") == "CACN|Cn|"


def test_a_letter_of_a_protein_stands_for_itself() -> None:
    # U is selenocysteine and T threonine; B is no set.
    rule = patcher("protein", motifs=["KU", "B", "*"])
    assert cut_up(rule, "MKTKUDNBku*") == "MKTKU|DNB|ku|*|"


def test_a_run_is_over_at_the_first_base_behind_it() -> None:
    rule = patcher(runs="N", max_bp=8)
    assert cut_up(rule, "ACNNNGTNCNN") == "ACNNNG|TNC|NN"
    # A run longer than the longest patch is cut there too.
    assert cut_up(rule, "NNNNNNNNNNGT") == "NNNNNNNN|NNG|T"


def test_motifs_runs_and_limits_work_together() -> None:
    rule = patcher(motifs=["A"], runs="N", min_bp=2, max_bp=4)
    assert cut_up(rule, "AACNNGACCCCCA") == "AA|CNNG|ACCC|CCA|"


@settings(max_examples=60)
@given(
    motifs=st.sets(st.text("ACGT", min_size=1, max_size=4), min_size=1, max_size=3),
    sequence=st.text("ACGTNacgt", max_size=40),
)
def test_every_occurrence_is_found_as_by_a_regular_expression(
    motifs: set[str], sequence: str
) -> None:
    rule = patcher(motifs=sorted(motifs), max_bp=1024)
    ends = {
        match.start() + len(motif)
        for motif in motifs
        for match in re.finditer(f"(?={motif})", sequence.upper())
    }
    expected = "".join(base + "|" * (i in ends) for i, base in enumerate(sequence, 1))
    assert cut_up(rule, sequence) == expected


@pytest.mark.parametrize(
    ("modality", "config", "mean_bp"),
    [
        ("dna", {"motifs": ["TAA", "TAG", "TGA"], "max_bp": 1024}, 64 / 3),
        ("rna", {"motifs": ["URY"], "max_bp": 1024}, 16),
        ("protein", {"motifs": ["KR", "P"], "max_bp": 1024}, 400 / 21),
        ("dna", {"motifs": ["A", "C", "G", "T", "CG"]}, 1),
        ("dna", {"motifs": ["A", "C", "G", "T"], "min_bp": 5}, 5),
        ("dna", {"runs": "A", "max_bp": 1024}, 16 / 3),
        ("dna", {"runs": "N"}, 64),
        ("dna", {"motifs": ["A"], "max_bp": 3}, 1 + 3 / 4 + 9 / 16),
    ],
)
def test_the_mean_patch_of_random_letters_is_reckoned_from_the_words(
    modality: Modality, config: dict[str, Any], mean_bp: float
) -> None:
    assert patcher(modality, **config).mean_bp == pytest.approx(mean_bp)
