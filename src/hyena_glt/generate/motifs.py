"""Which letter would complete a motif: one look-up, however many motifs there are."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, UInt8


class MotifAutomaton:
    """The automaton of some motifs (Aho and Corasick 1975, doi:10.1145/360825.360855).

    A place stands for the longest end of what was read that begins a motif; place 0 for none. A
    letter is open unless it completes a motif, or leads to a place from which every way does: who
    takes open letters alone always finds one.
    """

    following: Int64[np.ndarray, "N V"]  # the place behind each letter
    open: Bool[np.ndarray, "N V"]

    def __init__(self, motifs: Sequence[UInt8[np.ndarray, "..."]], letters: int) -> None:
        self.longest = max((len(motif) for motif in motifs), default=0)
        trie, complete = _trie(motifs)
        self.following = np.zeros((len(trie), letters), np.int64)
        fallback = [0] * len(trie)  # the place of what was read without its first letters
        level = [0]
        for place in level:  # grows on the way: shorter beginnings come first
            for letter in range(letters):
                shorter = int(self.following[fallback[place], letter]) if place else 0
                longer = trie[place].get(letter)
                self.following[place, letter] = shorter if longer is None else longer
                if longer is not None:
                    fallback[longer] = shorter
                    complete[longer] = complete[longer] or complete[shorter]
                    level.append(longer)
        self._complete = np.array(complete)
        shut = self._complete
        while (more := shut | shut[self.following].all(1)).sum() > shut.sum():
            shut = more
        self.open = ~shut[self.following]

    def read(self, letters: UInt8[np.ndarray, "..."]) -> int:
        """Return the place behind ``letters``, whatever they complete."""
        place = 0
        for letter in letters[max(0, len(letters) - self.longest) :].tolist():
            place = int(self.following[place, letter])
        return place

    def is_in(self, letters: UInt8[np.ndarray, "..."]) -> bool:
        """Return whether ``letters`` hold a motif."""
        return any(
            bool(self._complete[self.read(letters[: end + 1])]) for end in range(len(letters))
        )


def _trie(motifs: Sequence[UInt8[np.ndarray, "..."]]) -> tuple[list[dict[int, int]], list[bool]]:
    """Return (the longer beginning behind each letter, whether it is a motif) of each beginning."""
    trie: list[dict[int, int]] = [{}]
    complete = [False]
    for motif in motifs:
        place = 0
        for letter in motif.tolist():
            if letter not in trie[place]:
                trie[place][letter] = len(trie)
                trie.append({})
                complete.append(False)
            place = trie[place][letter]
        complete[place] = True
    return trie, complete
