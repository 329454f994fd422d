import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.errors import SequenceError
from hyena_glt.evaluate.counts import ContextCounts
from hyena_glt.evaluate.kmers import reverse_complement
from hyena_glt.evaluate.markov import MarkovModel, choose_order
from hyena_glt.evaluate.surprisal import bits_per_base, both_strand_surprisal_bits


def dna(letters: str) -> np.ndarray:
    return np.array(["ACGTN".index(letter) for letter in letters], dtype=np.uint8)


def other_strand(letters: str) -> str:
    return "".join("ACGTN"[code] for code in reverse_complement(dna(letters)))


def surprisal_by_hand(train: str, sequence: str, order: int, pseudocount: float) -> list[float]:
    strands = (train, other_strand(train))

    def seen(kmer: str) -> int:
        return sum(
            strand[i : i + len(kmer)] == kmer
            for strand in strands
            for i in range(len(strand) - len(kmer) + 1)
        )

    bits = []
    for i, base in enumerate(sequence):
        context = sequence[max(0, i - order) : i].split("N")[-1]
        if base == "N":
            bits.append(math.nan)
            continue
        total = sum(seen(context + x) for x in "ACGT")
        share = (seen(context + base) + pseudocount) / (total + 4 * pseudocount)
        bits.append(-math.log2(share))
    return bits


def test_aac_at_order_one_costs_what_the_counts_say() -> None:
    # counts on both strands: A 2, C 1, G 1, T 2; after A: A once, C once
    model = MarkovModel.fit([dna("AAC")], order=1, pseudocount=1.0)
    bits = model.surprisal_bits(dna("ACNA"))
    start, after_a = -math.log2(3 / 10), -math.log2(2 / 6)
    np.testing.assert_allclose(bits, [start, after_a, math.nan, start])


@given(
    st.text("ACGT", min_size=1, max_size=40),
    st.text("ACGTN", max_size=25),
    st.integers(0, 4),
    st.floats(0.1, 10),
)
def test_surprisal_equals_counting_in_strings(
    train: str, sequence: str, order: int, pseudocount: float
) -> None:
    model = MarkovModel.fit([dna(train)], order, pseudocount)
    expected = surprisal_by_hand(train, sequence, order, pseudocount)
    np.testing.assert_allclose(model.surprisal_bits(dna(sequence)), expected)


@given(st.text("ACGT", min_size=1, max_size=40), st.text("ACGTN", max_size=8), st.integers(0, 3))
def test_the_four_bases_after_any_context_sum_to_one(train: str, context: str, order: int) -> None:
    model = MarkovModel.fit([dna(train)], order, pseudocount=0.5)
    last = [model.surprisal_bits(dna(context + base))[-1] for base in "ACGT"]
    assert sum(2**-bits for bits in last) == pytest.approx(1, abs=1e-12)


def test_a_base_never_changes_what_comes_before_it() -> None:
    model = MarkovModel.fit([dna("ACGTTGCAACGGT")], order=3, pseudocount=1.0)
    before = model.surprisal_bits(dna("ACGTACGT"))
    after = model.surprisal_bits(dna("ACGTACGA"))
    np.testing.assert_array_equal(before[:-1], after[:-1])
    assert before[-1] != after[-1]


def test_both_strands_are_averaged_base_by_base() -> None:
    model = MarkovModel.fit([dna("AACAGGATC")], order=2, pseudocount=1.0)
    forward = model.surprisal_bits(dna("ACCTN"))
    backward = model.surprisal_bits(dna("NAGGT"))
    both = both_strand_surprisal_bits(model, dna("ACCTN"))
    np.testing.assert_allclose(both, (forward + backward[::-1]) / 2)
    assert bits_per_base(model, [dna("ACCTN"), dna("NN")]) == pytest.approx(both[:4].mean())


def test_bits_per_base_does_not_depend_on_the_strand() -> None:
    model = MarkovModel.fit([dna("AACAGGATCGGATTA")], order=2, pseudocount=1.0)
    sequence = dna("ACCTGANNGATC")
    expected = bits_per_base(model, [sequence])
    assert bits_per_base(model, [reverse_complement(sequence)]) == pytest.approx(expected)


def test_the_order_of_a_third_order_source_is_found() -> None:
    rng = np.random.default_rng(5)
    codes = [0, 1, 2]
    for keep, other in zip(rng.random(24_000) < 0.8, rng.integers(0, 4, 24_000), strict=True):
        codes.append(codes[-3] if keep else int(other))  # the same law on the other strand
    sequence = np.array(codes, dtype=np.uint8)
    choice = choose_order(
        ContextCounts.of([sequence[:20_000]], 6), [sequence[20_000:]], (1, 2, 3, 6)
    )
    assert choice.model.order == 3
    assert choice.model.counts.max_order == 3
    assert len(choice.trials) == 4 * 5
    best = min(trial.validation_bits_per_base for trial in choice.trials)
    assert bits_per_base(choice.model, [sequence[20_000:]]) == pytest.approx(best, abs=1e-12)


def test_uniform_letters_cost_two_bits() -> None:
    letters = np.random.default_rng(0).integers(0, 4, 60_000).astype(np.uint8)
    model = MarkovModel.fit([letters[:40_000]], order=2, pseudocount=1.0)
    assert bits_per_base(model, [letters[40_000:]]) == pytest.approx(2.0, abs=0.005)


def test_a_setting_that_gives_no_probabilities_is_refused() -> None:
    counts = ContextCounts.of([dna("ACGT")], max_order=1)
    with pytest.raises(ValueError, match="pseudocount is 0"):
        MarkovModel(counts, order=1, pseudocount=0.0)
    with pytest.raises(ValueError, match="order is 2, but orders 0 to 1"):
        MarkovModel(counts, order=2, pseudocount=1.0)
    with pytest.raises(ValueError, match="got 0 orders"):
        choose_order(counts, [dna("ACGT")], orders=())


def test_validation_without_bases_is_an_error() -> None:
    counts = ContextCounts.of([dna("ACGT")], max_order=1)
    with pytest.raises(SequenceError, match="no A, C, G or T in 1 sequences"):
        choose_order(counts, [dna("NNN")], orders=(1,))
