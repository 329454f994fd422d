import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.evaluate.kmers import both_strands, kmer_codes, reverse_complement


def dna(letters: str) -> np.ndarray:
    return np.array(["ACGTN".index(letter) for letter in letters], dtype=np.uint8)


def complement_by_hand(letters: str) -> str:
    return "".join({"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}[x] for x in letters[::-1])


def test_the_other_strand_of_aacgn_is_ncgtt() -> None:
    assert reverse_complement(dna("AACGN")).tolist() == dna("NCGTT").tolist()


@given(st.text("ACGTN", max_size=40))
def test_the_other_strand_is_the_complement_read_backwards(letters: str) -> None:
    assert reverse_complement(dna(letters)).tolist() == dna(complement_by_hand(letters)).tolist()


def test_both_strands_keeps_regions_and_strands_apart() -> None:
    joined = both_strands([dna("AAC"), dna("G")])
    assert joined.tolist() == dna("NAACNGTTNGNCN").tolist()


@given(st.text("ACGTN", max_size=60), st.integers(1, 32))
def test_a_code_spells_the_kmer_that_ends_there(letters: str, k: int) -> None:
    codes, run_bp = kmer_codes(dna(letters), k)
    for end in range(len(letters)):
        run = letters[: end + 1].split("N")[-1]
        assert run_bp[end] == len(run)
        if len(run) >= k:
            digits = "".join(str("ACGT".index(base)) for base in run[-k:])
            assert int(codes[end]) == int(digits, 4)


def test_a_code_uses_all_64_bits_at_32_bases() -> None:
    codes, _ = kmer_codes(dna("A" + "T" * 32), k=32)
    assert int(codes[-1]) == 2**64 - 1


@pytest.mark.parametrize("k", [0, 33])
def test_a_kmer_that_64_bits_cannot_hold_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"k is {k}"):
        kmer_codes(dna("ACGT"), k)
