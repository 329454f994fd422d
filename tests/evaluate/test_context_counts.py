from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.errors import SequenceError
from hyena_glt.evaluate.counts import ContextCounts
from hyena_glt.evaluate.kmers import reverse_complement


def dna(letters: str) -> np.ndarray:
    return np.array(["ACGTN".index(letter) for letter in letters], dtype=np.uint8)


def count_by_hand(regions: list[str], k: int) -> Counter[str]:
    strands = [strand for region in regions for strand in (region, other_strand(region))]
    kmers = [strand[i : i + k] for strand in strands for i in range(len(strand) - k + 1)]
    return Counter(kmer for kmer in kmers if "N" not in kmer)


def other_strand(letters: str) -> str:
    return "".join("ACGTN"[code] for code in reverse_complement(dna(letters)))


def test_aac_counts_both_strands() -> None:
    # AAC and GTT: A 2, C 1, G 1, T 2; AA, AC, GT and TT once each
    counts = ContextCounts.of([dna("AAC")], max_order=1)
    assert counts.tables[0].tolist() == [2, 1, 1, 2]
    assert {int(code) for code in np.flatnonzero(counts.tables[1])} == {
        0b0000,
        0b0001,
        0b1011,
        0b1111,
    }


@given(st.lists(st.text("ACGTN", max_size=30), min_size=1, max_size=3), st.integers(0, 5))
def test_every_order_equals_counting_windows_one_by_one(regions: list[str], order: int) -> None:
    if not set("".join(regions)) & set("ACGT"):
        return
    counts = ContextCounts.of([dna(region) for region in regions], order)
    for lower in range(order + 1):
        expected = np.zeros(4 ** (lower + 1), dtype=np.int32)
        for kmer, number in count_by_hand(regions, lower + 1).items():
            expected[int("".join(str("ACGT".index(base)) for base in kmer), 4)] = number
        np.testing.assert_array_equal(counts.tables[lower], expected)


def test_no_window_spans_two_regions() -> None:
    apart = ContextCounts.of([dna("AC"), dna("GT")], max_order=1)
    # CG would be in ACGT; AC, GT and their other strands GT, AC are all that is left
    assert int(apart.tables[1].sum()) == 4
    assert apart.tables[1][0b0110] == 0


def test_longer_tables_can_be_dropped() -> None:
    counts = ContextCounts.of([dna("ACGTACGT")], max_order=3)
    short = counts.up_to(1)
    assert short.max_order == 1
    np.testing.assert_array_equal(short.tables[1], counts.tables[1])


@pytest.mark.parametrize("regions", [[], [dna("NNN")]])
def test_regions_without_bases_are_an_error(regions: list[np.ndarray]) -> None:
    with pytest.raises(SequenceError, match="found 0 bases"):
        ContextCounts.of(regions, max_order=2)


def test_an_order_beyond_the_tables_is_refused() -> None:
    with pytest.raises(ValueError, match="max_order is 13"):
        ContextCounts.of([dna("ACGT")], max_order=13)
    with pytest.raises(ValueError, match="orders 0 to 2 were counted"):
        ContextCounts.of([dna("ACGT")], max_order=2).up_to(3)
