"""Windows of any lengths to one padded batch."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
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
    track: Float[Tensor, "B L"] | None = None  # of the base at t; NaN at BOS, padding, and no score

    def rows(self, first: int, end: int) -> "Batch":
        """Return rows ``first`` to ``end``, or to the last one."""
        return self._each(lambda tensor: tensor[first:end])

    def segments(self, segment_bp: int) -> "list[Batch]":
        """Return the rows in parts of ``segment_bp`` positions; a short row has none in the last.

        A row's length in a part counts its positions there.
        """

        def part(first: int) -> Batch:
            end = first + segment_bp
            ids, target, weight = (t[:, first:end] for t in (self.ids, self.target, self.weight))
            length = (self.length - first).clamp(0, segment_bp)
            track = None if self.track is None else self.track[:, first:end]
            return Batch(ids, length, target, weight, track)

        return [part(first) for first in range(0, self.ids.shape[1], segment_bp)]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on ``device``."""
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        ids, length, target, weight = (change(tensor) for tensor in self[:4])
        track = None if self.track is None else change(self.track)
        return Batch(ids, length, target, weight, track)


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


def track_rows_of(
    tracks: Sequence[Float32[np.ndarray, "..."]], start: int = 0, end: int | None = None
) -> Float[Tensor, "B L"]:
    """Return the scores at positions ``start`` to ``end`` of the rows of :func:`rows_of`.

    A position has the score of its own base, the one before what it predicts; BOS has NaN.
    """
    longest = max(len(track) for track in tracks)
    end = longest if end is None else min(end, longest)
    rows = torch.full((len(tracks), end - start), torch.nan)
    for row, track in enumerate(tracks):
        first = 1 if start == 0 else 0
        scores = track[max(start - 1, 0) : max(min(end, len(track)) - 1, 0)]
        rows[row, first : first + len(scores)] = torch.from_numpy(scores)
    return rows


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
    return Batch(ids, length, target, weight, _tracks(windows, length, ids.shape[1]))


def _tracks(
    windows: Sequence[Window], length: Int[Tensor, " B"], positions: int
) -> Float[Tensor, "B L"] | None:
    """Return the scores of the bases of rows, as many as their ``length`` says, behind BOS."""
    scores = [window.track for window in windows if window.track is not None]
    if not scores:
        return None
    assert len(scores) == len(windows), "a recipe has a track of all its genomes or of none"
    track = torch.full((len(windows), positions), torch.nan)
    for row, (found, count) in enumerate(zip(scores, length.tolist(), strict=True)):
        track[row, 1:count] = torch.from_numpy(found[: count - 1])
    return track
