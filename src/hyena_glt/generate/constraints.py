"""What a sample must and must not hold, and where it ends."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from hyena_glt.errors import SamplingError
from hyena_glt.generate.motifs import MotifAutomaton
from hyena_glt.tokenize import Alphabet, encode

CODON_BP = 3
STOP_CODONS = ("TAA", "TAG", "TGA")  # of the genetic codes 1 and 11


class Constraints:
    """Which letters may come next in each row, and which rows have come to their end.

    Case doesn't matter, and T is U. A row is followed by two numbers: its place in the automaton,
    and by how many letters its run of one letter is longer than the automaton tells apart.

    The automaton holds the motifs and, of each letter, a run that is as long as the longest motif
    or too long already. Behind longer runs the motifs leave the same letters, so that these are
    counted, and a limit of any length costs no memory.
    """

    def __init__(
        self,
        alphabet: Alphabet,
        prompt_bp: int,
        length_bp: int,
        forbid: Sequence[str] = (),
        start: str = "",
        stop_codon: bool = False,
        max_homopolymer_bp: int | None = None,
    ) -> None:
        """Take the settings of ``sample`` and the length of the longest prompt.

        Raises SamplingError for a setting that can't be or has no effect.
        """
        if isinstance(forbid, str):
            raise SamplingError(f"forbid={forbid!r}: expected a list of motifs, such as ['GAATTC']")
        if len(start) > length_bp:
            raise SamplingError(
                f"start has {len(start)} letters, more than the sample's length_bp={length_bp}"
            )
        total_bp = prompt_bp + length_bp
        if max_homopolymer_bp is not None and max_homopolymer_bp < 1:
            raise SamplingError(f"max_homopolymer_bp={max_homopolymer_bp}: expected at least 1")
        if max_homopolymer_bp is not None and max_homopolymer_bp >= total_bp:
            raise SamplingError(
                f"max_homopolymer_bp={max_homopolymer_bp}: has no effect, as the longest prompt "
                f"({prompt_bp}) and length_bp ({length_bp}) have no longer run; leave it out"
            )
        self._alphabet, letters = alphabet, len(alphabet.letters)
        self.start = _letters_of(alphabet, start, "start")
        motifs = [_letters_of(alphabet, motif, "forbid") for motif in forbid]
        if any(len(motif) == 0 for motif in motifs):
            raise SamplingError("forbid: found an empty motif, expected letters")
        for motif, text in zip(motifs, forbid, strict=True):
            if len(motif) > total_bp:
                raise SamplingError(
                    f"forbid: found {text[:20]!r}..., {len(motif)} letters: has no effect, as the "
                    f"longest prompt ({prompt_bp}) and length_bp ({length_bp}) have fewer; leave "
                    "it out"
                )
        longest = max((len(motif) for motif in motifs), default=0)
        most = max_homopolymer_bp or 0
        self._run_bp = min(most, max(longest, CODON_BP))  # the longest run told apart
        self._countable_bp = most - self._run_bp
        runs = [np.full(self._run_bp + 1, letter, np.uint8) for letter in range(letters)]
        self._motifs = MotifAutomaton(motifs + (runs if most else []), letters)
        self._is_long = np.zeros(len(self._motifs.open), dtype=np.bool_)
        self._lengthens = np.zeros_like(self._motifs.open)
        for letter, run in enumerate(runs if most else []):
            place, longer = self._motifs.read(run[1:]), self._motifs.read(run)
            self._is_long[longer] = True
            # A run goes on if it holds no motif, and only if another letter can end it.
            if not any((motif == letter).all() for motif in motifs):
                self._lengthens[[place, longer], letter] = self._motifs.open[place].any()
        self._stops = self._checked_stops(length_bp) if stop_codon else None

    def begin(self, prompt: UInt8[np.ndarray, "..."], name: str) -> Int64[np.ndarray, "2"]:
        """Return where a row is behind ``prompt``.

        Raises SamplingError, with ``name`` and the position, where no sample can go on from there.
        """
        others = np.flatnonzero(prompt != prompt[-1]) if len(prompt) else prompt
        run_bp = len(prompt) - 1 - int(others[-1]) if len(others) else len(prompt)
        place = self._motifs.read(prompt)
        counted = run_bp - self._run_bp if self._is_long[place] else 0
        begun = np.array([place, counted], dtype=np.int64)
        behind = begun[None]
        for position, letter in enumerate(self.start):
            if not self.may_come(behind, position).any():
                raise SamplingError(
                    f"{name}: position {position} of start would complete a forbidden motif or "
                    "homopolymer, or leave no letter to go on with; change start, forbid or "
                    "max_homopolymer_bp"
                )
            behind = self.follow(behind, np.array([letter]))
        if not self.may_come(behind, len(self.start)).any():
            raise SamplingError(
                f"{name}: behind its {len(prompt)} letters and start, every letter leads to a "
                "forbidden motif or homopolymer; forbid less, or change the prompt"
            )
        return begun

    def may_come(self, behind: Int64[np.ndarray, "B 2"], position: int) -> Bool[np.ndarray, "B V"]:
        """Return which letters may stand at ``position`` of the samples; one of each row may."""
        place, counted = behind.T
        longer = self._lengthens[place] & (counted < self._countable_bp)[:, None]
        may = self._motifs.open[place] | longer
        if position < len(self.start):
            may = may & (np.arange(may.shape[1]) == self.start[position])
        return np.asarray(may)

    def follow(
        self, behind: Int64[np.ndarray, "B 2"], letter: UInt8[np.ndarray, " B"]
    ) -> Int64[np.ndarray, "B 2"]:
        """Return where the rows are behind ``letter``."""
        place = self._motifs.following[behind[:, 0], letter]
        return np.stack([place, np.where(self._is_long[place], behind[:, 1] + 1, 0)], axis=1)

    def may_end(self, position: int) -> bool:
        """Whether a sample can end at ``position``: a codon does, and stop codons are asked for."""
        return self._stops is not None and (position + 1) % CODON_BP == 0

    def ended(self, codon: UInt8[np.ndarray, "B 3"]) -> Bool[np.ndarray, " B"]:
        """Return which rows end, given their last codon; call it where they can end alone."""
        assert self._stops is not None
        return np.asarray((codon[:, None] == self._stops).all(2).any(1))

    def _checked_stops(self, length_bp: int) -> UInt8[np.ndarray, "3 3"]:
        """Return the stop codons' letters."""
        modality = self._alphabet.modality
        if modality == "protein":
            raise SamplingError("stop_codon: a protein has no codons; leave it out")
        if length_bp < CODON_BP:
            raise SamplingError(f"stop_codon: no codon fits into length_bp={length_bp}")
        stops = np.stack([_letters_of(self._alphabet, codon, "") for codon in STOP_CODONS])
        for first in range(0, len(self.start) - 2, 3):
            if (self.start[first : first + 3] == stops).all(1).any():
                raise SamplingError(
                    f"start has a stop codon at position {first}, where the sample would end; "
                    "change start, or leave out stop_codon"
                )
        begun_bp = len(self.start) // CODON_BP * CODON_BP
        begun, room_bp = self.start[begun_bp:], length_bp - begun_bp
        fits = (stops[:, : len(begun)] == begun).all(1).any() or room_bp >= 2 * CODON_BP
        if room_bp < CODON_BP or not fits:
            raise SamplingError(
                f"stop_codon: no stop codon in frame fits between the {len(self.start)} letters of "
                f"start and length_bp={length_bp}; ask for more letters, or leave out stop_codon"
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
