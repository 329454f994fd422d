"""Pure rules from documents to ``emit``.

A rule looks at positions ``<= t`` of its own document and nothing else. Its arithmetic is integer,
so prefix = whole, alone = batched = padded and parallel = stepped hold bit for bit.
"""

from abc import ABC, abstractmethod
from math import ceil
from typing import Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Int, Real
from torch import Tensor

from hyena_glt.config import (
    BLOCK_BP,
    CalibratedPatchConfig,
    DynamicPatchConfig,
    FixedPatchConfig,
)
from hyena_glt.errors import PatcherError
from hyena_glt.patch.emission import Emission, PatcherState
from hyena_glt.patch.limits import Limits, limit_patches
from hyena_glt.tokenize import PAD

T = TypeVar("T")

UNIT = 1024  # entropies are integers, in 1/1024 bit


class Patcher(ABC):
    """Says where patches close. Holds no parameters; its config travels in the checkpoint."""

    min_bp: int  # shortest patch; a row's last and those that an anchor ends may be shorter
    max_bp: int  # longest patch; in an inner stage, up to the end of the outer patch
    past_bp: int = 0  # positions before t whose ids the rule looks at
    carried: int = 0  # numbers that the rule remembers besides
    # What ``score`` must hold. entropy: of the letter after each position, in 1/1024 bit (int64).
    # track: a number a base, NaN where there is none. router: above 0 where a patch may close.
    reads: Literal["letters", "entropy", "track", "router"] = "letters"

    @property
    def mean_bp(self) -> float:
        """Mean patch in random letters and the outermost stage; an estimate in dynamic kinds."""
        return float(self.min_bp)

    @property
    def cap(self) -> int:
        """Most closes in a block of 1,024 bases."""
        return self._most(BLOCK_BP)

    def capacity(self, length: int) -> int:
        """Return the most patches that any ``length`` positions in a row can close (BOS's too)."""
        return self._most(length)

    def _most(self, length: int) -> int:
        """Most closes in ``length`` positions without a cap; BOS and the phase may add one."""
        return min(length, ceil(length / self.min_bp) + 1)

    def begin(self, batch: int, device: torch.device) -> PatcherState:
        """Return the state before BOS."""
        zero = torch.zeros(batch, dtype=torch.long, device=device)
        past = torch.full((batch, self.past_bp), PAD, device=device)
        carry = torch.zeros(batch, self.carried, dtype=torch.long, device=device)
        return PatcherState(zero, zero, zero, zero, past, carry)

    @abstractmethod
    def emit(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"],
        state: PatcherState,
        outer: Emission | None = None,
        score: Real[Tensor, "B L"] | None = None,
    ) -> tuple[Emission, PatcherState]:
        """Return (where patches close, state after ``length`` positions of each row).

        Positions from ``length`` on are padding and close nothing. An inner stage's patches close
        only where those of the ``outer`` stage do. ``score`` is what the rule ``reads`` besides
        letters.
        """


class GridPatcher(Patcher):
    """Closes patches by position alone: at base i where (i + 1) % max_bp == frame."""

    frame: int

    def emit(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"],
        state: PatcherState,
        outer: Emission | None = None,
        score: Real[Tensor, "B L"] | None = None,
    ) -> tuple[Emission, PatcherState]:
        """As :meth:`Patcher.emit`; base i stands at position i + 1."""
        index = torch.arange(ids.shape[1], device=ids.device)
        position = state.position[:, None] + index
        mask = (position % self.max_bp == self.frame) | (position == 0)
        mask = mask & (index < length[:, None])
        if outer is not None:
            mask = mask & outer.mask
        emission = Emission(mask, self.capacity(ids.shape[1]), torch.zeros_like(length))
        return emission, state._replace(position=state.position + length)


class NonePatcher(GridPatcher):
    """Every base is a patch."""

    min_bp = 1
    max_bp = 1
    frame = 0


class FixedPatcher(GridPatcher):
    """Every patch has ``size_bp`` bases, the first one apart."""

    def __init__(self, config: FixedPatchConfig) -> None:
        self.min_bp = self.max_bp = config.size_bp
        self.frame = config.frame


class Call(NamedTuple):
    """What a dynamic rule may look at."""

    ids: Int[Tensor, "B S"]  # ``past_bp`` ids of the past, and then the call's: S = past_bp + L
    position: Int[Tensor, "B L"]  # 0 is BOS
    length: Int[Tensor, " B"]  # positions from here on are padding
    score: Real[Tensor, "B L"] | None
    carry: Int[Tensor, "B carried"]


