"""Where a network's patches lie along a contig, and how uncertain and how surprised it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64, UInt8
from torch import Tensor

from hyena_glt.data import whole_rows_of
from hyena_glt.errors import SequenceError
from hyena_glt.model import HyenaGLT
from hyena_glt.patch import UNIT, Emission
from hyena_glt.stream import PIECE_BP, TWO_SIDED_BP
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


@torch.no_grad()
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
    rows, _ = whole_rows_of([ids])
    piece_bp = rows.shape[1] if two_sided else PIECE_BP
    # Of the base behind the contig too, which decides whether the last patch is open.
    entropy = None if network.entropy is None else _entropy_bits(network, ids)
    reader = _Reader(
        network,
        1,
        logits=surprisal,
        in_pieces=rows.shape[1] > piece_bp,
        entropy=None if entropy is None else entropy[None],
        track=None if track is None else track[None],
    )
    if entropy is not None:
        entropy = entropy[:-1]
    bits = np.empty(len(ids), np.float32) if surprisal else None
    closes: list[list[np.ndarray]] = [[] for _ in network.patchers]
    overflow = [0 for _ in network.patchers]
    for start in range(0, rows.shape[1], piece_bp):
        piece = rows[:, start : start + piece_bp]
        emissions, logits = reader.read(piece, torch.tensor([piece.shape[1]]), start)
        for level, emission in enumerate(emissions):
            closes[level].append(start + emission.mask[0].nonzero()[:, 0].cpu().numpy())
            overflow[level] += int(emission.overflow[0])
        if bits is not None and logits is not None:
            target = ids[start : start + piece_bp]
            bits[start : start + len(target)] = _surprisal_bits(network, logits[0], target)
    return [
        # The first close of a document is BOS's.
        PatchMap(contig, len(ids), level + 1, np.concatenate(found)[1:], merged, entropy, bits)
        for level, (found, merged) in enumerate(zip(closes, overflow, strict=True))
    ]


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
    emissions, _ = _Reader(network, len(sequences), entropy=entropy).read(rows, length)
    masks = [emission.mask.cpu() for emission in emissions]
    return [[row.nonzero()[1:, 0].numpy() for row in mask] for mask in masks]


def _entropy_bits(
    network: HyenaGLT, ids: UInt8[np.ndarray, " L"]
) -> Float32[np.ndarray, " positions"]:
    """Return the entropy of each base given those before it, and of the one behind the last."""
    model = network.entropy
    assert model is not None
    device = next(network.parameters()).device
    past = torch.full((model.past_bp,), PAD)
    seen = torch.cat([past, torch.tensor([BOS]), torch.from_numpy(ids.astype(np.int64))])[None]
    bits = np.empty(len(ids) + 1, np.float32)
    for start in range(0, len(bits), PIECE_BP):
        end = min(start + PIECE_BP, len(bits))
        units = model(seen[:, start : end + model.past_bp].to(device))
        bits[start:end] = units[0].cpu().numpy() / UNIT
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
        entropy: Float32[np.ndarray, "B N"] | None = None,
        track: Float32[np.ndarray, "B L"] | None = None,
    ) -> None:
        self._network = network
        self._device = next(network.parameters()).device
        routed = any(patcher.reads == "router" for patcher in network.patchers)
        self._whole = logits or routed or network.direction == "bidirectional"
        self._state = network.begin(rows) if self._whole and in_pieces else None
        self._states = [patcher.begin(rows, self._device) for patcher in network.patchers]
        self._entropy, self._track = entropy, track

    def read(
        self, ids: Int[Tensor, "B L"], length: Int[Tensor, " B"], start: int = 0
    ) -> tuple[list[Emission], Float[Tensor, "B L V"] | None]:
        """Return (each stage's closes, the logits if the network was asked) from ``start`` on."""
        end = start + ids.shape[1]
        ids, length = ids.to(self._device), length.to(self._device)
        track = None if self._track is None else self._with_bos(self._track, start, end)
        if self._whole:
            output = self._network(ids, length, self._state, track=track)
            self._state = output.state
            return output.emissions, output.logits
        entropy = None
        if self._entropy is not None:
            # Exact: a float32 holds any number of 1/1024 bit that an entropy can be.
            units = np.round(self._entropy[:, start:end] * UNIT).astype(np.int64)
            entropy = torch.from_numpy(units).to(self._device)
        emissions: list[Emission] = []
        for level, patcher in enumerate(self._network.patchers):
            score: Tensor | None = {"entropy": entropy, "track": track}.get(patcher.reads)
            outer = emissions[-1] if emissions else None
            emission, state = patcher.emit(ids, length, self._states[level], outer, score)
            emissions.append(emission)
            self._states[level] = state
        return emissions, None

    def _with_bos(
        self, values: Float32[np.ndarray, "B L"], start: int, end: int
    ) -> Float[Tensor, "B N"]:
        """Return the values of bases at positions ``start`` to ``end``, nan at BOS."""
        found = values[:, max(start - 1, 0) : end - 1]
        if start == 0:
            found = np.concatenate([np.full((len(values), 1), np.nan, np.float32), found], axis=1)
        return torch.from_numpy(found).to(self._device)


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
