"""The surprisal of one strand on disk, piece by piece in constant memory."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, UInt8

from hyena_glt.errors import DirectionError
from hyena_glt.model import HyenaGLT, ModelState
from hyena_glt.score.likelihood import bits_of
from hyena_glt.stream import Bases, StrandScores, read_pieces

_MANTISSA_BITS = 53
_HALF = 26  # of a mantissa: thousands of halves add up in 64 bits
_SMALLEST = 1126  # the last bit of any float64 is a multiple of 2**-1126


class BitsPiece(NamedTuple):
    """-log2 p of some bases of a strand, each given all bases before it."""

    start: int  # the first base
    ids: UInt8[np.ndarray, " L"]  # the bases, as the strand reads
    bits: Float64[np.ndarray, " L"]  # nan where a base is no letter (N)
    state: ModelState  # to go on from, with the base behind the piece as start

    @property
    def end(self) -> int:
        """Where the next piece begins."""
        return self.start + len(self.ids)


def stream_bits(
    network: HyenaGLT,
    bases: Bases,
    start: int = 0,
    state: ModelState | None = None,
    scores: StrandScores | None = None,
) -> Iterator[BitsPiece]:
    """Yield what ``surprisal_bits`` gives for one strand, a piece at a time.

    ``start`` and ``state`` are an earlier piece's ``end`` and state: from there on the numbers are,
    bit for bit, those of a run that never stopped. ``scores`` are of the same strand, for patches
    that read a track. Letters are taken as they are: ``Strand.check``
    is for those that no network reads. Raises DirectionError for a bidirectional network,
    PatcherError where scores are missing or nothing reads them.
    """
    if network.direction == "bidirectional":
        raise DirectionError(
            "a bidirectional model has no likelihood of a sequence and can't stream: it reads "
            "whole rows, from both sides; use a causal model, or one with direction=both"
        )
    device = next(network.parameters()).device
    state = network.begin(1) if state is None else state
    for piece in read_pieces(bases, start, bases.length_bp):
        track = None if scores is None else scores.row(piece.start, piece.end).to(device)
        with torch.no_grad():  # not across the yield, where it would hold for the caller too
            output = network(piece.ids.to(device), state=state, track=track)
        assert output.state is not None
        state = output.state
        (bits,) = bits_of(network, output.logits, [piece.following])
        yield BitsPiece(piece.start, piece.following, bits, state)


class ExactSum:
    """A sum of float64 numbers, rounded at its end alone: that of ``math.fsum``, piece by piece."""

    def __init__(self, units: int = 0) -> None:
        self.units = units  # the sum, in 2**-1126

    def add(self, values: Float64[np.ndarray, " N"]) -> None:
        """Add finite numbers, at most 2**32 at once."""
        mantissa, exponent = np.frexp(values)
        whole = np.ldexp(mantissa, _MANTISSA_BITS).astype(np.int64)
        for power in np.unique(exponent).tolist():
            part = whole[exponent == power]
            high, low = int((part >> _HALF).sum()), int((part & ((1 << _HALF) - 1)).sum())
            self.units += ((high << _HALF) + low) << (power - _MANTISSA_BITS + _SMALLEST)

    def __float__(self) -> float:
        return self.units / (1 << _SMALLEST)
