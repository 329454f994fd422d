"""Sketches estimate the likeness of sets of k-mers, and pairs of them connect what is alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Int64

from hyena_glt.data.examples import sketch
from hyena_glt.data.examples.sketch import (
    cluster_names,
    clusters,
    exact_hashes,
    similar_pairs,
    sketches,
)
from hyena_glt.tokenize import alphabet

DNA = alphabet("dna")
SEQUENCE = b"GATTACAGGCTTAACCGTATCGGATCCATGCAAGTC"
OTHER_STRAND = b"GACTTGCATGGATCCGATACGGTTAAGCCTGTAATC"


def random_dna(rng: np.random.Generator, length: int) -> bytes:
    return np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, length)].tobytes()


def substituted(rng: np.random.Generator, sequence: bytes, count: int) -> bytes:
    letters = bytearray(sequence)
    for at in rng.choice(len(letters), count, replace=False):
        letters[at] = rng.choice([letter for letter in b"ACGT" if letter != letters[at]])
    return bytes(letters)


def words(sequence: bytes, k: int) -> set[bytes]:
    """The k-mers of either strand, by their definition."""
    found = set()
    for start in range(len(sequence) - k + 1):
        word = sequence[start : start + k].upper()
        if set(word) <= set(b"ACGT"):
            found.add(min(word, word.translate(bytes.maketrans(b"ACGT", b"TGCA"))[::-1]))
    return found


def jaccard(one: bytes, other: bytes, k: int = 12) -> float:
    return len(words(one, k) & words(other, k)) / len(words(one, k) | words(other, k))


def connected(sequences: list[bytes]) -> Int64[np.ndarray, " R"]:
    return clusters(len(sequences), similar_pairs(sketches(sequences, DNA)))


def test_the_same_letters_have_the_same_sketch() -> None:
    rows = sketches([SEQUENCE, OTHER_STRAND, SEQUENCE.lower(), SEQUENCE.replace(b"T", b"U")], DNA)
    assert (rows == rows[0]).all()
    assert len(set(rows[0].tolist())) > 10


def test_words_with_an_unknown_letter_are_left_out() -> None:
    one, other = sketches([SEQUENCE, b"NNN" + SEQUENCE + b"RACGTACGTACG"], DNA)
    assert (one == other).all()
    apart = sketches([SEQUENCE[:20] + b"N" + SEQUENCE[20:], SEQUENCE], DNA)
    assert (apart[0] != apart[1]).any()


def test_no_word_spans_two_sequences() -> None:
    together = sketches([SEQUENCE[:15], SEQUENCE[15:]], DNA)
    alone = [sketches([half], DNA)[0] for half in (SEQUENCE[:15], SEQUENCE[15:])]
    assert (together == np.stack(alone)).all()


@settings(max_examples=30)
@given(
    st.lists(st.text("ACGTN", max_size=40), min_size=1, max_size=5),
    st.sampled_from([1, 2, 3, 5, 6, 7]),
)
def test_sketches_are_equal_where_sets_of_words_are(texts: list[str], k: int) -> None:
    sequences = [text.encode() for text in texts]
    rows = sketches(sequences, DNA, k)
    for one, first in zip(sequences, rows, strict=True):
        for other, second in zip(sequences, rows, strict=True):
            if words(one, k) and words(one, k) == words(other, k):
                assert (first == second).all()
            if not words(one, k) & words(other, k) and one != other and words(one, k):
                assert (first == second).sum() <= 2


def test_a_long_sequence_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    sequences = [random_dna(rng, length) for length in (30, 3000, 5, 0, 700, 100)]
    whole = sketches(sequences, DNA)
    monkeypatch.setattr(sketch, "_PIECE_BP", 64)
    assert (sketches(sequences, DNA) == whole).all()


def test_agreement_estimates_the_jaccard_index_without_bias() -> None:
    rng = np.random.default_rng(1)
    pairs = []
    for length, count in ((100, 1), (100, 2), (100, 5), (400, 20), (1000, 20)):
        for _ in range(16):
            one = random_dna(rng, length)
            pairs.append((one, substituted(rng, one, count)))
    true = np.array([jaccard(one, other) for one, other in pairs])
    firsts, seconds = (sketches([pair[side] for pair in pairs], DNA) for side in (0, 1))
    error = (firsts == seconds).mean(axis=1) - true
    by_kind = error.reshape(5, 16)
    assert (np.abs(by_kind.mean(axis=1)) < 4 * 0.09 / 16**0.5).all()
    assert ((error / np.sqrt(true * (1 - true) / 32)) ** 2).mean() < 1.6


def test_different_sequences_agree_by_chance_alone() -> None:
    rng = np.random.default_rng(2)
    rows = sketches([random_dna(rng, 8000) for _ in range(30)], DNA)
    agree = (rows[:, None] == rows[None]).mean(axis=2)[np.triu_indices(30, 1)]
    assert agree.max() <= 2 / 32


def test_a_sequence_without_words_is_like_its_equals_alone() -> None:
    short = [b"ACGTTG", b"CAACGT", b"ACGTTA", b"acguug", b"", b"N" * 50, b"N" * 51]
    rows = sketches(short, DNA)
    equal = (rows[:, None] == rows[None]).all(axis=2)
    assert np.argmax(equal, axis=1).tolist() == [0, 0, 2, 0, 4, 5, 6]
    assert (rows[0] == rows[2]).sum() <= 1


def test_proteins_have_one_strand_and_letters_of_their_own() -> None:
    protein = alphabet("protein")
    rows = sketches([b"MKTAYIAKQRQISFVK", b"KVFSIQRQKAIYATKM", b"MKTUY", b"MKTTY"], protein)
    assert (rows[0] != rows[1]).all()
    assert (rows[2] != rows[3]).all()


@pytest.mark.parametrize(("k", "size"), [(17, 32), (0, 32), (12, 24), (12, 2)])
def test_sizes_that_cannot_be_are_said(k: int, size: int) -> None:
    with pytest.raises(ValueError, match=r"expected|must be"):
        sketches([SEQUENCE], DNA, k, size)


def test_alike_sequences_are_connected_and_others_not() -> None:
    rng = np.random.default_rng(5)
    originals = [random_dna(rng, 100) for _ in range(200)]
    copies = [substituted(rng, one, 1) for one in originals]
    shifted = [one[5:] + random_dna(rng, 5) for one in originals]
    labels = connected(originals + copies + shifted).reshape(3, 200)
    assert (labels[0] == np.arange(200)).all()
    for row in labels[1:]:
        assert (row == labels[0]).mean() > 0.95
        assert ((row == labels[0]) | (row >= 200)).all()


def test_pairs_are_missed_no_more_often_than_said() -> None:
    rng = np.random.default_rng(6)
    likeness = np.repeat([0.5, 0.8], 2000)
    one = rng.integers(0, 1 << 16, (4000, 32), dtype=np.uint16)
    other = rng.integers(0, 1 << 16, (4000, 32), dtype=np.uint16)
    agrees = rng.random((4000, 32)) < likeness[:, None]
    pairs = similar_pairs(np.concatenate([one, np.where(agrees, one, other)]), least=0.01)
    found = np.isin(np.arange(4000), pairs[:, 0]).reshape(2, 2000)
    assert 0.97 < found[0].mean() < 1
    assert found[1].all()
    assert (pairs[:, 1] - pairs[:, 0] == 4000).all()


def test_pairs_reach_the_least_likeness_exactly() -> None:
    row = np.arange(32, dtype=np.uint16)
    half, less = row.copy(), row.copy()
    half[16:] += 100
    less[15:] += 200
    assert similar_pairs(np.stack([row, half])).tolist() == [[0, 1]]
    assert similar_pairs(np.stack([row, less])).tolist() == []
    assert similar_pairs(row[None][:0]).shape == (0, 2)


def test_in_a_small_bucket_each_is_compared_with_each() -> None:
    # Groups of 8 share their first band; two of each agree in half, and in no other whole band.
    rows = np.random.default_rng(9).integers(0, 1 << 16, (30, 8, 8), dtype=np.uint16)
    rows[:, :, :2] = rows[:, :1, :2]
    rows[:, 1, [2, 4]] = rows[:, 0, [2, 4]]
    pairs = similar_pairs(rows.reshape(240, 8))
    assert sorted(pairs.tolist()) == [[group * 8, group * 8 + 1] for group in range(30)]


def test_many_equal_sequences_give_fewer_pairs_than_rows() -> None:
    rows = np.repeat(np.arange(96, dtype=np.uint16).reshape(3, 32), 5000, axis=0)
    pairs = similar_pairs(rows)
    assert len(pairs) == 14997
    assert np.unique(clusters(15000, pairs)).tolist() == [0, 5000, 10000]


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), max_size=9))
def test_in_small_buckets_pairs_connect_all_that_are_alike(rows: list[list[int]]) -> None:
    array = np.array(rows, dtype=np.uint16).reshape(-1, 4)
    alike = [
        (i, j) for i in range(len(array)) for j in range(i) if (array[i] == array[j]).mean() >= 0.75
    ]
    pairs = similar_pairs(array, 0.75)
    expected = clusters(len(array), np.array(alike, dtype=np.int64).reshape(-1, 2))
    assert clusters(len(array), pairs).tolist() == expected.tolist()
    assert len(pairs) == len(array) - len(set(expected.tolist()))
    assert all((i, j) in {(b, a) for a, b in alike} for i, j in pairs.tolist())


@settings(max_examples=30)
@given(
    st.integers(1, 30).flatmap(
        lambda rows: st.tuples(
            st.just(rows),
            st.lists(st.tuples(st.integers(0, rows - 1), st.integers(0, rows - 1)), max_size=40),
        )
    )
)
def test_clusters_are_connected_components(graph: tuple[int, list[tuple[int, int]]]) -> None:
    rows, pairs = graph
    expected = list(range(rows))
    for _ in range(rows):
        for one, other in pairs:
            expected[one] = expected[other] = min(expected[one], expected[other])
    assert clusters(rows, np.array(pairs, dtype=np.int64).reshape(-1, 2)).tolist() == expected


def test_a_long_chain_is_one_cluster() -> None:
    order = np.random.default_rng(7).permutation(20000)
    assert not clusters(20000, np.stack([order[1:], order[:-1]], axis=1)).any()


def test_reordered_sequences_fall_into_the_same_clusters() -> None:
    rng = np.random.default_rng(8)
    families = [random_dna(rng, 90) for _ in range(4)]
    # Families of 40 fill buckets beyond what each is compared with.
    sequences = [substituted(rng, families[i % 4], i % 5) for i in range(160)]
    names = cluster_names(connected(sequences), exact_hashes(sequences, DNA))
    assert len(set(names.tolist())) < 100
    order = rng.permutation(160)
    shuffled = [sequences[i] for i in order]
    again = cluster_names(connected(shuffled), exact_hashes(shuffled, DNA))
    assert (again == names[order]).all()


def test_hashes_are_of_letters_and_not_of_case_or_strand() -> None:
    hashes = exact_hashes([SEQUENCE, SEQUENCE.lower(), OTHER_STRAND, b"ACU", b"act", b""], DNA)
    assert hashes[0] == hashes[1] != hashes[2]
    assert hashes[3] == hashes[4]
    assert len(set(hashes.tolist())) == 4
    selenocysteine, threonine = exact_hashes([b"ACU", b"ACT"], alphabet("protein"))
    assert selenocysteine != threonine
    # A prepared dataset may be compared with one of another machine.
    assert exact_hashes([b"acgu"], DNA).tolist() == exact_hashes([b"ACGT"], DNA).tolist()
