"""Takes ids and document positions; gives the one emission mask and what follows from it."""

from hyena_glt.patch.emission import Emission, PatcherState, Patches, cut
from hyena_glt.patch.limits import BLOCK_BP, cap_blocks
from hyena_glt.patch.rules import FixedPatcher, NonePatcher, Patcher, build_patcher

__all__ = [
    "BLOCK_BP",
    "Emission",
    "FixedPatcher",
    "NonePatcher",
    "Patcher",
    "PatcherState",
    "Patches",
    "build_patcher",
    "cap_blocks",
    "cut",
]
