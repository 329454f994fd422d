"""The back-off mixture of all Markov orders: the strongest count-based baseline here."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, UInt8, UInt64

from hyena_glt.errors import SequenceError
from hyena_glt.evaluate.counts import ContextCounts
from hyena_glt.evaluate.kmers import UNKNOWN, both_strands, kmer_codes

# Contexts seen about as often share a weight: 0, 1, 2, 3, then two buckets an octave to 2**20.
_BUCKET_EDGES = np.array([1.0, 2.0] + [step * 2**e for e in range(1, 20) for step in (1.5, 2.0)])
_BUCKETS = len(_BUCKET_EDGES) + 1
_HALVINGS = 10


@dataclass(frozen=True)
class MixtureModel:
    """A base given up to `max_order` bases before it, shorter contexts filling in for longer ones.

    p_k(x | context) = w n(context x) / n(context) + (1 - w) p_(k-1)(x | shorter context), from
    p_(-1) = 1/4, with one weight w for each order k and bucket of n(context): Jelinek-Mercer
    interpolation (Chen and Goodman 1999, Computer Speech and Language 13:359, section 2.3). A
    context never seen, or not there at the start or after an N, has weight 0. The four
    probabilities sum to 1 because every p_k is a weighted mean of two distributions.

    `weights` has shape (max_order + 1, buckets).
    """

    counts: ContextCounts
    weights: Float64[np.ndarray, "orders buckets"]

    @classmethod
    def fit(
        cls, train: ContextCounts, validation: Sequence[UInt8[np.ndarray, " _"]]
    ) -> "MixtureModel":
        """Return the mixture whose weights were fitted to both strands of validation.

        From order 0 up, each weight is the one that gives p_k the highest likelihood, p_(k-1) being
        settled. The log-likelihood is concave in a weight, so its maximum is found by halving
        (0, 1) on the sign of the slope, to 1/2048: never 0 or 1, and near 0 without data.

        Raises `SequenceError` if validation holds no A, C, G or T.
        """
        if not any(np.any(region < UNKNOWN) for region in validation):
            raise SequenceError(
                f"found no A, C, G or T in {len(validation)} validation regions, so the weights "
                "of the mixture can't be fitted; check the regions of the split"
            )
        codes, run_bp = kmer_codes(both_strands(validation), train.max_order + 1)
        probability = np.full(len(codes), 0.25)
        weights = np.empty((train.max_order + 1, _BUCKETS))
        for order in range(train.max_order + 1):
            share, bucket = _level(train, codes, run_bp, order)
            weights[order] = _likeliest_weights(share, bucket, probability)
            probability += weights[order][bucket] * (share - probability)
        return MixtureModel(train, weights)

    @property
    def context_bp(self) -> int:
        """The largest order."""
        return self.counts.max_order

    def surprisal_bits(self, sequence: UInt8[np.ndarray, " L"]) -> Float64[np.ndarray, " L"]:
        """Return -log2 p(base | bases before it), shape (L,); NaN where a base is not A C G T."""
        codes, run_bp = kmer_codes(sequence, self.counts.max_order + 1)
        probability = np.full(len(sequence), 0.25)
        for order, weight in enumerate(self.weights):
            share, bucket = _level(self.counts, codes, run_bp, order)
            probability += weight[bucket] * (share - probability)
        probability[sequence >= UNKNOWN] = np.nan
        return np.asarray(-np.log2(probability))


def _level(
    counts: ContextCounts,
    codes: UInt64[np.ndarray, " L"],
    run_bp: Int64[np.ndarray, " L"],
    order: int,
) -> tuple[Float64[np.ndarray, " L"], Int64[np.ndarray, " L"]]:
    """n(context x) / n(context) at each base, and the bucket of n(context)."""
    count, total = counts.after(codes.view(np.int64), order)
    total[run_bp <= order] = 0  # no such context here: bucket 0
    bucket = np.searchsorted(_BUCKET_EDGES, total, side="right")
    return count / np.maximum(total, 1), bucket


def _likeliest_weights(
    share: Float64[np.ndarray, " L"],
    bucket: Int64[np.ndarray, " L"],
    probability: Float64[np.ndarray, " L"],
) -> Float64[np.ndarray, " buckets"]:
    """The weight of each bucket that maximises sum of log(w share + (1 - w) probability)."""
    gain = share - probability
    low, high = np.zeros(_BUCKETS), np.ones(_BUCKETS)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        slopes = gain / (probability + middle[bucket] * gain)
        rising = np.bincount(bucket, slopes, minlength=_BUCKETS) > 0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    weights = (low + high) / 2
    weights[0] = 0.0
    return weights
