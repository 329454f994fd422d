"""A sequence is dropped for the first limit that it is beyond; a foreign letter is an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.config.examples import QualityConfig
from hyena_glt.data.examples.quality import check_letters, reasons, why_dropped
from hyena_glt.errors import SequenceError
from hyena_glt.tokenize import alphabet

DNA = alphabet("dna")
LIMITS = QualityConfig(min_bp=4, max_bp=10, max_n_share=0.3, max_ambiguous_share=0.5)


@pytest.mark.parametrize(
    ("sequence", "reason"),
    [
        (b"ACG", "too short"),
        (b"ACGT", None),
        (b"ACGTACGTAC", None),
        (b"ACGTACGTACG", "too long"),
        (b"ACGTACGnNN", None),  # 0.3, the limit itself
        (b"ACGTACnNNn", "too many N"),
        (b"ACGTANrYkm", None),  # 0.5
        (b"ACGTRNrYkm", "too ambiguous"),
        (b"ACGUUUUUUU", None),  # U is T
        (b"NNN", "too short"),  # the first reason counts
    ],
)
def test_the_first_limit_that_a_sequence_is_beyond(sequence: bytes, reason: str | None) -> None:
    assert why_dropped(sequence, LIMITS, DNA) == reason


def test_in_a_protein_x_is_unknown_and_n_an_amino_acid() -> None:
    protein = alphabet("protein")
    assert why_dropped(b"NNNNNNNN", LIMITS, protein) is None
    assert why_dropped(b"MKXXxx", LIMITS, protein) == "too many X"
    assert why_dropped(b"MKBZJB", LIMITS, protein) == "too ambiguous"
    assert why_dropped(b"MKUUO*", LIMITS, protein) is None  # each one amino acid, or the stop


@pytest.mark.slow
@given(st.binary(max_size=20).map(lambda raw: bytes(b"ACGTN"[byte % 5] for byte in raw)))
def test_the_default_drops_the_empty_sequence_alone(sequence: bytes) -> None:
    reason = why_dropped(sequence, QualityConfig(), DNA)
    assert reason == (None if sequence else "too short")


def test_reasons_are_all_there_are_in_the_order_of_the_questions() -> None:
    assert reasons(DNA) == ("too short", "too long", "too many N", "too ambiguous", "duplicate")


def test_a_foreign_letter_is_named_with_its_place() -> None:
    check_letters([b"ACGTacgtUN", b"", b"R"], ["a", "b", "c"], DNA)
    with pytest.raises(SequenceError, match=r"x\.csv, row 2.*position 3 .*'E'"):
        check_letters([b"ACGT", b"ACGEE"], ["x.csv, row 1", "x.csv, row 2"], DNA)
    with pytest.raises(SequenceError, match="'-'"):
        check_letters([b"AC-GT"], ["x.csv, row 1"], DNA)
    check_letters([b"MKE*"], ["p"], alphabet("protein"))
