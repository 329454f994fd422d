"""Examples changed at random while they train: the other strand, a shift, substitutions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Shaped, UInt8

from hyena_glt.errors import RecipeError
from hyena_glt.io.examples.example import Target
from hyena_glt.tokenize import Alphabet

# A class's code or value, an array of those, one class a base, or bins of tracks.
EncodedTarget = Shaped[np.ndarray, "..."] | np.generic | int | float | None

_OTHER_STRAND = {"+": "-", "-": "+", "plus": "minus", "minus": "plus"}
# plus and minus are words of their own, as in cage_plus; a surplus has no strand.
_STRANDED = re.compile(r"(?P<stem>.*?)(?P<strand>[+-]|(?<![^\W_])(?:plus|minus))")
_LOWER = ord("a") - ord("A")


@dataclass(frozen=True, slots=True, eq=False)
class Augment:
    """Changes an example, and its label with it, by random numbers alone.

    - ``shift_bp``: the example loses so many bases in all, any share of them at its start. Nothing
      is padded, so that the window moves within what is stored; each number of bases (of whole
      bins, for a signal) at the start is equally likely.
    - ``reverse_complement``: the probability that the other strand is given instead.
    - ``mutation``: the probability that a base is replaced, by each other letter of the alphabet
      with equal chance. Case stays, and so do letters that name several bases.

    ``swaps`` holds, for classes of bases or tracks of a signal, the code of the one that a code is
    on the other strand, as `strand_swaps` gives; without it codes stay. Classes of whole examples
    and numbers stay whatever is done.

    Raises RecipeError for a probability that isn't one, a negative shift, a shift that isn't whole
    bins of ``bin_bp``, and the other strand of a protein.
    """

    alphabet: Alphabet
    reverse_complement: float = 0.0
    shift_bp: int = 0
    mutation: float = 0.0
    swaps: Int64[np.ndarray, " C"] | None = None
    bin_bp: int = 1

    def __post_init__(self) -> None:
        for name in ("reverse_complement", "mutation"):
            chance = getattr(self, name)
            if not 0 <= chance <= 1:
                raise RecipeError(f"augment.{name}: found {chance}, expected 0 to 1")
        if self.shift_bp < 0 or self.shift_bp % self.bin_bp:
            raise RecipeError(
                f"augment.shift_bp: found {self.shift_bp}, expected 0 or more whole bins of "
                f"{self.bin_bp} bp"
            )
        if self.reverse_complement and self.alphabet.modality == "protein":
            raise RecipeError(
                f"augment.reverse_complement: found {self.reverse_complement} for proteins, which "
                "have no other strand; set it to 0"
            )

    def __call__(
        self,
        sequence: UInt8[np.ndarray, " L"],
        target: EncodedTarget,
        kind: Target,
        rng: np.random.Generator,
    ) -> tuple[UInt8[np.ndarray, " M"], EncodedTarget]:
        """Return the letters and the label after all three, in new arrays or views of those given.

        ``target`` is an array of one code a base where ``kind`` is bases, and of bins and tracks
        where it is signal. The same state of ``rng`` gives the same result.

        Raises RecipeError where the shift leaves no base, or a signal isn't of whole bins.
        """
        if self.shift_bp:
            sequence, target = self._cropped(sequence, target, kind, rng)
        if rng.random() < self.reverse_complement:
            sequence, target = self.other_strand(sequence, target, kind)
        if self.mutation:
            sequence = self._mutated(sequence, rng)
        return sequence, target

    def other_strand(
        self, sequence: UInt8[np.ndarray, " L"], target: EncodedTarget, kind: Target
    ) -> tuple[UInt8[np.ndarray, " L"], EncodedTarget]:
        """Return the other strand, read in its direction, and what the label is there.

        Done twice it gives back what it was given, U of DNA (T of RNA) aside.

        Raises RecipeError where a signal isn't of whole bins, SequenceError for a letter that the
        modality doesn't have.
        """
        turned = self.alphabet.reverse_complement(sequence)
        if kind == "bases":
            codes = self._by_base(target, sequence)[::-1]
            if self.swaps is not None:
                # A code below 0 is of no class.
                codes = np.where(codes < 0, codes, self.swaps[codes]).astype(codes.dtype)
            return turned, codes
        if kind == "signal":
            bins = self._by_bin(target, sequence)[::-1]
            return turned, bins if self.swaps is None else bins[:, self.swaps]
        return turned, target

    def _cropped(
        self,
        sequence: UInt8[np.ndarray, " L"],
        target: EncodedTarget,
        kind: Target,
        rng: np.random.Generator,
    ) -> tuple[UInt8[np.ndarray, " M"], EncodedTarget]:
        length = len(sequence) - self.shift_bp
        if length <= 0:
            raise RecipeError(
                f"augment.shift_bp={self.shift_bp}: found an example of {len(sequence)} bp, "
                "expected a longer one; use a smaller shift, or drop short examples with "
                "quality.min_bp"
            )
        step = self.bin_bp if kind == "signal" else 1
        start = int(rng.integers(self.shift_bp // step + 1)) * step
        kept = slice(start, start + length)
        if kind == "bases":
            target = self._by_base(target, sequence)[kept]
        elif kind == "signal":
            bins = slice(start // step, (start + length) // step)
            target = self._by_bin(target, sequence)[bins]
        return sequence[kept], target

    def _mutated(
        self, sequence: UInt8[np.ndarray, " L"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, " L"]:
        letters = np.frombuffer(self.alphabet.letters.encode(), dtype=np.uint8)
        index = self.alphabet.letter_index(sequence)
        drawn = (rng.random(len(sequence)) < self.mutation) & (index >= 0)
        at = np.flatnonzero(drawn)
        others = (index[at] + rng.integers(1, len(letters), len(at))) % len(letters)
        mutated = sequence.copy()
        mutated[at] = letters[others] + _LOWER * self.alphabet.is_soft_masked(sequence[at])
        return mutated

    def _by_base(
        self, target: EncodedTarget, sequence: UInt8[np.ndarray, " L"]
    ) -> Shaped[np.ndarray, " L"]:
        if not isinstance(target, np.ndarray) or target.shape != sequence.shape:
            raise ValueError(f"expected a code for each of {len(sequence)} bases")
        return target

    def _by_bin(
        self, target: EncodedTarget, sequence: UInt8[np.ndarray, " L"]
    ) -> Shaped[np.ndarray, "T C"]:
        if not isinstance(target, np.ndarray) or target.ndim != 2:
            raise ValueError("expected a signal of bins and tracks")
        if len(target) * self.bin_bp != len(sequence):
            raise RecipeError(
                f"augment: found a signal of {len(target)} bins of {self.bin_bp} bp for "
                f"{len(sequence)} bp, expected whole bins from the first base to the last; turned "
                "or moved, bins would lie elsewhere"
            )
        return target


def strand_swaps(classes: Sequence[str]) -> Int64[np.ndarray, " C"]:
    """Return the code of what each class, or track, is on the other strand.

    `coding+` and `coding-` swap, and so do `cage_plus` and `cage_minus`; a class of any other name
    is its own partner, splice sites as `exon_donor` among them: their strand isn't named.

    Raises RecipeError where only one of two strands is there; a class called - alone is a symbol.
    """
    code_of = {name: code for code, name in enumerate(classes)}
    partners = np.arange(len(classes))
    for name, code in code_of.items():
        match = _STRANDED.fullmatch(name)
        if match is None:
            continue
        partner = match["stem"] + _OTHER_STRAND[match["strand"]]
        if partner in code_of:
            partners[code] = code_of[partner]
        elif name not in "+-":
            raise RecipeError(
                f"augment.reverse_complement: found {name!r} without {partner!r}, expected both "
                "strands; add the other, or set reverse_complement to 0"
            )
    return partners
