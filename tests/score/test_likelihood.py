"""Likelihoods: the same alone and beside others, in one pass and in pieces, on either strand."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from properties.tiny import Case, build
from properties.tolerances import LOGLIK_FP32_RELATIVE, OUTPUT_FP64

from hyena_glt.errors import SequenceError
from hyena_glt.model import HyenaGLT
from hyena_glt.score import (
    Substitution,
    likelihood,
    score_sequences,
    score_substitutions,
    surprisal_bits,
)
from hyena_glt.tokenize import BOS, alphabet, decode, encode

CASES = [
    Case("SM", "fixed", 2, "LA", "A", "hashed"),
    Case("L", "letters", 1, "SMLA", "M", "exact"),
    Case("A", "none", 1, "M", "S", "plain"),
]
EXACT = {case: build(case) for case in CASES}
SINGLE = {case: build(case, dtype=torch.float32) for case in CASES}
UNIFORM = build(CASES[0], live=False)
SEQUENCES = st.lists(st.text("ACGTNacgtnRY", max_size=40), max_size=5)

networks = pytest.mark.parametrize("case", CASES, ids=str)


def reverse_complement(sequence: str) -> str:
    return decode(alphabet("dna").reverse_complement(encode(sequence)))


def dna(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@torch.no_grad()
def plainly(network: HyenaGLT, sequence: str) -> list[float]:
    """-log2 p of each base by one call for each base; nan for what is no letter."""
    bits = []
    for t, letter in enumerate(sequence):
        ids = torch.tensor([[BOS, *encode(sequence[:t]).tolist()]])
        p = network(ids).logits[0, -1].double().softmax(-1)
        index = "ACGT".find(letter.upper())
        bits.append(-math.log2(p[index]) if index >= 0 else math.nan)
    return bits


@pytest.mark.slow
@networks
def test_a_base_is_predicted_from_the_bases_before_it(case: Case) -> None:
    sequence = "ACGTTNGCAacgRtt"
    (found,) = surprisal_bits(EXACT[case], [sequence])
    np.testing.assert_allclose(found, plainly(EXACT[case], sequence), atol=OUTPUT_FP64)
    score = score_sequences(EXACT[case], [sequence])[0]
    assert (score.length_bp, score.scored_bp) == (15, 13)
    assert score.bits_per_base == pytest.approx(np.nanmean(found), rel=1e-12)
    assert score.loglik_nats == pytest.approx(-np.nansum(found) * math.log(2), rel=1e-12)


@pytest.mark.slow
@networks
@settings(max_examples=10)
@given(sequences=SEQUENCES, both=st.booleans())
def test_a_score_does_not_depend_on_what_is_scored_beside_it(
    case: Case, sequences: list[str], both: bool
) -> None:
    together = score_sequences(SINGLE[case], sequences, both)
    assert len(together) == len(sequences)
    for sequence, score in zip(sequences, together, strict=True):
        (alone,) = score_sequences(SINGLE[case], [sequence], both)
        assert score[:2] == alone[:2]
        assert score.loglik_nats == pytest.approx(alone.loglik_nats, rel=LOGLIK_FP32_RELATIVE)


@pytest.mark.slow
@networks
@pytest.mark.parametrize("piece_bp", [7, 1, 20])
def test_pieces_with_carried_state_give_the_numbers_of_one_pass(
    case: Case, piece_bp: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = [dna(40), "N" * 9 + dna(15, 1), dna(21, 2), "", "ac"]
    whole = surprisal_bits(EXACT[case], sequences, both_strands=True)
    single = score_sequences(SINGLE[case], sequences)
    monkeypatch.setattr(likelihood, "PIECE_BP", piece_bp)
    monkeypatch.setattr(likelihood, "BATCH_BP", 3 * piece_bp)
    for found, expected in zip(surprisal_bits(EXACT[case], sequences, True), whole, strict=True):
        np.testing.assert_allclose(found, expected, atol=OUTPUT_FP64)
    for score, one in zip(score_sequences(SINGLE[case], sequences), single, strict=True):
        assert score.loglik_nats == pytest.approx(one.loglik_nats, rel=LOGLIK_FP32_RELATIVE)


def test_a_model_that_knows_nothing_scores_two_bits_exactly() -> None:
    scores = score_sequences(UNIFORM, ["ACGT", dna(999), "acgnnT"], both_strands=True)
    assert [score.bits_per_base for score in scores] == [2.0, 2.0, 2.0]
    assert [score.scored_bp for score in scores] == [4, 999, 4]


def test_an_unknown_base_is_in_neither_numerator_nor_denominator() -> None:
    (score,) = score_sequences(UNIFORM, ["NNNNACGTNN"])
    assert (score.length_bp, score.scored_bp, score.bits_per_base) == (10, 4, 2.0)
    (nothing,) = score_sequences(UNIFORM, ["NNNN"])
    assert (nothing.scored_bp, nothing.loglik_nats) == (0, 0)
    assert math.isnan(nothing.bits_per_base)


def test_an_empty_sequence_has_no_base_and_no_likelihood() -> None:
    for both in (False, True):
        (score,) = score_sequences(EXACT[CASES[0]], [""], both)
        assert (score.length_bp, score.scored_bp, score.loglik_nats) == (0, 0, 0)
        assert math.isnan(score.bits_per_base)
    assert score_sequences(EXACT[CASES[0]], []) == []


@pytest.mark.slow
@networks
@settings(max_examples=8)
@given(sequence=st.text("ACGTNacgt", min_size=1, max_size=50))
def test_both_strands_are_averaged_and_either_gives_the_same(case: Case, sequence: str) -> None:
    other = reverse_complement(sequence)
    (one,) = surprisal_bits(EXACT[case], [sequence], both_strands=True)
    (two,) = surprisal_bits(EXACT[case], [other], both_strands=True)
    np.testing.assert_allclose(one, two[::-1], atol=OUTPUT_FP64)
    forward, backward = surprisal_bits(EXACT[case], [sequence, other])
    np.testing.assert_allclose(one, (forward + backward[::-1]) / 2, atol=OUTPUT_FP64)
    (score,) = score_sequences(SINGLE[case], [sequence], both_strands=True)
    (mirrored,) = score_sequences(SINGLE[case], [other], both_strands=True)
    assert score.loglik_nats == pytest.approx(mirrored.loglik_nats, rel=LOGLIK_FP32_RELATIVE)


@pytest.mark.parametrize("case", [CASES[0], CASES[2]], ids=str)
def test_case_is_no_information_and_neither_is_u_for_t(case: Case) -> None:
    upper, lower, rna = score_sequences(EXACT[case], ["ACGTTGCA", "acgTTgca", "ACGUUGCA"])
    assert upper == lower == rna


@networks
def test_the_bits_of_shards_add_up_to_the_whole(case: Case) -> None:
    sequences = [dna(n, n) for n in (3, 40, 17, 1, 28)]
    whole = score_sequences(EXACT[case], sequences)
    edges = [0, 2, 3, 5]
    parts = [score_sequences(EXACT[case], sequences[a:b]) for a, b in pairwise(edges)]
    for name in ("scored_bp", "loglik_nats"):
        total = math.fsum(getattr(score, name) for part in parts for score in part)
        assert total == pytest.approx(math.fsum(getattr(score, name) for score in whole), rel=1e-12)


def test_order_is_kept_whatever_the_lengths() -> None:
    sequences = [dna(n, n) for n in (30, 1, 77, 2, 30, 5)]
    scores = score_sequences(EXACT[CASES[0]], sequences)
    assert [score.length_bp for score in scores] == [30, 1, 77, 2, 30, 5]


@networks
@pytest.mark.parametrize("both", [False, True])
def test_a_substitution_is_the_difference_of_two_windows(case: Case, both: bool) -> None:
    window = "ACGTTGCAACNGT"
    substitutions = [Substitution(0, "T"), Substitution(7, "g"), Substitution(12, "A")]
    found = score_substitutions(EXACT[case], window, substitutions, both)
    for (position, letter), effect in zip(substitutions, found, strict=True):
        changed = window[:position] + letter + window[position + 1 :]
        new, old = score_sequences(EXACT[case], [changed, window], both)
        assert effect == pytest.approx(new.loglik_nats - old.loglik_nats, abs=1e-9)
    (same,) = score_substitutions(EXACT[case], window, [Substitution(3, "T")])
    assert same == pytest.approx(0, abs=OUTPUT_FP64)
    assert score_substitutions(EXACT[case], window, []).shape == (0,)


@pytest.mark.parametrize(
    ("substitution", "message"),
    [
        (Substitution(4, "A"), "at 4 is outside the window of 4 bp"),
        (Substitution(-1, "A"), "at -1 is outside"),
        (Substitution(0, "N"), "the alternative is 'N'; expected one of A, C, G, T"),
        (Substitution(0, "AC"), "the alternative is 'AC'"),
        (Substitution(0, ""), "the alternative is ''"),
        (Substitution(3, "A"), "the reference is 'N'"),
    ],
)
def test_a_substitution_that_can_not_be_says_why(substitution: Substitution, message: str) -> None:
    with pytest.raises(SequenceError, match=message):
        score_substitutions(UNIFORM, "ACGN", [substitution])


def test_a_letter_of_another_modality_is_an_error_with_its_record_and_place() -> None:
    with pytest.raises(SequenceError, match=r"sequence 2.*position 3.*'E'"):
        score_sequences(UNIFORM, ["ACGT", "ACGE"])
    with pytest.raises(SequenceError, match="position 1"):
        score_sequences(UNIFORM, ["A1"])


def test_a_protein_has_one_strand() -> None:
    network = build(Case("S", "fixed", 1, "L", "", "plain"), modality="protein", live=False)
    (score,) = score_sequences(network, ["MKVLAX"])
    assert score.scored_bp == 5
    assert score.bits_per_base == pytest.approx(math.log2(20))
    with pytest.raises(SequenceError, match="protein"):
        score_sequences(network, ["MKVLA"], both_strands=True)
