"""Words as integers: each position's last letters, whatever breaks them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.model.entropy.words import (
    digits_of_ids,
    first_word,
    last_words,
    last_words_reference,
)
from hyena_glt.tokenize import BOS, EOS, MASK, PAD, encode


def test_words_of_one_length_are_counted_from_the_word_of_as() -> None:
    # nothing; A C G T; AA AC ... TT; AAA ...
    assert [first_word(length_bp) for length_bp in range(4)] == [0, 1, 5, 21]


def test_only_letters_have_digits_in_either_case_and_u_is_t() -> None:
    digits = digits_of_ids()
    assert digits[encode("ACGTUacgtu")].tolist() == [1, 2, 3, 4, 4, 1, 2, 3, 4, 4]
    assert not digits[encode("NRYSWKMBDHV-*.")].any()
    assert not digits[[PAD, BOS, EOS, MASK]].any()
    assert np.count_nonzero(digits) == 10


def test_a_word_ends_with_its_position_and_begins_behind_a_gap() -> None:
    # A A C N G T
    digits = torch.tensor([[1, 1, 2, 0, 3, 4]], dtype=torch.int32)
    ac, gt = 5 + 0 * 4 + 1, 5 + 2 * 4 + 3
    assert last_words(digits, 2).tolist() == [[5, ac, 0, 3, gt]]
    assert last_words(digits, 3).tolist() == [[21 + 1, 0, 3, gt]]


@pytest.mark.slow
@given(
    rows=st.lists(st.lists(st.integers(0, 4), min_size=30, max_size=30), min_size=1, max_size=3),
    longest_bp=st.integers(1, 13),
    length=st.integers(0, 18),
)
def test_joined_words_are_those_of_the_definition(
    rows: list[list[int]], longest_bp: int, length: int
) -> None:
    digits = torch.tensor(rows, dtype=torch.int32)[:, : longest_bp - 1 + length]
    expected = last_words_reference(digits, longest_bp)
    assert torch.equal(last_words(digits, longest_bp), expected)


@pytest.mark.parametrize("longest_bp", [12, 13])
def test_the_last_word_of_all_fits_its_integer(longest_bp: int) -> None:
    digits = torch.full((1, longest_bp), 4, dtype=torch.int32)
    assert last_words(digits, longest_bp).tolist() == [[first_word(longest_bp + 1) - 1]]
