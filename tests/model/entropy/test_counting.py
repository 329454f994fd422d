"""Counts of both strands, and entropies with each occurrence left out."""

from collections import Counter
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.errors import SequenceError
from hyena_glt.model.entropy import counting
from hyena_glt.model.entropy.counting import (
    add_other_strand,
    count_following,
    left_out_entropies,
)
from hyena_glt.model.entropy.words import first_word
from hyena_glt.tokenize import alphabet, encode

sequences = st.lists(st.text("ACGTNacgtU", max_size=40), min_size=1, max_size=3)


def occurrences(regions: list[str], longest_bp: int) -> Iterator[tuple[str, str]]:
    """Each base of both strands with the longest context that it has, letter by letter."""
    for region in regions:
        ids = encode(region)
        for strand in (ids, alphabet("dna").reverse_complement(ids)):
            letters = bytes(strand).decode().upper().replace("U", "T")
            for t, base in enumerate(letters):
                before = letters[max(0, t - longest_bp) : t]
                if base in "ACGT":
                    yield before[before.rfind("N") + 1 :], base


def suffixes(context: str) -> list[str]:
    """The context's own suffixes, the empty one first."""
    return [context[len(context) - n :] for n in range(len(context) + 1)]


def bits(shares: list[float]) -> float:
    return float(-sum(share * np.log2(share) for share in shares))


def test_the_bases_after_each_context_of_a_tiny_sequence() -> None:
    # AAC, and its other strand GTT
    nothing, one = count_following([encode("AAC")], longest_bp=1)
    assert nothing.tolist() == [[2, 1, 1, 2]]
    assert one.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]]


def test_the_entropies_of_a_tiny_sequence() -> None:
    table = left_out_entropies(count_following([encode("AAC")], longest_bp=1), prior_count=4.0)
    # 2 A, 1 C, 1 G, 2 T, and 4 / 4 of each besides: in ninths when one of the six is left out.
    without_a, without_c = [2, 2, 2, 3], [3, 1, 2, 3]
    nothing = 4 / 6 * bits([n / 9 for n in without_a]) + 2 / 6 * bits([n / 9 for n in without_c])
    # After A come A and C: one is left out, the other counts 1, and those ninths count 4.
    only_c = [(4 * n / 9 + extra) / 5 for n, extra in zip(without_a, [0, 1, 0, 0], strict=True)]
    only_a = [(4 * n / 9 + extra) / 5 for n, extra in zip(without_c, [1, 0, 0, 0], strict=True)]
    after_a = (bits(only_c) + bits(only_a)) / 2
    # G and T were followed once: with that left out, what remains are the shorter context's shares.
    after_g = after_t = bits([n / 9 for n in [3, 2, 2, 2]])
    expected = [nothing, after_a, nothing, after_g, after_t]  # nothing ever followed C
    assert table.tolist() == [round(1024 * entropy) for entropy in expected]


@pytest.mark.slow
@given(regions=sequences.filter(lambda regions: any(set(r) - {"N"} for r in regions)))
def test_counts_are_those_of_a_loop_over_both_strands(regions: list[str]) -> None:
    longest_bp = 3
    expected: Counter[tuple[str, str]] = Counter()
    for context, base in occurrences(regions, longest_bp):
        expected.update((suffix, base) for suffix in suffixes(context))
    found = count_following((encode(region) for region in regions), longest_bp)
    for order, counts in enumerate(found):
        contexts = ["".join(letters) for letters in product("ACGT", repeat=order)]
        rows = [[expected[context, base] for base in "ACGT"] for context in contexts]
        assert counts.tolist() == rows


