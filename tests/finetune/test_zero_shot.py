"""Ranking without training: a known order, the scores of variants, and figures as others count."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from properties.tiny import Case, build
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from hyena_glt.errors import DirectionError, RecipeError, SequenceError
from hyena_glt.evaluate.intervals import Interval
from hyena_glt.finetune.zero_shot import NO_SCORE, Ranked, rank, ranking_metrics
from hyena_glt.io import Reference, Variant
from hyena_glt.io.examples import Example, Label, Schema
from hyena_glt.model import HyenaGLT
from hyena_glt.score import score_sequences, score_variants

CASE = Case("S", "fixed", 1, "M", "", "exact")
CAUSAL = build(CASE)
MASKED = build(CASE, direction="bidirectional")
CHANCE = {"A": 0.4, "C": 0.3, "G": 0.2, "T": 0.1}
GENOME = "ACGTTGCAACCGATTGACGTAGGCTAACGTTTTACGATCAGCC"


@pytest.fixture
def letters() -> HyenaGLT:
    """A network that finds A, C, G and T as likely as ``CHANCE`` says, wherever they stand."""
    network = build(CASE)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.zero_()
        network.head.out.bias.copy_(torch.tensor([math.log(p) for p in CHANCE.values()]))
    return network


def example(
    sequence: str,
    alternative: str | None = None,
    label: Label = None,
    group: str | None = None,
) -> Example:
    other = None if alternative is None else alternative.encode()
    return Example("x", sequence.encode(), label, "here", None, group, None, other)


def scores(network: HyenaGLT, *examples: Example, both: bool = False) -> list[Ranked]:
    return list(rank(network, examples, both_strands=both, batch_examples=2))


def test_the_order_is_that_of_the_chances_of_letters(letters: HyenaGLT) -> None:
    found = scores(letters, *map(example, ("TTTT", "AAAAAAAA", "acNN", "NNN", "GC")))
    ln = {letter: math.log(p) for letter, p in CHANCE.items()}
    expected = [ln["T"], ln["A"], (ln["A"] + ln["C"]) / 2, None, (ln["G"] + ln["C"]) / 2]
    assert [one.score_nats for one in found] == [
        None if number is None else pytest.approx(number) for number in expected
    ]
    assert [one.scored_bp for one in found] == [4, 8, 2, 0, 2]
    assert [one.reason for one in found] == [None, None, None, "no_letter", None]
    both = scores(letters, example("TTA"), both=True)[0]
    # TAA on the other strand: the mean of both.
    assert both.score_nats == pytest.approx((3 * ln["T"] + 3 * ln["A"]) / 6)


def test_a_pair_is_the_alternative_less_the_reference(letters: HyenaGLT) -> None:
    ln = {letter: math.log(p) for letter, p in CHANCE.items()}
    pairs = [("CCTCC", "CCACC"), ("AC", "ACC"), ("NNAC", "NNAC"), ("ANC", "AAC"), ("ANA", "CNA")]
    found = scores(letters, *(example(*pair) for pair in pairs))
    expected = [ln["A"] - ln["T"], ln["C"], 0, None, ln["C"] - ln["A"]]
    assert [one.score_nats for one in found] == [
        None if number is None else pytest.approx(number) for number in expected
    ]
    assert [one.scored_bp for one in found] == [5, 3, 2, 0, 2]
    assert found[3].reason == "ambiguous_base"


@pytest.mark.parametrize("both", [False, True])
def test_scores_are_those_of_score_fasta_and_score_vcf(both: bool, tmp_path: Path) -> None:
    rows = ["ACGTTGCA", "GGC", GENOME]
    for one, score in zip(
        scores(CAUSAL, *map(example, rows), both=both),
        score_sequences(CAUSAL, rows, both),
        strict=True,
    ):
        assert one.score_nats == pytest.approx(score.loglik_nats / score.scored_bp, rel=1e-12)
    path = tmp_path / "genome.fa"
    path.write_text(f">chr\n{GENOME}\n")
    # 15 bp around a REF of one base; of a REF of two 14 bp, as many on either side.
    variants = [Variant("chr", 19, "T", ("C", "A")), Variant("chr", 21, "GG", ("TC", "G"))]
    pairs = []
    for start, end, variant in zip((12, 15), (27, 29), variants, strict=True):
        window = GENOME[start:end]
        at = variant.start - start
        pairs += [
            example(window, window[:at] + alt + window[at + len(variant.ref) :])
            for alt in variant.alts
        ]
    for network in (CAUSAL, MASKED):
        with Reference(path) as reference:
            effects = [
                effect
                for _, found in score_variants(
                    network, reference, variants, window_bp=15, both_strands=both
                )
                for effect in found
            ]
        found = scores(network, *pairs, both=both)
        for one, effect in zip(found, effects, strict=True):
            if effect.dll_nats is None:
                assert (one.score_nats, one.reason) == (None, "length_change")
            else:
                assert one.score_nats == pytest.approx(effect.dll_nats, rel=1e-9)
                assert one.scored_bp == effect.scored_bp
    assert [one.reason for one in found] == [None, None, None, "length_change"]


def test_a_bidirectional_network_scores_pairs_alone() -> None:
    with pytest.raises(DirectionError, match="no likelihood of a sequence"):
        scores(MASKED, example("ACGT"))
    assert scores(MASKED, example("ANG", "AAG"))[0].reason == "ambiguous_base"
    assert scores(MASKED, example("ACG", "ACG"))[0].score_nats == 0
    assert set(NO_SCORE) == {"no_letter", "ambiguous_base", "length_change"}


def test_a_wrong_letter_is_told_with_its_place() -> None:
    with pytest.raises(SequenceError, match=r"here.*found 'J'"):
        scores(CAUSAL, example("ACJ"))
    with pytest.raises(SequenceError, match=r"here.*found 'J'"):
        scores(CAUSAL, example("ACG", "ACJ"))


def ranked(numbers: list[float | None], labels: list[Label]) -> list[Ranked]:
    return [
        Ranked(example("A", None, label), number, 1)
        for number, label in zip(numbers, labels, strict=True)
    ]


def test_figures_of_classes_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    numbers, labels = rng.normal(size=60).round(1), rng.choice(["a", "b", "c"], 60)
    rows = ranked([*numbers.tolist(), None], [*map(str, labels), "a"])
    found = ranking_metrics(rows, Schema("class"), replicates=20)
    assert list(found) == [f"{figure}/{name}" for name in "abc" for figure in ("auroc", "auprc")]
    for name in "abc":
        truth = labels == name
        assert found[f"auroc/{name}"].value == pytest.approx(roc_auc_score(truth, numbers))
        area = average_precision_score(truth, numbers)
        assert found[f"auprc/{name}"].value == pytest.approx(area)
        assert found[f"auroc/{name}"].low < found[f"auroc/{name}"].value
        assert found[f"auroc/{name}"].value < found[f"auroc/{name}"].high
    low = ranking_metrics(rows, Schema("class"), negate=True, replicates=20)
    assert low["auroc/b"].value == pytest.approx(1 - found["auroc/b"].value)
    area = average_precision_score(labels == "b", -numbers)
    assert low["auprc/b"].value == pytest.approx(area)


def test_figures_of_several_classes_an_example_and_of_numbers() -> None:
    many = ranked([0.1, 0.2, 0.3, 0.4], [("a",), (), ("a", "b"), ("b",)])
    found = ranking_metrics(many, Schema("multilabel"), replicates=20)
    assert found["auroc/a"].value == 0.25
    assert found["auroc/b"].value == 1
    rng = np.random.default_rng(2)
    numbers, targets = rng.normal(size=30).round(1), rng.normal(size=(30, 2)).astype(np.float32)
    rows = ranked(numbers.tolist(), list(targets))
    found = ranking_metrics(rows, Schema("values", ("u", "v")), replicates=20)
    assert list(found) == ["spearman/u", "spearman/v"]
    for column, name in enumerate("uv"):
        expected = spearmanr(numbers, targets[:, column]).statistic
        assert found[f"spearman/{name}"].value == pytest.approx(expected)


def test_replicates_draw_whole_groups_where_every_example_has_one() -> None:
    # Two groups alike inside: of alleles of one position the interval must know that.
    rows = [
        Ranked(example("A", None, "yes" if at % 2 else "no", group=f"chr:{at // 2 % 2}"), at / 9, 1)
        for at in range(10)
    ]
    grouped = ranking_metrics(rows, Schema("class", pairs=True), replicates=40)
    alone = [one._replace(example=one.example._replace(group=None)) for one in rows]
    apart = ranking_metrics(alone, Schema("class", pairs=True), replicates=40)
    assert grouped["auroc/yes"].value == apart["auroc/yes"].value
    assert grouped["auroc/yes"] != apart["auroc/yes"]
    one_group = [one._replace(example=one.example._replace(group="chr:0")) for one in rows]
    assert ranking_metrics(one_group, Schema("class", pairs=True)) == {}


def test_what_has_no_figures() -> None:
    assert ranking_metrics(ranked([1.0, 2.0], [None, None]), Schema("none")) == {}
    assert ranking_metrics(ranked([1.0, None], ["a", "b"]), Schema("class")) == {}
    found = ranking_metrics(ranked([1.0, 2.0], ["a", "a"]), Schema("class"), replicates=20)
    assert set(found) == {"auroc/a", "auprc/a"}
    assert all(isinstance(one, Interval) and math.isnan(one.value) for one in found.values())
    for target in ("bases", "signal"):
        with pytest.raises(RecipeError, match="--kind none"):
            ranking_metrics([], Schema(target))
