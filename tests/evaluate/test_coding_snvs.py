import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.errors import SequenceError
from hyena_glt.evaluate.coding import TABLE_11, coding_snvs
from hyena_glt.evaluate.genes import Gene
from hyena_glt.evaluate.kmers import reverse_complement


def dna(letters: str) -> np.ndarray:
    return np.array(["ACGTN".index(letter) for letter in letters], dtype=np.uint8)


# NCBI prints table 11 with the bases in the order T C A G.
NCBI_TABLE_11 = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
AMINO_ACID = {
    a + b + c: NCBI_TABLE_11[16 * "TCAG".index(a) + 4 * "TCAG".index(b) + "TCAG".index(c)]
    for a in "ACGT"
    for b in "ACGT"
    for c in "ACGT"
}
SENSE = sorted(codon for codon, acid in AMINO_ACID.items() if acid != "*")


def snvs_by_hand(coding: str) -> dict[tuple[int, str], tuple[str, int, str]]:
    """(offset in the gene, alt) -> (ref, codon position, consequence), one letter at a time."""
    found = {}
    for offset in range(3, len(coding) - 3):
        place, start = offset % 3, offset - offset % 3
        codon = coding[start : start + 3]
        for alt in set("ACGT") - {coding[offset]}:
            mutant = codon[:place] + alt + codon[place + 1 :]
            before, after = AMINO_ACID[codon], AMINO_ACID[mutant]
            kind = "synonymous" if before == after else "missense"
            kind = "stop_gained" if after == "*" else kind
            found[offset, alt] = (coding[offset], place, kind)
    return found


def test_our_codon_table_is_ncbi_table_11() -> None:
    assert "".join(AMINO_ACID[codon] for codon in sorted(AMINO_ACID)) == TABLE_11


def test_tryptophan_between_start_and_stop() -> None:
    # TGG: TAG and TGA are stops, the other seven changes are missense, none is synonymous
    snvs = coding_snvs(dna("CCATGTGGTAACC"), Gene("chr", 2, 11, "+", "g"), gene_index=7)
    assert len(snvs) == 9
    stops = snvs[snvs["consequence"] == "stop_gained"]
    assert stops["position"].tolist() == [6, 7]
    assert stops["ref"].tolist() == [2, 2]
    assert stops["alt"].tolist() == [0, 0]
    assert stops["codon_position"].tolist() == [1, 2]
    assert set(snvs["gene"].tolist()) == {7}
    assert np.count_nonzero(snvs["consequence"] == "missense") == 7


def test_the_same_gene_on_the_other_strand_is_reported_on_the_forward_strand() -> None:
    # the gene ATG TGG TAA reads TTA CCA CAT on the forward strand
    snvs = coding_snvs(dna("TTACCACATGG"), Gene("chr", 0, 9, "-", "g"))
    stops = snvs[snvs["consequence"] == "stop_gained"]
    # codon position 1 of TGG is the C at 4, codon position 2 the C at 3; G>A is C>T here
    assert stops["position"].tolist() == [4, 3]
    assert stops["ref"].tolist() == [1, 1]
    assert stops["alt"].tolist() == [3, 3]
    assert stops["codon_position"].tolist() == [1, 2]
    assert set(snvs["strand"].tolist()) == {"-"}


@given(
    st.lists(st.sampled_from(SENSE), min_size=1, max_size=12),
    st.sampled_from(["TAA", "TAG", "TGA"]),
    st.text("ACGTN", max_size=5),
    st.booleans(),
)
def test_every_snv_equals_changing_one_letter(
    codons: list[str], stop: str, flank: str, reverse: bool
) -> None:
    coding = "ATG" + "".join(codons) + stop
    sequence = dna(flank + coding + "ACG")
    start, end = len(flank), len(flank) + len(coding)
    if reverse:
        sequence = reverse_complement(sequence)
        start, end = len(sequence) - end, len(sequence) - start
    snvs = coding_snvs(sequence, Gene("chr", start, end, "-" if reverse else "+", "g"))
    found = {}
    for snv in snvs:
        assert sequence[snv["position"]] == snv["ref"]
        offset = end - 1 - snv["position"] if reverse else snv["position"] - start
        ref, alt = (3 - snv["ref"], 3 - snv["alt"]) if reverse else (snv["ref"], snv["alt"])
        key = (int(offset), "ACGT"[alt])
        found[key] = ("ACGT"[ref], int(snv["codon_position"]), str(snv["consequence"]))
    assert found == snvs_by_hand(coding)
    assert len(snvs) == 9 * len(codons)


def test_codons_with_an_unknown_base_and_stops_inside_are_left_out() -> None:
    snvs = coding_snvs(dna("ATGTNGTGATGGTAA"), Gene("chr", 0, 15, "+", "g"))
    assert set(snvs["position"].tolist()) == {9, 10, 11}


@pytest.mark.parametrize(
    ("gene", "found"),
    [
        (Gene("chr", 0, 9, "+", "g", partial=True), "not a whole number of codons"),
        (Gene("chr", 0, 8, "+", "g"), "not a whole number of codons"),
        (Gene("chr", 6, 18, "+", "g"), "not a whole number of codons in 13 bases"),
        (Gene("chr", 1, 10, "+", "g"), "ends in AAC; expected a stop codon"),
        (Gene("chr", 4, 13, "+", "g"), "ends in CNN; expected a stop codon"),
    ],
)
def test_a_gene_of_another_sequence_is_an_error(gene: Gene, found: str) -> None:
    with pytest.raises(SequenceError, match=found):
        coding_snvs(dna("ATGTGGTAACCNN"), gene)
