"""What a sample must and must not hold, and where it ends."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from hyena_glt.errors import SamplingError
from hyena_glt.generate.motifs import MotifAutomaton
from hyena_glt.tokenize import Alphabet, encode

STOP_CODONS = ("TAA", "TAG", "TGA")  # of the genetic codes 1 and 11


class Constraints:
    """Which letters may come next in each row, and which rows have come to their end.

    Case doesn't matter, and T is U. A row is followed by its place in the automaton of the motifs.
    """

    def __init__(
        self,
        alphabet: Alphabet,
        length_bp: int,
        forbid: Sequence[str] = (),
        start: str = "",
        stop_codon: bool = False,
        max_homopolymer_bp: int | None = None,
    ) -> None:
        """Take the settings of ``sample``; SamplingError for one that can't be or has no effect."""
        if isinstance(forbid, str):
            raise SamplingError(f"forbid={forbid!r}: expected a list of motifs, such as ['GAATTC']")
        if len(start) > length_bp:
            raise SamplingError(
                f"start has {len(start)} letters, more than the sample's length_bp={length_bp}"
            )
        if max_homopolymer_bp is not None and max_homopolymer_bp < 1:
            raise SamplingError(f"max_homopolymer_bp={max_homopolymer_bp}: expected at least 1")
        self._alphabet, letters = alphabet, len(alphabet.letters)
        self.start = _letters_of(alphabet, start, "start")
        motifs = [_letters_of(alphabet, motif, "forbid") for motif in forbid]
        if any(len(motif) == 0 for motif in motifs):
            raise SamplingError("forbid: found an empty motif, expected letters")
        if max_homopolymer_bp is not None:
            too_long = max_homopolymer_bp + 1
            motifs += [np.full(too_long, letter, np.uint8) for letter in range(letters)]
        self._motifs = MotifAutomaton(motifs, letters)
        self._stops = self._checked_stops(length_bp) if stop_codon else None

    def begin(self, prompt: UInt8[np.ndarray, "..."], name: str) -> int:
        """Return the place of a row behind ``prompt``.

        Raises SamplingError, with ``name`` and the position, where no sample can go on from there.
        """
        place = self._motifs.read(prompt)
        for position, letter in enumerate(self.start.tolist()):
            if not self._motifs.open[place, letter]:
                raise SamplingError(
                    f"{name}: position {position} of start would complete a forbidden motif or "
                    "homopolymer, or leave no letter to go on with; change start, forbid or "
                    "max_homopolymer_bp"
                )
            place = int(self._motifs.following[place, letter])
        if not self._motifs.open[place].any():
            raise SamplingError(
                f"{name}: behind its {len(prompt)} letters and start, every letter leads to a "
                "forbidden motif or homopolymer; forbid less, or change the prompt"
            )
        return self._motifs.read(prompt)

    def may_come(self, place: Int64[np.ndarray, " B"], position: int) -> Bool[np.ndarray, "B V"]:
        """Return which letters may stand at ``position`` of the samples; one of each row may."""
        may = self._motifs.open[place]
        if position < len(self.start):
            may = may & (np.arange(may.shape[1]) == self.start[position])
        return np.asarray(may)

    def follow(
        self, place: Int64[np.ndarray, " B"], letter: UInt8[np.ndarray, " B"]
    ) -> Int64[np.ndarray, " B"]:
        """Return the rows' places behind ``letter``."""
        return np.asarray(self._motifs.following[place, letter])

    def ended(self, samples: UInt8[np.ndarray, "B L"]) -> Bool[np.ndarray, " B"]:
        """Return which samples, given up to their last letter, end in a stop codon in frame."""
        if self._stops is None or samples.shape[1] % 3:
            return np.zeros(len(samples), dtype=np.bool_)
        return np.asarray((samples[:, -3:, None] == self._stops.T).all(1).any(1))

    def _checked_stops(self, length_bp: int) -> UInt8[np.ndarray, "3 3"]:
        """Return the stop codons' letters."""
        modality = self._alphabet.modality
        if modality == "protein":
            raise SamplingError("stop_codon: a protein has no codons; leave it out")
        if length_bp < 3:
            raise SamplingError(f"stop_codon: no codon fits into length_bp={length_bp}")
        stops = np.stack([_letters_of(self._alphabet, codon, "") for codon in STOP_CODONS])
        for first in range(0, len(self.start) - 2, 3):
            if (self.start[first : first + 3] == stops).all(1).any():
                raise SamplingError(
                    f"start has a stop codon at position {first}, where the sample would end; "
                    "change start, or leave out stop_codon"
                )
        if all(self._motifs.is_in(codon) for codon in stops):
            raise SamplingError(
                f"stop_codon: each of {', '.join(STOP_CODONS)} holds a forbidden motif or "
                "homopolymer, so that no sample could end in one; forbid less"
            )
        return stops


def _letters_of(alphabet: Alphabet, text: str, name: str) -> UInt8[np.ndarray, " L"]:
    """Return the places of ``text`` in the alphabet's letters."""
    index = alphabet.letter_index(encode(text)) if text.isascii() else np.full(1, -1, np.int8)
    if (index < 0).any():
        raise SamplingError(
            f"{name}: found {text!r}, expected letters of {alphabet.modality}, "
            f"{' '.join(alphabet.letters)}, each with one meaning; write out what a code stands for"
        )
    return index.astype(np.uint8)
