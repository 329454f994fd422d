"""What every entropy model answers, and how it holds its numbers."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int, UInt8
from torch import Tensor, nn


class EntropyModel(nn.Module, ABC):
    """How uncertain the next letter is, given the last ones: H(x_{t+1} | x_{<= t}).

    Whatever stands at t + 1, the question is about a letter of the alphabet: 2 bits where A C G T
    are equally likely. An answer is a fixed function of the last ``past_bp + 1`` ids. All that was
    learned lies in integer buffers, so that no cast of the network changes an answer. Before a fit
    every letter is as likely as any other.
    """

    past_bp: int  # ids before a position that its answer depends on
    flops_per_base: float = 0.0  # a look-up costs none

    @abstractmethod
    def fit(self, regions: Iterable[UInt8[np.ndarray, " _"]], seed: int = 0) -> None:
        """Learn from ``regions``, each the ids of one stretch of a training sequence.

        What was learned before is forgotten. ``seed`` decides all that is drawn.
        Raises SequenceError where the regions hold no letter.
        """

    @abstractmethod
    def forward(self, seen: Int[Tensor, "B S"]) -> Int[Tensor, "B S-{self.past_bp}"]:
        """Return the entropy of the letter after each position of ``seen``, in 1/1024 bit, int64.

        The first ``past_bp`` columns are what was read before, PAD before BOS; they get no answer.
        """
