"""Closed syncmers: the same words close patches, whatever stands around them."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hyena_glt.config import SyncmerPatchConfig
from hyena_glt.patch import (
    Emission,
    PatcherState,
    SyncmerPatcher,
    build_patcher,
    closed_syncmers,
    closed_syncmers_reference,
)
from hyena_glt.tokenize import BOS, MASK


def patcher(**settings: int) -> SyncmerPatcher:
    config = SyncmerPatchConfig.model_validate({"kind": "syncmer", **settings})
    built = build_patcher(config, "dna")
    assert isinstance(built, SyncmerPatcher)
    return built


def emitted(rule: SyncmerPatcher, ids: Tensor) -> tuple[Emission, PatcherState]:
    begun = rule.begin(1, torch.device("cpu"))
    return rule.emit(ids, torch.tensor([ids.shape[1]]), begun)


def row(bases: str) -> Tensor:
    return torch.tensor([[BOS, *bases.encode()]])


def closes(rule: SyncmerPatcher, bases: str) -> list[int]:
    """The bases, 0-based, that close a patch."""
    return [t - 1 for t in emitted(rule, row(bases))[0].mask[0].nonzero()[:, 0].tolist() if t]


def random_bases(length_bp: int, seed: int) -> str:
    generator = torch.Generator().manual_seed(seed)
    return "".join("ACGT"[i] for i in torch.randint(4, (length_bp,), generator=generator).tolist())


@settings(max_examples=60)
@given(
    words=st.tuples(st.integers(2, 12), st.integers(1, 11)).filter(lambda ks: ks[1] < ks[0]),
    letters=st.lists(st.integers(-1, 3), min_size=12, max_size=60),
)
def test_all_windows_at_once_are_the_plain_loop(words: tuple[int, int], letters: list[int]) -> None:
    rows = torch.tensor([letters, letters[::-1]])
    found = closed_syncmers(rows, *words)
    assert found.shape == (2, len(letters) - words[0] + 1)
    assert torch.equal(found, closed_syncmers_reference(rows, *words))


def test_a_syncmer_has_its_smallest_word_first_or_last() -> None:
    """With words of one letter the hash is an order of the letters, which the rule then keeps."""

    def is_below(a: int, b: int) -> bool:
        return bool(closed_syncmers(torch.tensor([[a, b, a]]), 3, 1)[0, 0])

    rank = {a: sum(not is_below(a, b) for b in range(4)) for a in range(4)}
    assert sorted(rank.values()) == [0, 1, 2, 3]
    words = torch.cartesian_prod(*[torch.arange(4)] * 5)
    found = closed_syncmers(words, 5, 1)[:, 0].tolist()
    for word, is_one in zip(words.tolist(), found, strict=True):
        ranks = [rank[letter] for letter in word]
        assert is_one == (min(ranks) in (ranks[0], ranks[-1]))


@pytest.mark.parametrize("other", ["N", "R", "-", chr(BOS), chr(MASK)])
def test_a_word_that_holds_anything_but_a_base_closes_nothing(other: str) -> None:
    rule = patcher(k=5, s=2, min_bp=1, max_bp=1000)
    bases = random_bases(200, 1)
    ids = row(bases)
    ids[0, 101] = ord(other)  # base 100
    found = [t - 1 for t in emitted(rule, ids)[0].mask[0].nonzero()[:, 0].tolist() if t]
    assert found == [t for t in closes(rule, bases) if not 100 <= t < 105]
    # Nor does one that begins before the first base.
    assert min(closes(rule, "A" * 50)) == 4


def test_case_and_uracil_do_not_matter() -> None:
    rule = patcher(k=7, s=3)
    bases = random_bases(300, 2)
    assert closes(rule, bases) == closes(rule, bases.lower())
    assert closes(rule, bases) == closes(rule, bases.replace("T", "U"))
    assert closes(rule, bases) == closes(rule, bases.replace("T", "u"))


@pytest.mark.parametrize("edit", ["", "AA", "GATTACA"])
def test_boundaries_come_back_soon_behind_an_edit(edit: str) -> None:
    """A fixed grid never does; here patches of the defaults agree again within 64 bases."""
    rule = patcher()
    for seed in range(20):
        bases = random_bases(400, seed)
        before = closes(rule, bases)
        after = closes(rule, bases[:200] + edit + bases[201:])
        shift = len(edit) - 1
        assert [t for t in before if t < 200] == [t for t in after if t < 200]
        assert [t for t in before if t >= 264] == [t - shift for t in after if t >= 264 + shift]


def test_the_share_of_syncmers_is_that_of_two_places_in_a_window() -> None:
    """So the hash favours no word: that a smallest s-mer is at an end is luck alone."""
    bases = random_bases(60_000, 3)
    for k, s in ((15, 6), (21, 11), (10, 5)):
        rule = patcher(k=k, s=s, min_bp=1, max_bp=1024)
        assert len(closes(rule, bases)) / len(bases) == pytest.approx(rule.density, rel=0.04)


def test_the_expected_mean_patch_is_near_the_mean_of_random_bases() -> None:
    bases = random_bases(60_000, 4)
    for settings_ in ({}, {"min_bp": 4, "max_bp": 9}, {"k": 30, "s": 4, "max_bp": 12}):
        rule = patcher(**settings_)
        ends = closes(rule, bases)
        sizes = [end - start for start, end in pairwise(ends)]
        assert min(sizes) >= rule.min_bp
        assert max(sizes) <= rule.max_bp
        assert sum(sizes) / len(sizes) == pytest.approx(rule.mean_bp, rel=0.15)
    assert patcher().mean_bp == pytest.approx(6, abs=0.1)


def test_a_run_of_one_base_is_cut_as_short_as_allowed() -> None:
    """All its words tie; N, which has none, is cut as long as allowed."""
    rule = patcher(min_bp=2, max_bp=24)
    for base in "ACGT":
        ends = closes(rule, base * 64)
        assert {end - start for start, end in pairwise(ends)} == {2}
        assert ends[0] == 14
    assert closes(rule, "N" * 60) == [23, 47]
