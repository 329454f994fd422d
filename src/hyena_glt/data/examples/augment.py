"""Examples changed at random while they train: the other strand, a shift, substitutions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Bool, Int64, Shaped, UInt8, UInt64

from hyena_glt.data.examples.dataset import Row, RowTarget
from hyena_glt.data.examples.order import AUGMENTATION
from hyena_glt.data.examples.sketch import mix64
from hyena_glt.errors import HyenaGLTError, RecipeError
from hyena_glt.io.examples.example import Target
from hyena_glt.tokenize import Alphabet

# A class's code or value, an array of those, one class a base, or bins of tracks.
EncodedTarget = Shaped[np.ndarray, "..."] | np.generic | int | float | None

_OTHER_STRAND = {"+": "-", "-": "+", "plus": "minus", "minus": "plus"}
# plus and minus are words of their own, as in cage_plus; a surplus has no strand.
_STRANDED = re.compile(r"(?P<stem>.*?)(?P<strand>[+-]|(?<![^\W_])(?:plus|minus))")
_LOWER = ord("a") - ord("A")
# A key's random numbers are those of SplitMix64 begun at it: mix64(key + n * _STEP), n = 0, 1, ...
_STEP = np.uint64(0x9E3779B97F4A7C15)
_SHIFT, _STRAND, _FIRST_BASE = (np.uint64(number) for number in range(3))

_Changed = tuple[UInt8[np.ndarray, " _"], EncodedTarget]


@dataclass(frozen=True, slots=True, eq=False)
class Augment:
    """Changes an example, and its label with it, by random numbers alone.

    - ``shift_bp``: the example loses so many bases in all, any share of them at its start. Nothing
      is padded, so that the window moves within what is stored; each number of bases (of whole
      bins, for a signal) at the start is equally likely.
    - ``reverse_complement``: the probability that the other strand is given instead.
    - ``mutation``: the probability that a base is replaced, by each other letter of the alphabet
      with equal chance. Case stays, and so do letters that name several bases.

    ``swaps`` holds, for classes, numbers or tracks, the code of the one that a code is on the other
    strand, as `strand_swaps` (of bases and signals) and `paired_swaps` (of whole examples) give;
    without it codes stay.

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
        where it is signal. The same state of ``rng``, of which one number is taken, gives the same
        result.

        Raises RecipeError where the shift leaves no base, or a signal isn't of whole bins.
        """
        key = rng.integers(0, 1 << 64, 1, dtype=np.uint64)
        return self._changed([sequence], [target], kind, key, self.mutation)[0]

    def rows(self, rows: Sequence[Row], kind: Target, keys: UInt64[np.ndarray, " B"]) -> list[Row]:
        """Return rows changed, many times faster together than one at a time.

        A row's random numbers are those of its key, as `row_keys` gives, whatever rows are beside
        it. Both sequences of a pair are turned and moved alike, and have no mutations.

        Raises as a call does, with the row's place.
        """
        try:
            changed = self._changed(
                [row.sequence for row in rows],
                [row.target for row in rows],
                kind,
                keys,
                self.mutation if all(row.alternative is None for row in rows) else 0.0,
            )
            pairs = [number for number, row in enumerate(rows) if row.alternative is not None]
            seconds = [cast(np.ndarray, rows[number].alternative) for number in pairs]
            others = self._changed(seconds, [None] * len(pairs), "none", keys[pairs], 0.0)
        except HyenaGLTError as error:
            # Alone, the one that can't be changed names itself.
            for number in range(len(rows) if len(rows) > 1 else 0):
                self.rows(rows[number : number + 1], kind, keys[number : number + 1])
            raise type(error)(f"{rows[0].where}: {error}") from None
        of_pair = {number: letters for number, (letters, _) in zip(pairs, others, strict=True)}
        return [
            # A label changes, but not its kind.
            row._replace(
                sequence=letters, target=cast(RowTarget, target), alternative=of_pair.get(number)
            )
            for number, (row, (letters, target)) in enumerate(zip(rows, changed, strict=True))
        ]

    def _changed(
        self,
        sequences: list[UInt8[np.ndarray, " _"]],
        targets: Sequence[EncodedTarget],
        kind: Target,
        keys: UInt64[np.ndarray, " B"],
        mutation: float,
    ) -> list[_Changed]:
        """Sequences and labels after all three."""
        changed: list[_Changed] = list(zip(sequences, targets, strict=True))
        if self.shift_bp:
            step = self.bin_bp if kind == "signal" else 1
            starts = _below(mix64(keys + _SHIFT * _STEP), self.shift_bp // step + 1) * step
            changed = [
                self._cropped(*each, kind, start)
                for each, start in zip(changed, starts.tolist(), strict=True)
            ]
        if self.reverse_complement:
            drawn = _happens(mix64(keys + _STRAND * _STEP), self.reverse_complement)
            self._turn(changed, np.flatnonzero(drawn).tolist(), kind)
        if not mutation or not changed:
            return changed
        ends = np.cumsum([len(letters) for letters, _ in changed])
        mutated = self._mutated(np.concatenate([letters for letters, _ in changed]), ends, keys)
        return [
            (mutated[end - len(letters) : end], target)
            for (letters, target), end in zip(changed, ends.tolist(), strict=True)
        ]

    def other_strand(
        self, sequence: UInt8[np.ndarray, " L"], target: EncodedTarget, kind: Target
    ) -> tuple[UInt8[np.ndarray, " L"], EncodedTarget]:
        """Return the other strand, read in its direction, and what the label is there.

        Done twice it gives back what it was given, U of DNA (T of RNA) aside.

        Raises RecipeError where a signal isn't of whole bins, SequenceError for a letter that the
        modality doesn't have.
        """
        return self.alphabet.reverse_complement(sequence), self._turned(sequence, target, kind)

    def _turn(self, changed: list[_Changed], drawn: list[int], kind: Target) -> None:
        """Put the other strand in the places that are drawn."""
        if not drawn:
            return
        # Of all rows at once the last comes first.
        letters = self.alphabet.reverse_complement(
            np.concatenate([changed[row][0] for row in reversed(drawn)])
        )
        start = 0
        for row in drawn:
            sequence, target = changed[row]
            end = start + len(sequence)
            changed[row] = letters[start:end], self._turned(sequence, target, kind)
            start = end

    def _turned(
        self, sequence: UInt8[np.ndarray, " L"], target: EncodedTarget, kind: Target
    ) -> EncodedTarget:
        if kind == "bases":
            codes = self._by_base(target, sequence)[::-1]
            if self.swaps is not None:
                # A code below 0 is of no class.
                codes = np.where(codes < 0, codes, self.swaps[codes]).astype(codes.dtype)
            return codes
        if kind == "signal":
            bins = self._by_bin(target, sequence)[::-1]
            return bins if self.swaps is None else bins[:, self.swaps]
        if self.swaps is None:
            return target
        if kind == "class":
            return int(self.swaps[int(np.asarray(target))])
        return np.asarray(np.asarray(target)[self.swaps])

    def _cropped(
        self, sequence: UInt8[np.ndarray, " L"], target: EncodedTarget, kind: Target, start: int
    ) -> _Changed:
        end = start + len(sequence) - self.shift_bp
        if end <= start:
            raise RecipeError(
                f"augment.shift_bp={self.shift_bp}: found an example of {len(sequence)} bp, "
                "expected a longer one; use a smaller shift, or drop short examples with "
                "quality.min_bp"
            )
        if kind == "bases":
            target = self._by_base(target, sequence)[start:end]
        elif kind == "signal":
            target = self._by_bin(target, sequence)[start // self.bin_bp : end // self.bin_bp]
        return sequence[start:end], target

    def _mutated(
        self,
        letters: UInt8[np.ndarray, " T"],
        ends: Int64[np.ndarray, " B"],
        keys: UInt64[np.ndarray, " B"],
    ) -> UInt8[np.ndarray, " T"]:
        """Letters of rows one behind the other, changed where they stand."""
        # Each base's number is counted from its row's first: the n-th of all is the n-th of its key
        # less those before the row.
        lengths = np.diff(ends, prepend=0)
        begins = keys + (_FIRST_BASE - (ends - lengths).astype(np.uint64)) * _STEP
        numbers = np.arange(len(letters), dtype=np.uint64)
        numbers *= _STEP
        numbers += np.repeat(begins, lengths)
        numbers = mix64(numbers)
        at = np.flatnonzero(_happens(numbers, self.mutation))
        known = self.alphabet.letter_index(letters[at]) >= 0
        at = at[known]
        names = np.frombuffer(self.alphabet.letters.encode(), dtype=np.uint8)
        further = 1 + _below(mix64(numbers[at]), len(names) - 1)
        others = (self.alphabet.letter_index(letters[at]) + further) % len(names)
        letters[at] = names[others] + _LOWER * self.alphabet.is_soft_masked(letters[at])
        return letters

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


def row_keys(seed: int, epoch: int, numbers: Int64[np.ndarray, " B"]) -> UInt64[np.ndarray, " B"]:
    """Return what the random numbers of rows, by their numbers, begin with in an epoch."""
    begin = np.random.SeedSequence((seed, AUGMENTATION, epoch)).generate_state(1, np.uint64)
    return mix64(begin ^ mix64(numbers.astype(np.uint64)))


def _happens(numbers: UInt64[np.ndarray, " N"], chance: float) -> Bool[np.ndarray, " N"]:
    """Whether each random number is below ``chance``, as 53 bits of a share."""
    return (numbers >> np.uint64(11)) < np.uint64(chance * (1 << 53))


def _below(numbers: UInt64[np.ndarray, " N"], count: int) -> Int64[np.ndarray, " N"]:
    """Random numbers from 0 to ``count`` - 1."""
    return ((numbers >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(np.int64)


def paired_swaps(names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Int64[np.ndarray, " C"]:
    """Return the code of what each class, or number, is on the other strand: of a pair the other.

    Raises RecipeError for a name in ``pairs`` that isn't in ``names``.
    """
    code_of = {name: code for code, name in enumerate(names)}
    partners = np.arange(len(names))
    for name in (name for pair in pairs for name in pair):
        if name not in code_of:
            raise RecipeError(f"task.strand_pairs: found {name!r}, expected of {', '.join(names)}")
    for one, other in pairs:
        partners[code_of[one]], partners[code_of[other]] = code_of[other], code_of[one]
    return partners


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
