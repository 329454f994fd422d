"""What one cell of a file says: a class or a number."""

import numpy as np
from jaxtyping import Float32

_NO_VALUE = ("", ".")
_LARGEST = float(np.finfo(np.float32).max)


def class_in(text: str) -> str:
    """The class that a cell names; ValueError with the problem if it is empty, `.` or no text."""
    if text in _NO_VALUE:
        raise ValueError(f"found {text!r}, expected the name of a class")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"found {text[:40]!r}, expected a class in UTF-8") from None
    return text


def number_in(text: str) -> Float32[np.ndarray, " 1"]:
    """The number in a cell; ValueError with the problem if it isn't a finite one of float32."""
    try:
        # Python allows "1_0", and digits of other scripts.
        value = float(text) if text.isascii() and "_" not in text else np.nan
    except ValueError:
        value = np.nan
    if not abs(value) <= _LARGEST:
        raise ValueError(f"found {text[:40]!r}, expected a finite number of float32")
    return np.array([value], dtype=np.float32)
