"""Words of nucleotides as integers: the last letters of every position, however many there are.

A letter is a digit, 1 2 3 4 = A C G T, and 0 is anything else. A word of n letters is

    index = sum_{i < n} digit[t - i] * 4**i

Digits start at 1, so that words of all lengths have indices of their own: 0 is the empty word, 1 to
4 are A C G T, 5 to 20 AA to TT. The words of n letters are the 4**n indices from first_word(n) on,
in alphabetical order.
"""

import numpy as np
import torch
from jaxtyping import Int, Int32, UInt8
from torch import Tensor

from hyena_glt.tokenize import alphabet

BASES = 4


def first_word(length_bp: int) -> int:
    """Return the index of the word of so many A; all shorter words have smaller indices."""
    return int((BASES**length_bp - 1) // (BASES - 1))


def digits_of_ids() -> UInt8[np.ndarray, "256"]:
    """Return the digit of every id; case doesn't matter, and T and U are one letter."""
    index = alphabet("dna").letter_index(np.arange(256, dtype=np.uint8))
    return np.asarray((index + 1).astype(np.uint8))


def last_words(
    digits: Int32[Tensor, "B S"], longest_bp: int
) -> Int32[Tensor, "B S-{longest_bp}+1"]:
    """Return the longest word that ends at each of the last S - longest_bp + 1 positions.

    It has ``longest_bp`` letters, or as many as stand there without a gap: none where the last
    digit is 0. Words are joined from shorter ones, in about log2(longest_bp) passes.
    """
    words, length_bp = digits, 1
    for bit in f"{longest_bp:b}"[1:]:
        words = _join(words, words, length_bp)
        length_bp *= 2
        if bit == "1":
            words = _join(words, digits, 1)
            length_bp += 1
    return words


def _join(
    older: Int32[Tensor, "B older"], newer: Int32[Tensor, "B newer"], newer_bp: int
) -> Int32[Tensor, "B joined"]:
    """Return each newer word with the older word before it; both end with the last position."""
    joined = older.shape[1] - newer_bp
    newer = newer[:, newer.shape[1] - joined :]
    # An older word counts only behind a newer one that has all its letters.
    whole = newer >= first_word(newer_bp)
    return newer + torch.where(whole, older[:, :joined] << 2 * newer_bp, 0)


def last_words_reference(
    digits: Int[Tensor, "B S"], longest_bp: int
) -> Int[Tensor, "B S-{longest_bp}+1"]:
    """The definition, letter by letter. Reference for :func:`last_words`."""
    rows = []
    for row in digits.tolist():
        rows.append([_word(row[: t + 1], longest_bp) for t in range(longest_bp - 1, len(row))])
    return torch.tensor(rows, dtype=digits.dtype).reshape(len(digits), -1)


def _word(digits: list[int], longest_bp: int) -> int:
    index = 0
    for i, digit in enumerate(digits[::-1][:longest_bp]):
        if digit == 0:
            break
        index += digit * BASES**i
    return index
