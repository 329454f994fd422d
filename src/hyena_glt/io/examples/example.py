"""A labelled sequence, and where it came from."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32

from hyena_glt.config.examples import Part

# What a label is of: nothing, one class, any number of classes, numbers, a class for each base,
# numbers for each bin of bases.
Target = Literal["none", "class", "multilabel", "values", "bases", "signal"]


class BaseClasses(NamedTuple):
    """A class for each base, as one code a base and what the codes mean."""

    codes: bytes  # as long as the sequence
    classes: tuple[str, ...]  # of code 0, 1, ...


Label = (
    None  # "none"
    | str  # "class"
    | tuple[str, ...]  # "multilabel"
    | Float32[np.ndarray, " C"]  # "values"
    | BaseClasses  # "bases"
    | Float32[np.ndarray, "T C"]  # "signal": bins, tracks
)


class Example(NamedTuple):
    """One record of a source. ``where`` names its file and line, row or interval, for messages."""

    name: str
    sequence: bytes  # letters as the file has them
    label: Label
    where: str
    part: Part | None = None  # where the source says it
    group: str | None = None  # what must stay on one side of a split
    contig: str | None = None
    alternative: bytes | None = None  # the second sequence of a pair

    def second(self) -> bytes:
        """Return the second sequence. Raises ValueError where there is none."""
        if self.alternative is None:
            raise ValueError(f"{self.where}: has no second sequence in a source of pairs")
        return self.alternative


class Schema(NamedTuple):
    """What all examples of a source have in common."""

    target: Target
    names: tuple[str, ...] = ()  # of the numbers of "values", of the tracks of "signal"
    bin_bp: int = 1  # of "signal"
    pairs: bool = False
