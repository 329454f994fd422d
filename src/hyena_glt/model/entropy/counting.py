"""How often each base follows each context, and how uncertain that leaves what follows."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float64, Int16, Int32, Int64, UInt8

from hyena_glt.errors import SequenceError
from hyena_glt.model.entropy.words import BASES, digits_of_ids, first_word, last_words
from hyena_glt.patch import UNIT

# What shorter contexts say counts as much as so many observations. Of 4, 8, ... 1024 this gives
# unseen E. coli the fewest bits per base, and human chromosome 20 nearly so (128 is best). Seen ten
# times, a context knows less than its suffix: with 32, those of 12 bases are worse than those of 6.
PRIOR_COUNT = 256.0
_MOST_LETTERS = 2**30  # counts are int32, and both strands are counted
_CHUNK_BP = 2**20
# Contexts longer than this are treated in chunks of those that end with the same words.
_SUFFIX_BP = 6
_CHUNK_SUFFIXES = 16


def count_following(
    regions: Iterable[UInt8[np.ndarray, " _"]], longest_bp: int
) -> list[Int32[np.ndarray, "_ 4"]]:
    """Count which base follows each context, on both strands of each region.

    Returns one array for each context length, 0 to ``longest_bp``: its row c counts the four bases
    after context c (contexts in alphabetical order). No window spans two regions or holds anything
    but A C G T; ids are letters' ASCII codes, U is T, in either case. Regions are read once, a
    chunk at a time.

    Raises SequenceError where there is no letter, or more than 2**30 of them.
    """
    digit_of = digits_of_ids()
    window_bp = longest_bp + 1
    counts = np.zeros(first_word(window_bp + 1), dtype=np.int32)
    for region in regions:
        for start in range(0, len(region), _CHUNK_BP):
            # A region's first windows have fewer letters, as if none stood before it.
            before = max(0, start - longest_bp)
            digits = np.zeros(min(_CHUNK_BP, len(region) - start) + longest_bp, dtype=np.int32)
            read = digit_of[region[before : start + _CHUNK_BP]]
            digits[len(digits) - len(read) :] = read
            words = last_words(torch.from_numpy(digits)[None], window_bp)[0]
            np.add.at(counts, words.numpy().astype(np.int64), np.int32(1))
    letters = int(counts[1:].sum(dtype=np.int64))
    if not 0 < letters <= _MOST_LETTERS:
        raise SequenceError(
            f"found {letters:,} letters A C G T in the training regions, expected 1 to "
            f"{_MOST_LETTERS:,}: check the regions of the split, or count a part of them"
        )
    return _both_strands(counts, longest_bp)


def _both_strands(
    counts: Int32[np.ndarray, " _"], longest_bp: int
) -> list[Int32[np.ndarray, "_ 4"]]:
    """Return the counts of windows of each length, from each position's longest window."""
    windows = {n: counts[first_word(n) : first_word(n + 1)] for n in range(1, longest_bp + 2)}
    # A shorter window is the end of a longer one, or stands where a run of letters begins.
    for n in range(longest_bp, 0, -1):
        windows[n] += windows[n + 1].reshape(BASES, -1).sum(0, dtype=np.int32)
    for n in windows:
        add_other_strand(windows[n], n)
    return [windows[n].reshape(-1, BASES) for n in sorted(windows)]


