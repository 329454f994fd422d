"""From a stage's config to its patcher."""

from hyena_glt.config import (
    BpePatchConfig,
    BudgetPatchConfig,
    DelimiterPatchConfig,
    EntropyDualPatchConfig,
    EntropyJumpPatchConfig,
    EntropyPatchConfig,
    FixedPatchConfig,
    LearnedPatchConfig,
    PatchConfig,
    SyncmerPatchConfig,
    TrackPatchConfig,
)
from hyena_glt.patch.bpe import BpePatcher
from hyena_glt.patch.budget import BudgetPatcher
from hyena_glt.patch.delimiter import DelimiterPatcher
from hyena_glt.patch.entropy import EntropyDualPatcher, EntropyJumpPatcher, EntropyPatcher
from hyena_glt.patch.learned import LearnedPatcher
from hyena_glt.patch.rules import FixedPatcher, NonePatcher, Patcher
from hyena_glt.patch.syncmer import SyncmerPatcher
from hyena_glt.patch.track import TrackPatcher
from hyena_glt.tokenize import Modality


def build_patcher(config: PatchConfig, modality: Modality) -> Patcher:
    """Return the patcher of ``config`` for sequences of ``modality``."""
    match config:
        case FixedPatchConfig():
            return FixedPatcher(config)
        case SyncmerPatchConfig():
            return SyncmerPatcher(config)
        case DelimiterPatchConfig():
            return DelimiterPatcher(config, modality)
        case EntropyPatchConfig():
            return EntropyPatcher(config)
        case EntropyJumpPatchConfig():
            return EntropyJumpPatcher(config)
        case EntropyDualPatchConfig():
            return EntropyDualPatcher(config)
        case BudgetPatchConfig():
            return BudgetPatcher(config, modality)
        case TrackPatchConfig():
            return TrackPatcher(config)
        case BpePatchConfig():
            return BpePatcher(config, modality)
        case LearnedPatchConfig():
            return LearnedPatcher(config)
    return NonePatcher()
