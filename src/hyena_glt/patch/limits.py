"""Limits of patches: how long one may be, and how many of them a block may close."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor

from hyena_glt.config import BLOCK_BP
from hyena_glt.patch.emission import PatcherState


class Limits(NamedTuple):
    """What a rule's closes are held to."""

    min_bp: int  # shortest patch, those apart that an anchor or a row's end closes
    max_bp: int  # longest patch; in an inner stage, up to the end of the outer patch
    cap: int | None  # most closes in a block of 1,024 bases; None: ``min_bp`` sees to it


# Positions, and the bases that a patch that closes at one of them has at least.
_Way = tuple[Bool[Tensor, "B L"], int]


def limit_patches(
    candidates: Bool[Tensor, "B L"],
    length: Int[Tensor, " B"],
    state: PatcherState,
    limits: Limits,
    anchors: Bool[Tensor, "B L"] | None = None,
    allowed: Bool[Tensor, "B L"] | None = None,
) -> tuple[Bool[Tensor, "B L"], PatcherState]:
    """Return (where patches close, ``state`` after ``length`` positions of each row).

    Left-greedy: a patch closes at the first candidate that makes it ``min_bp`` long or longer, at
    an anchor however short it is, and in any case at the first position that makes it ``max_bp``
    long or longer. Nothing closes where ``allowed`` is false, nor from ``length`` on. BOS closes in
    any case and counts as no base.

    Base i belongs to block i // 1024 of its document. A close is merged into the patch that goes on
    where it would leave no room under the cap for those that ``max_bp`` may still force; from there
    to the block's end only ``max_bp`` closes, and what else would have is counted in the state's
    ``overflow``. Without a cap ``block_count`` isn't kept.
    """
    index = torch.arange(candidates.shape[1], device=candidates.device)
    is_bos = (state.position == 0) & (length > 0)
    closed_last = torch.where(is_bos, 0, -1 - state.open_bp)
    may = (index < length[:, None]) & (index > closed_last[:, None])
    if allowed is not None:
        may = may & allowed
    ways = _ways(candidates, anchors, may, limits)
    if limits.cap is None:
        closes, counts = _orbit(ways, closed_last), state
    else:
        closes, counts = _capped(ways, length, state, closed_last, limits, limits.cap)
    closed_last = torch.where(closes, index, closed_last[:, None]).amax(1)
    return closes | (is_bos[:, None] & (index == 0)), counts._replace(
        position=state.position + length, open_bp=length - 1 - closed_last
    )


def _ways(
    candidates: Bool[Tensor, "B L"],
    anchors: Bool[Tensor, "B L"] | None,
    may: Bool[Tensor, "B L"],
    limits: Limits,
) -> list[_Way]:
    """What closes a patch: ``max_bp`` first, then candidates, then anchors if there are any."""
    ways = [(may, limits.max_bp), (candidates & may, limits.min_bp)]
    return ways if anchors is None else [*ways, (anchors & may, 1)]


