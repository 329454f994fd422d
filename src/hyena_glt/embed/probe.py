"""Reading one layer at every base, piece by piece with carried state."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64, UInt8
from torch import Tensor, nn

from hyena_glt.data import whole_rows_of
from hyena_glt.embed.layers import find_layer
from hyena_glt.errors import LayerError, SequenceError
from hyena_glt.model import HyenaGLT, ModelState, Output
from hyena_glt.nn import RMSNorm
from hyena_glt.stream import PIECE_BP, TWO_SIDED_BP, Bases, RowPiece, read_pieces

BATCH_BP = 32_768  # positions in memory at once


class Piece(NamedTuple):
    """A layer's values at the bases of a piece of some rows; after a row's end they mean nothing.

    Base ``start`` of each row comes first. BOS is left out.
    """

    start: int
    values: Float[Tensor, "B L D"]
    length: Int[Tensor, " B"]  # bases of each row in the piece

    @property
    def valid(self) -> Bool[Tensor, "B L 1"]:
        """Where a base stands."""
        index = torch.arange(self.values.shape[1], device=self.values.device)
        return (index < self.length[:, None])[..., None]


class ProbeState(NamedTuple):
    """What a probe goes on with."""

    network: ModelState
    before: Tensor | None  # the vector of the patch closed last, of a layer of patches


class BasesRead(NamedTuple):
    """A layer's values at some bases of a document."""

    start: int  # the first base
    values: Float[Tensor, "L D"]
    following: int  # with this start
    state: ProbeState  # and this state the next piece begins


class PatchesRead(NamedTuple):
    """A layer's values at the patches that close in a piece of a document, the first of which is
    open when the piece begins."""

    ends: Int64[np.ndarray, " P"]  # where each ends: behind base ``end - 1``
    values: Float[Tensor, "P D"]
    following: int  # with this start
    state: ProbeState  # and this state the next piece begins


