"""Reading one layer at every base, piece by piece with carried state."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from hyena_glt.data import whole_rows_of
from hyena_glt.embed.layers import find_layer
from hyena_glt.errors import SequenceError
from hyena_glt.model import HyenaGLT, ModelState, Output
from hyena_glt.stream import PIECE_BP, TWO_SIDED_BP

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

    @torch.no_grad()
    def _call(
        self, ids: Int[Tensor, "B L"], length: Int[Tensor, " B"], state: ModelState | None
    ) -> tuple[Tensor, Output]:
        """Return (the layer's values at its own rate, the network's output)."""
        caught: list[Tensor] = []

        def catch(module: nn.Module, _inputs: object, outputs: Any) -> None:
            # A norm stands behind slot 0, the latent from before the call; see Hierarchy.forward.
            caught.append(outputs[:, 1:] if isinstance(module, nn.RMSNorm) else outputs[0])

        handle = self._module.register_forward_hook(catch)
        try:
            output = self.network.one_strand(ids, length, state, self.two_sided)
        finally:
            handle.remove()
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