class Wanted(NamedTuple):
    """Where a rule alone would close patches."""

    candidates: Bool[Tensor, "B L"]
    anchors: Bool[Tensor, "B L"] | None = None  # close a patch however short it is
    carry: Int[Tensor, "B carried"] | None = None  # what to remember; None: what was before


class DynamicPatcher(Patcher):
    """Closes patches where the sequence says, within ``min_bp``, ``max_bp`` and the cap."""

    density: float  # share of a random sequence's positions that are candidates

    def __init__(self, config: DynamicPatchConfig, past_bp: int = 0) -> None:
        self.min_bp, self.max_bp = config.min_bp, config.max_bp
        self.past_bp = past_bp
        self._cap = config.cap

    @abstractmethod
    def wanted(self, call: Call) -> Wanted:
        """Return where the rule alone would close a patch."""

    @property
    def mean_bp(self) -> float:
        """Mean patch in random letters, were candidates independent of each other."""
        free_bp = self.max_bp - self.min_bp + 1  # bases at which a candidate may close a patch
        return self.min_bp - 1 + sum((1 - self.density) ** i for i in range(free_bp))

    @property
    def cap(self) -> int:
        """Most closes in a block of 1,024 bases: the config's, or what ``min_bp`` allows."""
        most = self._most(BLOCK_BP)
        return most if self._cap is None else min(most, self._cap)

    def capacity(self, length: int) -> int:
        """Return the most patches that any ``length`` positions in a row can close (BOS's too)."""
        blocks = ceil((length - 1) / BLOCK_BP) + 1
        return min(self._most(length), 1 + blocks * self.cap)

    def emit(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"],
        state: PatcherState,
        outer: Emission | None = None,
        score: Real[Tensor, "B L"] | None = None,
    ) -> tuple[Emission, PatcherState]:
        """Return (where patches close, state after ``length`` positions of each row).

        As :meth:`Patcher.emit`; but limits count from the close before, and the capacity is what
        this call's rows need, except in a compiled call, whose shapes are settled before. Raises
        PatcherError where a rule isn't calibrated, and where ``score`` is missing.
        """
        if score is None and self.reads != "letters":
            raise PatcherError(
                f"{type(self).__name__}: found no score, expected the {self.reads} that this rule "
                f"reads; give it to the call, or use a kind of patches that reads letters alone"
            )
        total = ids.shape[1]
        index = torch.arange(total, device=ids.device)
        seen = torch.cat([state.past, ids], 1)
        position = state.position[:, None] + index
        wanted = self.wanted(Call(seen, position, length, score, state.carry))
        cap = self.cap if self.cap < self._most(BLOCK_BP) else None
        mask, after = limit_patches(
            wanted.candidates,
            length,
            state,
            Limits(self.min_bp, self.max_bp, cap),
            wanted.anchors,
            None if outer is None else outer.mask,
        )
        past = seen.gather(1, length[:, None] + torch.arange(self.past_bp, device=ids.device))
        carry = state.carry if wanted.carry is None else wanted.carry
        capacity = self.capacity(total)
        if not torch.compiler.is_compiling():
            capacity = min(capacity, max(1, int(mask.sum(1).max())))
        emission = Emission(mask, capacity, after.overflow - state.overflow)
        return emission, after._replace(past=past, carry=carry)


class CalibratedPatcher(DynamicPatcher):
    """A rule with a number that is found for a wanted mean patch."""

    def __init__(self, config: CalibratedPatchConfig, past_bp: int = 0) -> None:
        super().__init__(config, past_bp)
        self._mean_bp = config.mean_bp

    @property
    def mean_bp(self) -> float:
        """The mean patch that the rule is calibrated to."""
        return self._mean_bp


def calibrated(found: T | None, name: str) -> T:
    """Return ``found``; raises PatcherError where it is None, with the setting's ``name``."""
    if found is None:
        raise PatcherError(
            f"patches are not calibrated: {name} is None; set it, or find it with "
            "`hyena-glt patch calibrate`; training finds it before its first step"
        )
    return found


def in_units(bits: float) -> int:
    """Return ``bits`` as the whole number of 1/1024 bit that entropies are compared with."""
    return round(bits * UNIT)
