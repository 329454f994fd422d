"""Area under the ROC curve, plain, matched within strata, and with an interval over groups."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from hyena_glt.errors import HyenaGLTError


def auroc(
    scores_positive: Float64[np.ndarray, " P"], scores_negative: Float64[np.ndarray, " N"]
) -> float:
    """Return the probability that a positive outscores a negative, a tie counting one half.

    sum over pairs of [s+ > s-] + [s+ = s-] / 2, over the number of pairs: the Mann-Whitney U
    statistic scaled to 0..1 (Hanley and McNeil 1982, Radiology 143:29).

    Positives 1, 3 against negatives 1, 2: a tie (1/2), a loss, two wins: 2.5 of 4.

    >>> auroc(np.array([1.0, 3.0]), np.array([1.0, 2.0]))
    0.625

    Raises `HyenaGLTError` if a class is empty or a score is NaN.
    """
    scores = np.concatenate([scores_positive, scores_negative])
    labels = np.arange(len(scores)) < len(scores_positive)
    return matched_auroc(scores, labels, np.zeros(len(scores), dtype=np.int64))[0]


def matched_auroc(
    scores: Float64[np.ndarray, " N"],
    labels: Bool[np.ndarray, " N"],
    strata: Shaped[np.ndarray, " N"],
) -> tuple[float, int]:
    """Return the AUROC over the pairs that share a stratum, and how many pairs those are.

    Within-stratum AUROCs weighted by n_positive * n_negative, so every pair counts once; positives
    and negatives then cannot differ by stratum. Few pairs mean a figure of little weight: report
    both.

    Raises `HyenaGLTError` if no stratum holds both classes or a score is NaN.
    """
    one_group = np.zeros(len(scores), dtype=np.int64)
    wins, pairs = _pair_tables(scores, labels, one_group, strata)
    return float(wins[0, 0] / pairs[0, 0]), int(pairs[0, 0])


@dataclass(frozen=True)
class AurocInterval:
    """An AUROC, its 95 % percentile interval, the pairs it rests on, and resamples redrawn."""

    estimate: float
    low: float
    high: float
    pairs: int
    redrawn: int


def bootstrap_auroc(
    scores: Float64[np.ndarray, " N"],
    labels: Bool[np.ndarray, " N"],
    groups: Shaped[np.ndarray, " N"],
    *,
    strata: Shaped[np.ndarray, " N"] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> AurocInterval:
    """Return the AUROC (matched where strata are given) with an interval over groups.

    Groups (genes) are drawn with replacement, each with all its items, because the variants of one
    gene are not independent; the interval is the 2.5th to the 97.5th percentile (Efron and
    Tibshirani 1993, chapter 13). A resample without a single pair is drawn again and counted.

    Exact and quick: with W[g, h] the wins of group g's positives over group h's negatives and
    P[g, h] their pairs, a resample that holds group g n_g times has AUROC n'Wn / n'Pn.

    Raises `HyenaGLTError` if there is no pair of a positive and a negative, or a score is NaN.
    """
    if strata is None:
        strata = np.zeros(len(scores), dtype=np.int64)
    group_index = np.unique(groups, return_inverse=True)[1]
    wins, pairs = _pair_tables(scores, labels, group_index, strata)
    rng = np.random.default_rng(seed)
    size = len(pairs)
    copies = rng.multinomial(size, np.full(size, 1 / size), size=resamples).astype(np.float64)
    redrawn = 0
    while np.any(empty := _quadratic(copies, pairs) == 0):
        again = int(empty.sum())
        copies[empty] = rng.multinomial(size, np.full(size, 1 / size), size=again)
        redrawn += again
    resampled = _quadratic(copies, wins) / _quadratic(copies, pairs)
    low, high = np.percentile(resampled, [2.5, 97.5])
    estimate = float(wins.sum() / pairs.sum())
    return AurocInterval(estimate, float(low), float(high), int(pairs.sum()), redrawn)


def _quadratic(
    copies: Float64[np.ndarray, "R G"], table: Float64[np.ndarray, "G G"]
) -> Float64[np.ndarray, " R"]:
    return np.asarray(np.einsum("rg,rg->r", copies @ table, copies))


def _pair_tables(
    scores: Float64[np.ndarray, " N"],
    labels: Bool[np.ndarray, " N"],
    group: Int64[np.ndarray, " N"],
    strata: Shaped[np.ndarray, " N"],
) -> tuple[Float64[np.ndarray, "G G"], Float64[np.ndarray, "G G"]]:
    """(wins, pairs) of each group's positives against each group's negatives, within strata."""
    if np.any(np.isnan(scores)):
        raise HyenaGLTError(
            f"{int(np.isnan(scores).sum())} of {len(scores)} scores are NaN; leave out what could "
            "not be scored (bases other than A C G T)"
        )
    size = int(group.max(initial=-1)) + 1
    wins, pairs = np.zeros((size, size)), np.zeros((size, size))
    for stratum in np.unique(strata):
        positive = np.flatnonzero(labels & (strata == stratum))
        negative = np.flatnonzero(~labels & (strata == stratum))
        positives_by_group = np.bincount(group[positive], minlength=size)
        for rival in np.unique(group[negative]):
            rivals = np.sort(scores[negative[group[negative] == rival]])
            below = np.searchsorted(rivals, scores[positive], side="left")
            below_or_tied = np.searchsorted(rivals, scores[positive], side="right")
            won = (below + below_or_tied) / 2
            wins[:, rival] += np.bincount(group[positive], won, minlength=size)
            pairs[:, rival] += positives_by_group * len(rivals)
    if not pairs.any():
        raise HyenaGLTError(
            f"no stratum holds both a positive and a negative, of {int(labels.sum())} positives "
            f"and {int((~labels).sum())} negatives; an AUROC needs both: draw more of either"
        )
    return wins, pairs
