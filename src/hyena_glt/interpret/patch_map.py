"""Where a network's patches lie along a contig, and how uncertain and how surprised it is."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64, UInt8
from torch import Tensor

from hyena_glt.data import whole_rows_of
from hyena_glt.errors import SequenceError
from hyena_glt.model import HyenaGLT, ModelState
from hyena_glt.patch import UNIT, Emission, PatcherState
from hyena_glt.stream import PIECE_BP, TWO_SIDED_BP, Bases, Letters, RowPiece, read_pieces
from hyena_glt.tokenize import BOS, PAD


@dataclass(frozen=True, eq=False)
class PatchMap:
    """One contig, cut into patches by one stage of a network. Arrays are in the contig's order."""

    contig: str
    length_bp: int
    stage: int  # from 1, the outermost
    closes: Int64[np.ndarray, " P"]  # a patch closes after base p - 1; BOS's close, at 0, left out
    overflow: int  # closes that the patcher's cap has merged
    entropy_bits: Float32[np.ndarray, " L"] | None  # expected surprisal of each base; or no model
    surprisal_bits: Float32[np.ndarray, " L"] | None  # nan where a base is no letter; or untrained

    @property
    def ends(self) -> Int64[np.ndarray, " Q"]:
        """Where patches end, the open one at the contig's end with them."""
        if not self.length_bp or (len(self.closes) and self.closes[-1] == self.length_bp):
            return self.closes
        return np.append(self.closes, self.length_bp)

    @property
    def starts(self) -> Int64[np.ndarray, " Q"]:
        """Where patches start: patch i is ``[starts[i], ends[i])``."""
        return np.concatenate([np.zeros(1, np.int64), self.ends[:-1]])[: len(self.ends)]

    @property
    def boundaries(self) -> Int64[np.ndarray, " R"]:
        """The closes inside the contig: its own ends say nothing about a rule."""
        return self.closes[self.closes < self.length_bp]


class MapState(NamedTuple):
    """What goes on from piece to piece: the network's state, or its patchers' alone."""

    network: ModelState | None
    patchers: tuple[PatcherState, ...]


class MapPiece(NamedTuple):
    """The map of some bases of a document."""

    start: int  # the first base
    closes: list[Int64[np.ndarray, "..."]]  # stage by stage; a patch closes after base p - 1
    overflow: list[int]  # stage by stage: closes that the patcher's cap has merged
    entropy_bits: Float32[np.ndarray, " L"] | None  # as in a PatchMap
    surprisal_bits: Float32[np.ndarray, " L"] | None
    following: int  # with this start
    state: MapState  # and this state the next piece begins


def map_contig(
    network: HyenaGLT,
    contig: str,
    ids: UInt8[np.ndarray, " L"],
    *,
    surprisal: bool,
    track: Float32[np.ndarray, " L"] | None = None,
) -> list[PatchMap]:
    """Return the map of each stage of ``network`` on a contig, which is read as one document.

    It is read in pieces with carried state, with the numbers of one pass; beside the arrays of the
    maps the memory is that of one piece. Without ``surprisal``, which only a trained causal network
    has, patchers alone are asked, where they can be. ``track`` is the score of each base for
    patches of kind track, nan where there is none. Raises SequenceError at a letter that the
    modality doesn't have, and for a two-sided network at a contig longer than it reads whole;
    PatcherError where a rule's number hasn't been found.
    """
    network.alphabet.validate(ids, contig)
    two_sided = network.direction == "bidirectional"
    if two_sided and len(ids) > TWO_SIDED_BP:
        raise SequenceError(
            f"record {contig!r} has {len(ids):,} bp; a two-sided network reads a sequence whole, "
            f"and at most {TWO_SIDED_BP:,} bp of it: cut it into windows"
        )
    piece_bp = len(ids) + 1 if two_sided else PIECE_BP
    reader = _Reader(network, 1, logits=surprisal, in_pieces=len(ids) + 1 > piece_bp)
    pieces = list(_read_map(network, reader, Letters(ids), piece_bp=piece_bp, track=track))
    stages = range(len(network.patchers))
    closes = [np.concatenate([piece.closes[level] for piece in pieces]) for level in stages]
    overflow = [sum(piece.overflow[level] for piece in pieces) for level in stages]
    entropy = _concatenated([piece.entropy_bits for piece in pieces])
    bits = _concatenated([piece.surprisal_bits for piece in pieces])
    return [
        PatchMap(contig, len(ids), level + 1, closes[level], overflow[level], entropy, bits)
        for level in stages
    ]


