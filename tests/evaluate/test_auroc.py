import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from hyena_glt.errors import HyenaGLTError
from hyena_glt.evaluate.auroc import auroc, bootstrap_auroc, matched_auroc

SCORES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12).map(np.array)


def test_a_tie_counts_one_half() -> None:
    # 1 ties 1, 1 loses to 2, 3 beats both: 2.5 of 4
    assert auroc(np.array([1.0, 3.0]), np.array([1.0, 2.0])) == 0.625
    assert auroc(np.array([1.0]), np.array([0.0])) == 1.0


@pytest.mark.slow
@given(SCORES, SCORES)
def test_auroc_equals_the_area_that_sklearn_integrates(
    positive: np.ndarray, negative: np.ndarray
) -> None:
    labels = np.repeat([1, 0], [len(positive), len(negative)])
    expected = roc_auc_score(labels, np.concatenate([positive, negative]))
    assert auroc(positive, negative) == pytest.approx(expected)


@given(SCORES, SCORES)
def test_exchanging_the_classes_gives_the_complement(
    positive: np.ndarray, negative: np.ndarray
) -> None:
    assert auroc(positive, negative) == pytest.approx(1 - auroc(negative, positive))


def test_matching_compares_within_a_stratum_only() -> None:
    # stratum a: 1 > 0 wins; stratum b: 10 < 20 and 10 < 30 lose; never 1 against 20
    scores = np.array([1.0, 0.0, 10.0, 20.0, 30.0])
    labels = np.array([True, False, True, False, False])
    strata = np.array(["a", "a", "b", "b", "b"])
    value, pairs = matched_auroc(scores, labels, strata)
    assert pairs == 3
    assert value == pytest.approx(1 / 3)


@given(st.integers(0, 2**32 - 1))
def test_matched_auroc_is_the_mean_weighted_by_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, 40).astype(float)
    labels, strata = rng.random(40) < 0.4, rng.integers(0, 4, 40)
    value, total = 0.0, 0
    for stratum in range(4):
        positive = scores[labels & (strata == stratum)]
        negative = scores[~labels & (strata == stratum)]
        if len(positive) and len(negative):
            value += auroc(positive, negative) * len(positive) * len(negative)
            total += len(positive) * len(negative)
    if total:
        matched, pairs = matched_auroc(scores, labels, strata)
        assert matched == pytest.approx(value / total)
        assert pairs == total


def test_the_bootstrap_equals_resampling_genes_by_hand() -> None:
    rng = np.random.default_rng(0)
    genes = rng.integers(0, 8, 60)
    scores, labels = rng.normal(size=60), rng.random(60) < 0.5
    strata = rng.integers(0, 2, 60)
    interval = bootstrap_auroc(scores, labels, genes, strata=strata, resamples=50, seed=9)
    copies = np.random.default_rng(9).multinomial(8, np.full(8, 1 / 8), size=50)
    values = []
    for row in copies:
        items = np.concatenate(
            [np.flatnonzero(genes == g) for g in range(8) for _ in range(row[g])]
        )
        values.append(matched_auroc(scores[items], labels[items], strata[items])[0])
    assert interval.redrawn == 0
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
    assert (interval.estimate, interval.pairs) == matched_auroc(scores, labels, strata)


def test_resamples_that_lack_a_class_are_drawn_again_and_counted() -> None:
    # the one positive gene is missing from about (1 - 1/4)**4 = 32 % of resamples
    scores, labels = np.array([1.0, 0.0, 0.0, 2.0]), np.array([True, False, False, False])
    interval = bootstrap_auroc(scores, labels, np.array(["a", "b", "c", "d"]), resamples=1000)
    assert 300 < interval.redrawn < 800
    assert interval.estimate == pytest.approx(2 / 3)
    assert (interval.low, interval.high) == (0.0, 1.0)


@pytest.mark.slow
def test_the_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        scores = np.concatenate([rng.normal(1, 1, 80), rng.normal(0, 1, 80)])
        labels, genes = np.arange(160) < 80, np.tile(np.arange(80), 2)
        interval = bootstrap_auroc(scores, labels, genes, resamples=200, seed=seed)
        held += interval.low <= 0.7602 <= interval.high  # P(N(1, 2) > 0)
    assert 0.90 <= held / 200 <= 0.99


def test_genes_that_agree_within_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    gene = np.repeat(np.arange(20), 20)
    scores, labels = rng.normal(size=20)[gene] + rng.normal(size=400) / 10, gene % 2 == 0
    by_gene = bootstrap_auroc(scores, labels, gene)
    by_item = bootstrap_auroc(scores, labels, np.arange(400))
    assert by_gene.high - by_gene.low > 2 * (by_item.high - by_item.low)


def test_a_thousand_snvs_take_less_than_three_seconds() -> None:
    rng = np.random.default_rng(3)
    labels, genes = rng.random(1000) < 0.5, rng.integers(0, 300, 1000)
    began = time.perf_counter()
    bootstrap_auroc(rng.normal(size=1000), labels, genes, strata=rng.integers(0, 36, 1000))
    assert time.perf_counter() - began < 3


def test_a_score_that_is_missing_or_a_class_that_is_empty_is_an_error() -> None:
    with pytest.raises(HyenaGLTError, match="1 of 2 scores are NaN"):
        auroc(np.array([np.nan]), np.array([1.0]))
    with pytest.raises(HyenaGLTError, match="1 positives and 0 negatives"):
        auroc(np.array([1.0]), np.array([]))
    with pytest.raises(HyenaGLTError, match="no stratum holds both"):
        matched_auroc(np.array([1.0, 2.0]), np.array([True, False]), np.array(["a", "b"]))
