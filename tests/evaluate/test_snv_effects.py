import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.errors import SequenceError
from hyena_glt.evaluate.coding import CODING_SNV
from hyena_glt.evaluate.counts import ContextCounts
from hyena_glt.evaluate.effects import deleterious_auroc, snv_effects_nats, substitution_strata
from hyena_glt.evaluate.markov import MarkovModel
from hyena_glt.evaluate.mixture import MixtureModel
from hyena_glt.evaluate.surprisal import SequenceModel, both_strand_surprisal_bits


def dna(letters: str) -> np.ndarray:
    return np.array(["ACGTN".index(letter) for letter in letters], dtype=np.uint8)


def snv_records(
    changes: list[tuple[int, str, str, str, int]], consequence: str = "missense"
) -> np.ndarray:
    """Records from (position, ref, alt, strand, codon position), each in a gene of its own."""
    return np.array(
        [
            (position, "ACGT".index(ref), "ACGT".index(alt), strand, place, consequence, gene)
            for gene, (position, ref, alt, strand, place) in enumerate(changes)
        ],
        dtype=CODING_SNV,
    )


def markov(order: int) -> MarkovModel:
    return MarkovModel.fit([dna("AACAGGATCGGATTACCAGTTTAGACGAT")], order, pseudocount=0.5)


def mixture(max_order: int) -> MixtureModel:
    counts = ContextCounts.of([dna("AACAGGATCGGATTACCAGTTTAGACGAT")], max_order)
    return MixtureModel.fit(counts, [dna("GGATTACAGTT")])


@pytest.mark.slow
@pytest.mark.parametrize("model", [markov(0), markov(2), markov(4), mixture(3)])
@given(letters=st.text("ACGTN", min_size=1, max_size=20), data=st.data())
def test_an_effect_equals_scoring_the_whole_sequence_twice(
    model: SequenceModel, letters: str, data: st.DataObject
) -> None:
    known = [i for i, base in enumerate(letters) if base != "N"]
    if not known:
        return
    position = data.draw(st.sampled_from(known))
    alt = data.draw(st.sampled_from(sorted(set("ACGT") - {letters[position]})))
    mutant = letters[:position] + alt + letters[position + 1 :]
    ref_bits = np.nansum(both_strand_surprisal_bits(model, dna(letters)))
    alt_bits = np.nansum(both_strand_surprisal_bits(model, dna(mutant)))
    snvs = snv_records([(position, letters[position], alt, "+", 0)])
    effect = snv_effects_nats(model, dna(letters), snvs)
    np.testing.assert_allclose(effect, [(ref_bits - alt_bits) * math.log(2)], atol=1e-9)


def test_a_change_away_from_the_usual_has_an_effect_below_zero() -> None:
    model = MarkovModel.fit([dna("A" * 40)], order=1, pseudocount=0.1)
    effects = snv_effects_nats(model, dna("AAAAA"), snv_records([(2, "A", "C", "+", 0)]))
    assert effects[0] < 0


def test_many_snvs_get_the_effects_they_get_alone() -> None:
    sequence = dna("GGATTACAGTTAACNGT")
    snvs = snv_records([(0, "G", "A", "+", 0), (5, "A", "T", "+", 0), (16, "T", "C", "+", 0)])
    together = snv_effects_nats(markov(3), sequence, snvs)
    alone = [snv_effects_nats(markov(3), sequence, snvs[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(together, alone)


def test_a_snv_of_another_sequence_is_an_error() -> None:
    with pytest.raises(SequenceError, match=r"1 of 1 SNVs have another ref .* position 1, ref G"):
        snv_effects_nats(markov(1), dna("ACGT"), snv_records([(1, "G", "A", "+", 0)]))
    with pytest.raises(SequenceError, match="past a sequence of 4 bases"):
        snv_effects_nats(markov(1), dna("ACGT"), snv_records([(4, "G", "A", "+", 0)]))


def test_a_stratum_is_the_substitution_on_the_genes_own_strand() -> None:
    snvs = snv_records(
        [(0, "C", "T", "+", 2), (0, "G", "A", "-", 2), (0, "G", "A", "+", 2), (0, "C", "T", "+", 1)]
    )
    # C>T at codon position 2 is (1 * 4 + 3) * 3 + 2; G>A is (2 * 4 + 0) * 3 + 2
    assert substitution_strata(snvs).tolist() == [23, 23, 26, 22]


def test_lower_effects_of_the_deleterious_class_raise_the_auroc() -> None:
    place = ("C", "T", "+", 0)
    stops = snv_records([(0, *place), (1, *place)], "stop_gained")
    same = snv_records([(2, *place), (3, *place)], "synonymous")
    other = snv_records([(4, *place)], "missense")
    snvs = np.concatenate([stops, same, other])
    effects = np.array([-5.0, -1.0, -2.0, 0.5, -9.0])
    # -5 is below both, -1 below one of the two: 3 of 4 pairs
    assert deleterious_auroc(effects, snvs, "stop_gained").estimate == 0.75
    assert deleterious_auroc(effects, snvs, "missense").estimate == 1.0
    assert deleterious_auroc(effects, snvs, "missense", "stop_gained").pairs == 2


def test_matching_leaves_only_pairs_of_one_substitution_and_codon_position() -> None:
    stops = snv_records([(0, "C", "T", "+", 0), (1, "G", "A", "+", 2)], "stop_gained")
    same = snv_records([(2, "C", "T", "+", 0), (3, "A", "G", "+", 2)], "synonymous")
    effects = np.array([-1.0, -9.0, -2.0, -3.0])
    matched = deleterious_auroc(effects, np.concatenate([stops, same]), "stop_gained", matched=True)
    assert (matched.pairs, matched.estimate) == (1, 0.0)  # C>T: -1 is not below -2
