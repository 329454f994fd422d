"""Closed syncmers: k-mers whose smallest s-mer is their first or their last.

Which k-mers are, is a matter of their letters alone, so that the same words close patches wherever
they stand (Edgar 2021, PeerJ 9:e10805).
"""

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hyena_glt.config import SyncmerPatchConfig
from hyena_glt.patch.rules import DynamicPatcher
from hyena_glt.tokenize import VOCABULARY_SIZE, alphabet

BASES = 4
# Odd 64-bit multipliers of the finaliser of MurmurHash3 (Appleby 2011, public domain).
_MULTIPLIERS = (-49064778989728563, -4265267296055464877)


class SyncmerPatcher(DynamicPatcher):
    """A patch closes where the last k letters are a closed syncmer."""

    def __init__(self, config: SyncmerPatchConfig) -> None:
        super().__init__(config, past_bp=config.k - 1)
        self.k, self.s = config.k, config.s
        # Two of the window's s-mers are at its ends, and any may be the smallest.
        self.density = 2 / (config.k - config.s + 1)
        ids = np.arange(VOCABULARY_SIZE, dtype=np.uint8)
        # T = U and either case: what alphabet("rna") says of ids is the same.
        self.index_of = torch.from_numpy(alphabet("dna").letter_index(ids)).long()

    def candidates(
        self, ids: Int[Tensor, "B S"], position: Int[Tensor, "B L"]
    ) -> Bool[Tensor, "B L"]:
        """Return where a closed syncmer ends."""
        return closed_syncmers(self.index_of.to(ids.device)[ids], self.k, self.s)


def closed_syncmers(letters: Int[Tensor, "B S"], k: int, s: int) -> Bool[Tensor, "B S-{k}+1"]:
    """Return whether the k letters that end at each of the last S - k + 1 are a closed syncmer.

    ``letters`` are 0 to 3, and -1 for anything else: a window that holds one is none. s-mers are
    compared by a fixed hash of theirs; where the smallest stands more than once, one at an end of
    the window is enough.
    """
    size = letters.shape[1] - s + 1
    code = torch.zeros_like(letters[:, :size])
    for j in range(s):
        code = code * BASES + letters[:, j : j + size]
    windows = _mix(code).unfold(1, k - s + 1, 1)
    least = windows.amin(-1)
    known = (letters >= 0).unfold(1, k, 1).all(-1)
    return known & ((windows[..., 0] == least) | (windows[..., -1] == least))


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
    ranks = _mix(torch.tensor(codes)).tolist()
    return min(ranks) in (ranks[0], ranks[-1])


def _mix(code: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """A one-to-one scramble of 64-bit numbers, so that no order of letters is favoured."""
    mixed = code
    for multiplier in _MULTIPLIERS:
        mixed = (mixed ^ ((mixed >> 33) & 0x7FFFFFFF)) * multiplier
    return mixed ^ ((mixed >> 33) & 0x7FFFFFFF)
