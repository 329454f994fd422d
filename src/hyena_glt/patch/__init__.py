"""Takes ids and document positions; gives the one emission mask and what follows from it."""

from hyena_glt.patch.build import build_patcher
from hyena_glt.patch.delimiter import DelimiterPatcher
from hyena_glt.patch.emission import Emission, PatcherState, Patches, cut
from hyena_glt.patch.limits import (
    BLOCK_BP,
    cap_blocks,
    limit_patches,
    limit_patches_reference,
)
from hyena_glt.patch.rules import DynamicPatcher, FixedPatcher, NonePatcher, Patcher
from hyena_glt.patch.syncmer import SyncmerPatcher, closed_syncmers, closed_syncmers_reference

__all__ = [
    "BLOCK_BP",
    "DelimiterPatcher",
    "DynamicPatcher",
    "Emission",
    "FixedPatcher",
    "NonePatcher",
    "Patcher",
    "PatcherState",
    "Patches",
    "SyncmerPatcher",
    "build_patcher",
    "cap_blocks",
    "closed_syncmers",
    "closed_syncmers_reference",
    "cut",
    "limit_patches",
    "limit_patches_reference",
]
