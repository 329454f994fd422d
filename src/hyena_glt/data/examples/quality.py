"""Which examples are dropped, and why."""

from collections.abc import Sequence

import numpy as np

from hyena_glt.config.examples import QualityConfig
from hyena_glt.tokenize.alphabet import Alphabet

DUPLICATE = "duplicate"

# Letters that stand for several others. The stop, selenocysteine and pyrrolysine of proteins are
# no such letters, nor is U in DNA.
_SEVERAL = {"dna": "RYSWKMBDHVN", "rna": "RYSWKMBDHVN", "protein": "BZJX"}
_ANY = {"dna": "N", "rna": "N", "protein": "X"}


def reasons(alphabet: Alphabet) -> tuple[str, ...]:
    """Return all that an example can be dropped for, in the order in which it is asked."""
    return (
        "too short",
        "too long",
        f"too many {_ANY[alphabet.modality]}",
        "too ambiguous",
        DUPLICATE,
    )


def why_dropped(sequence: bytes, config: QualityConfig, alphabet: Alphabet) -> str | None:
    """Return the first reason to drop a sequence, or None to keep it.

    ``max_n_share`` is of the letter that stands for any: N, and X in a protein, where N is an
    amino acid. A share that equals its limit is kept; case doesn't matter.
    """
    short, long, unknown, ambiguous, _ = reasons(alphabet)
    length_bp = len(sequence)
    if length_bp < config.min_bp:
        return short
    if config.max_bp is not None and length_bp > config.max_bp:
        return long
    # Limits of 1 drop nothing, and are what most datasets have.
    if config.max_n_share < 1:
        letter = _ANY[alphabet.modality]
        if _count(sequence, letter) / length_bp > config.max_n_share:
            return unknown
    if config.max_ambiguous_share < 1:
        letters = _SEVERAL[alphabet.modality]
        if _count(sequence, letters) / length_bp > config.max_ambiguous_share:
            return ambiguous
    return None


def check_letters(sequences: Sequence[bytes], where: Sequence[str], alphabet: Alphabet) -> None:
    """Pass over sequences whose letters the modality has, in either case.

    Raises SequenceError for the first other letter, with where its sequence stands and the 0-based
    position in it.
    """
    symbols = (alphabet.symbols + alphabet.symbols.lower()).encode()
    # One pass over all of them, many times faster than one over each.
    if not b"".join(sequences).translate(None, symbols):
        return
    for sequence, record in zip(sequences, where, strict=True):
        alphabet.validate(np.frombuffer(sequence, np.uint8), record)


def _count(sequence: bytes, letters: str) -> int:
    return len(sequence) - len(sequence.translate(None, (letters + letters.lower()).encode()))