def begin_map(network: HyenaGLT, *, surprisal: bool) -> MapState:
    """Return the state before a document; DirectionError for a bidirectional network."""
    network.begin(1)
    return _Reader(network, 1, logits=surprisal, in_pieces=True).state


def stream_map(
    network: HyenaGLT,
    bases: Bases,
    *,
    surprisal: bool,
    start: int = 0,
    state: MapState | None = None,
) -> Iterator[MapPiece]:
    """Yield what ``map_contig`` gives for a document that is never in memory as a whole.

    ``start`` and ``state`` are ``following`` and ``state`` of an earlier piece: from there on the
    map is, bit for bit, that of a run that never stopped. Not for patches that read a track. Raises
    DirectionError for a bidirectional network.
    """
    before = begin_map(network, surprisal=surprisal) if state is None else state
    reader = _Reader(network, 1, logits=surprisal, state=before)
    yield from _read_map(network, reader, bases, start=start)


def _read_map(
    network: HyenaGLT,
    reader: "_Reader",
    bases: Bases,
    *,
    start: int = 0,
    piece_bp: int | None = None,
    track: Float32[np.ndarray, " L"] | None = None,
) -> Iterator[MapPiece]:
    for piece in read_pieces(bases, start, piece_bp=piece_bp):
        with torch.no_grad():  # not across a yield, where it would hold for the caller too
            found = _map_piece(network, reader, bases, piece, track)
        yield found


def _map_piece(
    network: HyenaGLT,
    reader: "_Reader",
    bases: Bases,
    piece: RowPiece,
    track: Float32[np.ndarray, " L"] | None,
) -> MapPiece:
    entropy = None
    if network.entropy is not None:
        # Of the base behind the contig too, which decides whether the last patch is open.
        entropy = _entropy_bits(network, bases, piece.start, piece.end)
    scores = None if track is None else _with_bos(track, piece.start, piece.end)[None]
    length = torch.tensor([piece.end - piece.start])
    units = None if entropy is None else entropy[None]
    emissions, logits = reader.read(piece.ids, length, units, scores)
    return MapPiece(
        piece.start,
        [_closes(emission, piece.start) for emission in emissions],
        [int(emission.overflow[0]) for emission in emissions],
        None if entropy is None else entropy[: len(piece.following)],
        None if logits is None else _surprisal_bits(network, logits[0], piece.following),
        piece.end,
        reader.state,
    )


def _closes(emission: Emission, start: int) -> Int64[np.ndarray, " P"]:
    """Where patches close in a piece that begins at ``start``, BOS's close left out."""
    found = start + emission.mask[0].nonzero()[:, 0].cpu().numpy()
    return found[found > 0]


def _concatenated(
    pieces: Sequence[Float32[np.ndarray, "..."] | None],
) -> Float32[np.ndarray, " L"] | None:
    there = [piece for piece in pieces if piece is not None]
    return np.concatenate(there) if there else None


@torch.no_grad()
def closes_of(
    network: HyenaGLT, sequences: Sequence[UInt8[np.ndarray, "..."]]
) -> list[list[Int64[np.ndarray, " P"]]]:
    """Return, stage by stage, where patches of each sequence close; BOS's close is left out.

    All sequences are in memory at once; each is a document of its own. Not for patches that read a
    track.
    """
    rows, length = whole_rows_of(sequences)
    entropy = None
    if network.entropy is not None:
        device = next(network.parameters()).device
        entropy = network.entropy_of(rows.to(device)).cpu().numpy().astype(np.float32) / UNIT
    emissions, _ = _Reader(network, len(sequences)).read(rows, length, entropy)
    masks = [emission.mask.cpu() for emission in emissions]
    return [[row.nonzero()[1:, 0].numpy() for row in mask] for mask in masks]


