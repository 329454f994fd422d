"""How often each base follows each context, for every context length up to a largest one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from hyena_glt.errors import SequenceError
from hyena_glt.evaluate.kmers import UNKNOWN, both_strands, kmer_codes

LARGEST_ORDER = 12
_MOST_BASES = 2**30  # counts are int32, and both strands are counted


@dataclass(frozen=True)
class ContextCounts:
    """Counts of (order + 1)-mers on both strands, for orders 0 to `max_order`.

    `tables[order]` has shape (4**(order + 1),): the count of each (order + 1)-mer by its code (see
    `kmer_codes`), so four neighbouring entries are the four bases that can follow one context.
    Order 12 takes 268 MB and all the lower orders together 89 MB.
    """

    tables: tuple[Int32[np.ndarray, " _"], ...]

    @classmethod
    def of(cls, regions: Sequence[UInt8[np.ndarray, " _"]], max_order: int) -> "ContextCounts":
        """Count both strands of each region.

        No window spans two regions or holds code 4. Only the longest windows are counted; a shorter
        one is the sum over the base before it, plus the windows that have no base before them.

        Raises `SequenceError` if the regions hold no A, C, G or T or more than 2**30 bases, and
        `ValueError` unless 0 <= max_order <= 12.
        """
        if not 0 <= max_order <= LARGEST_ORDER:
            raise ValueError(f"max_order is {max_order}; expected 0 to {LARGEST_ORDER}")
        known_bases = sum(int(np.count_nonzero(region < UNKNOWN)) for region in regions)
        if not 0 < known_bases <= _MOST_BASES:
            raise SequenceError(
                f"found {known_bases} bases A, C, G or T in {len(regions)} training regions; "
                f"expected 1 to {_MOST_BASES}: check the regions of the split"
            )
        codes, run_bp = kmer_codes(both_strands(regions), max_order + 1)
        index = codes.view(np.int64)
        table = np.zeros(4 ** (max_order + 1), dtype=np.int32)
        np.add.at(table, index[run_bp > max_order], np.int32(1))
        tables = [table]
        for k in range(max_order, 0, -1):
            table = tables[-1].reshape(4, -1).sum(axis=0, dtype=np.int32)
            np.add.at(table, index[run_bp == k] % 4**k, np.int32(1))
            tables.append(table)
        return ContextCounts(tuple(reversed(tables)))

    @property
    def max_order(self) -> int:
        """The longest context counted, in bases."""
        return len(self.tables) - 1

    def up_to(self, order: int) -> "ContextCounts":
        """Return the counts of orders 0 to `order` alone, so that the longer tables can be freed.

        Raises `ValueError` unless 0 <= order <= `max_order`.
        """
        if not 0 <= order <= self.max_order:
            raise ValueError(f"order is {order}, but orders 0 to {self.max_order} were counted")
        return ContextCounts(self.tables[: order + 1])

    def after(
        self, kmers: Int64[np.ndarray, " N"], order: int
    ) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
        """Return (count of the k-mer, count of its context) for codes of length order + 1 or more.

        The context is the k-mer without its last base, counted where some base follows it.

        >>> counts = ContextCounts.of([np.array([0, 0, 1], dtype=np.uint8)], max_order=1)
        >>> count, total = counts.after(np.array([0b0001]), order=1)  # AC among AA AC, GT TT
        >>> count.tolist(), total.tolist()
        ([1], [2])
        """
        following = self.tables[order].reshape(-1, 4)[(kmers >> 2) % 4**order]
        count = np.take_along_axis(following, (kmers % 4)[:, None], axis=1)[:, 0]
        return count.astype(np.int64), following.sum(axis=1, dtype=np.int64)
