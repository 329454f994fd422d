"""What all tokenizers do alike: letters to tokens, tokens to letters, and where each token stands.

A model needs an embedding of `size` rows and nothing else. Ids below `VOCABULARY_SIZE` mean the
same in every tokenizer: special symbols, and letters that stand alone. Tokens of several letters
take the ids from there on. A row of a batch is BOS, tokens, then PAD; to answer for bases, give
each base of a token's span what was computed for the token. Likelihoods of tokenizers compare by
base: the sum of nats over tokens, over the bases of their spans.
"""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Int32, Int64, Integer, UInt8

from hyena_glt.errors import SequenceError
from hyena_glt.tokenize import vocabulary
from hyena_glt.tokenize.vocabulary import VOCABULARY_SIZE

Sequence = str | bytes | UInt8[np.ndarray, " _"]
_FIRST_LETTER = 32


class Tokenizer(ABC):
    """Cuts a sequence into tokens, all of it; `LetterTokenizer`, `KmerTokenizer`, `BpeTokenizer`.

    `size` is how many token ids there are, special symbols included. `overlapping` is true where
    a token is said for each base, and one tells of its neighbours: such tokens have no likelihood.
    """

    overlapping: bool = False

    def __init__(self, letters_of: UInt8[np.ndarray, "S _"]) -> None:
        """``letters_of``: the letters of each token from `VOCABULARY_SIZE` on, 0 behind them."""
        longest = max(1, letters_of.shape[1])
        table = np.zeros((VOCABULARY_SIZE + len(letters_of), longest), np.uint8)
        table[_FIRST_LETTER:VOCABULARY_SIZE, 0] = np.arange(_FIRST_LETTER, VOCABULARY_SIZE)
        table[VOCABULARY_SIZE:, : letters_of.shape[1]] = letters_of
        self.size = len(table)
        self._letters_of = table
        self._bp = np.count_nonzero(table, axis=1)

    @abstractmethod
    def encode(self, sequence: Sequence) -> Int32[np.ndarray, " N"]:
        """The tokens of letters, or of their ids as `hyena_glt.tokenize.encode` gives them.

        Special symbols among ids stay as they are, a token each; none is added. Raises
        SequenceError, with the 0-based position, at what is no printable ASCII letter.
        """

    def decode(self, tokens: Integer[np.ndarray, " N"]) -> str:
        """The letters that tokens cover.

        Raises SequenceError at a special symbol, at an id of no token, and where overlapping
        tokens say different letters of one base.
        """
        spans = self.spans(tokens)
        letters = self._letters_of[tokens]
        token, place = np.nonzero(letters)
        at, said = spans[token, 0] + place, letters[token, place]
        found = np.zeros(int(spans[:, 1].max(initial=0)), np.uint8)
        found[at] = said
        differs = found[at] != said
        if differs.any():
            base = int(at[differs].min())
            raise SequenceError(
                f"base {base} (0-based): overlapping tokens say different letters of it; expected "
                "tokens in the order in which encode gives them"
            )
        special = np.flatnonzero(self._bp[tokens] == 0)
        if special.size:
            name = vocabulary.symbol_name(int(tokens[special[0]]))
            raise SequenceError(
                f"token {special[0]} (0-based): found {name}, expected a token of letters; cut "
                "special symbols off before decoding"
            )
        return vocabulary.decode(found)

    def spans(self, tokens: Integer[np.ndarray, " N"]) -> Int64[np.ndarray, "N 2"]:
        """Where each token starts and ends in the sequence: 0-based, half-open, in bp.

        Special symbols are empty. Raises SequenceError at an id of no token.
        """
        unknown = np.flatnonzero((tokens < 0) | (tokens >= self.size))
        if unknown.size:
            raise SequenceError(
                f"token {unknown[0]} (0-based): found {tokens[unknown[0]]}, expected 0 to "
                f"{self.size - 1}; decode with the tokenizer that encoded"
            )
        bp = self._bp[tokens].astype(np.int64)
        step = np.minimum(bp, 1) if self.overlapping else bp
        start = step.cumsum() - step
        return np.stack([start, start + bp], axis=1)


class LetterTokenizer(Tokenizer):
    """Every letter is a token, whose id is that of the vocabulary: what `HyenaGLT` reads.

    Nothing is lost: `decode(encode(x))` is `x`, in either case.
    """

    def __init__(self) -> None:
        super().__init__(np.zeros((0, 1), np.uint8))

    def encode(self, sequence: Sequence) -> Int32[np.ndarray, " N"]:
        """The letters' ids; the rest as `Tokenizer.encode`."""
        return ids_of(sequence).astype(np.int32)


def ids_of(sequence: Sequence, fold_case: bool = False) -> UInt8[np.ndarray, " L"]:
    """The vocabulary's ids of ``sequence``, with ``fold_case`` in upper case.

    Raises SequenceError as `Tokenizer.encode` does.
    """
    ids = sequence if isinstance(sequence, np.ndarray) else vocabulary.encode(sequence)
    wrong = np.flatnonzero(ids >= VOCABULARY_SIZE)
    if wrong.size:
        raise SequenceError(
            f"position {wrong[0]} (0-based): found id {ids[wrong[0]]}, expected one of the "
            f"vocabulary, 0 to {VOCABULARY_SIZE - 1}"
        )
    if fold_case:
        is_lower = (ids >= ord("a")) & (ids <= ord("z"))
        return np.where(is_lower, ids - np.uint8(32), ids).astype(np.uint8)
    return ids


def runs_of(index: Integer[np.ndarray, " L"]) -> tuple[Int64[np.ndarray, " L"], ...]:
    """(Place in its run, length of its run) of each position; a run is of entries from 0 on.

    Both are 0 at entries below 0.
    """
    inside = index >= 0
    edge = np.flatnonzero(np.diff(inside, prepend=False, append=False))
    start, end = edge[::2], edge[1::2]
    run_bp = np.zeros(len(index), np.int64)
    run_bp[inside] = np.repeat(end - start, end - start)
    place = np.zeros(len(index), np.int64)
    place[inside] = np.flatnonzero(inside) - np.repeat(start, end - start)
    return place, run_bp


def exact_index(letters: str) -> Int64[np.ndarray, " V"]:
    """Where each id of the vocabulary stands in ``letters``; -1 for all else, T's U included."""
    index = np.full(VOCABULARY_SIZE, -1, np.int64)
    index[[ord(letter) for letter in letters]] = np.arange(len(letters))
    return index
