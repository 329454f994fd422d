"""Networks to be compared with at equal parameters: letters in, logits of the next letter out."""

from peers.contenders import (
    CONTENDERS,
    OURS,
    REFERENCE,
    SHAPES,
    Size,
    build_contender,
    contender_config,
    letter_logits,
    size_of,
    wake,
)
from peers.hyena2 import Hyena2, Hyena2Operator

__all__ = [
    "CONTENDERS",
    "OURS",
    "REFERENCE",
    "SHAPES",
    "Hyena2",
    "Hyena2Operator",
    "Size",
    "build_contender",
    "contender_config",
    "letter_logits",
    "size_of",
    "wake",
]
