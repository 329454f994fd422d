"""Limits: lengths are left-greedy; the first closes of a block stand, later ones are merged."""

from itertools import pairwise
from typing import NamedTuple

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from hyena_glt.patch import (
    BLOCK_BP,
    PatcherState,
    cap_blocks,
    limit_patches,
    limit_patches_reference,
)


def begun(rows: int) -> PatcherState:
    zero = torch.zeros(rows, dtype=torch.long)
    return PatcherState(zero, zero, zero, zero, torch.zeros(rows, 0, dtype=torch.long))


BEGUN = begun(1)


class Loop(NamedTuple):
    """What a plain reading of the rule gives."""

    kept: list[bool]
    overflow: int
    block_count: int


def plain_loop(emits: list[bool], cap: int) -> Loop:
    kept, overflow, count = [], 0, 0
    for position, emit in enumerate(emits):
        base = position - 1  # BOS is base -1
        if base % BLOCK_BP == 0:
            count = 0
        stands = emit and (base < 0 or count < cap)
        count += stands and base >= 0
        overflow += emit and not stands
        kept.append(stands)
    return Loop(kept, overflow, count)


def over_emitting(total: int, seed: int, share: float) -> list[bool]:
    generator = torch.Generator().manual_seed(seed)
    return [True, *(torch.rand(total - 1, generator=generator) < share).tolist()]


def capped(emits: list[bool], cap: int, sizes: list[int]) -> tuple[Tensor, PatcherState]:
    state, masks = BEGUN, []
    for piece in torch.split(torch.tensor([emits]), sizes, 1):
        mask, state = cap_blocks(piece, torch.tensor([piece.shape[1]]), state, cap)
        masks.append(mask)
    return torch.cat(masks, 1)[0], state


def test_the_first_closes_of_a_block_stand_and_the_next_block_starts_anew() -> None:
    emits = [True] * (1 + 2 * BLOCK_BP + 5)
    kept, state = capped(emits, 3, [len(emits)])
    expected = {0} | {1 + block * BLOCK_BP + i for block in range(3) for i in range(3)}
    assert set(kept.nonzero()[:, 0].tolist()) == expected
    assert state.overflow.tolist() == [2 * (BLOCK_BP - 3) + 2]
    assert state.block_count.tolist() == [3]


@settings(max_examples=60)
@given(
    total=st.integers(1, 2600),
    cap=st.integers(1, 700),
    share=st.sampled_from([0.01, 0.3, 0.9]),
    seed=st.integers(0, 9),
    cuts=st.sets(st.integers(1, 2599), max_size=8),
)
@example(total=2060, cap=2, share=0.9, seed=0, cuts={1, 2, 1024, 1025, 1026, 2048, 2049})
def test_any_partition_caps_as_the_plain_loop_does(
    total: int, cap: int, share: float, seed: int, cuts: set[int]
) -> None:
    emits = over_emitting(total, seed, share)
    loop = plain_loop(emits, cap)
    edges = [0, *sorted(c for c in cuts if c < total), total]
    sizes = [end - start for start, end in pairwise(edges)]
    kept, state = capped(emits, cap, sizes)
    assert kept.tolist() == loop.kept
    assert state.overflow.tolist() == [loop.overflow]
    assert state.block_count.tolist() == [loop.block_count]
    assert state.position.tolist() == [total]


def test_a_prefix_and_single_steps_cap_as_the_whole_does() -> None:
    emits = over_emitting(BLOCK_BP + 40, 3, 0.5)
    whole, state = capped(emits, 5, [len(emits)])
    stepped, stepped_state = capped(emits, 5, [1] * len(emits))
    assert torch.equal(whole, stepped)
    for one, other in zip(state, stepped_state, strict=True):
        assert torch.equal(one, other)
    for n in (1, 2, 20, BLOCK_BP, BLOCK_BP + 1, BLOCK_BP + 2):
        prefix, _ = capped(emits[:n], 5, [n])
        assert torch.equal(prefix, whole[:n])


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(0, 1500), min_size=2, max_size=4),
    starts=st.lists(st.integers(0, 2100), min_size=4, max_size=4),
    cap=st.integers(1, 400),
)
def test_rows_of_a_batch_and_their_padding_do_not_meet(
    lengths: list[int], starts: list[int], cap: int
) -> None:
    total = max(1, *lengths)
    rows = len(lengths)
    position = torch.tensor(starts[:rows])
    count = torch.minimum((position - 1).clamp(min=0) % BLOCK_BP, torch.tensor(cap))
    state = begun(rows)._replace(position=position, block_count=count, overflow=torch.arange(rows))
    length = torch.tensor(lengths)
    emit = torch.arange(total) < length[:, None]
    mask, after = cap_blocks(emit, length, state, cap)
    assert not mask[~emit].any()
    for i, n in enumerate(lengths):
        before = PatcherState(*(part[i : i + 1] for part in state))
        if n == 0:
            assert all(torch.equal(a[i], b[0]) for a, b in zip(after, before, strict=True))
            continue
        alone, state_alone = cap_blocks(emit[i : i + 1, :n], length[i : i + 1], before, cap)
        assert torch.equal(mask[i, :n], alone[0])
        assert all(torch.equal(a[i], b[0]) for a, b in zip(after, state_alone, strict=True))


