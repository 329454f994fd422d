"""T0: a table of entropies, one for each context of up to k bases."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from hyena_glt.config import KmerEntropyConfig
from hyena_glt.errors import RecipeError
from hyena_glt.model.entropy.counting import count_following, left_out_entropies
from hyena_glt.model.entropy.protocol import EntropyModel
from hyena_glt.model.entropy.words import (
    digits_of_ids,
    first_word,
    last_words,
    last_words_reference,
)
from hyena_glt.patch import UNIT
from hyena_glt.tokenize import VOCABULARY_SIZE, Alphabet


class KmerEntropy(EntropyModel):
    """The entropy of the base after the last k, or after as many as stand there without a gap.

    A context ends behind anything but A C G T: BOS, PAD, MASK and N begin a new one. How an entry
    of the table comes about is told by :func:`left_out_entropies`.
    """

    table: Tensor
    digit_of: Tensor

    def __init__(self, config: KmerEntropyConfig, alphabet: Alphabet) -> None:
        super().__init__()
        if alphabet.modality == "protein":
            raise RecipeError(
                "model.entropy.kind=kmer counts words of A C G T, and this is a protein recipe; "
                "use kind=conv"
            )
        self.k = config.k
        self.past_bp = config.k - 1
        entries = first_word(config.k + 1)
        self.register_buffer("table", torch.full((entries,), 2 * UNIT, dtype=torch.int16))
        digits = torch.from_numpy(digits_of_ids()[:VOCABULARY_SIZE].astype(np.int32))
        self.register_buffer("digit_of", digits, persistent=False)

    def fit(self, regions: Iterable[UInt8[np.ndarray, " _"]], seed: int = 0) -> None:
        """Count both strands of ``regions``; nothing is drawn, so ``seed`` changes nothing.

        Raises SequenceError where they hold no letter, or more than 2**30.
        """
        table = left_out_entropies(count_following(regions, self.k))
        self.table.copy_(torch.from_numpy(table))

    def forward(self, seen: Int[Tensor, "B S"]) -> Int[Tensor, "B S-{self.past_bp}"]:
        """Return the entry of each position's context: integers from start to end."""
        digits = self.digit_of.index_select(0, seen.flatten()).view_as(seen)
        context = last_words(digits, self.k)
        return self.table.index_select(0, context.flatten()).view_as(context).long()


def kmer_entropy_reference(
    table: Int[Tensor, " W"], digits: Int[Tensor, "B S"], k: int
) -> Int[Tensor, "B S-{k}+1"]:
    """The definition, position by position. Reference for :class:`KmerEntropy`."""
    contexts = last_words_reference(digits, k).tolist()
    entropies = table.tolist()
    return torch.tensor([[entropies[word] for word in row] for row in contexts])
