"""Entropy rules: a patch ends where the next letter is hard to foresee (BLT, arXiv 2412.09871)."""

import torch
from jaxtyping import Int
from torch import Tensor

from hyena_glt.config import (
    EntropyDualPatchConfig,
    EntropyJumpPatchConfig,
    EntropyPatchConfig,
)
from hyena_glt.patch.rules import CalibratedPatcher, Call, Wanted, calibrated, in_units


class EntropyPatcher(CalibratedPatcher):
    """A patch closes where H(next) > threshold."""

    reads = "entropy"

    def __init__(self, config: EntropyPatchConfig) -> None:
        super().__init__(config)
        self.threshold_bits = config.threshold_bits

    def wanted(self, call: Call) -> Wanted:
        """Return where the next letter's entropy is above the threshold."""
        assert call.score is not None
        return Wanted(call.score > in_units(calibrated(self.threshold_bits, "threshold_bits")))


class EntropyJumpPatcher(CalibratedPatcher):
    """A patch closes where H(next) - H(current) > jump. Remembers the entropy before."""

    reads = "entropy"
    carried = 1

    def __init__(self, config: EntropyJumpPatchConfig) -> None:
        super().__init__(config)
        self.jump_bits = config.jump_bits

    def wanted(self, call: Call) -> Wanted:
        """Return where the entropy rises by more than the jump."""
        rise, carry = _rise(call)
        return Wanted(rise > in_units(calibrated(self.jump_bits, "jump_bits")), carry=carry)


class EntropyDualPatcher(CalibratedPatcher):
    """A patch closes where H(next) > threshold and H(next) - H(current) > jump."""

    reads = "entropy"
    carried = 1

    def __init__(self, config: EntropyDualPatchConfig) -> None:
        super().__init__(config)
        self.threshold_bits = config.threshold_bits
        self.jump = in_units(config.jump_bits)

    def wanted(self, call: Call) -> Wanted:
        """Return where the entropy is above the threshold and rises by more than the jump."""
        assert call.score is not None
        rise, carry = _rise(call)
        threshold = in_units(calibrated(self.threshold_bits, "threshold_bits"))
        return Wanted((call.score > threshold) & (rise > self.jump), carry=carry)


def _rise(call: Call) -> tuple[Int[Tensor, "B L"], Int[Tensor, "B 1"]]:
    """(The entropy less the one before, the entropy to remember.)"""
    assert call.score is not None
    score = torch.cat([call.carry, call.score], 1)
    return score.diff(dim=1), score.gather(1, call.length[:, None])
