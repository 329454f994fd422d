"""A strand of a contig on disk, read from its first base to its last in constant memory."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor

from hyena_glt.errors import SequenceError
from hyena_glt.io import Reference, Track
from hyena_glt.stream.rows import PIECE_BP
from hyena_glt.tokenize import BOS, Alphabet, encode

_CHECKED_BP = 1 << 20  # of a contig, in memory at once while its letters are checked


@runtime_checkable
class Bases(Protocol):
    """A document that is read an interval at a time."""

    length_bp: int

    def fetch(self, start: int, end: int) -> UInt8[np.ndarray, " L"]:
        """Return the ids of bases ``start`` to ``end``, 0-based, as the document reads."""


class Strand:
    """One strand of a contig. ``other``: the reverse complement, read from the contig's end.

    Positions count from the first base that the strand reads. The contig is open for random access
    and never in memory as a whole.
    """

    def __init__(
        self, genome: Reference, contig: str, alphabet: Alphabet, other: bool = False
    ) -> None:
        self.contig = contig
        self.other = other
        self.length_bp = genome.length_bp(contig)
        self._genome, self._alphabet = genome, alphabet

    def fetch(self, start: int, end: int) -> UInt8[np.ndarray, " L"]:
        """Return the ids of bases ``start`` to ``end`` of the strand."""
        if not self.other:
            return encode(self._genome.fetch(self.contig, start, end))
        length_bp = self.length_bp
        forward = encode(self._genome.fetch(self.contig, length_bp - end, length_bp - start))
        return self._alphabet.reverse_complement(forward)

    def check(self) -> None:
        """Raise SequenceError, with the file and the place, at a letter that no network reads."""
        for start in range(0, self.length_bp, _CHECKED_BP):
            ids = self.fetch(start, min(start + _CHECKED_BP, self.length_bp))
            try:
                self._alphabet.validate(ids, self.contig, start)
            except SequenceError as error:
                raise SequenceError(f"{self._genome.path}: {error}") from None


class StrandScores:
    """A score a base of a strand, from a track on disk.

    Raises SequenceFileError where the track doesn't have the contig.
    """

    def __init__(self, track: Track, strand: Strand) -> None:
        self._track, self._strand = track, strand
        self._contig = track.resolve(strand.contig)

    def fetch(self, start: int, end: int) -> Float32[np.ndarray, " L"]:
        """Return the scores of bases ``start`` to ``end`` of the strand, NaN where there is none.

        Raises SequenceFileError as ``Track.fetch`` does.
        """
        if not self._strand.other:
            return self._track.fetch(self._contig, start, end)
        length_bp = self._strand.length_bp
        forward = self._track.fetch(self._contig, length_bp - end, length_bp - start)
        return forward[::-1].copy()

    def row(self, start: int, end: int) -> Float[Tensor, "1 L"]:
        """Return the scores at positions ``start`` to ``end`` of the strand's row: BOS has NaN."""
        row = torch.full((1, end - start), torch.nan)
        first = 1 if start == 0 else 0
        row[0, first:] = torch.from_numpy(self.fetch(start - 1 + first, end - 1))
        return row


class Letters:
    """A document that is in memory."""

    def __init__(self, ids: UInt8[np.ndarray, " L"]) -> None:
        self._ids = ids
        self.length_bp = len(ids)

    def fetch(self, start: int, end: int) -> UInt8[np.ndarray, " L"]:
        """Return the ids of bases ``start`` to ``end``."""
        return self._ids[start:end]


class RowPiece(NamedTuple):
    """Some positions of a row: BOS stands at position 0, base i at i + 1."""

    start: int  # the first position
    end: int
    ids: Int[Tensor, "1 L"]
    following: UInt8[np.ndarray, " N"]  # the base behind each position; the last base has none


def read_pieces(
    bases: Bases, start: int = 0, end: int | None = None, piece_bp: int | None = None
) -> Iterator[RowPiece]:
    """Yield the positions ``start`` to ``end`` of a document's row, piece by piece.

    ``end`` None: all, BOS and every base. Pieces hold ``piece_bp`` positions (default: PIECE_BP)
    and begin at its multiples, so that a row that goes on at a piece's end meets the same ones.
    """
    size = PIECE_BP if piece_bp is None else piece_bp
    total = bases.length_bp + 1 if end is None else end
    for first in range(start, total, size):
        last = min(first + size, total)
        found = bases.fetch(max(first - 1, 0), min(last, bases.length_bp)).astype(np.int64)
        row = np.concatenate([[BOS], found]) if first == 0 else found
        following = row[1:].astype(np.uint8)[: last - first]
        yield RowPiece(first, last, torch.from_numpy(row[: last - first])[None], following)