def _orbit(ways: list[_Way], closed_last: Int[Tensor, " B"]) -> Bool[Tensor, "B L"]:
    """All closes after ``closed_last``, which is negative where it lies before the call.

    A close at s is followed by the first position that is in the mask of a way and as many bases
    behind s as it asks for, or more. So all closes are the orbit of the first one. It is found by
    pointer doubling: n closes and the map from each to the one n later give 2n closes.
    """
    batch, total = ways[0][0].shape
    reach = max(least_bp for _, least_bp in ways)
    index = torch.arange(total, dtype=torch.int32, device=closed_last.device)
    # Column ``reach`` + s is of a close at s, which may lie before the call, where any further back
    # is as one at -``reach``. Position ``total`` stands for the end, where the orbit stays.
    following = index.new_full((batch, reach + total + 1), total)
    for mask, least_bp in ways:
        position = torch.where(mask, index, total)
        ahead = F.pad(position, (reach - least_bp, least_bp + 1), value=total)
        following = torch.minimum(following, ahead)
    following = _least_from(following)
    closed = following.gather(1, (closed_last + reach).clamp(min=0)[:, None])[:, 0]
    # All rows are one list, so that an index of 32 bits will do.
    row_start = torch.arange(batch, dtype=torch.int32, device=closed.device) * (total + 1)
    following = (following[:, reach:] + row_start[:, None]).reshape(-1)
    closed = closed + row_start
    most = -(-total // min(least_bp for _, least_bp in ways))
    for _ in range((most - 1).bit_length()):
        closed = torch.cat([closed, following.index_select(0, closed)])
        following = following.index_select(0, following)
    closes = torch.zeros(batch * (total + 1), dtype=torch.bool, device=closed.device)
    return closes.index_fill(0, closed.long(), True).view(batch, -1)[:, :total]


def _least_from(values: Int[Tensor, "B S"]) -> Int[Tensor, "B S"]:
    """The least value at or after each position. Branch-free, faster than ``cummin`` here."""
    span = 1
    while span < values.shape[1]:
        rest = values[:, -span:]
        values = torch.cat([torch.minimum(values[:, :-span], values[:, span:]), rest], 1)
        span *= 2
    return values


class _Blocks(NamedTuple):
    """The blocks of 1,024 bases that a call's rows reach into, and what they close."""

    room: Int[Tensor, " bases"]  # most closes up to each base that leave enough for forced ones
    start: Int[Tensor, "B blocks"]  # first positions; a row's first block may begin before the call
    begun: Int[Tensor, "B blocks"]  # closes before the call
    closes: Bool[Tensor, "B S"]  # S = L + 1: the last takes what is outside a block
    last: Int[Tensor, "B edges"]  # the last close before each block, and behind them all
    merged: Int[Tensor, "B blocks"]  # closes that the cap has merged


def _capped(
    ways: list[_Way],
    length: Int[Tensor, " B"],
    state: PatcherState,
    closed_last: Int[Tensor, " B"],
    limits: Limits,
    cap: int,
) -> tuple[Bool[Tensor, "B L"], PatcherState]:
    """Closes under a cap, and the state with their counts.

    Rows may stand at different bases, so that each has blocks of its own.
    """
    batch, total = ways[0][0].shape
    index, base = (torch.arange(n, device=length.device) for n in (total, BLOCK_BP))
    within = (state.position - 1) % BLOCK_BP
    number = torch.arange(-(-(total + BLOCK_BP - 1) // BLOCK_BP), device=length.device)
    start = number * BLOCK_BP - within[:, None]
    blocks = _Blocks(
        room=(cap - (BLOCK_BP - 1 - base) // limits.max_bp).int(),
        start=start,
        begun=torch.where(start < 0, state.block_count[:, None], 0),
        closes=torch.zeros(batch, total + 1, dtype=torch.bool, device=length.device),
        last=closed_last[:, None].expand(-1, len(number) + 1),
        merged=torch.zeros_like(start),
    )
    if torch.compiler.is_compiling():
        # What is computed may not hang on what is found: each row's blocks, one after another.
        row = torch.arange(batch, device=length.device)
        for at in range(len(number)):
            blocks = _close_blocks(blocks, ways, row, torch.full_like(row, at))
    else:
        blocks = _settle(*_close_without_cap(blocks, ways), ways)
    closes = blocks.closes[:, :total]
    reached = ((within + length - 1).clamp(min=0) // BLOCK_BP)[:, None]
    inside = index >= start.gather(1, reached)
    count = blocks.begun.gather(1, reached)[:, 0] + (closes & inside).sum(1)
    is_full = blocks.merged.gather(1, reached)[:, 0] > 0
    count = torch.where(is_full, cap, count.clamp(max=cap))
    return closes, state._replace(
        block_count=torch.where(length > 0, count, state.block_count),
        overflow=state.overflow + blocks.merged.sum(1),
    )


def _close_without_cap(
    blocks: _Blocks, ways: list[_Way]
) -> tuple[_Blocks, Bool[Tensor, "B blocks"]]:
    """Return (``blocks`` with what they close without a cap, which of them lack room for it)."""
    closes = _orbit(ways, blocks.last[:, 0])
    total = closes.shape[1]
    edge = F.pad(blocks.start, (0, 1), value=total).clamp(0, total)
    last = _last_before(closes, blocks.last[:, 0]).gather(1, edge)
    base = torch.arange(total, device=closes.device) - blocks.start[:, :1]
    block = base // BLOCK_BP
    count = F.pad(closes.cumsum(1), (1, 0))  # of the closes before each position
    before = count.gather(1, edge[:, :-1]) - blocks.begun
    counted = count[:, 1:] - before.gather(1, block)
    # Forced closes need no room: a block that lacks it for them alone is found as it was.
    lacks = closes & (counted > blocks.room[base % BLOCK_BP])
    lacking = torch.zeros_like(before).scatter_add(1, block, lacks.long()) > 0
    return blocks._replace(closes=F.pad(closes, (0, 1)), last=last.long()), lacking


def _settle(blocks: _Blocks, lacking: Bool[Tensor, "B blocks"], ways: list[_Way]) -> _Blocks:
    """Return ``blocks`` after closing those that are ``lacking``, and what hangs on them.

    A block hangs on those before it by their last close alone, and most often falls into step
    behind another one. So all that are to be closed are closed at once, behind the last close that
    is known, and again where that has changed since; the first of each row for good. Each round
    takes fewer, as blocks that never fall into step would be closed again and again.
    """
    never = blocks.closes.shape[1]
    behind = torch.where(lacking, never, blocks.last[:, :-1])
    most = 2 * lacking.shape[1]
    while bool((waiting := behind != blocks.last[:, :-1]).any()):
        taken = waiting & (waiting.cumsum(1) <= most)
        behind = torch.where(taken, blocks.last[:, :-1], behind)
        blocks = _close_blocks(blocks, ways, *taken.nonzero(as_tuple=True))
        most -= most // 4
    return blocks


def _close_blocks(
    blocks: _Blocks, ways: list[_Way], row: Int[Tensor, " some"], at: Int[Tensor, " some"]
) -> _Blocks:
    """Return ``blocks`` after closing, for each ``row``, block ``at`` behind its last close.

    Up to the first close without room the uncapped ones stand; from it on the forced ones do.
    """
    (may, max_bp), *_ = ways
    total = may.shape[1]
    start = blocks.start[row, at]
    first = start.clamp(min=0)
    closed_last = blocks.last[row, at] - first
    index = torch.arange(min(BLOCK_BP, total), dtype=torch.int32, device=row.device)
    base = (first - start).int()[:, None] + index
    inside = (base < BLOCK_BP) & (index < (total - first)[:, None])
    # All rows are one list, so that an index of 32 bits will do.
    cell = torch.where(inside, (row * total + first).int()[:, None] + index, 0).view(-1)
    part = [
        (mask.reshape(-1).index_select(0, cell).view(base.shape) & inside, least_bp)
        for mask, least_bp in ways
    ]
    closes = _orbit(part, closed_last)
    last = _last_before(closes, closed_last)
    counted = blocks.begun[row, at].int()[:, None] + closes.cumsum(1, dtype=torch.int32)
    room = blocks.room.index_select(0, base.clamp(max=BLOCK_BP - 1).view(-1)).view(base.shape)
    lacks = closes & (index - last[:, :-1] < max_bp) & (counted > room)
    full = torch.where(lacks, index, len(index)).amin(1)[:, None]
    rest = index >= full
    forced = _orbit([(part[0][0] & rest, max_bp)], last.gather(1, full.long())[:, 0].long())
    closes = torch.where(rest, forced, closes)
    last = _last_before(closes, closed_last)
    open_bp = index - last[:, :-1]
    wanted = torch.zeros_like(closes)
    for mask, least_bp in part[1:]:
        wanted = wanted | (mask & (open_bp >= least_bp))
    merged = wanted & rest & (open_bp < max_bp)
    position = torch.where(inside, first[:, None] + index, total)
    return blocks._replace(
        closes=blocks.closes.index_put((row[:, None], position), closes),
        last=blocks.last.index_put((row, at + 1), first + last[:, -1]),
        merged=blocks.merged.index_put((row, at), merged.sum(1)),
    )


def _last_before(closes: Bool[Tensor, "B L"], closed_last: Int[Tensor, " B"]) -> Int[Tensor, "B S"]:
    """The last close before each position, and before the end: S = L + 1."""
    index = torch.arange(closes.shape[1], dtype=torch.int32, device=closes.device)
    before = closed_last.int()[:, None]
    return torch.cat([before, torch.where(closes, index, before).cummax(1).values], 1)


def limit_patches_reference(
    candidates: Bool[Tensor, "B L"],
    length: Int[Tensor, " B"],
    state: PatcherState,
    limits: Limits,
    anchors: Bool[Tensor, "B L"] | None = None,
    allowed: Bool[Tensor, "B L"] | None = None,
) -> tuple[Bool[Tensor, "B L"], PatcherState]:
    """The definition, base by base. Reference for :func:`limit_patches`."""
    closes = torch.zeros_like(candidates)
    position, count, overflow, open_bp = (part.clone() for part in state[:4])
    for row, n in enumerate(length.tolist()):
        for t in range(n):
            base = int(position[row]) - 1
            position[row] += 1
            if base < 0:
                closes[row, t], open_bp[row] = True, 0
                continue
            if base % BLOCK_BP == 0 and limits.cap is not None:
                count[row] = 0
            open_bp[row] += 1
            is_long = bool(open_bp[row] >= limits.max_bp)
            wanted = is_long or bool(open_bp[row] >= limits.min_bp and candidates[row, t])
            wanted = wanted or (anchors is not None and bool(anchors[row, t]))
            if not wanted or (allowed is not None and not allowed[row, t]):
                continue
            still_forced = (BLOCK_BP - 1 - base % BLOCK_BP) // limits.max_bp
            if limits.cap is not None:
                if not is_long and int(count[row]) + 1 + still_forced > limits.cap:
                    overflow[row] += 1
                    count[row] = limits.cap
                    continue
                count[row] = min(limits.cap, int(count[row]) + 1)
            closes[row, t], open_bp[row] = True, 0
    return closes, PatcherState(position, count, overflow, open_bp, *state[4:])
