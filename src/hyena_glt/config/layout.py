"""The shape of a stack in one string."""

import re

LETTERS = "SMLA"


def parse_layout(text: str) -> str:
    """Return one letter a block: ``"2*SML A"`` -> ``"SMLSMLA"``; empty text -> ``""``.

    S, M, L are the short, medium and long Hyena mixers, A is attention. Raises ValueError on
    anything else, so that a typing error never builds a smaller network.
    """
    blocks = ""
    for term in text.split():
        match = re.fullmatch(rf"(?:([1-9]\d*)\*)?([{LETTERS}]+)", term)
        if match is None:
            raise ValueError(
                f"layout term {term!r} can't be read: use letters of {LETTERS}, with a count "
                "before them where wanted, such as '2*SML A'"
            )
        blocks += match[2] * int(match[1] or 1)
    return blocks
