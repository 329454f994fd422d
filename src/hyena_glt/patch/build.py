"""From a stage's config to its patcher."""

from hyena_glt.config import (
    DelimiterPatchConfig,
    FixedPatchConfig,
    PatchConfig,
    SyncmerPatchConfig,
)
from hyena_glt.patch.delimiter import DelimiterPatcher
from hyena_glt.patch.rules import FixedPatcher, NonePatcher, Patcher
from hyena_glt.patch.syncmer import SyncmerPatcher
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
    return NonePatcher()