def limited(
    candidates: str, min_bp: int, max_bp: int, *, open_bp: int = 0, allowed: str = ""
) -> tuple[str, int]:
    """Closes of one row as '|' and '.', and the bases left open."""
    wanted = torch.tensor([[letter == "|" for letter in candidates]])
    may = torch.tensor([[letter == "|" for letter in allowed or "|" * len(candidates)]])
    length, before = torch.tensor([len(candidates)]), torch.tensor([open_bp])
    closes, after = limit_patches(wanted, may, length, before, min_bp, max_bp)
    return "".join("|" if close else "." for close in closes[0].tolist()), int(after)


def test_a_patch_closes_at_the_first_candidate_that_leaves_it_long_enough() -> None:
    assert limited("||||||||", 3, 9) == ("..|..|..", 2)
    assert limited("|....|..", 3, 9) == (".....|..", 2)
    assert limited("........", 1, 3) == ("..|..|..", 2)
    # The open patch counts: two bases before the call, then one, two and three in it.
    assert limited("||||", 3, 9, open_bp=2) == ("|..|", 0)
    assert limited("....", 1, 4, open_bp=3) == ("|...", 3)


def test_an_inner_patch_closes_only_where_the_outer_one_does() -> None:
    # The candidate at 1 isn't an outer close, and none is forced before the outer close at 6.
    assert limited(".|......|", 1, 4, allowed="..|...|..") == ("......|..", 2)
    assert limited("..|.....|", 1, 4, allowed="..|...|.|") == ("..|...|.|", 0)
    assert limited("..|...|..", 4, 8, allowed="..|...|..") == ("......|..", 2)


@settings(max_examples=150)
@given(
    data=st.data(),
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    limits=st.tuples(st.integers(1, 9), st.integers(0, 12)),
    shares=st.tuples(st.sampled_from([0, 0.1, 0.5, 1]), st.sampled_from([0.1, 0.6, 1])),
    seed=st.integers(0, 99),
)
def test_any_partition_of_rows_is_limited_as_the_plain_loop_does(
    data: st.DataObject,
    lengths: list[int],
    limits: tuple[int, int],
    shares: tuple[float, float],
    seed: int,
) -> None:
    min_bp, max_bp = limits[0], sum(limits)
    rows, total = len(lengths), max(1, *lengths)
    generator = torch.Generator().manual_seed(seed)
    candidates, allowed = (torch.rand(rows, total, generator=generator) < share for share in shares)
    length = torch.tensor(lengths)
    open_bp = torch.randint(0, max_bp + 3, (rows,), generator=generator)
    expected = limit_patches_reference(candidates, allowed, length, open_bp, min_bp, max_bp)
    whole = limit_patches(candidates, allowed, length, open_bp, min_bp, max_bp)
    assert torch.equal(whole[0], expected[0])
    assert torch.equal(whole[1], expected[1])
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, total - 1)), max_size=4)) | {0, total})
    pieces = []
    for start, end in pairwise(cuts):
        here = (length - start).clamp(0, end - start)
        closes, open_bp = limit_patches(
            candidates[:, start:end], allowed[:, start:end], here, open_bp, min_bp, max_bp
        )
        pieces.append(closes)
    assert torch.equal(torch.cat(pieces, 1), expected[0])
    assert torch.equal(open_bp, expected[1])


def test_a_long_row_is_limited_as_the_plain_loop_does() -> None:
    """Enough closes for every round of doubling."""
    generator = torch.Generator().manual_seed(0)
    candidates = torch.rand(2, 5000, generator=generator) < 0.3
    allowed = torch.rand(2, 5000, generator=generator) < 0.9
    length, open_bp = torch.tensor([5000, 4097]), torch.tensor([0, 7])
    for min_bp, max_bp in ((1, 1), (1, 3), (2, 24), (7, 7), (600, 1024), (5000, 6000)):
        found = limit_patches(candidates, allowed, length, open_bp, min_bp, max_bp)
        expected = limit_patches_reference(candidates, allowed, length, open_bp, min_bp, max_bp)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])
