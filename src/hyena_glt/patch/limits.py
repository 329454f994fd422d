"""Limits of patches: how long one may be, and how many of them a block may close."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor

from hyena_glt.patch.emission import PatcherState

BLOCK_BP = 1024


def limit_patches(
    candidates: Bool[Tensor, "B L"],
    allowed: Bool[Tensor, "B L"],
    length: Int[Tensor, " B"],
    open_bp: Int[Tensor, " B"],
    min_bp: int,
    max_bp: int,
) -> tuple[Bool[Tensor, "B L"], Int[Tensor, " B"]]:
    """Return (where patches close, bases of the patch that is open after ``length`` positions).

    Left-greedy: a patch closes at the first candidate that makes it ``min_bp`` long or longer, and
    in any case at the first allowed position that makes it ``max_bp`` long or longer. Nothing
    closes where ``allowed`` is false. ``open_bp`` bases were open before the call; a patch that
    closes at s is followed by one of n - s bases where that closes at n.

    So each close is followed by nxt[s] = min(first candidate >= s + min_bp, first allowed position
    >= s + max_bp), and all closes are the orbit of the first one. It is found by pointer doubling,
    in log2(L / min_bp) rounds.
    """
    total = candidates.shape[1]
    index = torch.arange(total, device=candidates.device)
    allowed = allowed & (index < length[:, None])
    # First such position at or after each; ``total``, where the orbit ends, if there is none.
    candidate, forced = _first_from(candidates & allowed), _first_from(allowed)
    following = torch.minimum(_ahead(candidate, min_bp), _ahead(forced, max_bp))
    closed_before = -1 - open_bp[:, None]
    first = torch.minimum(
        candidate.gather(1, (closed_before + min_bp).clamp(0, total)),
        forced.gather(1, (closed_before + max_bp).clamp(0, total)),
    )
    closes = torch.zeros_like(following, dtype=torch.bool).scatter(1, first, True)
    most = -(-total // min_bp)
    for _ in range((most - 1).bit_length()):
        closes = closes.scatter(1, torch.where(closes, following, total), True)
        following = following.gather(1, following)
    closes = closes[:, :total]
    closed_last = torch.where(closes, index, closed_before).amax(1)
    return closes, length - 1 - closed_last


def _first_from(mask: Bool[Tensor, "B L"]) -> Int[Tensor, "B L+1"]:
    """The first true position at or after each position and the end; L where there is none."""
    total = mask.shape[1]
    index = torch.arange(total, device=mask.device)
    position = F.pad(torch.where(mask, index, total), (0, 1), value=total)
    return position.flip(1).cummin(1).values.flip(1)


def _ahead(position: Int[Tensor, "B S"], by: int) -> Int[Tensor, "B S"]:
    """``position[s + by]`` at s, and the last one where that is past the end."""
    size = position.shape[1]
    return F.pad(position[:, by:], (0, min(by, size)), value=size - 1)


def limit_patches_reference(
    candidates: Bool[Tensor, "B L"],
    allowed: Bool[Tensor, "B L"],
    length: Int[Tensor, " B"],
    open_bp: Int[Tensor, " B"],
    min_bp: int,
    max_bp: int,
) -> tuple[Bool[Tensor, "B L"], Int[Tensor, " B"]]:
    """The definition, base by base. Reference for :func:`limit_patches`."""
    closes = torch.zeros_like(candidates)
    after = open_bp.clone()
    for row, n in enumerate(length.tolist()):
        bases = int(open_bp[row])
        for t in range(n):
            bases += 1
            wanted = bases >= max_bp or (bases >= min_bp and bool(candidates[row, t]))
            if wanted and bool(allowed[row, t]):
                closes[row, t] = True
                bases = 0
        after[row] = bases
    return closes, after


def cap_blocks(
    emit: Bool[Tensor, "B L"], length: Int[Tensor, " B"], state: PatcherState, cap: int
) -> tuple[Bool[Tensor, "B L"], PatcherState]:
    """Return (``emit`` with at most ``cap`` closes a block, state after ``length`` positions).

    Base i (row position i + 1) belongs to block i // 1024 of its document, so that a prefix, a
    whole row and a streamed row meet the same caps. The first ``cap`` closes of a block stand; a
    later one merges into the patch that is open (left-greedy) and is counted in ``overflow``. BOS
    is exempt. Positions from ``length`` on are padding; ``emit`` must be false there.
    """
    index = torch.arange(emit.shape[1], device=emit.device)
    position = state.position[:, None] + index
    block = (position - 1) // BLOCK_BP  # BOS: block -1
    previous = torch.cat([((state.position - 2) // BLOCK_BP)[:, None], block[:, :-1]], 1)
    counted = emit & (position > 0)
    total = counted.long().cumsum(1) + state.block_count[:, None]
    begins = block != previous
    before = torch.where(begins, total - counted.long(), 0).cummax(1).values
    rank = total - before
    kept = emit & ((rank <= cap) | (position == 0))
    last = (length - 1).clamp(min=0)[:, None]
    block_count = torch.where(
        length > 0, rank.gather(1, last)[:, 0].clamp(max=cap), state.block_count
    )
    merged = (emit & ~kept).sum(1)
    return kept, state._replace(
        position=state.position + length,
        block_count=block_count,
        overflow=state.overflow + merged,
    )
