"""Rows that go on from one state: what they share was read once, and is taken to each of them."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, UInt8
from torch import Tensor

from hyena_glt.model import HyenaGLT, ModelState
from hyena_glt.nn import select_rows
from hyena_glt.stream import PIECE_BP
from hyena_glt.tokenize import PAD


class Branches:
    """Rows that go on from a state, each read as far as it was asked for.

    ``nats`` holds ln p of each base that was read, given all before it. Rows hold letters of the
    modality alone; ``after`` are the logits of the first letter of each.
    """

    def __init__(
        self,
        network: HyenaGLT,
        rows: Sequence[UInt8[np.ndarray, "..."]],
        state: ModelState,
        after: Float[Tensor, "B V"],
        batch_bp: int,
    ) -> None:
        self.nats = [np.empty(len(row)) for row in rows]
        self.read_bp = [0] * len(rows)
        self._network = network
        self._rows = rows
        self._open = list(range(len(rows)))  # whose row of the state is kept
        self._state, self._after = state, after
        self._batch_bp = batch_bp

    def read_to(self, end_bp: Mapping[int, int]) -> None:
        """Read each row on to its number in ``end_bp``, at most to its end; others stay.

        Long rows are read in pieces, ``batch_bp`` positions at once, with the numbers of one pass.
        """
        while True:
            ends = [min(end_bp.get(row, 0), len(self._rows[row])) for row in self._open]
            places = zip(self._open, ends, strict=True)
            longest = max((end - self.read_bp[row] for row, end in places), default=0)
            if longest <= 0:
                return
            piece_bp = max(1, min(longest, PIECE_BP, self._batch_bp // len(self._open)))
            parts = [
                self._rows[row][self.read_bp[row] : min(end, self.read_bp[row] + piece_bp)]
                for row, end in zip(self._open, ends, strict=True)
            ]
            self._read(parts, piece_bp)

    def fork(self, rows: Sequence[int]) -> tuple[ModelState, Float[Tensor, "R V"]]:
        """Return (the state after what was read of the given rows, the logits of what follows)."""
        places = [self._open.index(row) for row in rows]
        index = torch.tensor(places, dtype=torch.long, device=self._after.device)
        return select_rows(self._state, index), self._after[index]

    def leave(self, rows: Collection[int]) -> None:
        """Read the given rows no further; they cost nothing any more."""
        kept = [row for row in self._open if row not in rows]
        if len(kept) < len(self._open):
            self._state, self._after = self.fork(kept)
            self._open = kept

    @torch.no_grad()
    def _read(self, parts: Sequence[UInt8[np.ndarray, "..."]], width: int) -> None:
        ids, length = (tensor.to(self._after.device) for tensor in _padded(parts, width))
        output = self._network(ids, length, self._state)
        logits = torch.cat([self._after[:, None], output.logits], 1)
        found = _picked_nats(self._network, logits[:, :-1], ids)
        for row, part, nats in zip(self._open, parts, found, strict=True):
            start = self.read_bp[row]
            self.nats[row][start : start + len(part)] = nats[: len(part)]
            self.read_bp[row] += len(part)
        # Column ``length`` is what follows the row's last position here, or its start.
        last = length[:, None, None].expand(-1, 1, logits.shape[2])
        self._state, self._after = output.state, logits.gather(1, last)[:, 0]


def _padded(
    parts: Sequence[UInt8[np.ndarray, "..."]], width: int
) -> tuple[Int[Tensor, "B L"], Int[Tensor, " B"]]:
    ids = np.full((len(parts), width), PAD, dtype=np.int64)
    for row, part in enumerate(parts):
        ids[row, : len(part)] = part
    return torch.from_numpy(ids), torch.tensor([len(part) for part in parts])


def _picked_nats(
    network: HyenaGLT, logits: Float[Tensor, "B L V"], ids: Int[Tensor, "B L"]
) -> Float64[np.ndarray, "B L"]:
    """Return ln p of the letter at each position; what stands for padding means nothing."""
    letters = network.alphabet.letter_index(ids.cpu().numpy().astype(np.uint8))
    index = torch.from_numpy(letters).long().clamp(min=0).to(logits.device)
    picked = log_probabilities(logits).gather(-1, index[..., None])[..., 0]
    return np.asarray(picked.cpu().double().numpy())


def log_probabilities(logits: Float[Tensor, "*B V"]) -> Float[Tensor, "*B V"]:
    """Return ln p of every letter, in float64 (MPS, which has none: float32)."""
    exact = logits.double() if logits.device.type != "mps" else logits.float()
    return exact.log_softmax(-1)
