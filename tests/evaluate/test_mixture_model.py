import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.errors import SequenceError
from hyena_glt.evaluate.counts import ContextCounts
from hyena_glt.evaluate.markov import MarkovModel, choose_order
from hyena_glt.evaluate.mixture import MixtureModel
from hyena_glt.evaluate.surprisal import bits_per_base


def dna(letters: str) -> np.ndarray:
    return np.array(["ACGTN".index(letter) for letter in letters], dtype=np.uint8)


def fitted(train: str, validation: str, max_order: int) -> MixtureModel:
    return MixtureModel.fit(ContextCounts.of([dna(train)], max_order), [dna(validation)])


@pytest.mark.slow
@given(
    st.text("ACGT", min_size=1, max_size=60),
    st.text("ACGT", min_size=1, max_size=30),
    st.text("ACGTN", max_size=10),
    st.sampled_from([0, 1, 3, 5, 9]),
)
def test_the_four_bases_after_any_context_sum_to_one(
    train: str, validation: str, context: str, max_order: int
) -> None:
    model = fitted(train, validation, max_order)
    last = [model.surprisal_bits(dna(context + base))[-1] for base in "ACGT"]
    assert sum(2**-bits for bits in last) == pytest.approx(1, abs=1e-12)
    assert np.isfinite(last).all()


def test_two_orders_mix_as_the_formula_says() -> None:
    # AAC and GTT: A 2 of 6; after A: A 1 of 2, C 1 of 2
    model = fitted("AAC", "ACGT", max_order=1)
    # buckets of a context's count: 0 | 1 | 2 | 3 | 4-5 | 6-7, so six is in bucket 5
    of_six, of_two = model.weights[0][5], model.weights[1][2]
    assert 0 < of_six < 1
    p_c = of_six * 1 / 6 + (1 - of_six) / 4
    p_c_after_a = of_two * 1 / 2 + (1 - of_two) * p_c
    assert model.surprisal_bits(dna("AC"))[1] == pytest.approx(-math.log2(p_c_after_a))


def test_a_context_never_seen_leaves_the_shorter_one_alone() -> None:
    model = fitted("AACCAACCAACC", "AACC", max_order=3)
    shorter = MixtureModel(model.counts.up_to(1), model.weights[:2])
    assert model.counts.tables[1][0b1001] == 0  # GC is on neither strand, C alone is
    for letters in ("GCA", "AGCC", "TAGCT"):
        expected = shorter.surprisal_bits(dna(letters))[-1]
        assert model.surprisal_bits(dna(letters))[-1] == expected


def test_an_n_hides_what_came_before_it_and_has_no_surprisal_itself() -> None:
    model = fitted("ACGGTCAACGTTACGG", "ACGGTA", max_order=4)
    bits = model.surprisal_bits(dna("ACGNACG"))
    assert math.isnan(bits[3])
    np.testing.assert_array_equal(bits[4:], bits[:3])


def test_a_base_never_changes_what_comes_before_it() -> None:
    model = fitted("ACGTTGCAACGGT", "ACGTTGAA", max_order=5)
    before = model.surprisal_bits(dna("ACGTACGT"))
    after = model.surprisal_bits(dna("ACGTACGA"))
    np.testing.assert_array_equal(before[:-1], after[:-1])
    assert before[-1] != after[-1]


def genome_with_repeats(seed: int) -> np.ndarray:
    """Second-order text with copies of one 400-base element strewn in."""
    rng = np.random.default_rng(seed)
    table = np.random.default_rng(0).dirichlet(np.ones(4), 16).cumsum(axis=1)
    element = np.random.default_rng(1).integers(0, 4, 400)
    codes = [0, 1]
    for _ in range(10):
        for noise in rng.random(1200):
            drawn = int(np.searchsorted(table[4 * codes[-2] + codes[-1]], noise))
            codes.append(min(drawn, 3))
        codes.extend(element.tolist())
    return np.array(codes, dtype=np.uint8)


def test_each_weight_is_the_likeliest_on_both_strands_of_validation() -> None:
    train, validation = genome_with_repeats(2), genome_with_repeats(3)[:4000]
    fit = MixtureModel.fit(ContextCounts.of([train], max_order=5), [validation])
    settled = np.flatnonzero((fit.weights[5] > 0.01) & (fit.weights[5] < 0.99))
    assert len(settled) >= 5

    def bits_after(bucket: int, change: float) -> float:
        weights = fit.weights.copy()
        weights[5, bucket] += change
        return bits_per_base(MixtureModel(fit.counts, weights), [validation])

    for bucket in settled.tolist():
        assert bits_after(bucket, 0.0) < bits_after(bucket, 0.002)
        assert bits_after(bucket, 0.0) < bits_after(bucket, -0.002)


def test_the_mixture_beats_the_best_fixed_order_where_repeats_need_long_contexts() -> None:
    train = ContextCounts.of([genome_with_repeats(2)], max_order=10)
    validation, heldout = genome_with_repeats(3), genome_with_repeats(4)
    fixed = choose_order(train, [validation], orders=tuple(range(11))).model
    mixture = MixtureModel.fit(train, [validation])
    assert bits_per_base(mixture, [heldout]) < bits_per_base(fixed, [heldout]) - 0.05


def test_one_order_with_much_data_is_the_markov_model() -> None:
    counts = ContextCounts.of([genome_with_repeats(2)], max_order=0)
    mixture = MixtureModel.fit(counts, [genome_with_repeats(3)])
    markov = MarkovModel(counts, order=0, pseudocount=1.0)
    sequence = dna("ACGT")
    expected = markov.surprisal_bits(sequence)
    np.testing.assert_allclose(mixture.surprisal_bits(sequence), expected, atol=0.05)


def test_the_context_is_the_longest_order() -> None:
    assert fitted("ACGTACGT", "ACGT", max_order=4).context_bp == 4


def test_validation_without_bases_is_an_error() -> None:
    with pytest.raises(SequenceError, match="no A, C, G or T in 1 validation regions"):
        fitted("ACGT", "NN", max_order=1)
