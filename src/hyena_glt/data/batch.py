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


def rows_of(sequences: Sequence[UInt8[np.ndarray, "..."]]) -> tuple[Tensor, Tensor]:
    """Return (ids, length) of rows that open with BOS and hold all bases but the last.

    Each sequence has one base at least. A row has as many positions as its sequence has bases, and
    position t predicts base t.
    """
    length = torch.tensor([len(sequence) for sequence in sequences])
    ids = torch.full((len(sequences), int(length.max())), PAD)
    for row, sequence in enumerate(sequences):
        ids[row, 0] = BOS
        ids[row, 1 : len(sequence)] = torch.from_numpy(sequence[:-1].astype(np.int64))
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
