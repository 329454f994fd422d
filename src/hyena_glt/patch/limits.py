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


def _capped(
    ways: list[_Way],
    length: Int[Tensor, " B"],
    state: PatcherState,
    closed_last: Int[Tensor, " B"],
    limits: Limits,
    cap: int,
) -> tuple[Bool[Tensor, "B L"], PatcherState]:
    """Closes under a cap, block by block, and the state with their counts.

    Rows may stand at different bases: a round takes each row's next block, or its part of one.
    """
    batch, total = ways[0][0].shape
    width = min(BLOCK_BP, total)
    offset = torch.arange(width, device=length.device)
    closes = torch.zeros(batch, total + 1, dtype=torch.bool, device=length.device)
    count, overflow = state.block_count, state.overflow
    block_start = -((state.position - 1) % BLOCK_BP)
    for _ in range(-(-(total + BLOCK_BP - 1) // BLOCK_BP)):
        start = block_start.clamp(min=0)
        index = start[:, None] + offset
        inside = (index < total) & (index - block_start[:, None] < BLOCK_BP)
        index = torch.where(inside, index, total)
        part = [
            (mask.gather(1, index.clamp(max=total - 1)) & inside, least) for mask, least in ways
        ]
        ahead_bp = BLOCK_BP - 1 - (index - block_start[:, None])  # bases behind, in the block
        room = cap - ahead_bp // limits.max_bp
        begun = torch.where(block_start >= 0, 0, count)
        found, after, merged = _capped_block(part, closed_last - start, room, begun, cap)
        closes = closes.scatter(1, index, found)
        closed_last = torch.where(found, index, closed_last[:, None]).amax(1)
        count = torch.where(start < length, after, count)
        overflow = overflow + merged
        block_start = block_start + BLOCK_BP
    return closes[:, :total], state._replace(block_count=count, overflow=overflow)


def _capped_block(
    ways: list[_Way],
    closed_last: Int[Tensor, " B"],
    room: Int[Tensor, "B L"],
    count: Int[Tensor, " B"],
    cap: int,
) -> tuple[Bool[Tensor, "B L"], Int[Tensor, " B"], Int[Tensor, " B"]]:
    """Return (closes within one block, its count after them, closes that were merged).

    ``room`` is the most closes up to each position that leave enough for those that may be forced.
    Up to the first close without room the uncapped ones stand; from it on the forced ones do.
    """
    total = room.shape[1]
    index = torch.arange(total, device=room.device)
    (_, max_bp), *chosen = ways
    uncapped = _orbit(ways, closed_last)
    counted = count[:, None] + uncapped.long().cumsum(1)
    is_short = _open_bp(uncapped, closed_last) < max_bp
    full = torch.where(uncapped & is_short & (counted > room), index, total).amin(1)
    stands = uncapped & (index < full[:, None])
    closed_last_standing = torch.where(stands, index, closed_last[:, None]).amax(1)
    rest = index >= full[:, None]
    closes = stands | _orbit([(ways[0][0] & rest, max_bp)], closed_last_standing)
    open_bp = _open_bp(closes, closed_last)
    merged = torch.zeros_like(closes)
    for mask, least_bp in chosen:
        merged = merged | (mask & (open_bp >= least_bp))
    merged = merged & rest & (open_bp < max_bp)
    after = torch.where(full < total, cap, counted[:, -1].clamp(max=cap))
    return closes, after, merged.sum(1)


def _open_bp(closes: Bool[Tensor, "B L"], closed_last: Int[Tensor, " B"]) -> Int[Tensor, "B L"]:
    """Bases of the patch that each position is in, from its start to that position."""
    index = torch.arange(closes.shape[1], device=closes.device)
    closed = torch.where(closes, index, closed_last[:, None])
    before = torch.cat([closed_last[:, None], closed.cummax(1).values[:, :-1]], 1)
    return index - before


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
