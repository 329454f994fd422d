"""Ids are ASCII codes: nothing is lost, and nothing else is let in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.errors import SequenceError
from hyena_glt.tokenize import BOS, EOS, MASK, PAD, VOCABULARY_SIZE, decode, encode

PRINTABLE = "".join(map(chr, range(32, 127)))


def test_an_id_is_the_ascii_code_of_its_letter() -> None:
    ids = encode("ACgN*")
    assert ids.tolist() == [65, 67, 103, 78, 42]
    assert ids.dtype == np.uint8


def test_special_symbols_fit_the_vocabulary_and_are_no_letters() -> None:
    specials = [PAD, BOS, EOS, MASK]
    assert specials == [0, 1, 2, 3]
    assert not set(specials) & set(encode(PRINTABLE).tolist())
    assert max(encode(PRINTABLE).tolist()) < VOCABULARY_SIZE


@given(st.text(alphabet=PRINTABLE))
def test_decode_is_the_inverse_of_encode_for_every_printable_sequence(sequence: str) -> None:
    assert decode(encode(sequence)) == sequence
    assert encode(sequence.encode()).tolist() == encode(sequence).tolist()


@pytest.mark.parametrize("letters", [b"ACGT", "ACGT"])
def test_encoded_ids_can_be_written_to_without_changing_their_source(letters: str | bytes) -> None:
    ids = encode(letters)
    ids[0] = MASK
    assert ids.tolist() == [MASK, 67, 71, 84]
    assert encode(letters).tolist() == [65, 67, 71, 84]


@pytest.mark.parametrize(
    ("sequence", "position", "found"),
    [
        ("ACG\nT", 3, r"'\n'"),
        ("\tACGT", 0, r"'\t'"),
        ("ACG\x7f", 3, r"'\x7f'"),
        ("ACéT", 2, "'é'"),
        (b"AC\xc3\xa9T", 2, "'Ã'"),
        (b"ACGT\x00", 4, r"'\x00'"),
    ],
)
def test_a_character_that_is_no_letter_is_refused_with_its_position(
    sequence: str | bytes, position: int, found: str
) -> None:
    with pytest.raises(SequenceError) as refusal:
        encode(sequence)
    assert f"position {position} (0-based): found {found}" in str(refusal.value)


@pytest.mark.parametrize(
    ("symbol", "name"),
    [(PAD, "PAD"), (BOS, "BOS"), (EOS, "EOS"), (MASK, "MASK"), (31, "id 31"), (127, "id 127")],
)
def test_decoding_a_symbol_that_is_no_letter_is_refused_by_name(symbol: int, name: str) -> None:
    ids = encode("ACGT")
    ids[2] = symbol
    with pytest.raises(SequenceError, match=rf"position 2 \(0-based\): found {name},"):
        decode(ids)


def test_decoding_wide_integers_neither_wraps_nor_reinterprets_them() -> None:
    assert decode(np.array([65, 67, 71], dtype=np.int64)) == "ACG"
    with pytest.raises(SequenceError, match="id 321"):
        decode(np.array([65, 256 + 65], dtype=np.int64))
    with pytest.raises(SequenceError, match="id -1"):
        decode(np.array([65, -1], dtype=np.int64))


def test_decoding_follows_the_order_of_a_reversed_view() -> None:
    assert decode(encode("ACGT")[::-1]) == "TGCA"
    assert decode(encode("AACCGGTT")[::2]) == "ACGT"
