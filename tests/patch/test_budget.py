"""Anchored entropy budget: even patches that fall back into step behind an insertion."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from hyena_glt.data import open_genome
from hyena_glt.patch import (
    UNIT,
    BudgetPatcher,
    anchor_words,
    anchor_words_reference,
    budget_reference,
)
from hyena_glt.tokenize import BOS, alphabet
from patch.rows import BASES, CPU, CUTS, check_against_loop, in_pieces, made_up_entropy, row, rule

LIMITS: dict[str, Any] = {"min_bp": 2, "max_bp": 9, "mean_bp": 4}
ANCHORS: dict[str, Any] = {"anchor_k": 4, "anchor_every": 16, "anchor_gap_bp": 32}
BASE_OF = {ord(letter): i for i, letter in enumerate("ACGT")}


def loop(ids: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    letters = [BASE_OF.get(ord(chr(i).upper()), -1) for i in ids.tolist()]
    padded = torch.tensor([[-1] * 26 + letters])
    words = anchor_words_reference(padded, 4, 16, 4)[0]
    return budget_reference(words, score, 5 * UNIT, 32)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    documents=st.lists(BASES, min_size=1, max_size=3),
    cuts=CUTS,
    capped=st.booleans(),
    nested=st.booleans(),
)
@example(documents=["", "A"], cuts={1}, capped=False, nested=False)
@example(documents=["ACGGT" * 400], cuts={1, 700, 1024, 1025, 1500}, capped=True, nested=False)
@example(documents=["A" * 90], cuts=set(range(90)), capped=False, nested=True)
def test_rows_whole_and_in_pieces_close_as_base_by_base(
    documents: list[str], cuts: set[int], capped: bool, nested: bool
) -> None:
    cap: dict[str, Any] = {"cap": 115} if capped else {}
    outer = rule("delimiter", motifs=["C", "AA"], max_bp=3) if nested else None
    patcher = rule("budget", budget_bits=5.0, **LIMITS, **ANCHORS, **cap)
    check_against_loop(patcher, loop, documents, cuts, outer)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    letters=st.lists(st.integers(-1, 3), min_size=56, max_size=90)
    | st.lists(st.integers(0, 1), min_size=56, max_size=90),
    k=st.integers(2, 31),
    every=st.integers(2, 16),
    base=st.sampled_from([4, 20]),
)
@example(letters=[3, 1, 0, 2] * 15, k=31, every=16, base=20)
def test_anchors_are_those_of_the_plain_loop(
    letters: list[int], k: int, every: int, base: int
) -> None:
    rows = torch.tensor([letters, letters[::-1]])
    found = anchor_words(rows, k, every, base)
    assert found.shape == (2, len(letters) - k - every - 6)
    assert torch.equal(found, anchor_words_reference(rows, k, every, base))


def whole(patcher: BudgetPatcher, ids: Tensor) -> Tensor:
    length = torch.tensor([ids.shape[1]])
    begun = patcher.begin(1, CPU)
    return patcher.emit(ids, length, begun, None, made_up_entropy(ids))[0].mask[0]


def default_rule() -> BudgetPatcher:
    patcher = rule("budget", budget_bits=9.0, anchor_every=128)
    assert isinstance(patcher, BudgetPatcher)
    return patcher


@pytest.fixture(scope="module")
def megabase(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """BOS and 1 Mb of E. coli."""
    cache: Path = tmp_path_factory.mktemp("cache")
    genome, _ = open_genome("builtin:ecoli_dh1", alphabet("dna"), cache)
    bases = genome.fetch_bytes(genome.names[0], 1_000_000, 2_000_000)
    return torch.from_numpy(np.concatenate([[BOS], bases]).astype(np.int64))[None]


@pytest.mark.slow
def test_a_megabase_streamed_in_random_pieces_has_every_boundary_of_the_whole(
    megabase: Tensor,
) -> None:
    patcher = default_rule()
    cuts = set(np.random.default_rng(0).integers(1, 1_000_000, 60).tolist())
    cuts |= {1, 2, 500_000, 500_001}
    streamed, overflow, _ = in_pieces(patcher, megabase, made_up_entropy(megabase), cuts)
    assert torch.equal(streamed[0], whole(patcher, megabase))
    assert overflow == 0


@pytest.mark.slow
def test_a_kilobase_behind_a_deletion_every_boundary_is_back(megabase: Tensor) -> None:
    patcher = default_rule()
    bases = megabase[:, :40_001]
    before = whole(patcher, bases)
    for at in range(1000, 38_000, 400):
        after = whole(patcher, torch.cat([bases[:, :at], bases[:, at + 1 :]], 1))
        assert torch.equal(before[:at], after[:at])
        assert torch.equal(before[at + 1001 :], after[at + 1000 :])
    # A fixed grid never comes back; a word of its own is what brings patches back.
    assert not torch.equal(before[1001:], before[1000:-1])


def test_patches_have_even_sizes(megabase: Tensor) -> None:
    mask = whole(default_rule(), megabase)
    sizes = mask.nonzero()[:, 0].diff()
    inside = ((sizes >= 4) & (sizes <= 12)).float().mean()
    assert float(inside) >= 0.95
    per_window = mask[1:].float()[: 122 * 8192].view(122, 8192).sum(1)
    assert float(per_window.max() / per_window.mean()) < 1.1


@pytest.mark.parametrize("unit", ["A", "AT", "CCG", "GATC", "ACGTTGCA"])
def test_a_repeat_gives_no_flood_of_anchors(unit: str) -> None:
    """None but where it begins, and those that the gap puts."""
    patcher = default_rule()
    ids = row(unit * (6000 // len(unit)))
    letters = torch.nn.functional.pad(patcher.letters[ids].long(), (patcher.past_bp, 0), value=-1)
    words = anchor_words(letters, 12, 128, 4)[0]
    assert words.nonzero()[:, 0].max() < 13 + len(unit)
    sizes = whole(patcher, ids).nonzero()[:, 0].diff()
    assert int((sizes < patcher.min_bp).sum()) <= 6000 // 512 + 3


def test_an_anchor_comes_after_the_gap_where_no_word_does() -> None:
    patcher = rule("budget", budget_bits=1000.0, anchor_gap_bp=100, max_bp=1024)
    ids = row("N" * 450)
    length = torch.tensor([451])
    emission, state = patcher.emit(
        ids, length, patcher.begin(1, CPU), None, torch.full_like(ids, 10)
    )
    assert emission.mask[0].nonzero()[:, 0].tolist() == [0, 100, 200, 300, 400]
    assert state.carry.tolist() == [[500, 50]]


def test_a_patch_closes_where_the_sum_passes_a_multiple_of_the_budget() -> None:
    patcher = rule("budget", budget_bits=3.0, min_bp=3, max_bp=24, mean_bp=3)
    ids = row("N" * 12)
    bits = [2.0, 1.0, 1.0, 1.0, 2.0, 2.0, 0.5, 0.0, 2.0, 1.0, 2.0, 2.0, 2.0]
    score = torch.tensor([[round(b * UNIT) for b in bits]])
    emission, _ = patcher.emit(ids, torch.tensor([13]), patcher.begin(1, CPU), None, score)
    # Sums behind BOS: 1 2 3 5 7 7.5 7.5 9.5 10.5 12.5 14.5 16.5; candidates 3 5 8 10 12; two bases
    # are too short a patch.
    assert emission.mask[0].nonzero()[:, 0].tolist() == [0, 3, 8, 12]


@settings(max_examples=20)
@given(seed=st.integers(0, 99), length=st.integers(1, 400), every=st.sampled_from([16, 256]))
def test_the_capacity_holds_every_close(seed: int, length: int, every: int) -> None:
    patcher = rule(
        "budget",
        budget_bits=1.0,
        min_bp=6,
        max_bp=9,
        anchor_k=4,
        anchor_every=every,
        anchor_gap_bp=32,
    )
    generator = torch.Generator().manual_seed(seed)
    bases = torch.tensor(list(b"ACGT"))[torch.randint(4, (1, 800), generator=generator)]
    ids = torch.cat([torch.tensor([[BOS]]), bases], 1)
    _, _, state = in_pieces(patcher, ids[:, :400], made_up_entropy(ids)[:, :400], {77})
    piece = slice(400, 400 + length)
    emission, _ = patcher.emit(
        ids[:, piece], torch.tensor([length]), state, None, made_up_entropy(ids)[:, piece]
    )
    assert int(emission.mask.sum()) <= patcher.capacity(length) <= length
    ends = [t for t, close in enumerate(emission.mask[0].tolist()) if close]
    assert all(end - start <= 9 for start, end in pairwise(ends))
