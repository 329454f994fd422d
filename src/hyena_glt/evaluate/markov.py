"""The fixed-order Markov model: the baseline that every genome language model must beat."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8

from hyena_glt.evaluate.counts import ContextCounts
from hyena_glt.evaluate.kmers import kmer_codes
from hyena_glt.evaluate.surprisal import bits_per_base


@dataclass(frozen=True)
class MarkovModel:
    """A base given the `order` bases before it, by counts on both strands.

    p(x | context) = (n(context x) + a) / (n(context) + 4 a), with a the pseudocount (additive
    smoothing; Durbin et al., Biological Sequence Analysis, 1998, section 3.1 and 11.5). Where fewer
    than `order` A C G T come before a base (at the start, after an N), the longest context there is
    takes its place.

    Raises `ValueError` if the order was not counted or the pseudocount is not above 0.
    """

    counts: ContextCounts
    order: int
    pseudocount: float

    def __post_init__(self) -> None:
        if not 0 <= self.order <= self.counts.max_order:
            raise ValueError(
                f"order is {self.order}, but orders 0 to {self.counts.max_order} were counted"
            )
        if not self.pseudocount > 0:
            raise ValueError(
                f"pseudocount is {self.pseudocount}; expected above 0, or a context never seen "
                "would have no probabilities"
            )

    @classmethod
    def fit(
        cls, regions: Sequence[UInt8[np.ndarray, " _"]], order: int, pseudocount: float
    ) -> "MarkovModel":
        """Count both strands of the regions; raises what `ContextCounts.of` raises."""
        return MarkovModel(ContextCounts.of(regions, order), order, pseudocount)

    @property
    def context_bp(self) -> int:
        """The order."""
        return self.order

    def surprisal_bits(self, sequence: UInt8[np.ndarray, " L"]) -> Float64[np.ndarray, " L"]:
        """Return -log2 p(base | bases before it), shape (L,); NaN where a base is not A C G T.

        Trained on AAC (other strand: GTT) at order 1 with pseudocount 1: the order-0 counts are
        A 2, C 1, G 1, T 2, so A at the start costs -log2(3 / 10); A was followed by A once and by C
        once, so C after A costs -log2((1 + 1) / (2 + 4)).

        >>> model = MarkovModel.fit([np.array([0, 0, 1], dtype=np.uint8)], 1, 1.0)
        >>> model.surprisal_bits(np.array([0, 1, 4], dtype=np.uint8)).round(3).tolist()
        [1.737, 1.585, nan]
        """
        codes, run_bp = kmer_codes(sequence, self.order + 1)
        context_bp = np.minimum(run_bp - 1, self.order)
        bits = np.full(len(sequence), np.nan)
        for order in range(self.order + 1):
            here = np.flatnonzero(context_bp == order)
            count, total = self.counts.after(codes[here].view(np.int64), order)
            bits[here] = np.log2((total + 4 * self.pseudocount) / (count + self.pseudocount))
        return bits


@dataclass(frozen=True)
class OrderTrial:
    """One order and pseudocount, and the bits per base it reached on validation."""

    order: int
    pseudocount: float
    validation_bits_per_base: float


@dataclass(frozen=True)
class OrderChoice:
    """The Markov model with the fewest validation bits per base, and every trial."""

    model: MarkovModel
    trials: tuple[OrderTrial, ...]


def choose_order(
    train: ContextCounts,
    validation: Sequence[UInt8[np.ndarray, " _"]],
    orders: Sequence[int] = tuple(range(3, 13)),
    pseudocounts: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 16.0),
) -> OrderChoice:
    """Return the model with the fewest bits per base on validation, both strands averaged.

    The training counts are taken once, at the largest order, and serve every trial:
    `choose_order(ContextCounts.of(regions, max_order=12), validation)`. The model that comes back
    keeps no counts above its own order.

    Raises `ValueError` where no order or pseudocount is given or an order was not counted, and
    `SequenceError` if validation holds no A, C, G or T.
    """
    if not orders or not pseudocounts:
        raise ValueError(f"got {len(orders)} orders and {len(pseudocounts)} pseudocounts to try")
    trials = []
    for order in orders:
        for pseudocount in pseudocounts:
            model = MarkovModel(train, order, pseudocount)
            trials.append(OrderTrial(order, pseudocount, bits_per_base(model, validation)))
    best = min(trials, key=lambda trial: trial.validation_bits_per_base)
    chosen = MarkovModel(train.up_to(best.order), best.order, best.pseudocount)
    return OrderChoice(chosen, tuple(trials))
