"""k-mer look-ups: the code of the k letters that end at each position.

    code[t] = sum_{j < k} letter[t - j] * size**j

A window that touches BOS, a mask or anything but a letter of the alphabet has the code -1.
size**k is below 2**63, which a recipe makes sure of.
"""

import torch
from jaxtyping import Int
from torch import Tensor

# Odd 64-bit multiplier (golden ratio), for multiplicative hashing (Knuth, TAOCP 3, 6.4).
_MULTIPLIER = -7046029254386353131


def kmer_codes(
    letters: Int[Tensor, "B L"], ks: tuple[int, ...], size: int
) -> dict[int, Int[Tensor, "B L-{max(ks)}+1"]]:
    """Return the codes of each k at the last L - max(ks) + 1 positions, all k in one pass.

    ``letters`` are indices into an alphabet of ``size`` letters, -1 for anything else, and open
    with max(ks) - 1 letters of the past (-1 at a row's start).
    """
    longest = max(ks)
    length = letters.shape[1] - longest + 1
    code = torch.zeros_like(letters[:, :length])
    known = torch.ones_like(code, dtype=torch.bool)
    codes = {}
    for j in range(longest):
        start = longest - 1 - j
        letter = letters[:, start : start + length]
        code = code + letter * size**j
        known = known & (letter >= 0)
        if j + 1 in ks:
            codes[j + 1] = torch.where(known, code, -1)
    return codes


def kmer_codes_reference(
    letters: Int[Tensor, "B L"], ks: tuple[int, ...], size: int
) -> dict[int, Int[Tensor, "B L-{max(ks)}+1"]]:
    """The definition, letter by letter. Reference for :func:`kmer_codes`."""
    longest = max(ks)
    codes = {}
    for k in ks:
        rows = []
        for row in letters.tolist():
            windows = (row[t - k + 1 : t + 1] for t in range(longest - 1, len(row)))
            rows.append([_code(window, size) for window in windows])
        codes[k] = torch.tensor(rows, device=letters.device)
    return codes


def _code(window: list[int], size: int) -> int:
    if min(window) < 0:
        return -1
    return sum(letter * size**j for j, letter in enumerate(reversed(window)))


def kmer_rows(codes: Int[Tensor, "B L"], rows: int, hashed: bool) -> Int[Tensor, "B L"]:
    """Return the table row of each code, and ``rows`` (one past the end) where the code is -1."""
    if not hashed:
        return torch.where(codes >= 0, codes, rows)
    mixed = codes * _MULTIPLIER
    mixed = (mixed ^ (mixed >> 32)) & 0x7FFFFFFF
    return torch.where(codes >= 0, mixed % rows, rows)
