"""Windows of any lengths to one padded batch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hyena_glt.data.windows import Window
from hyena_glt.tokenize import BOS, PAD


class Batch(NamedTuple):
    """Rows to predict: position t of a row is followed by its target t."""

    ids: Int[Tensor, "B L"]  # BOS, then all bases but the last; PAD after a row's end
    length: Int[Tensor, " B"]
    target: Int[Tensor, "B L"]  # index of the letter; -1 where there is none
    weight: Float[Tensor, "B L"]  # 0 where there is no target


def rows_of(
    sequences: Sequence[UInt8[np.ndarray, "..."]], start: int = 0, end: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return (ids, length) of positions ``start`` to ``end`` of rows that open with BOS.

    A row has as many positions as its sequence has bases: BOS and all bases but the last; position
    t predicts base t. ``length`` counts each row's positions in the piece, which may be none.
    """
    longest = max(len(sequence) for sequence in sequences)
    end = longest if end is None else min(end, longest)
    ids = torch.full((len(sequences), end - start), PAD)
    for row, sequence in enumerate(sequences):
        first = 1 if start == 0 else 0
        if first and len(sequence):
            ids[row, 0] = BOS
        bases = sequence[max(start - 1, 0) : min(end, len(sequence)) - 1]
        if len(sequence) > start:
            ids[row, first : first + len(bases)] = torch.from_numpy(bases.astype(np.int64))
    length = torch.tensor([min(max(len(s) - start, 0), end - start) for s in sequences])
    return ids, length


def collate(windows: Sequence[Window]) -> Batch:
    """Return the batch of ``windows``; padding weighs nothing."""
    ids, length = rows_of([window.ids for window in windows])
    target = torch.full(ids.shape, -1)
    weight = torch.zeros(ids.shape)
    for row, window in enumerate(windows):
        target[row, : len(window.ids)] = torch.from_numpy(window.target)
        weight[row, : len(window.ids)] = torch.from_numpy(window.weight)
    return Batch(ids, length, target, weight)
