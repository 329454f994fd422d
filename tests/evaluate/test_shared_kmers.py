import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.evaluate import repeats
from hyena_glt.evaluate.kmers import reverse_complement
from hyena_glt.evaluate.repeats import shared_kmers


def dna(letters: str) -> np.ndarray:
    return np.array(["ACGTN".index(letter) for letter in letters], dtype=np.uint8)


def shared_by_hand(train: list[str], sequence: str, k: int) -> list[bool]:
    strands = [*train, *(other_strand(region) for region in train)]
    mask = [False] * len(sequence)
    for start in range(len(sequence) - k + 1):
        kmer = sequence[start : start + k]
        if "N" not in kmer and any(kmer in strand for strand in strands):
            mask[start : start + k] = [True] * k
    return mask


def other_strand(letters: str) -> str:
    return "".join("ACGTN"[code] for code in reverse_complement(dna(letters)))


def test_a_kmer_is_found_on_either_strand() -> None:
    # AACG in training: ACG stands in TACGA, and CGT in CGTC is its other strand
    assert shared_kmers([dna("AACG")], dna("TACGA"), k=3).tolist() == [0, 1, 1, 1, 0]
    assert shared_kmers([dna("AACG")], dna("CGTC"), k=3).tolist() == [1, 1, 1, 0]


@given(
    st.lists(st.text("ACGTN", max_size=40), max_size=3),
    st.text("ACGTN", max_size=40),
    st.integers(1, 6),
)
def test_the_mask_equals_searching_strings(train: list[str], sequence: str, k: int) -> None:
    mask = shared_kmers([dna(region) for region in train], dna(sequence), k)
    assert mask.tolist() == shared_by_hand(train, sequence, k)


def test_thirty_one_shared_bases_are_too_few_and_thirty_two_enough() -> None:
    unique = "ACGTTGCAAGGCTATTCCGATGACCTAGTCAG"
    assert len(unique) == 32
    train = [dna("GG" + unique + "AA")]
    assert not shared_kmers(train, dna(unique[:31] + "C" * 20)).any()
    found = shared_kmers(train, dna("TT" + unique + "CC"))
    assert found.tolist() == [False] * 2 + [True] * 32 + [False] * 2


def test_kmers_at_the_edge_of_a_chunk_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    train = rng.integers(0, 4, 500).astype(np.uint8)
    sequence = np.concatenate([train[200:300], rng.integers(0, 4, 100).astype(np.uint8)])
    whole = shared_kmers([train], sequence, k=12)
    monkeypatch.setattr(repeats, "_CHUNK_BP", 17)
    np.testing.assert_array_equal(shared_kmers([train], sequence, k=12), whole)
    assert whole[:100].all()


def test_nothing_is_shared_with_no_training() -> None:
    assert not shared_kmers([], dna("ACGTACGT"), k=3).any()
    assert shared_kmers([dna("ACGT")], dna(""), k=3).shape == (0,)
