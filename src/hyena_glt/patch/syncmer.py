"""Closed syncmers: k-mers whose smallest s-mer is their first or their last.

Which k-mers are, is a matter of their letters alone, so that the same words close patches wherever
they stand (Edgar 2021, PeerJ 9:e10805).
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hyena_glt.config import SyncmerPatchConfig
from hyena_glt.patch.rules import Call, DynamicPatcher, Wanted
from hyena_glt.patch.words import letter_table, letters_of, mix, window_least, word_codes

BASES = 4


class SyncmerPatcher(DynamicPatcher):
    """A patch closes where the last k letters are a closed syncmer."""

    def __init__(self, config: SyncmerPatchConfig) -> None:
        super().__init__(config, past_bp=config.k - 1)
        self.k, self.s = config.k, config.s
        # Two of the window's s-mers are at its ends, and any may be the smallest.
        self.density = 2 / (config.k - config.s + 1)
        # What the alphabet of RNA says of ids is the same.
        self.letters = letter_table("dna")

    def wanted(self, call: Call) -> Wanted:
        """Return where a closed syncmer ends."""
        return Wanted(closed_syncmers(letters_of(self.letters, call.ids), self.k, self.s))


def closed_syncmers(letters: Int[Tensor, "B S"], k: int, s: int) -> Bool[Tensor, "B S-{k}+1"]:
    """Return whether the k letters that end at each of the last S - k + 1 are a closed syncmer.

    ``letters`` are 0 to 3, and -1 for anything else: a window that holds one is none. s-mers are
    compared by a fixed hash of theirs; where the smallest stands more than once, one at an end of
    the window is enough.
    """
    rank = mix(word_codes(letters, s, BASES))
    least = window_least(rank, k - s + 1)
    known = window_least(letters, k) >= 0
    size = least.shape[1]
    return known & ((rank[:, :size] == least) | (rank[:, k - s :] == least))


def closed_syncmers_reference(
    letters: Int[Tensor, "B S"], k: int, s: int
) -> Bool[Tensor, "B S-{k}+1"]:
    """The definition, window by window. Reference for :func:`closed_syncmers`."""
    closed = []
    for row in letters.tolist():
        windows = [row[end - k : end] for end in range(k, len(row) + 1)]
        closed.append([_is_closed_syncmer(window, s) for window in windows])
    return torch.tensor(closed, dtype=torch.bool, device=letters.device)


def _is_closed_syncmer(window: list[int], s: int) -> bool:
    if min(window) < 0:
        return False
    words = (window[i : i + s] for i in range(len(window) - s + 1))
    codes = [sum(letter * BASES**j for j, letter in enumerate(reversed(word))) for word in words]
    ranks = mix(torch.tensor(codes)).tolist()
    return min(ranks) in (ranks[0], ranks[-1])
