"""Limits: left-greedy lengths, anchors, and a cap that keeps room for what is forced."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from hyena_glt.config import BLOCK_BP
from hyena_glt.patch import (
    Limits,
    PatcherState,
    limit_patches,
    limit_patches_reference,
    limits,
)


def standing_at(
    position: list[int], open_bp: list[int] | None = None, count: list[int] | None = None
) -> PatcherState:
    nothing = torch.zeros(len(position), 0, dtype=torch.long)
    zeros = [0] * len(position)
    return PatcherState(
        torch.tensor(position),
        torch.tensor(count or zeros),
        torch.tensor(zeros),
        torch.tensor(open_bp or zeros),
        nothing,
        nothing,
    )


def marks(text: str) -> Tensor:
    return torch.tensor([[letter == "|" for letter in text]])


def limited(
    candidates: str,
    min_bp: int,
    max_bp: int,
    *,
    open_bp: int = 0,
    anchors: str = "",
    allowed: str = "",
) -> tuple[str, int]:
    """Closes of bases in the middle of a row as '|' and '.', and the bases left open."""
    closes, after = limit_patches(
        marks(candidates),
        torch.tensor([len(candidates)]),
        standing_at([7], [open_bp]),
        Limits(min_bp, max_bp, None),
        marks(anchors) if anchors else None,
        marks(allowed) if allowed else None,
    )
    return "".join("|" if close else "." for close in closes[0].tolist()), int(after.open_bp)


def test_a_patch_closes_at_the_first_candidate_that_leaves_it_long_enough() -> None:
    assert limited("||||||||", 3, 9) == ("..|..|..", 2)
    assert limited("|....|..", 3, 9) == (".....|..", 2)
    assert limited("........", 1, 3) == ("..|..|..", 2)
    # The open patch counts: two bases before the call, then one, two and three in it.
    assert limited("||||", 3, 9, open_bp=2) == ("|..|", 0)
    assert limited("....", 1, 4, open_bp=3) == ("|...", 3)


def test_an_anchor_closes_a_patch_however_short_and_starts_the_count_anew() -> None:
    assert limited("||||||||", 3, 9, anchors="...|....") == ("..||..|.", 1)
    assert limited("........", 3, 4, anchors="|....||.") == ("|...|||.", 1)


def test_an_inner_patch_closes_only_where_the_outer_one_does() -> None:
    # The candidate at 1 isn't an outer close, and none is forced before the outer close at 6.
    assert limited(".|......|", 1, 4, allowed="..|...|..") == ("......|..", 2)
    assert limited("..|.....|", 1, 4, allowed="..|...|.|") == ("..|...|.|", 0)
    assert limited("..|...|..", 4, 8, allowed="..|...|..") == ("......|..", 2)
    # Nor does an anchor close there, and the patch goes on.
    assert limited("...|...", 4, 8, anchors="..|....", allowed="...||||") == ("...|...", 3)


def test_bos_closes_whatever_the_rule_says_and_counts_as_no_base() -> None:
    nothing = torch.zeros(2, 7, dtype=torch.bool)
    closes, after = limit_patches(
        nothing, torch.tensor([7, 0]), standing_at([0, 0]), Limits(1, 3, 343), None, nothing
    )
    assert closes.tolist() == [[True] + [False] * 6, [False] * 7]
    assert after.open_bp.tolist() == [6, 0]
    closes, after = limit_patches(
        ~nothing, torch.tensor([7, 1]), standing_at([0, 0]), Limits(3, 3, 343)
    )
    assert closes[0].nonzero()[:, 0].tolist() == [0, 3, 6]
    assert closes[1].nonzero()[:, 0].tolist() == [0]
    assert after.block_count.tolist() == [2, 0]
    assert after.position.tolist() == [7, 1]


def test_a_full_block_closes_only_what_is_forced_and_the_next_one_starts_anew() -> None:
    total = 1 + 2 * BLOCK_BP
    everywhere = torch.ones(1, total, dtype=torch.bool)
    limits = Limits(1, 256, 6)
    closes, after = limit_patches(everywhere, torch.tensor([total]), standing_at([0]), limits)
    # Bases 0, 1 and 2 leave room for the three that are forced then; base 3 would not.
    ends = [t - 1 for t in closes[0].nonzero()[:, 0].tolist() if t]
    assert ends[:6] == [0, 1, 2, 258, 514, 770]
    assert all(end - start <= 256 for start, end in pairwise(ends))
    in_first = [end for end in ends if end < BLOCK_BP]
    assert len(in_first) <= 6
    assert len(ends) - len(in_first) <= 6
    assert BLOCK_BP in ends
    assert int(after.overflow) == 2 * BLOCK_BP - len(ends)


# Positions of each row; limits; shares of candidates, anchors and allowed positions; a seed.
Problem = tuple[list[int], Limits, tuple[float, float, float], int]


@st.composite
def problems(draw: st.DrawFn, longest: int) -> Problem:
    lengths = draw(st.lists(st.integers(0, longest), min_size=1, max_size=3))
    min_bp = draw(st.integers(1, 9))
    max_bp = min_bp + draw(st.sampled_from([0, 1, 3, 20, 300]))
    least, most = -(-BLOCK_BP // max_bp) + 1, -(-BLOCK_BP // min_bp) + 1
    cap = draw(st.none() | st.integers(least, max(least, most)))
    candidates = draw(st.sampled_from([0, 0.1, 0.5, 1]))
    shares = (candidates, draw(st.sampled_from([0, 0.01, 0.3])), draw(st.sampled_from([0.1, 1])))
    return lengths, Limits(min_bp, max_bp, cap), shares, draw(st.integers(0, 99))


def check_pieces(problem: Problem, cuts: set[int]) -> None:
    """Rows that stand anywhere, whole and in pieces: bit for bit as the loop, states too."""
    lengths, limits, shares, seed = problem
    rows, total = len(lengths), max(1, *lengths)
    generator = torch.Generator().manual_seed(seed)
    position = torch.randint(0, 3000, (rows,), generator=generator)
    position[:: 2 + seed % 2] = 0
    open_bp = torch.randint(0, limits.max_bp + 3, (rows,), generator=generator)
    count = torch.randint(0, (limits.cap or 0) + 1, (rows,), generator=generator)
    begun = position > 0
    state = standing_at(position.tolist(), (open_bp * begun).tolist(), (count * begun).tolist())
    candidates, anchors, allowed = (
        torch.rand(rows, total, generator=generator) < share for share in shares
    )
    length = torch.tensor(lengths)
    given = (candidates, length, state, limits, anchors, allowed)
    expected, expected_state = limit_patches_reference(*given)
    found, found_state = limit_patches(*given)
    assert torch.equal(found, expected)
    assert all(map(torch.equal, found_state, expected_state))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.compiler, "is_compiling", lambda: True)
        compiled, compiled_state = limit_patches(*given)
    assert torch.equal(compiled, expected)
    assert all(map(torch.equal, compiled_state, expected_state))
    pieces = []
    for start, end in pairwise(sorted({c for c in cuts if 0 < c < total} | {0, total})):
        closes, state = limit_patches(
            candidates[:, start:end],
            (length - start).clamp(0, end - start),
            state,
            limits,
            anchors[:, start:end],
            allowed[:, start:end],
        )
        pieces.append(closes)
    assert torch.equal(torch.cat(pieces, 1), expected)
    assert all(map(torch.equal, state, expected_state))


@pytest.mark.slow
@settings(max_examples=200)
@given(problem=problems(50), cuts=st.sets(st.integers(1, 49), max_size=6))
@example(problem=([50], Limits(2, 5, None), (1, 0.3, 1), 1), cuts=set(range(50)))
def test_any_partition_of_rows_is_limited_as_the_plain_loop_does(
    problem: Problem, cuts: set[int]
) -> None:
    check_pieces(problem, cuts)


@pytest.mark.slow
@settings(max_examples=20)
@given(
    problem=problems(2600),
    cuts=st.sets(st.sampled_from([1, 2, 700, 1023, 1024, 1025, 1026, 2048, 2049]), max_size=5),
)
def test_long_rows_over_several_blocks_are_limited_as_the_plain_loop_does(
    problem: Problem, cuts: set[int]
) -> None:
    check_pieces(problem, cuts)


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many blocks are closed on their own in each round of a call under a cap."""
    close_blocks, found = limits._close_blocks, list[int]()

    def counted(blocks: Any, ways: Any, row: Tensor, at: Tensor) -> Any:
        found.append(len(row))
        return close_blocks(blocks, ways, row, at)

    monkeypatch.setattr(limits, "_close_blocks", counted)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 5])
