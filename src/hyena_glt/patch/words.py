"""Words of a sequence as numbers: codes, hashes, and what holds all over a window."""

import numpy as np
import torch
from jaxtyping import Int, Int8, Shaped
from torch import Tensor

from hyena_glt.tokenize import VOCABULARY_SIZE, Modality, alphabet

# Odd 64-bit multipliers of the finaliser of MurmurHash3 (Appleby 2011, public domain).
_MULTIPLIERS = (-49064778989728563, -4265267296055464877)


def letter_table(modality: Modality) -> Int8[Tensor, " ids"]:
    """Return where each id stands among the modality's letters, -1 for anything else.

    Either case; T and U are one letter.
    """
    ids = np.arange(VOCABULARY_SIZE, dtype=np.uint8)
    return torch.from_numpy(alphabet(modality).letter_index(ids))


def letters_of(table: Int8[Tensor, " ids"], ids: Int[Tensor, "B S"]) -> Int8[Tensor, "B S"]:
    """Return what ``table`` says of each id."""
    return table.to(ids.device).index_select(0, ids.reshape(-1)).view(ids.shape)


def word_codes(letters: Int[Tensor, "B S"], k: int, base: int) -> Int[Tensor, "B S-{k}+1"]:
    """Return the number that the k letters from each position on spell, modulo 2**64.

    Words are doubled, and lengthened by a letter where the next binary digit of ``k`` is 1.
    """
    letters = letters.long()
    code, span = letters, 1
    for digit in f"{k:b}"[1:]:
        code = code[:, :-span] * in_64_bits(base**span) + code[:, span:]
        span *= 2
        if digit == "1":
            code = code[:, :-1] * base + letters[:, span:]
            span += 1
    return code


def in_64_bits(number: int) -> int:
    """Return ``number`` modulo 2**64 as the signed number that tensors hold."""
    return (number + 2**63) % 2**64 - 2**63


def mix(code: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """Return a one-to-one scramble of 64-bit numbers, so that no order of letters is favoured."""
    mixed = code
    for multiplier in _MULTIPLIERS:
        mixed = (mixed ^ ((mixed >> 33) & 0x7FFFFFFF)) * multiplier
    return mixed ^ ((mixed >> 33) & 0x7FFFFFFF)


def window_least(values: Shaped[Tensor, "B S"], width: int) -> Shaped[Tensor, "B S-{width}+1"]:
    """Return the least of the ``width`` values from each position on, in log2(width) rounds.

    Of booleans: whether all of them are true.
    """
    span = 1
    while 2 * span <= width:
        values = torch.minimum(values[:, : values.shape[1] - span], values[:, span:])
        span *= 2
    if span == width:
        return values
    rest = width - span
    return torch.minimum(values[:, : values.shape[1] - rest], values[:, rest:])
