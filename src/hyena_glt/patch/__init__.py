"""Takes ids and document positions; gives the one emission mask and what follows from it."""

from hyena_glt.patch.anchors import anchor_words, anchor_words_reference
from hyena_glt.patch.bpe import BpePatcher, learn_merges
from hyena_glt.patch.budget import BudgetPatcher, budget_reference
from hyena_glt.patch.build import build_patcher
from hyena_glt.patch.delimiter import DelimiterPatcher
from hyena_glt.patch.emission import Emission, PatcherState, Patches, cut
from hyena_glt.patch.entropy import EntropyDualPatcher, EntropyJumpPatcher, EntropyPatcher
from hyena_glt.patch.learned import LearnedPatcher
from hyena_glt.patch.limits import Limits, limit_patches, limit_patches_reference
from hyena_glt.patch.rules import (
    UNIT,
    CalibratedPatcher,
    Call,
    DynamicPatcher,
    FixedPatcher,
    NonePatcher,
    Patcher,
    Wanted,
)
from hyena_glt.patch.syncmer import SyncmerPatcher, closed_syncmers, closed_syncmers_reference
from hyena_glt.patch.track import TrackPatcher

__all__ = [
    "UNIT",
    "BpePatcher",
    "BudgetPatcher",
    "CalibratedPatcher",
    "Call",
    "DelimiterPatcher",
    "DynamicPatcher",
    "Emission",
    "EntropyDualPatcher",
    "EntropyJumpPatcher",
    "EntropyPatcher",
    "FixedPatcher",
    "LearnedPatcher",
    "Limits",
    "NonePatcher",
    "Patcher",
    "PatcherState",
    "Patches",
    "SyncmerPatcher",
    "TrackPatcher",
    "Wanted",
    "anchor_words",
    "anchor_words_reference",
    "budget_reference",
    "build_patcher",
    "closed_syncmers",
    "closed_syncmers_reference",
    "cut",
    "learn_merges",
    "limit_patches",
    "limit_patches_reference",
]
