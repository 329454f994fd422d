"""Bases hidden for a masked objective: which, and in which windows."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from hyena_glt.config import (
    CausalObjectiveConfig,
    JointObjectiveConfig,
    MaskedObjectiveConfig,
    ObjectiveConfig,
)
from hyena_glt.data.windows import Window, Windows
from hyena_glt.tokenize import MASK


def hidden_bases(
    letters: Bool[np.ndarray, " L"],
    config: MaskedObjectiveConfig | JointObjectiveConfig,
    rng: np.random.Generator,
) -> Bool[np.ndarray, " L"]:
    """Return which bases are hidden: round(fraction * letters), but one where there is a letter.

    They lie in spans of ``span_bp`` letters, one of them shorter where the number is no multiple.
    All ways to lay the spans without overlap are equally likely. N (False in ``letters``) is never
    hidden: a span steps over it.
    """
    places = np.flatnonzero(letters)
    count = min(len(places), max(1, round(config.fraction * len(places))))
    hidden = np.zeros(len(letters), dtype=np.bool_)
    if not count:
        return hidden
    lengths = np.full(-(-count // config.span_bp), config.span_bp)
    lengths[-1] -= lengths.sum() - count
    lengths = rng.permutation(lengths)
    # Each span shrunk to one place: any choice of places is one way to lay them.
    first = rng.choice(len(places) - count + len(lengths), len(lengths), replace=False)
    before = lengths.cumsum() - lengths
    start = np.sort(first) - np.arange(len(lengths)) + before
    hidden[places[np.repeat(start - before, lengths) + np.arange(count)]] = True
    return hidden


def masked_window(
    window: Window,
    config: MaskedObjectiveConfig | JointObjectiveConfig,
    rng: np.random.Generator,
) -> Window:
    """Return ``window`` with bases hidden; only they have a target, and weigh what they weighed.

    Every hidden base is MASK. BERT leaves a tenth of them as they are and makes another tenth a
    random letter, for the sake of inputs without masks at fine-tuning; here what a hidden base was
    can change nothing but its own loss.
    """
    hidden = hidden_bases(window.target >= 0, config, rng)
    return window._replace(
        ids=np.where(hidden, np.uint8(MASK), window.ids),
        target=np.where(hidden, window.target, -1),
        weight=np.where(hidden, window.weight, np.float32(0)),
        kind="masked",
    )


class ObjectiveWindows:
    """Training windows as the objective wants them; item i depends on (seed, i) alone.

    With causal_and_masked, each window is masked with probability ``masked_share``.
    """

    def __init__(self, windows: Windows, objective: ObjectiveConfig, seed: int) -> None:
        self._windows = windows
        self._objective = objective
        self._seed = seed

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> Window:
        window, objective = self._windows[index], self._objective
        if isinstance(objective, CausalObjectiveConfig):
            return window
        rng = np.random.default_rng((self._seed, 2, index))
        if isinstance(objective, JointObjectiveConfig) and rng.random() >= objective.masked_share:
            return window
        return masked_window(window, objective, rng)


def objective_validation(windows: Sequence[Window], objective: ObjectiveConfig) -> list[Window]:
    """Return causal ``windows`` as the objective wants them: with causal_and_masked, in both ways.

    What is hidden depends on a window's number alone, so that runs of any seed can be compared.
    """
    if isinstance(objective, CausalObjectiveConfig):
        return list(windows)
    masked = [
        masked_window(window, objective, np.random.default_rng(number))
        for number, window in enumerate(windows)
    ]
    return [*windows, *masked] if isinstance(objective, JointObjectiveConfig) else masked