def test_only_a_block_that_lacks_room_and_those_that_it_puts_out_of_step_are_closed_again(
    rows: int, rounds: list[int]
) -> None:
    total, row = 6 * BLOCK_BP, torch.arange(rows)
    candidates = torch.rand(rows, total, generator=torch.Generator().manual_seed(0)) < 0.2
    crowded = torch.arange(total) // BLOCK_BP % 3 == 1 + row[:, None] % 2
    given = (
        candidates | crowded,
        torch.full((rows,), total),
        standing_at((1 + 100 * row).tolist()),
        Limits(2, 24, 250),
    )
    found, after = limit_patches(*given)
    assert bool((after.overflow > 0).all())
    assert 0 < sum(rounds) < 6 * rows
    expected, expected_after = limit_patches_reference(*given)
    assert torch.equal(found, expected)
    assert all(map(torch.equal, after, expected_after))


@pytest.mark.slow
def test_blocks_that_never_fall_into_step_are_closed_a_few_times_each(rounds: list[int]) -> None:
    blocks = 24
    total = 1 + blocks * BLOCK_BP
    # Every block is full, and the phase of its forced closes is handed on to the next.
    candidates = (torch.arange(total) % (BLOCK_BP + 1) < 767)[None]
    given = (candidates, torch.tensor([total]), standing_at([0]), Limits(64, 104, 11))
    found, after = limit_patches(*given)
    assert len(rounds) > blocks / 2
    assert sum(rounds) < 9 * blocks
    expected, expected_after = limit_patches_reference(*given)
    assert torch.equal(found, expected)
    assert all(map(torch.equal, after, expected_after))


