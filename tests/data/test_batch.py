"""Rows: where a base stands, what it is predicted from, and that padding weighs nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.data import bases_in, collate, rows_of, whole_rows_of
from hyena_glt.data.windows import Window, make_window
from hyena_glt.tokenize import BOS, MASK, PAD, alphabet, encode

DNA = alphabet("dna")
LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=5)


def causal(letters: str) -> Window:
    return make_window(encode(letters), DNA, 1.0)


def masked(letters: str, hidden: str) -> Window:
    """``hidden`` has the letter where it is hidden and a dot elsewhere."""
    window, under = make_window(encode(letters), DNA, 1.0), encode(hidden)
    seen = under == ord(".")
    ids, target, weight = window.ids.copy(), window.target.copy(), window.weight.copy()
    ids[~seen], target[seen], weight[seen] = MASK, -1, 0
    return Window(ids, target, weight, "masked")


def test_padding_weighs_nothing_and_a_row_opens_with_bos() -> None:
    (batch,) = collate([causal("ACG"), causal("T")]).values()
    assert batch.ids.tolist() == [[BOS, ord("A"), ord("C")], [BOS, PAD, PAD]]
    assert batch.length.tolist() == [3, 1]
    assert batch.target.tolist() == [[0, 1, 2], [3, -1, -1]]
    assert batch.weight.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_a_masked_rows_target_stands_under_its_mask() -> None:
    batch = collate([masked("ACGT", "..G."), masked("TA", "T.")])["masked"]
    a, c, t = (ord(letter) for letter in "ACT")
    assert batch.ids.tolist() == [[BOS, a, c, MASK, t], [BOS, MASK, a, PAD, PAD]]
    assert batch.length.tolist() == [5, 3]
    assert batch.target.tolist() == [[-1, -1, -1, 2, -1], [-1, 3, -1, -1, -1]]
    assert batch.weight.tolist() == [[0, 0, 0, 1, 0], [0, 1, 0, 0, 0]]


@pytest.mark.parametrize("kinds", ["c", "m", "cmmc", "mc"])
def test_a_batch_has_the_kinds_that_are_there_and_counts_their_bases(kinds: str) -> None:
    windows = [causal("ACG") if kind == "c" else masked("ACGTA", ".C...") for kind in kinds]
    batches = collate(windows)
    rows = {kind: len(batch.ids) for kind, batch in batches.items()}
    expected = {"causal": kinds.count("c"), "masked": kinds.count("m")}
    assert rows == {kind: count for kind, count in expected.items() if count}
    assert list(batches) == sorted(batches)
    assert bases_in(batches) == 3 * kinds.count("c") + 5 * kinds.count("m")


@given(lengths=LENGTHS)
def test_position_t_of_a_row_is_followed_by_base_t(lengths: list[int]) -> None:
    rows = [encode("ACGT" * 3)[:n] for n in lengths]
    ids, length = rows_of(rows)
    assert length.tolist() == lengths
    for row, n in enumerate(lengths):
        assert ids[row, :n].tolist() == [BOS, *rows[row][: n - 1].tolist()]
        assert ids[row, n:].tolist() == [PAD] * (max(lengths) - n)


@given(lengths=LENGTHS)
def test_base_i_of_a_whole_row_stands_at_the_position_after_i(lengths: list[int]) -> None:
    rows = [encode("ACGT" * 3)[:n] for n in lengths]
    ids, length = whole_rows_of(rows)
    assert length.tolist() == [n + 1 for n in lengths]
    for row, n in enumerate(lengths):
        assert ids[row, : n + 1].tolist() == [BOS, *rows[row].tolist()]
        assert ids[row, n + 1 :].tolist() == [PAD] * (max(lengths) - n)
