"""Near-duplicates by sketches of k-mers: which sequences are too alike for two sides of a split.

The likeness of two sequences is the Jaccard index J of their sets of k-mers, |A & B| / |A | B|. The
chance that two sets have the same least member under a random order is J (Broder 1997, "On the
resemblance and containment of documents"), so that

    J ~ (values in which two sketches agree) / H,  standard error sqrt(J (1 - J) / H)

which with H = 32 is 0.09 at J = 0.5 and 0.07 at 0.8. All H values come from one hash of each k-mer:
its upper bits choose one of H bins, and a bin's value is its least hash (one-permutation hashing:
Li, Owen & Zhang 2012, arXiv:1208.1259). A bin without a k-mer takes the value of another, in an
order that is fixed for each bin (Shrivastava 2017, arXiv:1703.04664). 16 bits of a value are kept
(Li & König 2010, arXiv:0910.3349); two different values agree by chance in 1 of 65536. A row
takes 64 bytes, ten million rows 640 MB.

With d substitutions a base a k-mer survives with c = (1 - d)**k, and J is about c / (2 - c): 0.5 is
97 % identity of DNA (k = 12) and 92 % of proteins (k = 5), over the whole length.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from hashlib import blake2b
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped, UInt8, UInt16, UInt32, UInt64

from hyena_glt.tokenize import Alphabet

SKETCH_VALUES: Final = 32

# Words long enough that two sequences of 10 kb share few by chance (4**12 / 2 = 8 million words of
# both strands, 20**5 = 3 million), short enough that a substitution in 100 bases spoils few.
_K: Final = {"dna": 12, "rna": 12, "protein": 5}
# Bases read at a time: what is computed of them, about 50 bytes a base, stays small.
_PIECE_BP = 1 << 18
_EMPTY = np.uint32(0xFFFFFFFF)
# Values that a band joins: 2 of 16 bits are a key of 32.
_BAND = 2
# Members of a bucket before a sequence, next to the first, that it is compared with.
_NEIGHBOURS = 8
# Pairs compared at a time.
_PAIRS = 1 << 16
_SEPARATOR = b"\0"
_PAIRED = bytes.maketrans(b"ACGTRYKMBVDH", b"TGCAYRMKVBHD")


def sketches(
    sequences: Sequence[bytes], alphabet: Alphabet, k: int | None = None, size: int = SKETCH_VALUES
) -> UInt16[np.ndarray, "R {size}"]:
    """Return ``size`` values of each sequence, whose agreement estimates the likeness.

    k-mers (12 letters, of proteins 5, unless ``k`` says) are those of either strand; case doesn't
    matter, and one that holds anything but a letter of the alphabet is left out. A sequence without
    any k-mer is sketched by all its letters: it is like its equals (and like their other strand)
    and like nothing else.

    Raises ValueError unless ``size`` is a power of two from 4 to 4096, and the alphabet has at most
    2**32 words of ``k`` letters (16 bases, 7 amino acids).
    """
    k = _K[alphabet.modality] if k is None else k
    if size not in (1 << bits for bits in range(2, 13)):
        raise ValueError(f"size is {size}, expected a power of two from 4 to 4096")
    if k < 1 or len(alphabet.letters) ** k > 1 << 32:
        raise ValueError(f"k is {k}; {len(alphabet.letters)}**k words must be 1 letter to 32 bits")
    values = np.empty((len(sequences), size), dtype=np.uint16)
    order = _donors(size)
    for first, last in _batches(sequences):
        batch = sequences[first:last]
        least = _least_hashes(batch, alphabet, k, size)
        without = np.flatnonzero((least == _EMPTY).all(axis=1))
        _fill_empty(least, order)
        # The least of many hashes is small: mixed again, its bits are even.
        values[first:last] = (_mix32(least) >> np.uint32(16)).astype(np.uint16)
        for row in without.tolist():
            values[first + row] = _whole_sketch(batch[row], alphabet, size)
    return values


def similar_pairs(
    sketches: UInt16[np.ndarray, "R H"], least: float = 0.5
) -> Int64[np.ndarray, "pairs 2"]:
    """Return pairs of rows, the lower first, whose estimated likeness is at least ``least``.

    They are a spanning forest: fewer pairs than rows, enough for `clusters`, however many equal
    sequences there are; a pair that others connect isn't among them.

    Candidates are rows that agree in both values of one of H / 2 bands. A pair of likeness J is
    none with the chance (1 - J**2)**(H / 2), for 32 values 1.0 % at 0.5, 8e-8 at 0.8 and 1e-16 at
    0.95. Its estimate also errs: it is below 0.5 in 43 % of pairs of likeness 0.5 itself, 0.01 % at
    0.8, and none at 0.95. In a bucket of a band a row is compared with the first and with the 8
    before it, so that only in buckets of more than 10 can a pair be passed over, which the other
    bands may still find. Which rows are connected doesn't depend on their order. Besides the
    sketches it takes about 120 bytes a row.
    """
    rows = len(sketches)
    bands = np.ascontiguousarray(sketches).view(np.uint32)
    # Buckets list their members in the order of content, not of rows.
    content = np.zeros(rows, dtype=np.uint64)
    for band in bands.T:
        content = mix64(content ^ band)
    order = np.argsort(content, kind="stable")
    rank = np.empty(rows, dtype=np.uint32)
    rank[order] = np.arange(rows, dtype=np.uint32)
    del content
    labels = np.arange(rows)
    forest = [np.empty((0, 2), dtype=np.int64)]
    for band in bands.T:
        keys = (band.astype(np.uint64) << np.uint64(32)) | rank
        keys.sort()
        bucket = (keys >> np.uint64(32)).astype(np.uint32)
        shared = np.zeros(rows, dtype=np.bool_)
        shared[1:] = bucket[1:] == bucket[:-1]
        shared[:-1] |= shared[1:]
        bucket = bucket[shared]
        members = order[(keys[shared] & np.uint64(0xFFFFFFFF)).astype(np.int64)]
        del keys, shared
        for one, other in _candidates(bucket):
            pairs = np.stack([members[one], members[other]], axis=1)
            pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
            pairs = pairs[_likeness(sketches, pairs) >= least]
            labels, joining = _join(labels, pairs)
            forest.append(joining)
    return np.sort(np.concatenate(forest), axis=1)


def clusters(rows: int, pairs: Int64[np.ndarray, "pairs 2"]) -> Int64[np.ndarray, " {rows}"]:
    """Return for each row the smallest row that pairs connect it with; itself where none do."""
    return _join(np.arange(rows), pairs)[0]


def cluster_names(
    clusters: Int64[np.ndarray, " R"], hashes: UInt64[np.ndarray, " R"]
) -> Int64[np.ndarray, " R"]:
    """Return for each row a name of its cluster, which stays when rows are reordered.

    It is the smallest of the members' ``hashes``, those of `exact_hashes`, as a signed number.
    """
    names = np.full(len(clusters), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(names, clusters, hashes)
    return np.take(names.view(np.int64), clusters)


def exact_hashes(sequences: Sequence[bytes], alphabet: Alphabet) -> UInt64[np.ndarray, " R"]:
    """Return a hash of each sequence's letters, equal for sequences that differ in case alone.

    T and U are one letter of nucleic acids. The strand counts: a reverse complement is another
    sequence. Among ten million different sequences two have the same hash with a chance of 3e-6.
    """
    fold = _folding(alphabet)
    digests = (_digest(sequence.translate(fold)) for sequence in sequences)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def mix64(numbers: UInt64[np.ndarray, "*shape"]) -> UInt64[np.ndarray, "*shape"]:
    """Return each number scattered over 64 bits, one to one (SplitMix64's finish, Steele 2014)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def _mix32(numbers: UInt32[np.ndarray, "*shape"]) -> UInt32[np.ndarray, "*shape"]:
    """MurmurHash3's finish: one to one, so that different words never have the same hash."""
    mixed = numbers ^ (numbers >> np.uint32(16))
    mixed *= np.uint32(0x85EBCA6B)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(0xC2B2AE35)
    return np.asarray(mixed ^ (mixed >> np.uint32(16)))


def _batches(sequences: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Runs of rows that reach a piece's bases; a long sequence is one alone, or ends one."""
    first, length = 0, 0
    for row, sequence in enumerate(sequences):
        length += len(sequence) + 1
        if length >= _PIECE_BP:
            yield first, row + 1
            first, length = row + 1, 0
    if first < len(sequences):
        yield first, len(sequences)


def _least_hashes(
    batch: Sequence[bytes], alphabet: Alphabet, k: int, size: int
) -> UInt32[np.ndarray, "R {size}"]:
    """The least hash of each bin of each sequence, `_EMPTY` where a bin has none."""
    least = np.full(len(batch) * size, _EMPTY)
    # A separator is no letter, so that no word spans two sequences.
    ids = np.frombuffer(_SEPARATOR.join(batch), dtype=np.uint8)
    ends = np.cumsum([len(sequence) + 1 for sequence in batch])
    bits = np.uint32(32 - (size.bit_length() - 1))
    for start in range(0, len(ids), _PIECE_BP):
        words, known = _words(ids[start : start + _PIECE_BP + k - 1], alphabet, k)
        edges = np.clip(ends, start, start + len(words))
        rows = np.repeat(np.arange(len(batch)) * size, np.diff(edges, prepend=start))
        hashes = _mix32(words[known])
        np.minimum.at(least, rows[known] + (hashes >> bits), hashes)
    return least.reshape(len(batch), size)


def _words(
    ids: UInt8[np.ndarray, " L"], alphabet: Alphabet, k: int
) -> tuple[UInt32[np.ndarray, " W"], Bool[np.ndarray, " W"]]:
    """The code of the word that begins at each base, and whether all its letters are known.

    The code is that of the strand on which it is the smaller.
    """
    base = len(alphabet.letters)
    index = alphabet.letter_index(ids)
    known = _spans(index >= 0, k, lambda early, late, *_: early & late)
    # An unknown letter is 2**32 - 1 here; what its words come to is never used.
    letters = index.astype(np.uint32)
    words = _spans(letters, k, lambda early, late, _, after: early * np.uint32(base**after) + late)
    if alphabet.modality != "protein":
        other = _spans(
            np.uint32(base - 1) - letters,
            k,
            lambda early, late, before, _: late * np.uint32(base**before) + early,
        )
        words = np.minimum(words, other)
    return words, known


def _spans(
    letters: Shaped[np.ndarray, " L"], k: int, join: Callable[..., Shaped[np.ndarray, " W"]]
) -> Shaped[np.ndarray, " _"]:
    """What ``join`` makes of the k letters from each base on, in about log2(k) passes.

    ``join`` takes what it made of some letters and of those that follow, and how many both are.
    """
    if k == 1:
        return letters
    half = k // 2
    part = _spans(letters, half, join)
    joined = join(part[:-half], part[half:], half, half)
    return join(joined[:-1], letters[k - 1 :], k - 1, 1) if k % 2 else joined


def _donors(size: int) -> Int64[np.ndarray, "{size} {size}"]:
    """For each bin all bins, in an order of its own that is the same in every sketch."""
    numbers = np.arange(size * size, dtype=np.uint64)
    return np.argsort(mix64(numbers).reshape(size, size), axis=1)


def _fill_empty(least: UInt32[np.ndarray, "R H"], order: Int64[np.ndarray, "H H"]) -> None:
    """Give each empty bin the value of the first in its order that isn't empty, if there is one."""
    rows, bins = np.nonzero((least == _EMPTY) & (least != _EMPTY).any(axis=1, keepdims=True))
    values = np.full(len(rows), _EMPTY)
    empty = np.arange(len(rows))
    for turn in range(order.shape[1]):
        values[empty] = least[rows[empty], order[bins[empty], turn]]
        empty = empty[values[empty] == _EMPTY]
        if not len(empty):
            break
    least[rows, bins] = values


def _whole_sketch(sequence: bytes, alphabet: Alphabet, size: int) -> UInt16[np.ndarray, " {size}"]:
    """The sketch of a sequence without k-mers: values of all its letters, on the smaller strand."""
    letters = sequence.translate(_folding(alphabet))
    if alphabet.modality != "protein":
        letters = min(letters, letters.translate(_PAIRED)[::-1])
    number = np.frombuffer(_digest(letters), dtype="<u8").astype(np.uint64)
    return (mix64(mix64(number) + np.arange(size, dtype=np.uint64)) >> np.uint64(48)).astype(
        np.uint16
    )


@cache
def _folding(alphabet: Alphabet) -> bytes:
    """A table of bytes that makes letters upper case, and U of nucleic acids T."""
    table = bytes(range(256)).upper()
    return table if alphabet.modality == "protein" else table.replace(b"U", b"T")


def _digest(letters: bytes) -> bytes:
    return blake2b(letters, digest_size=8).digest()


def _candidates(
    bucket: UInt32[np.ndarray, " M"],
) -> Iterator[tuple[Int64[np.ndarray, " C"], Int64[np.ndarray, " C"]]]:
    """Places of members and of others in the same bucket; buckets are runs of equal keys."""
    if not len(bucket):
        return
    opens = np.concatenate([[True], bucket[1:] != bucket[:-1]])
    first = np.flatnonzero(opens)[np.cumsum(opens) - 1]
    others = np.flatnonzero(~opens)
    yield others, first[others]
    for step in range(1, _NEIGHBOURS + 1):
        members = np.flatnonzero(first[step:] == first[:-step]) + step
        yield members, members - step


def _likeness(
    sketches: UInt16[np.ndarray, "R H"], pairs: Int64[np.ndarray, "pairs 2"]
) -> Float64[np.ndarray, " pairs"]:
    """The share of values in which the two rows of each pair agree."""
    likeness = np.empty(len(pairs))
    for start in range(0, len(pairs), _PAIRS):
        one, other = pairs[start : start + _PAIRS].T
        likeness[start : start + _PAIRS] = (sketches[one] == sketches[other]).mean(axis=1)
    return likeness


def _join(
    labels: Int64[np.ndarray, " R"], pairs: Int64[np.ndarray, "pairs 2"]
) -> tuple[Int64[np.ndarray, " R"], Int64[np.ndarray, "joining 2"]]:
    """Labels after the rows of each pair have been joined, and the pairs that joined two trees.

    A label is the smallest row of a tree. In each round every tree that has a pair with a tree of a
    smaller label hangs itself on the smallest such. A tree with a pair hangs itself or is hung on
    in one of two rounds, so that their number falls by half in every two.
    """
    joining = [np.empty((0, 2), dtype=np.int64)]
    while True:
        ends = np.sort(labels[pairs], axis=1)
        apart = ends[:, 0] != ends[:, 1]
        if not apart.any():
            return labels, np.concatenate(joining)
        pairs, (low, high) = pairs[apart], ends[apart].T
        order = np.lexsort((low, high))
        first = order[np.diff(high[order], prepend=-1) > 0]
        labels = labels.copy()
        labels[high[first]] = low[first]
        joining.append(pairs[first])
        while not np.array_equal(up := labels[labels], labels):
            labels = up
