"""Numbers of patches, against what can be counted by hand."""

import numpy as np
import pytest

from hyena_glt.interpret import Agreement, DeletionAgreement, Lengths, PatchMap, summary
from hyena_glt.interpret.summary import length_quantiles, share_between
from hyena_glt.tokenize import alphabet, encode

DNA = alphabet("dna")


def patch_map(closes: list[int], length_bp: int, overflow: int = 0) -> PatchMap:
    return PatchMap("a", length_bp, 1, np.array(closes, np.int64), overflow, None, None)


def test_the_open_patch_is_counted_but_is_no_latent() -> None:
    lengths = Lengths()
    lengths.add(patch_map([3, 7], 9, overflow=2))  # 3, 4 and an open 2
    lengths.add(patch_map([5], 5, overflow=1))
    found = lengths.as_dict()
    assert found["patches"] == 4
    assert found["mean_bp"] == 14 / 4
    assert found["bases_per_latent"] == 14 / 5  # three closes, and BOS's of two contigs
    assert found["share_4_to_12_bp"] == 2 / 4
    assert found["overflow"] == 3


def test_quantiles_are_lengths_that_occur() -> None:
    counts = np.bincount([2] * 5 + [3] * 90 + [40] * 5)
    assert length_quantiles(counts) == {
        **{"p1": 2, "p5": 2, "p25": 3, "p50": 3, "p75": 3, "p95": 3, "p99": 40, "max": 40}
    }
    assert length_quantiles(np.bincount([7])) == dict.fromkeys(
        ["p1", "p5", "p25", "p50", "p75", "p95", "p99", "max"], 7
    )
    assert length_quantiles(np.zeros(3, np.int64)) is None


def test_both_ends_of_a_share_count() -> None:
    counts = np.bincount([3, 4, 12, 13])
    assert share_between(counts, 4, 12) == 0.5
    assert share_between(np.zeros(1, np.int64), 4, 12) is None


def test_windows_are_whole_and_a_close_belongs_to_its_last_base(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(summary, "WINDOW_BP", 10)
    lengths = Lengths()
    # Behind bases 4, 9 | 11, 14, 19 | and what is not a whole window.
    lengths.add(patch_map([5, 10, 12, 15, 20, 21, 22, 23, 24], 25))
    assert lengths.as_dict()["windows"] == {
        **{"window_bp": 10, "windows": 2, "mean_patches": 2.5, "most_patches": 3},
        "most_over_mean": 3 / 2.5,
    }


def test_a_short_contig_has_no_window() -> None:
    lengths = Lengths()
    lengths.add(patch_map([5], 9))
    assert lengths.as_dict()["windows"]["most_over_mean"] is None


def test_agreement_is_shared_over_either() -> None:
    agreement = Agreement()
    assert agreement.jaccard is None
    agreement.add(np.array([3, 6, 9]), np.array([3, 9, 10, 11]))
    assert agreement.jaccard == 2 / 5
    agreement.add(np.array([1]), np.array([1]))
    assert agreement.jaccard == 3 / 6


def closes_behind(letter: str) -> summary.Rule:
    """A rule of content: it closes behind each of one letter."""
    return lambda rows: [[np.flatnonzero(row == ord(letter)) + 1 for row in rows]]


def closes_every(size_bp: int) -> summary.Rule:
    return lambda rows: [[np.arange(size_bp, len(row) + 1, size_bp) for row in rows]]


def random_dna(length_bp: int) -> np.ndarray:
    index = np.random.default_rng(0).integers(4, size=length_bp)
    return np.frombuffer(b"ACGT", np.uint8)[index]


def test_a_rule_of_content_agrees_behind_a_deletion_at_once_and_fixed_patches_never() -> None:
    ids = random_dna(40_000)
    content, fixed = DeletionAgreement(), DeletionAgreement()
    content.add(ids, closes_behind("A"), 1, DNA)
    fixed.add(ids, closes_every(6), 1, DNA)
    bins = ["0_to_50_bp", "50_to_200_bp", "200_to_1000_bp", "1000_to_4000_bp"]
    assert content.as_dict() == {"windows": 6, "jaccard": dict.fromkeys(bins, 1.0)}
    assert fixed.as_dict() == {"windows": 6, "jaccard": dict.fromkeys(bins, 0.0)}


def test_distances_count_from_the_missing_base() -> None:
    agreement = DeletionAgreement()
    # Only the first 50 bases behind the missing one differ.
    whole = np.array([2_048 + 1 + 50, 2_048 + 1 + 51])
    cut = np.array([2_048 + 49, 2_048 + 51])
    answers = iter([[[whole]], [[cut]]])
    agreement.add(random_dna(7_000), lambda rows: next(answers), 1, DNA)
    found = agreement.as_dict()["jaccard"]
    assert (found["0_to_50_bp"], found["50_to_200_bp"]) == (0.0, 1.0)
    assert found["200_to_1000_bp"] is None


def test_short_contigs_and_windows_with_an_n_have_no_say() -> None:
    agreement = DeletionAgreement()
    agreement.add(random_dna(6_000), closes_every(6), 1, DNA)
    agreement.add(encode("N" * 7_000), closes_every(6), 1, DNA)
    found = agreement.as_dict()
    assert found["windows"] == 0
    assert set(found["jaccard"].values()) == {None}
