"""Where a trained network cuts, and whether it cuts there again when something small changes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from hyena_glt.data import whole_rows_of
from hyena_glt.model import HyenaGLT

BATCH_ROWS = 4
Letters = UInt8[np.ndarray, " L"]
Closes = Bool[np.ndarray, "R L"]


@dataclass(frozen=True, kw_only=True)
class BoundaryFigures:
    """Patches of some windows; agreements are shared boundaries over all boundaries (Jaccard)."""

    mean_patch_bp: list[float]  # of each stage
    overflow_share: float  # of the closes that the rules wanted, those that a block's cap merged
    deletion_agreement_near: float | None  # behind a deleted base, in the reach given
    deletion_agreement_far: float | None  # behind that reach
    bf16_agreement: float | None  # under autocast to bfloat16, against fp32


def boundary_figures(
    network: HyenaGLT,
    windows: Sequence[Letters],
    deleted_base: int,
    near_bp: tuple[int, int],
) -> BoundaryFigures:
    """Return the figures of ``windows``, all of one length, each read as a document.

    Base ``deleted_base`` is taken out of each; boundaries near_bp[0] to near_bp[1] bases behind it
    are near, those further on far. Agreements are of the innermost stage; None where there is no
    boundary at all.
    """
    stages, overflow = closes_of(network, windows)
    wanted = sum(int(stage.sum()) for stage in stages) + overflow
    before = stages[-1]
    shorter = [np.delete(window, deleted_base) for window in windows]
    # Behind the deletion base i is base i - 1.
    kept = before[:, deleted_base + 1 :]
    after = closes_of(network, shorter)[0][-1][:, deleted_base:]
    first, last = near_bp
    device = next(network.parameters()).device.type
    with torch.autocast(device, torch.bfloat16):
        reduced = closes_of(network, windows)[0][-1]
    return BoundaryFigures(
        mean_patch_bp=[round(stage.size / max(1, int(stage.sum())), 3) for stage in stages],
        overflow_share=overflow / max(1, wanted),
        deletion_agreement_near=agreement(kept[:, first:last], after[:, first:last]),
        deletion_agreement_far=agreement(kept[:, last:], after[:, last:]),
        bf16_agreement=agreement(before, reduced),
    )


@torch.no_grad()
def closes_of(network: HyenaGLT, windows: Sequence[Letters]) -> tuple[list[Closes], int]:
    """Return (of each stage, at which bases patches close; closes that caps have merged).

    The last base is left out: there a two-sided network closes a patch, whatever the rule says.
    """
    device = next(network.parameters()).device
    stages: list[list[Closes]] = []
    overflow = 0
    for start in range(0, len(windows), BATCH_ROWS):
        ids, length = whole_rows_of(windows[start : start + BATCH_ROWS])
        emissions = network(ids.to(device), length.to(device)).emissions
        overflow += sum(int(emission.overflow.sum()) for emission in emissions)
        stages.append([emission.mask[:, 1:-1].cpu().numpy() for emission in emissions])
    return [np.concatenate(parts) for parts in zip(*stages, strict=True)], overflow


def agreement(one: Closes, other: Closes) -> float | None:
    """Return boundaries in both over boundaries in either, None where there is none."""
    either = int((one | other).sum())
    return None if either == 0 else round(int((one & other).sum()) / either, 4)
