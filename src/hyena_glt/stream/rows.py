"""Reading rows to their ends, so that something can follow."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from hyena_glt.data import whole_rows_of
from hyena_glt.model import HyenaGLT, ModelState

PIECE_BP = 8_192  # a longer row is read in pieces of this length
TWO_SIDED_BP = 131_072  # a two-sided row is read whole; a longer one would need too much memory


@torch.no_grad()
def read_rows(
    network: HyenaGLT, sequences: Sequence[UInt8[np.ndarray, "..."]], batch_bp: int
) -> tuple[ModelState, Float[Tensor, "B V"]]:
    """Return (the state after each row, the logits of the letter that comes next).

    A row is BOS and all of a sequence, which may be empty; rows may end at different phases of
    their patches. ``batch_bp`` positions are in memory at once, with the numbers of one pass.
    Raises DirectionError for a bidirectional network.
    """
    state = network.begin(len(sequences))
    device = next(network.parameters()).device
    ids, length = (tensor.to(device) for tensor in whole_rows_of(sequences))
    piece_bp = max(1, min(PIECE_BP, batch_bp // len(sequences)))
    last: Tensor | None = None
    for start in range(0, ids.shape[1], piece_bp):
        here = (length - start).clamp(0, piece_bp)
        output = network(ids[:, start : start + piece_bp], here, state)
        assert output.state is not None
        state = output.state
        index = (here - 1).clamp(min=0)[:, None, None].expand(-1, 1, output.logits.shape[2])
        newest = output.logits.gather(1, index)[:, 0]
        # A row that ended in an earlier piece keeps that piece's answer.
        last = newest if last is None else torch.where(here[:, None] > 0, newest, last)
    assert last is not None
    return state, last
