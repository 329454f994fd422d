"""What one cell of a file says: a class or a number."""

import numpy as np
from jaxtyping import Float32

_LARGEST = float(np.finfo(np.float32).max)


def is_missing(cell: object) -> bool:
    """Whether a cell holds nothing: None, empty text, or the NaN that pandas makes of them."""
    return cell is None or cell == "" or cell != cell


def class_in(text: str) -> str:
    """The class that a cell names; ValueError with the problem if it is empty, `.` or no text."""
    if is_missing(text) or text == ".":
        raise ValueError(f"found {text!r}, expected the name of a class")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"found {text[:40]!r}, expected a class in UTF-8") from None
    return text


def number_in(text: str) -> Float32[np.ndarray, " 1"]:
    """The number in a cell; ValueError with the problem if it isn't a finite one of float32."""
    value = finite(text)
    if value is None:
        raise ValueError(f"found {text[:40]!r}, expected a finite number of float32")
    return np.array([value], dtype=np.float32)


def finite(cell: object) -> float | None:
    """The number in a cell, text or not; None unless it is a finite one of float32."""
    # Python reads 1_000 and the digits of all scripts as numbers; other programs don't.
    if isinstance(cell, str) and (not cell.isascii() or "_" in cell):
        return None
    if not isinstance(cell, str | int | float):
        return None
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) <= _LARGEST else None
