"""What letters mean in a modality: which there are, their order, and what pairs with what.

Everything is a look-up in a table of 256 entries, one for each id.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Int8, Integer, UInt8

from hyena_glt.errors import RecipeError, SequenceError
from hyena_glt.tokenize.vocabulary import BOS, EOS, MASK, PAD, symbol_name

Modality = Literal["dna", "rna", "protein"]

_LETTERS = {"dna": "ACGT", "rna": "ACGU", "protein": "ACDEFGHIKLMNPQRSTVWY"}
_AMBIGUOUS = {"dna": "URYSWKMBDHVN", "rna": "TRYSWKMBDHVN", "protein": "BZJXUO*"}
# The code for a set of bases pairs with the code for the set of their partners: R (A or G) with Y.
_IUPAC_PAIRS = {"C": "G", "R": "Y", "S": "S", "W": "W", "K": "M", "B": "V", "D": "H", "N": "N"}
_NO_COMPLEMENT = 255


@dataclass(frozen=True, slots=True, eq=False)
class Alphabet:
    """The letters of one modality; `alphabet(modality)` gives it.

    `letters` are the unambiguous ones in the order that `letter_index` counts them; `symbols` are
    all that a sequence may hold, in either case.
    """

    modality: Modality
    letters: str
    symbols: str
    _index: bytes = field(repr=False)
    _known: bytes = field(repr=False)
    _partner: bytes | None = field(repr=False)

    def letter_index(self, ids: UInt8[np.ndarray, "*shape"]) -> Int8[np.ndarray, "*shape"]:
        """Where each id stands in `letters`, and -1 for anything else; case doesn't matter.

        T and U are one letter: for DNA and for RNA `"ACGTUtN-"` gives `[0, 1, 2, 3, 3, 3, -1, -1]`.
        """
        return _look_up(self._index, ids).view(np.int8)

    def is_soft_masked(self, ids: UInt8[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
        """True at lower-case letters, which genome files use for repeats: `"aCg"` gives 1, 0, 1."""
        return np.asarray((ids >= ord("a")) & (ids <= ord("z")))

    def validate(self, ids: UInt8[np.ndarray, " L"], record: str, start: int = 0) -> None:
        """Pass over ids that are all symbols of this modality, in either case.

        Raises SequenceError, with the record and the 0-based position, at the first that isn't:
        an E in DNA, a gap, a special symbol. ``start`` is where in the record ``ids`` begins.
        """
        known = _look_up(self._known, ids)
        if not known.all():
            at = int(np.argmin(known))
            raise self._unknown_symbol(ids, at, f"record {record!r}, ", start)

    def complement(self, ids: UInt8[np.ndarray, " L"]) -> UInt8[np.ndarray, " L"]:
        """The base that pairs with each base, over all IUPAC codes, case kept, order kept.

        `"ACGTRn"` gives `"TGCAYn"`; A pairs with T in DNA and with U in RNA, and both T and U pair
        with A in either. PAD, BOS, EOS and MASK stay as they are.

        Raises SequenceError for a protein, and at a symbol that the modality doesn't have.
        """
        return self._paired(ids, 1)

    def reverse_complement(self, ids: UInt8[np.ndarray, " L"]) -> UInt8[np.ndarray, " L"]:
        """The other strand, read in its own direction: `"AACg"` gives `"cGTT"`.

        Special symbols are turned round with the rest, so a leading BOS ends up last.

        Raises SequenceError as `complement` does; its positions count on the strand given.
        """
        return self._paired(ids, -1)

    def _paired(
        self, ids: UInt8[np.ndarray, " L"], step: Literal[1, -1]
    ) -> UInt8[np.ndarray, " L"]:
        if self._partner is None:
            raise SequenceError(
                "found a protein where a complement is asked for, expected DNA or RNA: amino "
                "acids don't pair; turn reverse complements off, or set modality to dna or rna"
            )
        paired = _look_up(self._partner, ids[::step])
        if paired.size and paired.max() == _NO_COMPLEMENT:
            raise self._unknown_symbol(ids, int(np.argmax(paired[::step])), "")
        return paired

    def _unknown_symbol(
        self, ids: Integer[np.ndarray, " L"], at: int, where: str, start: int = 0
    ) -> SequenceError:
        fits_protein = bool(_look_up(alphabet("protein")._known, ids).all())
        unknown = "X" if self.modality == "protein" else "N"
        remedy = (
            "did you mean modality=protein?" if fits_protein else f"remove it or write {unknown}"
        )
        return SequenceError(
            f"{where}position {start + at} (0-based): found {symbol_name(int(ids[at]))}, expected "
            f"for {self.modality} one of {' '.join(self.symbols)} in either case; {remedy}"
        )

    def __reduce__(self) -> tuple[Callable[..., "Alphabet"], tuple[Modality]]:
        return alphabet, (self.modality,)


@cache
def alphabet(modality: Modality) -> Alphabet:
    """The alphabet of `dna`, `rna` or `protein`: one object each, the same on every call.

    Raises RecipeError for any other modality.
    """
    if modality not in _LETTERS:
        raise RecipeError(
            f"modality: found {modality!r}, expected one of {', '.join(get_args(Modality))}"
        )
    letters = _LETTERS[modality]
    symbols = letters + _AMBIGUOUS[modality]
    index = np.full(256, -1, dtype=np.int8)
    known = np.zeros(256, dtype=np.bool_)
    for symbol in symbols + symbols.lower():
        known[ord(symbol)] = True
        index[ord(symbol)] = letters.find(symbol.upper())
    if modality != "protein":
        thymine = letters.index("T" if modality == "dna" else "U")
        index[[ord(letter) for letter in "TUtu"]] = thymine
    partner = None if modality == "protein" else _partners(letters[-1])
    return Alphabet(modality, letters, symbols, index.tobytes(), known.tobytes(), partner)


def _partners(partner_of_a: str) -> bytes:
    """The complement of every id; `_NO_COMPLEMENT` where there is none."""
    partner = np.full(256, _NO_COMPLEMENT, dtype=np.uint8)
    partner[[PAD, BOS, EOS, MASK]] = PAD, BOS, EOS, MASK
    pairs = {**_IUPAC_PAIRS, **{second: first for first, second in _IUPAC_PAIRS.items()}}
    pairs |= {"A": partner_of_a, "T": "A", "U": "A"}
    for letter, paired in pairs.items():
        partner[ord(letter)] = ord(paired)
        partner[ord(letter.lower())] = ord(paired.lower())
    return partner.tobytes()


def _look_up(table: bytes, ids: UInt8[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """The table's entry for each id, in a new array; a third faster than indexing with ids."""
    if ids.dtype != np.uint8:
        raise TypeError(f"ids are {ids.dtype}, expected uint8, as encode gives them")
    return np.frombuffer(bytearray(ids.tobytes()).translate(table), np.uint8).reshape(ids.shape)
