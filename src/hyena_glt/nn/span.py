"""Which positions a call carries, and whether it reads both sides of them."""

from typing import NamedTuple

from jaxtyping import Int
from torch import Tensor


class Span(NamedTuple):
    """A call's positions: each row's valid ones come first, padding comes after."""

    coordinate: Int[Tensor, "B L"]  # document nucleotides: row position, BOS is 0
    length: Int[Tensor, " B"]  # valid positions of each row
    two_sided: bool = False  # a position sees those after it too; whole rows only, without state
    full: bool = False  # no row has padding, as far as is known without a look
