"""Anchors: positions that the letters before them choose, the same wherever they stand.

A word whose hash is less than that of every word for some way back is rare, and yet the next one
is never far: on E. coli, of one in 128, at most 694 bases. Words that hash to 0 modulo 128 leave
gaps of 1,590. A repeat has none, but where it begins: its least word has been there before.
"""

from math import ceil

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hyena_glt.patch.words import in_64_bits, mix, window_least, word_codes

APART_BP = 8  # no anchor so close behind another word that could be one
_MOST = torch.iinfo(torch.int32).max


def anchor_past_bp(k: int, every: int) -> int:
    """Return how many letters before its own decide whether an anchor stands at a position."""
    return k - 1 + every - 1 + APART_BP


def anchor_words(
    letters: Int[Tensor, "B S"], k: int, every: int, base: int
) -> Bool[Tensor, "B S-{k}-{every}-6"]:
    """Return whether an anchor stands at each position that has ``anchor_past_bp`` before it.

    The last k letters make a low word where they hash to less than those that ended at each of the
    ``every`` - 1 positions before. An anchor is a low word without another one that ended at the 8
    positions before. ``letters`` are 0 to ``base`` - 1, and -1 for anything else: what holds one is
    no word, and hides none.
    """
    known = window_least(letters, k) >= 0
    rank = torch.where(known, _ranks(word_codes(letters, k, base)), _MOST)
    is_low = rank[:, every - 1 :] < window_least(rank, every - 1)[:, :-1]
    return is_low[:, APART_BP:] & window_least(~is_low, APART_BP)[:, :-1]


def most_anchors(length: int, gap_bp: int) -> int:
    """Return the most anchors in ``length`` positions where one is put after every ``gap_bp``."""
    return ceil(length / (APART_BP + 1)) + ceil(length / gap_bp)


def anchor_words_reference(
    letters: Int[Tensor, "B S"], k: int, every: int, base: int
) -> Bool[Tensor, "B S-{k}-{every}-6"]:
    """The definition, word by word. Reference for :func:`anchor_words`."""
    anchors = []
    for row in letters.tolist():
        ranks = [_rank(row[end - k : end], base) for end in range(k, len(row) + 1)]
        low = [
            ranks[t] < min(ranks[t - every + 1 : t], default=_MOST)
            for t in range(every - 1, len(ranks))
        ]
        anchors.append(
            [low[t] and not any(low[t - APART_BP : t]) for t in range(APART_BP, len(low))]
        )
    return torch.tensor(anchors, dtype=torch.bool, device=letters.device)


def _rank(word: list[int], base: int) -> int:
    if min(word) < 0:
        return _MOST
    code = sum(letter * base**j for j, letter in enumerate(reversed(word)))
    return int(_ranks(torch.tensor([in_64_bits(code)])))


def _ranks(code: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """The upper bits of the hash of each word: 31 will do, and are faster to compare."""
    return (mix(code) >> 33).int()