def _entropy_bits(
    network: HyenaGLT, bases: Bases, start: int, end: int
) -> Float32[np.ndarray, " positions"]:
    """Return the entropy of what follows each position from ``start`` to ``end`` of a row."""
    model = network.entropy
    assert model is not None
    device = next(network.parameters()).device
    bits = np.empty(end - start, np.float32)
    for first in range(start, end, PIECE_BP):
        last = min(first + PIECE_BP, end)
        reach = first - model.past_bp
        found = bases.fetch(max(reach - 1, 0), last - 1) if last > 1 else np.zeros(0, np.uint8)
        before = [PAD] * -min(reach, 0) + [BOS] * (reach <= 0)
        seen = torch.from_numpy(np.concatenate([before, found]).astype(np.int64))[None]
        bits[first - start : last - start] = model(seen.to(device))[0].cpu().numpy() / UNIT
    return bits


class _Reader:
    """Reads rows on, piece by piece: the network, or where that is enough its patchers alone."""

    def __init__(
        self,
        network: HyenaGLT,
        rows: int,
        *,
        logits: bool = False,
        in_pieces: bool = False,
        state: MapState | None = None,
    ) -> None:
        self._network = network
        self._device = next(network.parameters()).device
        routed = any(patcher.reads == "router" for patcher in network.patchers)
        self._whole = logits or routed or network.direction == "bidirectional"
        self._logits = logits
        if state is None:
            patchers = [] if self._whole else network.patchers
            state = MapState(
                network.begin(rows) if self._whole and in_pieces else None,
                tuple(patcher.begin(rows, self._device) for patcher in patchers),
            )
        self.state = state

    def read(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"],
        entropy: Float32[np.ndarray, "B L"] | None = None,
        track: Float32[np.ndarray, "B L"] | None = None,
    ) -> tuple[list[Emission], Float[Tensor, "B L V"] | None]:
        """Return (each stage's closes, the logits if the network was asked for them).

        ``entropy`` and ``track`` are of each position, a track's nan at BOS.
        """
        ids, length = ids.to(self._device), length.to(self._device)
        scores = None if track is None else torch.from_numpy(track).to(self._device)
        if self._whole:
            output = self._network(ids, length, self.state.network, track=scores)
            self.state = self.state._replace(network=output.state)
            return output.emissions, output.logits if self._logits else None
        units = None
        if entropy is not None:
            # Exact: a float32 holds any number of 1/1024 bit that an entropy can be.
            units = torch.from_numpy(np.round(entropy * UNIT).astype(np.int64)).to(self._device)
        emissions: list[Emission] = []
        states: list[PatcherState] = []
        for patcher, before in zip(self._network.patchers, self.state.patchers, strict=True):
            score: Tensor | None = {"entropy": units, "track": scores}.get(patcher.reads)
            outer = emissions[-1] if emissions else None
            emission, state = patcher.emit(ids, length, before, outer, score)
            emissions.append(emission)
            states.append(state)
        self.state = MapState(None, tuple(states))
        return emissions, None


def _with_bos(
    values: Float32[np.ndarray, " L"], start: int, end: int
) -> Float32[np.ndarray, " positions"]:
    """Return the values of the bases at positions ``start`` to ``end``, nan at BOS."""
    found = values[max(start - 1, 0) : end - 1]
    return np.concatenate([np.full(1, np.nan, np.float32), found]) if start == 0 else found


def _surprisal_bits(
    network: HyenaGLT, logits: Float[Tensor, "L V"], target: UInt8[np.ndarray, " N"]
) -> Float32[np.ndarray, " N"]:
    """Return -log2 p of the letters that follow the piece's positions, nan at one that is none."""
    # MPS has no float64; the sum over letters is exact enough in float32 there.
    exact = (logits.float() if logits.device.type == "mps" else logits.double())[: len(target)]
    index = torch.from_numpy(network.alphabet.letter_index(target).astype(np.int64))
    index = index.to(logits.device)
    picked = exact.log_softmax(-1).gather(-1, index.clamp(min=0)[:, None])[:, 0]
    bits = (-picked / math.log(2)).masked_fill(index < 0, torch.nan)
    return np.asarray(bits.cpu().numpy(), np.float32)
