"""k-mers as integers: the reading of a sequence on which counts and repeats stand.

A sequence is a uint8 array of base codes, 0 1 2 3 = A C G T and 4 = anything else.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, UInt8, UInt64

UNKNOWN = 4


def reverse_complement(sequence: UInt8[np.ndarray, " L"]) -> UInt8[np.ndarray, " L"]:
    """Return the other strand, read 5' to 3'; code 4 stays 4.

    AACGN is `[0, 0, 1, 2, 4]`; its reverse complement NCGTT is `[4, 1, 2, 3, 3]`:

    >>> reverse_complement(np.array([0, 0, 1, 2, 4], dtype=np.uint8)).tolist()
    [4, 1, 2, 3, 3]
    """
    complement = np.array([3, 2, 1, 0, UNKNOWN], dtype=np.uint8)
    return np.take(complement, sequence[::-1])


def both_strands(regions: Sequence[UInt8[np.ndarray, " _"]]) -> UInt8[np.ndarray, " _"]:
    """Return all regions and their reverse complements as one sequence, a code 4 after each.

    What is read from it with `kmer_codes` never spans two regions or two strands.
    """
    gap = np.array([UNKNOWN], dtype=np.uint8)
    strands = [strand for region in regions for strand in (region, reverse_complement(region))]
    return np.concatenate([gap] + [part for strand in strands for part in (strand, gap)])


def kmer_codes(
    sequence: UInt8[np.ndarray, " L"], k: int
) -> tuple[UInt64[np.ndarray, " L"], Int64[np.ndarray, " L"]]:
    """Return the code of the k-mer ending at each base, and the ACGT run that ends there.

    The code has k base-4 digits, the newest base in the lowest, so `code % 4**j` is the code of the
    j-mer with the same end. The run counts the consecutive A C G T up to and including the base (0
    at a base that is none of them): the code means a k-mer only where the run is at least k, and
    its lowest j digits mean a j-mer where the run is at least j.

    ACGNT with k = 2: codes mean AC = 0*4+1 at base 1 and CG = 1*4+2 at base 2.

    >>> codes, run_bp = kmer_codes(np.array([0, 1, 2, 4, 3], dtype=np.uint8), k=2)
    >>> codes[1:3].tolist(), run_bp.tolist()
    ([1, 6], [1, 2, 3, 0, 1])

    Raises `ValueError` unless 1 <= k <= 32, what 64 bits hold.
    """
    if not 1 <= k <= 32:
        raise ValueError(f"k is {k}; a 64-bit code holds k-mers of 1 to 32 bases")
    known = sequence < UNKNOWN
    bases = np.where(known, sequence, 0).astype(np.uint64)
    codes = np.zeros(len(sequence), dtype=np.uint64)
    for age in range(min(k, len(sequence))):
        codes[age:] |= bases[: len(bases) - age] << np.uint64(2 * age)
    position = np.arange(len(sequence), dtype=np.int64)
    last_unknown = np.maximum.accumulate(np.where(known, -1, position))
    return codes, position - last_unknown
