"""Windows of any lengths to one padded batch."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hyena_glt.data.windows import KINDS, Kind, Window
from hyena_glt.tokenize import BOS, PAD


class Batch(NamedTuple):
    """Rows of one kind to predict. A causal row's position t is followed by its target t.

    A masked row's target t is the letter at t, under the mask; BOS has none.
    """

    ids: Int[Tensor, "B L"]  # BOS, then all bases, in a causal row but the last; PAD after the end
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


def whole_rows_of(sequences: Sequence[UInt8[np.ndarray, "..."]]) -> tuple[Tensor, Tensor]:
    """Return (ids, length) of two-sided rows: BOS and all bases; base i stands at i + 1."""
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), longest + 1), PAD)
    ids[:, 0] = BOS
    for row, sequence in enumerate(sequences):
        ids[row, 1 : len(sequence) + 1] = torch.from_numpy(sequence.astype(np.int64))
    return ids, torch.tensor([len(sequence) + 1 for sequence in sequences])


def collate(windows: Sequence[Window]) -> dict[Kind, Batch]:
    """Return a batch of each kind of window that is there; padding weighs nothing."""
    of_kind = {kind: [window for window in windows if window.kind == kind] for kind in KINDS}
    return {kind: _batch(found, kind) for kind, found in of_kind.items() if found}


def bases_in(batches: Mapping[Kind, Batch]) -> int:
    """Return how many bases of the windows a batch holds."""
    bos = sum(len(batch.ids) for kind, batch in batches.items() if kind == "masked")
    return sum(int(batch.length.sum()) for batch in batches.values()) - bos


def _batch(windows: Sequence[Window], kind: Kind) -> Batch:
    sequences = [window.ids for window in windows]
    # Where a base's prediction stands: at the position before it, or at its own.
    first = 1 if kind == "masked" else 0
    ids, length = whole_rows_of(sequences) if kind == "masked" else rows_of(sequences)
    target = torch.full(ids.shape, -1)
    weight = torch.zeros(ids.shape)
    for row, window in enumerate(windows):
        target[row, first : first + len(window.ids)] = torch.from_numpy(window.target)
        weight[row, first : first + len(window.ids)] = torch.from_numpy(window.weight)
    return Batch(ids, length, target, weight)
