"""Rows that share how they begin: the beginning is read once, its state is taken to each branch."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, UInt8
from torch import Tensor

from hyena_glt.model import HyenaGLT
from hyena_glt.nn import select_rows
from hyena_glt.stream import PIECE_BP, read_rows
from hyena_glt.tokenize import PAD


@torch.no_grad()
def branch_logliks_nats(
    network: HyenaGLT,
    trunks: Sequence[UInt8[np.ndarray, "..."]],
    branches: Sequence[UInt8[np.ndarray, "..."]],
    trunk_of: Sequence[int],
    batch_bp: int,
) -> list[Float64[np.ndarray, "..."]]:
    """Return ln p of each base of each branch, given the trunk before it and the branch so far.

    A trunk opens with BOS and may be empty; branch i goes on after trunk ``trunk_of[i]``. Branches
    hold letters of the modality alone. Long rows are read in pieces, ``batch_bp`` positions at
    once, with the numbers of one pass.
    """
    state, after_trunk = read_rows(network, trunks, batch_bp)
    rows = torch.tensor(trunk_of, device=after_trunk.device)
    state, before = select_rows(state, rows), after_trunk[rows]
    nats = [np.empty(len(branch)) for branch in branches]
    longest = max(len(branch) for branch in branches)
    for start, end in _pieces(longest, len(branches), batch_bp):
        parts = [branch[start:end] for branch in branches]
        ids, length = _padded(parts, end - start)
        output = network(ids.to(before.device), length.to(before.device), state)
        logits = torch.cat([before[:, None], output.logits[:, :-1]], 1)
        found = _picked_nats(network, logits, ids)
        for row, part in enumerate(parts):
            nats[row][start : start + len(part)] = found[row, : len(part)]
        # Of a row that has ended nothing is read any more, its state and these logits neither.
        state, before = output.state, output.logits[:, -1]
    return nats


def _pieces(longest: int, rows: int, batch_bp: int) -> Iterator[tuple[int, int]]:
    piece_bp = max(1, min(PIECE_BP, batch_bp // rows))
    for start in range(0, longest, piece_bp):
        yield start, min(start + piece_bp, longest)


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
    index = torch.from_numpy(network.alphabet.letter_index(ids.numpy().astype(np.uint8))).long()
    index = index.clamp(min=0).to(logits.device)
    picked = log_probabilities(logits).gather(-1, index[..., None])[..., 0]
    return np.asarray(picked.cpu().double().numpy())


def log_probabilities(logits: Float[Tensor, "*B V"]) -> Float[Tensor, "*B V"]:
    """Return ln p of every letter, in float64 (MPS, which has none: float32)."""
    exact = logits.double() if logits.device.type != "mps" else logits.float()
    return exact.log_softmax(-1)
