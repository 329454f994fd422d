"""Which bases of a sequence lie in repeats that the training regions hold too."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64

from hyena_glt.evaluate.kmers import kmer_codes, reverse_complement

_CHUNK_BP = 2**23  # reading a chunk of training takes about 0.3 GB


def shared_kmers(
    train_regions: Sequence[UInt8[np.ndarray, " _"]],
    sequence: UInt8[np.ndarray, " L"],
    k: int = 32,
) -> Bool[np.ndarray, " L"]:
    """Return True at each base covered by a k-mer that occurs in training, on either strand.

    Exact: k-mers are compared as whole 64-bit codes, never hashed. Windows that hold code 4 match
    nothing, and none spans two regions. Insertion sequences and rRNA operons are what this finds
    between the parts of one bacterial genome.

    With k = 3, training on AACG: TACGT holds ACG, and CGT is its reverse complement.

    >>> train = [np.array([0, 0, 1, 2], dtype=np.uint8)]
    >>> shared_kmers(train, np.array([3, 0, 1, 2, 3], dtype=np.uint8), k=3).tolist()
    [False, True, True, True, True]

    Raises `ValueError` unless 1 <= k <= 32.
    """
    strands = [_kmers(sequence, k), _kmers(reverse_complement(sequence), k)]
    found = [np.zeros(len(kmers), dtype=np.bool_) for _, kmers in strands]
    for chunk in _chunks(train_regions, k):
        known = np.sort(_kmers(chunk, k)[1])
        for (_, kmers), hits in zip(strands, found, strict=True):
            hits |= _isin_sorted(kmers, known)
    (forward_ends, _), (backward_ends, _) = strands
    forward = _covered(forward_ends[found[0]], len(sequence), k)
    backward = _covered(backward_ends[found[1]], len(sequence), k)
    return np.asarray(forward | backward[::-1])


def _kmers(
    sequence: UInt8[np.ndarray, " L"], k: int
) -> tuple[Int64[np.ndarray, " N"], UInt64[np.ndarray, " N"]]:
    """The last base of each k-mer of A C G T, and its code."""
    codes, run_bp = kmer_codes(sequence, k)
    ends = np.flatnonzero(run_bp >= k)
    return ends, codes[ends]


def _chunks(
    regions: Sequence[UInt8[np.ndarray, " _"]], k: int
) -> Iterator[UInt8[np.ndarray, " _"]]:
    """The regions in pieces that overlap by k - 1 bases, so that no k-mer is lost at an edge."""
    for region in regions:
        for start in range(0, len(region), _CHUNK_BP):
            yield region[start : start + _CHUNK_BP + k - 1]


def _isin_sorted(
    values: UInt64[np.ndarray, " N"], known: UInt64[np.ndarray, " M"]
) -> Bool[np.ndarray, " N"]:
    """True where a value is among the known ones, which are sorted."""
    if len(known) == 0:
        return np.zeros(len(values), dtype=np.bool_)
    nearest = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.asarray(known[nearest] == values)


def _covered(
    ends: Int64[np.ndarray, " N"], length_bp: int, k: int
) -> Bool[np.ndarray, " length_bp"]:
    """True at the k bases up to and including each end."""
    edges = np.zeros(length_bp + 1, dtype=np.int64)
    edges[ends + 1 - k] += 1  # ends are distinct, so += counts each once
    edges[ends + 1] -= 1
    return np.cumsum(edges[:-1]) > 0
