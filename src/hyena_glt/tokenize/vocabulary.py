"""One vocabulary for DNA, RNA and protein: a letter's id is its ASCII code.

Ids 32 to 126 are the printable letters; special symbols take ids below 32, where no letter is.
"""

import numpy as np
from jaxtyping import Integer, UInt8

from hyena_glt.errors import SequenceError

PAD, BOS, EOS, MASK = 0, 1, 2, 3
VOCABULARY_SIZE = 128

_FIRST_LETTER, _LAST_LETTER = ord(" "), ord("~")
_SPECIAL_NAMES = {PAD: "PAD", BOS: "BOS", EOS: "EOS", MASK: "MASK"}


def encode(sequence: str | bytes) -> UInt8[np.ndarray, " L"]:
    """The ids of a sequence's letters, in a new writable array.

    `encode("ACgN")` is `[65, 67, 103, 78]`; no special symbol is added.

    Raises SequenceError, with the 0-based position, at a character that isn't printable ASCII.
    """
    if isinstance(sequence, str):
        try:
            sequence = sequence.encode("ascii")
        except UnicodeEncodeError as error:
            raise _not_a_letter(error.start, repr(sequence[error.start])) from None
    ids = np.frombuffer(sequence, dtype=np.uint8).copy()
    position = _first_non_letter(ids)
    if position is not None:
        raise _not_a_letter(position, repr(chr(ids[position])))
    return ids


def decode(ids: Integer[np.ndarray, " L"]) -> str:
    """The letters that ids stand for: the exact inverse of `encode`, for any integer type.

    `decode(encode("ACgN"))` is `"ACgN"`.

    Raises SequenceError, with the 0-based position, at a special symbol or at an id of no letter.
    """
    position = _first_non_letter(ids)
    if position is not None:
        raise SequenceError(
            f"position {position} (0-based): found {symbol_name(int(ids[position]))}, expected the "
            f"id of a letter ({_FIRST_LETTER} to {_LAST_LETTER}); cut special symbols off before "
            "decoding"
        )
    return str(np.ascontiguousarray(ids, dtype=np.uint8).data, "ascii")


def symbol_name(symbol: int) -> str:
    """What to call an id in a message: `'E'` for a letter, `PAD` for a special symbol."""
    if _FIRST_LETTER <= symbol <= _LAST_LETTER:
        return repr(chr(symbol))
    return _SPECIAL_NAMES.get(symbol, f"id {symbol}")


def _first_non_letter(ids: Integer[np.ndarray, " L"]) -> int | None:
    # The two extremes cost a tenth of a comparison at every id, and nearly all sequences pass.
    if ids.size == 0 or (ids.min() >= _FIRST_LETTER and ids.max() <= _LAST_LETTER):
        return None
    return int(np.argmax((ids < _FIRST_LETTER) | (ids > _LAST_LETTER)))


def _not_a_letter(position: int, found: str) -> SequenceError:
    return SequenceError(
        f"position {position} (0-based): found {found}, expected a printable ASCII letter; "
        "remove it, or read the sequence with hyena_glt.io, which strips line ends"
    )
