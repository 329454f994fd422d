"""Takes a network and rows of any lengths; reads them in pieces, and gives the state after them."""

from hyena_glt.stream.rows import PIECE_BP, TWO_SIDED_BP, read_rows

__all__ = ["PIECE_BP", "TWO_SIDED_BP", "read_rows"]