@pytest.mark.parametrize("chunk_bp", [1, 2, 7, 50])
def test_windows_run_on_from_chunk_to_chunk_and_never_into_the_next_region(
    chunk_bp: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    regions = [encode("ACGTTGCANACGGATTACATGCA"), encode("GATTACA"), encode("")]
    whole = count_following(regions, longest_bp=4)
    monkeypatch.setattr(counting, "_CHUNK_BP", chunk_bp)
    for expected, found in zip(whole, count_following(regions, longest_bp=4), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("length_bp", [1, 2, 3, 4, 7, 8])
def test_the_other_strand_is_the_transposed_table_turned_round(length_bp: int) -> None:
    counts = np.random.default_rng(length_bp).integers(0, 9, 4**length_bp).astype(np.int32)
    by_letter = counts.reshape([4] * length_bp)
    turned = by_letter.transpose(range(length_bp)[::-1])[(slice(None, None, -1),) * length_bp]
    expected = (by_letter + turned).ravel()
    add_other_strand(counts, length_bp)
    assert np.array_equal(counts, expected)


@pytest.mark.slow
@pytest.mark.parametrize("longest_bp", [0, 1, 2, 8])
def test_an_entry_is_the_mean_over_its_occurrences_each_left_out(longest_bp: int) -> None:
    rng = np.random.default_rng(longest_bp)
    region = "".join(rng.choice(list("ACGT"), 300, p=[0.4, 0.3, 0.2, 0.1])) + "NAC"
    found = left_out_entropies(count_following([encode(region)], longest_bp), prior_count=8.0)
    followed: dict[str, Counter[str]] = {}
    for context, base in occurrences([region], longest_bp):
        for suffix in suffixes(context):
            followed.setdefault(suffix, Counter())[base] += 1

    def left_out(context: str, removed: str) -> list[float]:
        shares = [0.25] * 4
        for suffix in suffixes(context):
            counts = followed[suffix] - Counter(removed)
            total = counts.total() + 8
            shares = [
                (counts[base] + 8 * share) / total
                for base, share in zip("ACGT", shares, strict=True)
            ]
        return shares

    def entropy(context: str) -> float:
        while context not in followed:
            context = context[1:]
        bases = followed[context].elements()
        return float(np.mean([bits(left_out(context, base)) for base in bases]))

    for order in range(longest_bp + 1):
        occurred = [code_of(suffix) for suffix in followed if len(suffix) == order]
        for code in occurred[:300] + rng.integers(0, 4**order, 60).tolist():
            context = "".join("ACGT"[code // 4**place % 4] for place in reversed(range(order)))
            expected = 1024 * entropy(context)
            assert abs(found[first_word(order) + code] - expected) < 0.501, context


def code_of(context: str) -> int:
    return sum("ACGT".index(base) * 4**place for place, base in enumerate(reversed(context)))


@pytest.mark.parametrize(("prior_count", "least_gain"), [(4.0, 0.01), (32.0, 0.001)])
def test_a_base_that_was_counted_looks_less_certain_when_left_out(
    prior_count: float, least_gain: float
) -> None:
    train, fresh, following = independent_letters()
    shares = np.full((1, 4), 0.25)
    for counts in following:
        shares = counts + prior_count * np.tile(shares, (len(counts) // len(shares), 1))
        shares /= shares.sum(1, keepdims=True)
    counted = -(shares * np.log2(shares)).sum(1)
    left_out = left_out_entropies(following, prior_count)[first_word(8) :] / 1024
    gain = certainty(counted, train, fresh) - certainty(left_out, train, fresh)
    assert gain > least_gain


def test_a_base_that_was_counted_looks_no_more_certain_than_a_fresh_one() -> None:
    train, fresh, following = independent_letters()
    table = left_out_entropies(following)[first_word(8) :] / 1024
    assert abs(certainty(table, train, fresh)) < 0.001


def independent_letters() -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Training bases, fresh ones, and the counts of the former: of contexts, most occur once."""
    train, fresh = np.random.default_rng(0).choice(encode("ACGT"), (2, 20_000))
    return train, fresh, count_following([train], longest_bp=8)


def certainty(table: np.ndarray, train: np.ndarray, fresh: np.ndarray) -> float:
    """By how much training bases look more certain than fresh ones, in bits, after 8 bases."""
    means = []
    for sequence in (train, fresh):
        index = alphabet("dna").letter_index(sequence).astype(np.int64)
        last = [index[7 - place : len(index) - place] * 4**place for place in range(8)]
        means.append(table[sum(last)].mean())
    return float(means[1] - means[0])


@pytest.mark.parametrize("regions", [[], [b""], [b"NNNN", b"RYN"]])
def test_regions_without_a_letter_are_refused(regions: list[bytes]) -> None:
    with pytest.raises(SequenceError, match="found 0 letters A C G T"):
        count_following([encode(region) for region in regions], longest_bp=2)


def test_more_letters_than_counts_can_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_MOST_LETTERS", 7)
    count_following([encode("ACGTNNNACG")], longest_bp=2)
    with pytest.raises(SequenceError, match=r"found 8 letters .* expected 1 to 7"):
        count_following([encode("ACGTNNNACGT")], longest_bp=2)