def add_other_strand(counts: Int32[np.ndarray, " W"], length_bp: int) -> None:
    """Add to the count of each word, in place, the count of its reverse complement.

    That is ``counts`` as an array of one axis a letter, with its axes in reverse and each turned
    round. Here the axes are taken in two halves and the letter between them, if there is one: much
    quicker, and in a quarter of the memory.
    """
    partner = _reverse_complements(length_bp // 2)
    turn = np.ix_(partner, partner)
    middles = BASES if length_bp % 2 else 1
    by_half = counts.reshape(len(partner), middles, len(partner))
    for middle in range((middles + 1) // 2):
        here, there = by_half[:, middle], by_half[:, middles - 1 - middle]
        here += there[turn].T
        if middles > 1:
            there[:] = here[turn].T


def _reverse_complements(length_bp: int) -> Int64[np.ndarray, " _"]:
    """Return the reverse complement of each word of so many letters, both counted from 0."""
    partner = np.zeros(1, dtype=np.int64)
    for _ in range(length_bp):
        first = np.arange(BASES)[:, None]
        partner = (partner * BASES + (BASES - 1 - first)).reshape(-1)
    return partner


def left_out_entropies(
    following: Sequence[Int32[np.ndarray, "_ 4"]], prior_count: float = PRIOR_COUNT
) -> Int16[np.ndarray, " _"]:
    """Return the entropy of the base after each context, in 1/1024 bit, by the context's index.

    The base b follows the context c of j letters with the probability

        p_j(b | c) = (n(cb) + A p_{j-1}(b | c')) / (n(c) + A)

    where c' is c without its oldest letter, A = ``prior_count`` and p_{-1} = 1/4. The entropy of
    that is too small at a base that was counted, for it has seen the answer. To leave the base's
    own count out where it is looked up would tell which base it is. So the context's entropy is the
    mean over its own occurrences, each left out in turn at every order:

        E(c) = sum_a n(ca) / n(c) * H(p_j^{-a}(. | c))

    with p^{-a} as p, but one count of a less in c and all its suffixes. A context that never
    occurred takes the entropy of c'. E is one number a context, the same for every base that
    stands behind it. What it tells of the base behind one occurrence is what the others leave: none
    where there is one, and a trace where there are a few, since the terms of the others count it.

    One thing is left that tells training bases from new ones: they stand behind contexts that
    occurred. A large A makes that small, since few occurrences then change little.
    """
    longest_bp = len(following) - 1
    table = np.empty(first_word(longest_bp + 1), dtype=np.int16)
    share = np.full((1, BASES, BASES), 1 / BASES)
    entropy = np.full(1, np.log2(BASES))
    suffix_bp = min(_SUFFIX_BP, longest_bp)
    for order in range(suffix_bp + 1):
        share, entropy = _longer(following[order], share, entropy, prior_count)
        table[first_word(order) : first_word(order + 1)] = _in_units(entropy)
    for start in range(0, BASES**suffix_bp, _CHUNK_SUFFIXES):
        chunk = slice(start, start + _CHUNK_SUFFIXES)
        deeper_share, deeper_entropy = share[chunk], entropy[chunk]
        for order in range(suffix_bp + 1, longest_bp + 1):
            counts = following[order].reshape(-1, BASES**suffix_bp, BASES)[:, chunk]
            deeper_share, deeper_entropy = _longer(
                counts.reshape(-1, BASES), deeper_share, deeper_entropy, prior_count
            )
            of_order = table[first_word(order) : first_word(order + 1)]
            of_order.reshape(-1, BASES**suffix_bp)[:, chunk] = _in_units(deeper_entropy).reshape(
                len(counts), -1
            )
    return table


def _longer(
    counts: Int32[np.ndarray, "C 4"],
    share: Float64[np.ndarray, "P 4 4"],
    entropy: Float64[np.ndarray, " P"],
    prior_count: float,
) -> tuple[Float64[np.ndarray, "C 4 4"], Float64[np.ndarray, " C"]]:
    """Return p^{-a}(b | c) as [c, a, b] and E(c), from those of the contexts a letter shorter.

    Context c without its oldest letter is number c % P. Where base a never follows c, p^{-a} is
    left undefined: it is asked for by no longer context.
    """
    context, removed = np.nonzero(counts)
    suffix = context % len(share)
    seen = counts.sum(1, dtype=np.int64)
    likely = prior_count * share[suffix, removed] + counts[context]
    likely[np.arange(len(context)), removed] -= 1
    likely /= (seen[context] - 1 + prior_count)[:, None]
    bits = -np.einsum("cb,cb->c", likely, np.log2(likely))
    weighted = np.bincount(context, counts[context, removed] * bits, minlength=len(counts))
    inherited = np.tile(entropy, len(counts) // len(share))
    longer_entropy = np.where(seen > 0, weighted / np.maximum(seen, 1), inherited)
    longer_share = np.empty((len(counts), BASES, BASES))
    longer_share[context, removed] = likely
    return longer_share, longer_entropy


def _in_units(bits: Float64[np.ndarray, " C"]) -> Int16[np.ndarray, " C"]:
    return np.asarray(np.rint(bits * UNIT).astype(np.int16))
