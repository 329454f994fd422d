"""Static caps: patches are counted in blocks of document coordinates."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hyena_glt.patch.emission import PatcherState

BLOCK_BP = 1024


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
    return kept, PatcherState(state.position + length, block_count, state.overflow + merged)
