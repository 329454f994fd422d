"""How patches come out while a network learns: metrics of each step."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from hyena_glt.patch import Emission


class PatchTally:
    """Counts bases, closes and merged closes of each stage since it was last asked."""

    def __init__(self) -> None:
        self._bases: Tensor | None = None
        self._closes: list[Tensor] = []
        self._merged: list[Tensor] = []

    @torch.no_grad()
    def count(
        self, emissions: Sequence[Emission], length: Int[Tensor, " B"], opens: bool = True
    ) -> None:
        """Take a call into account, whose rows begin in it where it ``opens`` them.

        Nothing waits for the device.
        """
        bos = 1 if opens else 0
        bases = (length - bos).sum()
        closes = [emission.mask[:, bos:].sum() for emission in emissions]
        merged = [emission.overflow.sum() for emission in emissions]
        if self._bases is None:
            self._bases, self._closes, self._merged = bases, closes, merged
            return
        self._bases = self._bases + bases
        self._closes = [a + b for a, b in zip(self._closes, closes, strict=True)]
        self._merged = [a + b for a, b in zip(self._merged, merged, strict=True)]

    def take(self) -> dict[str, float]:
        """Return mean patch and share of closes merged by caps, of each stage; start anew."""
        metrics = {}
        if self._bases is not None:
            bases = float(self._bases)
            stages = zip(self._closes, self._merged, strict=True)
            for number, (closes, merged) in enumerate(stages, start=1):
                stage = f"stage_{number}"
                metrics[f"{stage}_patch_bp"] = bases / max(1.0, float(closes))
                metrics[f"{stage}_overflow"] = float(merged) / max(1.0, float(closes + merged))
        self._bases = None
        return metrics