class Probe:
    """Reads one layer of a network. A patch's vector is read at the bases that may read the patch.

    Causal: base t gets the vector of the patch closed last at or before it. Two-sided: that of the
    patch that it is in.
    """

    def __init__(self, network: HyenaGLT, layer: str, two_sided: bool | None) -> None:
        self.network = network
        self.layer, self._module = find_layer(network, layer)
        self.two_sided = network.direction == "bidirectional" if two_sided is None else two_sided

        exact = network.embed.symbol.weight.dtype == torch.float64
        self.dtype = np.dtype(np.float64 if exact else np.float32)  # of results

    def array(self, values: Float[Tensor, "..."]) -> Float[np.ndarray, "..."]:
        """Return ``values`` in the type of results."""
        kind = torch.float64 if self.dtype == np.float64 else torch.float32
        return np.asarray(values.to(kind).cpu().numpy())

    def in_pieces(self, length_bp: int) -> bool:
        """Return whether a row of that length is read in pieces, alone."""
        return length_bp >= PIECE_BP and not self.two_sided

    def groups(self, lengths_bp: Sequence[int]) -> Iterator[list[int]]:
        """Indices of rows of like length, so that little is padding; a row in pieces is alone."""
        waiting = sorted(range(len(lengths_bp)), key=lambda i: lengths_bp[i])
        while waiting:
            longest = lengths_bp[waiting[-1]]
            size = 1 if self.in_pieces(longest) else max(1, BATCH_BP // (longest + 1))
            yield waiting[-size:]
            del waiting[-size:]

    def check(self, ids: UInt8[np.ndarray, " L"], name: str) -> None:
        """Raise SequenceError, with ``name``, for a sequence that can't be read."""
        self.network.alphabet.validate(ids, name)
        if not len(ids):
            raise SequenceError(f"{name} is empty: there is no base to embed; leave it out")
        if self.two_sided and len(ids) > TWO_SIDED_BP:
            raise SequenceError(
                f"{name} has {len(ids):,} bp; a two-sided network reads a sequence whole, and at "
                f"most {TWO_SIDED_BP:,} bp of it: cut it into windows"
            )

    def read(self, ids: Sequence[UInt8[np.ndarray, "..."]]) -> Iterator[Piece]:
        """Yield the values at all bases of rows, none of them empty, from the first base on."""
        device = next(self.network.parameters()).device
        rows, lengths = (tensor.to(device) for tensor in whole_rows_of(ids))
        total = rows.shape[1]
        piece_bp = total if self.two_sided else PIECE_BP
        state = self.network.begin(len(rows)) if total > piece_bp else None
        before = None
        for start in range(0, total, piece_bp):
            length = (lengths - start).clamp(0, piece_bp)
            values, output = self._call(rows[:, start : start + piece_bp], length, state)
            state = output.state
            values, before = self._at_bases(values, output, before)
            if start == 0:
                values, length = values[:, 1:], length - 1
            if values.shape[1]:
                yield Piece(max(start - 1, 0), values, length)

    @property
    def patch_rate(self) -> int:
        """The stage whose patches have a vector each; LayerError where only bases have one."""
        if not self.layer.rate:
            raise LayerError(
                f"layer {self.layer.name} has a vector a base, and none a patch; take another, "
                "such as backbone.-1"
            )
        return self.layer.rate

    def begin(self) -> ProbeState:
        """Return the state before a document; DirectionError for a bidirectional network."""
        state = self.network.begin(1)
        before = None
        if self.layer.rate:
            before = self.network.embed.symbol.weight.new_zeros(1, self.layer.width)
        return ProbeState(state, before)

    def stream_bases(
        self, bases: Bases, start: int = 0, state: ProbeState | None = None
    ) -> Iterator[BasesRead]:
        """Yield what :meth:`read` gives for one document, which is never in memory as a whole.

        ``start`` and ``state`` are ``following`` and ``state`` of an earlier piece: from there on
        the numbers are, bit for bit, those of a run that never stopped.
        """
        for piece, values, output, before, after in self._stream(bases, start, state):
            at_bases, _ = self._at_bases(values, output, before)
            bos = 1 if piece.start == 0 else 0
            if piece.end - piece.start > bos:
                first = max(piece.start - 1, 0)
                yield BasesRead(first, at_bases[0, bos:], piece.end, after)

    def stream_patches(
        self, bases: Bases, start: int = 0, state: ProbeState | None = None
    ) -> Iterator[PatchesRead]:
        """Yield the vector of each patch of one document; ``start`` and ``state`` as above.

        The open patch at the end has none. Raises LayerError for a layer at the rate of bases.
        """
        rate = self.patch_rate
        for piece, values, output, _, after in self._stream(bases, start, state):
            closes = output.emissions[rate - 1].mask[0].nonzero()[:, 0].cpu().numpy()
            bos = 1 if piece.start == 0 else 0
            vectors = values[0, bos : len(closes)]
            yield PatchesRead(piece.start + closes[bos:], vectors, piece.end, after)

    def _stream(
        self, bases: Bases, start: int, state: ProbeState | None
    ) -> Iterator[tuple[RowPiece, Tensor, Output, Tensor | None, ProbeState]]:
        """Yield (a piece, values at the layer's rate, output, the patch closed before, state)."""
        device = next(self.network.parameters()).device
        state = self.begin() if state is None else state
        for piece in read_pieces(bases, start):
            length = torch.tensor([piece.end - piece.start], device=device)
            values, output = self._call(piece.ids.to(device), length, state.network)
            assert output.state is not None
            before = after = state.before
            if self.layer.rate:
                closed = int(output.emissions[self.layer.rate - 1].mask.sum())
                after = values[:, closed - 1] if closed else before
            state = ProbeState(output.state, after)
            yield piece, values, output, before, state

    @torch.no_grad()
    def _call(
        self, ids: Int[Tensor, "B L"], length: Int[Tensor, " B"], state: ModelState | None
    ) -> tuple[Tensor, Output]:
        """Return (the layer's values at its own rate, the network's output)."""
        caught: list[Tensor] = []

        def catch(module: nn.Module, _inputs: object, outputs: Any) -> None:
            # A norm stands behind slot 0, the latent from before the call; see Hierarchy.forward.
            caught.append(outputs[:, 1:] if isinstance(module, RMSNorm) else outputs[0])

        handle = self._module.register_forward_hook(catch)
        try:
            output = self.network.one_strand(ids, length, state, self.two_sided)
        finally:
            handle.remove()
        if not caught:  # one position, which closes no patch, leaves out the layers behind it
            weight = self.network.embed.symbol.weight
            caught.append(weight.new_zeros(len(ids), 1, self.layer.width))
        (values,) = caught
        return values, output

    def _at_bases(
        self, values: Tensor, output: Output, before: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return (values at every position, the patch's closed last, for the next piece)."""
        if self.layer.rate == 0:
            return values, None
        emit = output.emissions[self.layer.rate - 1].mask.long()
        closed = emit.cumsum(1)
        if self.two_sided:
            return _pick(values, (closed - emit).clamp(max=values.shape[1] - 1)), None
        # Slot 0 is the patch closed last before this piece; BOS closes one, so that a fresh row
        # never reads it.
        if before is None:
            before = torch.zeros_like(values[:, 0])
        values = torch.cat([before[:, None], values], 1)
        return _pick(values, closed), _pick(values, closed[:, -1:])[:, 0]


def _pick(values: Float[Tensor, "B P D"], index: Int[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))
