"""Which positions a call carries."""

from typing import NamedTuple

from jaxtyping import Int
from torch import Tensor


class Span(NamedTuple):
    """A call's positions: each row's valid ones come first, padding comes after."""

    coordinate: Int[Tensor, "B L"]  # document nucleotides: row position, BOS is 0
    length: Int[Tensor, " B"]  # valid positions of each row
