"""A number, or a few, for each of many rows that come in chunks."""

import numpy as np
from jaxtyping import Shaped
from numpy.typing import DTypeLike

_FIRST_ROWS = 1 << 12


class Column:
    """Grows in place: joining chunks at the end would hold all of them twice."""

    def __init__(self, dtype: DTypeLike, width: int | None = None) -> None:
        self._row_shape = () if width is None else (width,)
        self._cells = np.empty((0, *self._row_shape), dtype)
        self._rows = 0

    def add(self, cells: Shaped[np.ndarray, "n ..."]) -> None:
        """Append ``cells``, one row each."""
        rows = self._rows + len(cells)
        if rows > len(self._cells):
            room = max(rows, len(self._cells) * 3 // 2, _FIRST_ROWS)
            # No view of it is out before the end; large blocks are moved without a copy.
            self._cells.resize((room, *self._row_shape), refcheck=False)
        self._cells[self._rows : rows] = cells
        self._rows = rows

    def taken(self) -> Shaped[np.ndarray, "R ..."]:
        """Return all rows, and hold none from then on."""
        cells = self._cells
        cells.resize((self._rows, *self._row_shape), refcheck=False)
        self._cells, self._rows = np.empty((0, *self._row_shape), cells.dtype), 0
        return cells
