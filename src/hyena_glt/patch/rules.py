"""Pure rules from document positions to ``emit``.

A rule looks at positions ``<= t`` of its own document and nothing else. Its arithmetic is integer,
so prefix = whole, alone = batched = padded and parallel = stepped hold bit for bit.
"""

from abc import ABC, abstractmethod
from math import ceil

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hyena_glt.config import FixedPatchConfig, NonePatchConfig
from hyena_glt.patch.emission import Emission, PatcherState
from hyena_glt.patch.limits import BLOCK_BP, cap_blocks


class Patcher(ABC):
    """Says where patches close. Holds no parameters; its config travels in the checkpoint."""

    min_bp: int  # shortest patch, the last of a row apart
    max_bp: int  # longest patch

    @abstractmethod
    def candidates(
        self, ids: Int[Tensor, "B L"], position: Int[Tensor, "B L"]
    ) -> Bool[Tensor, "B L"]:
        """Return where the rule alone would close a patch; ``position`` 0 is BOS."""

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
        return PatcherState(zero, zero, zero)

    def emit(
        self, ids: Int[Tensor, "B L"], length: Int[Tensor, " B"], state: PatcherState
    ) -> tuple[Emission, PatcherState]:
        """Return (where patches close, state after ``length`` positions of each row).

        Positions from ``length`` on are padding and close nothing.
        """
        index = torch.arange(ids.shape[1], device=ids.device)
        position = state.position[:, None] + index
        emit = self.candidates(ids, position) | (position == 0)
        mask, after = cap_blocks(emit & (index < length[:, None]), length, state, self.cap)
        return Emission(mask, self.capacity(ids.shape[1])), after


class NonePatcher(Patcher):
    """Every base is a patch."""

    min_bp = 1
    max_bp = 1

    def candidates(
        self, ids: Int[Tensor, "B L"], position: Int[Tensor, "B L"]
    ) -> Bool[Tensor, "B L"]:
        """Return true everywhere."""
        return torch.ones_like(ids, dtype=torch.bool)


class FixedPatcher(Patcher):
    """A patch closes at base i where (i + 1) % size_bp == frame."""

    def __init__(self, config: FixedPatchConfig) -> None:
        self.min_bp = self.max_bp = config.size_bp
        self.frame = config.frame

    def candidates(
        self, ids: Int[Tensor, "B L"], position: Int[Tensor, "B L"]
    ) -> Bool[Tensor, "B L"]:
        """Return true where the phase is right; base i stands at position i + 1."""
        return position % self.max_bp == self.frame


def build_patcher(config: NonePatchConfig | FixedPatchConfig) -> Patcher:
    """Return the patcher of ``config``."""
    if isinstance(config, FixedPatchConfig):
        return FixedPatcher(config)
    return NonePatcher()
