"""Effects of single-base substitutions in a window."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from hyena_glt.errors import SequenceError
from hyena_glt.model import HyenaGLT
from hyena_glt.score.likelihood import score_sequences
from hyena_glt.tokenize import encode


class Substitution(NamedTuple):
    """One base of a window replaced by another letter."""

    position: int  # 0-based, in the window
    alternative: str


def score_substitutions(
    network: HyenaGLT,
    window: str,
    substitutions: Sequence[Substitution],
    both_strands: bool | None = None,
) -> Float64[np.ndarray, " S"]:
    """Return log-likelihood(window with the substitution) - log-likelihood(window), in nats.

    Negative: the model finds the changed window less likely. With ``both_strands`` the mean of the
    two strands'. Raises SequenceError for a position outside the window, an alternative that is no
    single letter of the modality, or a reference base that is none (N has no likelihood).
    """
    letters = network.alphabet.letters
    changed = []
    for position, alternative in substitutions:
        if not 0 <= position < len(window):
            raise SequenceError(
                f"substitution at {position} is outside the window of {len(window)} bp (0-based)"
            )
        for name, letter in (("reference", window[position]), ("alternative", alternative)):
            if len(letter) != 1 or network.alphabet.letter_index(encode(letter))[0] < 0:
                raise SequenceError(
                    f"substitution at {position}: the {name} is {letter!r}; expected one of "
                    f"{', '.join(letters)}"
                )
        changed.append(window[:position] + alternative + window[position + 1 :])
    reference, *rest = score_sequences(network, [window, *changed], both_strands)
    return np.array([score.loglik_nats - reference.loglik_nats for score in rest])
