"""A strand in pieces, stopped and gone on with anywhere, has the surprisal of one pass."""

import math
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from properties.tiny import Case, build
from properties.tolerances import OUTPUT_FP64

from hyena_glt.errors import DirectionError
from hyena_glt.score import ExactSum, likelihood, stream_bits, surprisal_bits
from hyena_glt.stream import Letters, strand
from hyena_glt.tokenize import decode, encode

CASES = [
    Case("SM", "fixed", 2, "LA", "A", "hashed"),
    Case("L", "letters", 1, "SMLA", "M", "exact"),
    Case("S", "budget", 2, "AL", "S", "plain"),
]
EXACT = {case: build(case) for case in CASES}
SINGLE = {case: build(case, dtype=torch.float32) for case in CASES}
networks = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.mark.slow
@networks
@settings(max_examples=8)
@given(data=st.data())
def test_any_pieces_give_the_surprisal_of_one_pass(case: Case, data: st.DataObject) -> None:
    letters = data.draw(st.text("ACGTNacgt", min_size=1, max_size=40), label="letters")
    (expected,) = surprisal_bits(EXACT[case], [letters], both_strands=False)
    found, start, state = [], 0, None
    while start < len(letters):
        # Each piece ends where the last one left off, and sizes change on the way.
        size = data.draw(st.integers(1, 12), label="size")
        with patch.object(strand, "PIECE_BP", size):
            piece = next(stream_bits(EXACT[case], Letters(encode(letters)), start, state))
        assert decode(piece.ids) == letters[piece.start : piece.end]
        found.append(piece.bits)
        start, state = piece.end, piece.state
    np.testing.assert_allclose(np.concatenate(found), expected, atol=OUTPUT_FP64)


@pytest.mark.slow
@networks
def test_the_same_pieces_give_the_same_bits(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = "ACGTTNGCAacgRttACGGTCA" * 3
    monkeypatch.setattr(likelihood, "PIECE_BP", 7)
    monkeypatch.setattr(strand, "PIECE_BP", 7)
    (expected,) = surprisal_bits(SINGLE[case], [letters], both_strands=False)
    pieces = list(stream_bits(SINGLE[case], Letters(encode(letters))))
    np.testing.assert_array_equal(np.concatenate([piece.bits for piece in pieces]), expected)
    stopped = pieces[4]
    since = stream_bits(SINGLE[case], Letters(encode(letters)), stopped.end, stopped.state)
    np.testing.assert_array_equal(
        np.concatenate([piece.bits for piece in since]), expected[stopped.end :]
    )


def test_the_caller_keeps_its_gradients_between_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strand, "PIECE_BP", 4)
    for piece in stream_bits(EXACT[CASES[0]], Letters(encode("ACGTACGTAC"))):
        assert torch.is_grad_enabled()
        assert not piece.state.hierarchy.latent.requires_grad


def test_a_network_of_both_sides_does_not_stream() -> None:
    network = build(CASES[0], direction="bidirectional")
    with pytest.raises(DirectionError, match="can't stream"):
        next(stream_bits(network, Letters(encode("ACGT"))))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=30), st.integers(0, 30))
def test_a_sum_in_parts_is_rounded_once(numbers: list[float], cut: int) -> None:
    numbers = [number for number in numbers if abs(number) < 1e300]
    total = ExactSum()
    total.add(np.array(numbers[:cut], np.float64))
    total = ExactSum(total.units)
    total.add(np.array(numbers[cut:], np.float64))
    assert float(total) == math.fsum(numbers)
