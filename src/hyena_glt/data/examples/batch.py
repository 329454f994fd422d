"""Examples of any lengths to one padded batch, with their labels."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int, Int64, Shaped, UInt8
from torch import Tensor

from hyena_glt.data.examples.dataset import Row
from hyena_glt.errors import SequenceError
from hyena_glt.io.examples.example import Target
from hyena_glt.tokenize import BOS, PAD


class TaskBatch(NamedTuple):
    """Rows and what is to be answered about them. Base i of a row stands at position i + 1.

    ``target`` is, for each kind of label:

    - none: None
    - class: codes, int64 (B,)
    - multilabel: 0 and 1, int64 (B, C)
    - values: numbers, float32 (B, C)
    - bases: the code at each position, int64 (B, L); -1 at BOS and padding
    - signal: numbers of bins and tracks, float32 (B, T, C); NaN in bins behind a row's last
    """

    ids: Int[Tensor, "B L"]  # BOS, then all bases; PAD after the end
    length: Int[Tensor, " B"]  # positions, BOS too
    target: Shaped[Tensor, "B ..."] | None
    rows: Int[Tensor, " B"]  # numbers of the rows in their part
    alternative_ids: Int[Tensor, "B M"] | None = None  # the second sequence of pairs
    alternative_length: Int[Tensor, " B"] | None = None

    def to(self, device: torch.device) -> "TaskBatch":
        """Return the batch on ``device``."""
        ids, length, rows = (tensor.to(device) for tensor in (self.ids, self.length, self.rows))
        rest = (self.target, self.alternative_ids, self.alternative_length)
        target, *alternative = (None if found is None else found.to(device) for found in rest)
        return TaskBatch(ids, length, target, rows, *alternative)


class PackedBatch(NamedTuple):
    """The fields of a TaskBatch as arrays of few bytes.

    Between processes they are some ten times as fast as tensors, each of which opens a file.
    """

    ids: UInt8[np.ndarray, "B L"]
    length: Int64[np.ndarray, " B"]
    target: Shaped[np.ndarray, "B ..."] | None
    rows: Int64[np.ndarray, " B"]
    alternative_ids: UInt8[np.ndarray, "B M"] | None = None
    alternative_length: Int64[np.ndarray, " B"] | None = None

    def tensors(self) -> TaskBatch:
        """Return the batch, its integers as int64."""
        ids, length, rows = _wide(self.ids), _wide(self.length), _wide(self.rows)
        rest = (self.target, self.alternative_ids, self.alternative_length)
        target, *alternative = (None if found is None else _wide(found) for found in rest)
        return TaskBatch(ids, length, target, rows, *alternative)


def collate_examples(
    rows: Sequence[tuple[int, Row]], kind: Target, most_bp: int | None = None
) -> TaskBatch:
    """Return the batch of ``rows``, each with its number in its part, in the order given.

    Raises SequenceError for a sequence of more than ``most_bp`` bases: none is cut. Raises
    ValueError where there is no row.
    """
    return pack_examples(rows, kind, most_bp).tensors()


def pack_examples(
    rows: Sequence[tuple[int, Row]], kind: Target, most_bp: int | None = None
) -> PackedBatch:
    """Return what `collate_examples` does, packed; raises as it does."""
    if not rows:
        raise ValueError("found no rows, expected one or more")
    numbers = np.array([number for number, _ in rows], dtype=np.int64)
    found = [row for _, row in rows]
    if most_bp is not None:
        for row in found:
            check_length(row, most_bp)
    ids, length = _whole_rows([row.sequence for row in found])
    target = _TARGETS[kind]([row.target for row in found], int(length.max()))
    alternatives = [row.alternative for row in found if row.alternative is not None]
    if not alternatives:
        return PackedBatch(ids, length, target, numbers)
    assert len(alternatives) == len(found), "all examples of a dataset are pairs, or none is"
    return PackedBatch(ids, length, target, numbers, *_whole_rows(alternatives))


def check_length(row: Row, most_bp: int) -> None:
    """Pass over a row whose sequences have ``most_bp`` bases or fewer.

    Raises SequenceError, which names the row, for another.
    """
    for sequence in (row.sequence, row.alternative):
        if sequence is not None and len(sequence) > most_bp:
            raise SequenceError(
                f"{row.where}: found {len(sequence)} bp in example {row.name!r}, expected "
                f"{most_bp} bp or fewer; drop longer examples with quality.max_bp, or allow more"
            )


def _whole_rows(
    sequences: Sequence[UInt8[np.ndarray, " _"]],
) -> tuple[UInt8[np.ndarray, "B L"], Int64[np.ndarray, " B"]]:
    """The rows of `whole_rows_of`, whose tensors take too long where rows are short."""
    bases = np.fromiter(map(len, sequences), np.int64, len(sequences))
    ids = np.full((len(sequences), int(bases.max()) + 1), PAD, dtype=np.uint8)
    ids[:, 0] = BOS
    for row, sequence in zip(ids, sequences, strict=True):
        row[1 : len(sequence) + 1] = sequence
    return ids, bases + 1


def _wide(array: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor if tensor.is_floating_point() else tensor.long()


# Each takes the labels of rows, which are of the kind that Target says, and the positions.


def _no_target(labels: Sequence[None], positions: int) -> None:
    return None


def _codes(labels: Sequence[int], positions: int) -> np.ndarray:
    return np.array(labels, dtype=np.int64)


def _stacked(labels: Sequence[np.ndarray], positions: int) -> np.ndarray:
    return np.stack(labels)


def _bases(labels: Sequence[np.ndarray], positions: int) -> np.ndarray:
    # Codes are of one byte, and -1 is one more.
    target = np.full((len(labels), positions), -1, dtype=np.int16)
    for row, codes in zip(target, labels, strict=True):
        row[1 : len(codes) + 1] = codes
    return target


def _signal(labels: Sequence[np.ndarray], positions: int) -> np.ndarray:
    bins = max(map(len, labels))
    target = np.full((len(labels), bins, labels[0].shape[1]), np.nan, dtype=np.float32)
    for row, numbers in zip(target, labels, strict=True):
        row[: len(numbers)] = numbers
    return target


_TARGETS: dict[Target, Callable[[Any, int], np.ndarray | None]] = {
    "none": _no_target,
    "class": _codes,
    "multilabel": _stacked,
    "values": _stacked,
    "bases": _bases,
    "signal": _signal,
}