@pytest.mark.slow
@pytest.mark.parametrize("cap", [None, 44])
def test_single_steps_over_a_block_edge_close_where_the_whole_does(cap: int | None) -> None:
    generator = torch.Generator().manual_seed(3)
    candidates = torch.rand(1, 200, generator=generator) < 0.3
    limits, begun = Limits(2, 24, cap), standing_at([900], [5], [0 if cap is None else 38])
    whole, whole_state = limit_patches(candidates, torch.tensor([200]), begun, limits)
    state, stepped = begun, []
    for t in range(200):
        closes, state = limit_patches(candidates[:, t : t + 1], torch.tensor([1]), state, limits)
        stepped.append(closes)
    assert torch.equal(torch.cat(stepped, 1), whole)
    assert all(map(torch.equal, state, whole_state))
    assert (int(whole_state.overflow) > 0) == (cap is not None)


@settings(max_examples=25)
@given(
    max_bp=st.integers(1, 200),
    spare=st.integers(0, 20),
    share=st.sampled_from([0.05, 0.5, 1]),
    seed=st.integers(0, 9),
)
def test_no_block_closes_more_than_its_cap_and_no_patch_is_longer_than_allowed(
    max_bp: int, spare: int, share: float, seed: int
) -> None:
    total = 1 + 3 * BLOCK_BP
    cap = -(-BLOCK_BP // max_bp) + 1 + spare
    generator = torch.Generator().manual_seed(seed)
    candidates = torch.rand(1, total, generator=generator) < share
    closes, _ = limit_patches(
        candidates, torch.tensor([total]), standing_at([0]), Limits(1, max_bp, cap)
    )
    assert int(closes[0, 1:].view(3, BLOCK_BP).sum(1).max()) <= cap
    ends = closes[0].nonzero()[:, 0].tolist()
    assert max(end - start for start, end in pairwise([*ends, total])) <= max_bp
