"""Which sequences of one part of a split stand in another, the same or nearly."""

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64

from hyena_glt.data.examples.column import Column
from hyena_glt.data.examples.dataset import Leak
from hyena_glt.data.examples.sketch import (
    SKETCH_VALUES,
    clusters,
    exact_hashes,
    similar_pairs,
    sketches,
)
from hyena_glt.data.examples.split import PARTS
from hyena_glt.tokenize import Alphabet

SIMILAR: Final = 0.5  # share of k-mers, estimated, from which on two sequences are near-duplicates


class Compared:
    """Sequences that are compared with each other: 72 bytes a row, 8 without ``similar``.

    Of ``pairs`` both sequences count, and take 64 bytes a row more: a row is the same as another
    where both are, and nearly the same where one of its two nearly is one of the other's two.
    """

    def __init__(self, letters: Alphabet, *, similar: bool = True, pairs: bool = False) -> None:
        self._letters, self._similar = letters, similar
        self._each = 2 if pairs else 1  # sequences of a row
        self._hashes = Column(np.uint64)
        self._sketches = Column(np.uint16, SKETCH_VALUES * self._each)

    def add(self, *sequences: Sequence[bytes]) -> None:
        """Take the next rows in: their sequences, and of pairs the second ones, too.

        Raises ValueError where there are more or fewer.
        """
        if len(sequences) != self._each:
            raise ValueError(f"found {len(sequences)} columns, expected {self._each}")
        whole = sequences[0]
        if self._each > 1:  # no letter is a slash
            whole = [b"/".join(row) for row in zip(*sequences, strict=True)]
        self._hashes.add(exact_hashes(whole, self._letters))
        if self._similar:
            found = [sketches(column, self._letters) for column in sequences]
            self._sketches.add(found[0] if self._each == 1 else np.concatenate(found, axis=1))

    def result(self) -> tuple[UInt64[np.ndarray, " R"], Int64[np.ndarray, " R"] | None]:
        """Return a hash of each row, and the first row that each is linked to.

        Rows are linked where they are nearly the same, through others if need be; None without
        ``similar``. Takes some 120 bytes a sequence more, and holds none from then on.
        """
        hashes = self._hashes.taken()
        if not self._similar:
            return hashes, None
        of_sequences = self._sketches.taken().reshape(-1, SKETCH_VALUES)
        rows = similar_pairs(of_sequences, SIMILAR) // self._each
        return hashes, clusters(len(hashes), rows)


def leaked(
    one: Int64[np.ndarray, " n"],
    other: Int64[np.ndarray, " m"],
    hashes: UInt64[np.ndarray, " R"],
    linked: Int64[np.ndarray, " R"] | None,
) -> tuple[Bool[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    """Return which rows of ``other`` stand in ``one``, too: the same, and the same or linked."""
    same = np.isin(hashes[other], hashes[one])
    return same, same if linked is None else same | np.isin(linked[other], linked[one])


def leaks_of(
    parts: UInt8[np.ndarray, " R"],
    hashes: UInt64[np.ndarray, " R"],
    linked: Int64[np.ndarray, " R"] | None,
) -> tuple[Leak, ...]:
    """Return what leaks between each two of `PARTS` that hold something; ``parts`` are places."""
    rows = {name: np.flatnonzero(parts == place) for place, name in enumerate(PARTS)}
    found = []
    for other, part in combinations([name for name in PARTS if len(rows[name])], 2):
        same, either = leaked(rows[other], rows[part], hashes, linked)
        identical, similar = int(same.sum()), int(either.sum())
        found.append(Leak(part=part, other=other, identical=identical, similar=similar))
    return tuple(found)


def warnings_of(leaks: Sequence[Leak]) -> tuple[str, ...]:
    """Return the one line to say of ``leaks``, or nothing where there are none."""
    found = [
        f"{leak.identical:,} sequences of {leak.part} stand in {leak.other}, too "
        f"({leak.similar:,} do or nearly)"
        for leak in leaks
        if leak.similar
    ]
    if not found:
        return ()
    return (f"{'; '.join(found)}: split.by=similarity keeps such on one side",)
