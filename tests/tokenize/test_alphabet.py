"""What letters mean in DNA, RNA and protein."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.errors import SequenceError
from hyena_glt.tokenize import BOS, EOS, MASK, PAD, Modality, alphabet, decode, encode

NUCLEIC: list[Modality] = ["dna", "rna"]
IUPAC = "ACGTURYSWKMBDHVN"


def complement(sequence: str, modality: Modality) -> str:
    return decode(alphabet(modality).complement(encode(sequence)))


def reverse_complement(sequence: str, modality: Modality) -> str:
    return decode(alphabet(modality).reverse_complement(encode(sequence)))


def test_letters_are_in_the_order_that_labels_and_logits_use() -> None:
    assert alphabet("dna").letters == "ACGT"
    assert alphabet("rna").letters == "ACGU"
    assert alphabet("protein").letters == "ACDEFGHIKLMNPQRSTVWY"


@pytest.mark.parametrize("modality", NUCLEIC)
def test_letter_index_folds_case_and_takes_t_and_u_for_one_letter(modality: Modality) -> None:
    ids = encode("ACGTUacgtuNRn-*")
    expected = [0, 1, 2, 3, 3, 0, 1, 2, 3, 3, -1, -1, -1, -1, -1]
    assert alphabet(modality).letter_index(ids).tolist() == expected


def test_letter_index_of_protein_knows_the_twenty_and_nothing_else() -> None:
    index = alphabet("protein").letter_index(encode("ACDEFGHIKLMNPQRSTVWYacyBZJXUO*"))
    assert index.tolist() == [*range(20), 0, 1, 19, -1, -1, -1, -1, -1, -1, -1]


def test_letter_index_of_special_symbols_is_minus_one_and_shape_is_kept() -> None:
    ids = np.array([[BOS, 65, 67], [71, EOS, PAD], [MASK, 84, 255]], dtype=np.uint8)
    index = alphabet("dna").letter_index(ids)
    assert index.tolist() == [[-1, 0, 1], [2, -1, -1], [-1, 3, -1]]
    assert index.dtype == np.int8


def test_soft_masked_are_the_lower_case_letters_alone() -> None:
    ids = np.append(encode("aCgTnz{`@[*-"), np.uint8(MASK))
    masked = alphabet("dna").is_soft_masked(ids)
    assert masked.tolist() == [True, False, True, False, True, True] + [False] * 7


@pytest.mark.parametrize(
    ("modality", "expected"), [("dna", "TGCAAYRSWMKVHDBN"), ("rna", "UGCAAYRSWMKVHDBN")]
)
def test_complement_follows_the_iupac_table_in_both_cases(
    modality: Modality, expected: str
) -> None:
    assert complement(IUPAC, modality) == expected
    assert complement(IUPAC.lower(), modality) == expected.lower()


def test_reverse_complement_is_the_other_strand_with_its_case() -> None:
    assert reverse_complement("AACgTn", "dna") == "nAcGTT"
    assert reverse_complement("AACgU", "rna") == "AcGUU"
    assert reverse_complement("", "dna") == ""


@pytest.mark.parametrize(("modality", "letter"), [("dna", "T"), ("rna", "U")])
@given(data=st.data())
def test_reverse_complement_twice_gives_the_sequence_back(
    modality: Modality, letter: str, data: st.DataObject
) -> None:
    letters = "ACGRYSWKMBDHVN" + letter
    sequence = data.draw(st.text(alphabet=letters + letters.lower()))
    assert reverse_complement(reverse_complement(sequence, modality), modality) == sequence


@pytest.mark.parametrize("modality", NUCLEIC)
def test_special_symbols_are_their_own_complement(modality: Modality) -> None:
    ids = np.array([BOS, ord("C"), MASK, ord("G"), EOS, PAD], dtype=np.uint8)
    assert alphabet(modality).complement(ids).tolist() == [1, ord("G"), 3, ord("C"), 2, 0]


def test_complement_leaves_its_input_alone_and_gives_an_array_of_its_own() -> None:
    ids = encode("AACC")
    reverse = alphabet("dna").reverse_complement(ids)
    assert reverse.flags.writeable
    assert reverse.flags.c_contiguous
    reverse[:] = 0
    assert decode(ids) == "AACC"


def test_a_protein_has_no_complement() -> None:
    ids = encode("MKV")
    with pytest.raises(SequenceError, match="amino acids don't pair"):
        alphabet("protein").complement(ids)
    with pytest.raises(SequenceError, match="amino acids don't pair"):
        alphabet("protein").reverse_complement(ids)


@pytest.mark.parametrize("wrong", ["E", "-", "*", "@"])
def test_complement_refuses_what_the_modality_does_not_have(wrong: str) -> None:
    for pair in (alphabet("dna").complement, alphabet("dna").reverse_complement):
        with pytest.raises(SequenceError, match=r"position 2 \(0-based\): found "):
            pair(encode(f"AC{wrong}TAA{wrong}"))


@pytest.mark.parametrize("modality", NUCLEIC)
def test_validate_passes_every_iupac_code_in_both_cases(modality: Modality) -> None:
    alphabet(modality).validate(encode(IUPAC + IUPAC.lower()), "chr1")
    alphabet(modality).validate(encode(""), "chr1")


def test_validate_passes_every_amino_acid_and_the_stop() -> None:
    alphabet("protein").validate(encode("ACDEFGHIKLMNPQRSTVWYBZJXUO*acx"), "P53")


def test_validate_names_record_position_and_letter_and_suggests_protein() -> None:
    with pytest.raises(SequenceError) as refusal:
        alphabet("dna").validate(encode("ACGMEEF"), "P04637")
    assert str(refusal.value) == (
        "record 'P04637', position 4 (0-based): found 'E', expected for dna one of "
        "A C G T U R Y S W K M B D H V N in either case; did you mean modality=protein?"
    )


@pytest.mark.parametrize("modality", ["dna", "rna", "protein"])
def test_validate_refuses_gaps_without_suggesting_another_modality(modality: Modality) -> None:
    with pytest.raises(SequenceError, match=r"position 3 \(0-based\): found '-'") as refusal:
        alphabet(modality).validate(encode("ACG-T"), "aligned")
    assert "did you mean" not in str(refusal.value)


def test_validate_names_special_symbols() -> None:
    ids = encode("ACGT")
    ids[0] = BOS
    with pytest.raises(SequenceError, match=r"position 0 \(0-based\): found BOS"):
        alphabet("dna").validate(ids, "chr1")


def test_an_alphabet_is_one_object_even_after_pickling() -> None:
    assert alphabet("rna") is alphabet("rna")
    assert pickle.loads(pickle.dumps(alphabet("rna"))) is alphabet("rna")
