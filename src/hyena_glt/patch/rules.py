"""Pure rules from documents to ``emit``.

A rule looks at positions ``<= t`` of its own document and nothing else. Its arithmetic is integer,
so prefix = whole, alone = batched = padded and parallel = stepped hold bit for bit.
"""

from abc import ABC, abstractmethod
from math import ceil

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hyena_glt.config import DynamicPatchConfig, FixedPatchConfig
from hyena_glt.patch.emission import Emission, PatcherState
from hyena_glt.patch.limits import BLOCK_BP, cap_blocks, limit_patches
from hyena_glt.tokenize import PAD


class Patcher(ABC):
    """Says where patches close. Holds no parameters; its config travels in the checkpoint."""

    min_bp: int  # shortest patch, the last of a row apart
    max_bp: int  # longest patch; in an inner stage, up to the end of the outer patch
    past_bp: int = 0  # positions before t that the rule looks at

    @abstractmethod
    def candidates(
        self, ids: Int[Tensor, "B S"], position: Int[Tensor, "B L"]
    ) -> Bool[Tensor, "B L"]:
        """Return where the rule alone would close a patch; ``position`` 0 is BOS.

        ``ids`` open with ``past_bp`` ids of the past: S = past_bp + L.
        """

    @property
    def mean_bp(self) -> float:
        """Mean patch in random letters and the outermost stage; an estimate in dynamic kinds."""
        return float(self.min_bp)

    @property
    def cap(self) -> int:
        """Most closes in a block of 1,024 bases: what ``min_bp`` allows, and one for the phase."""
        return ceil(BLOCK_BP / self.min_bp) + (self.min_bp > 1)

    def capacity(self, length: int) -> int:
        """Return the most patches that any ``length`` positions in a row can close (BOS's too)."""
        return min(length, ceil(length / self.min_bp) + 1)

    def begin(self, batch: int, device: torch.device) -> PatcherState:
        """Return the state before BOS."""
        zero = torch.zeros(batch, dtype=torch.long, device=device)
        past = torch.full((batch, self.past_bp), PAD, device=device)
        return PatcherState(zero, zero, zero, zero, past)

    def emit(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"],
        state: PatcherState,
        outer: Emission | None = None,
    ) -> tuple[Emission, PatcherState]:
        """Return (where patches close, state after ``length`` positions of each row).

        Positions from ``length`` on are padding and close nothing. An inner stage's patches close
        only where those of the ``outer`` stage do.
        """
        index = torch.arange(ids.shape[1], device=ids.device)
        position = state.position[:, None] + index
        emit = self.candidates(ids, position) | (position == 0)
        mask, after = cap_blocks(emit & (index < length[:, None]), length, state, self.cap)
        if outer is not None:
            mask = mask & outer.mask
        return Emission(mask, self.capacity(ids.shape[1])), after


class NonePatcher(Patcher):
    """Every base is a patch."""

    min_bp = 1
    max_bp = 1

    def candidates(
        self, ids: Int[Tensor, "B S"], position: Int[Tensor, "B L"]
    ) -> Bool[Tensor, "B L"]:
        """Return true everywhere."""
        return torch.ones_like(position, dtype=torch.bool)


class FixedPatcher(Patcher):
    """A patch closes at base i where (i + 1) % size_bp == frame."""

    def __init__(self, config: FixedPatchConfig) -> None:
        self.min_bp = self.max_bp = config.size_bp
        self.frame = config.frame

    def candidates(
        self, ids: Int[Tensor, "B S"], position: Int[Tensor, "B L"]
    ) -> Bool[Tensor, "B L"]:
        """Return true where the phase is right; base i stands at position i + 1."""
        return position % self.max_bp == self.frame


class DynamicPatcher(Patcher):
    """Closes patches where the sequence says, within ``min_bp`` and ``max_bp``."""

    density: float  # share of a random sequence's positions that are candidates

    def __init__(self, config: DynamicPatchConfig, past_bp: int) -> None:
        self.min_bp, self.max_bp = config.min_bp, config.max_bp
        self.past_bp = past_bp

    @property
    def mean_bp(self) -> float:
        """Mean patch in random letters, were candidates independent of each other."""
        free_bp = self.max_bp - self.min_bp + 1  # bases at which a candidate may close a patch
        return self.min_bp - 1 + sum((1 - self.density) ** i for i in range(free_bp))

    def begin(self, batch: int, device: torch.device) -> PatcherState:
        """Return the state before BOS: ``max_bp`` bases are open, so that BOS closes."""
        state = super().begin(batch, device)
        return state._replace(open_bp=torch.full_like(state.position, self.max_bp))

    def emit(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"],
        state: PatcherState,
        outer: Emission | None = None,
    ) -> tuple[Emission, PatcherState]:
        """Return (where patches close, state after ``length`` positions of each row).

        As :meth:`Patcher.emit`; but limits count from the close before, and the capacity is what
        this call's rows need, except in a compiled call, whose shapes are settled before.
        """
        total = ids.shape[1]
        index = torch.arange(total, device=ids.device)
        seen = torch.cat([state.past, ids], 1)
        candidates = self.candidates(seen, state.position[:, None] + index)
        allowed = torch.ones_like(candidates) if outer is None else outer.mask
        mask, open_bp = limit_patches(
            candidates, allowed, length, state.open_bp, self.min_bp, self.max_bp
        )
        mask, after = cap_blocks(mask, length, state, self.cap)
        past = seen.gather(1, length[:, None] + torch.arange(self.past_bp, device=ids.device))
        capacity = self.capacity(total)
        if not torch.compiler.is_compiling():
            capacity = min(capacity, max(1, int(mask.sum(1).max())))
        return Emission(mask, capacity), after._replace(open_bp=open_bp, past=past)
