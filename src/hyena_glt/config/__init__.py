"""Takes YAML and ``key=value`` overrides; gives one frozen, checked recipe. No torch here."""

from hyena_glt.config.base import Config
from hyena_glt.config.data import DataConfig, SourceConfig, SplitConfig
from hyena_glt.config.door import load_recipe, recipe_from, recipe_schema
from hyena_glt.config.model import (
    AttentionConfig,
    BackboneConfig,
    DelimiterPatchConfig,
    DynamicPatchConfig,
    EmbedConfig,
    FixedPatchConfig,
    LongConfig,
    MediumConfig,
    MixersConfig,
    ModelConfig,
    NonePatchConfig,
    PatchConfig,
    ShortConfig,
    StageConfig,
    SyncmerPatchConfig,
)
from hyena_glt.config.recipe import Recipe
from hyena_glt.config.train import (
    CausalObjectiveConfig,
    JointObjectiveConfig,
    MaskedObjectiveConfig,
    ObjectiveConfig,
    TrainConfig,
)

__all__ = [
    "AttentionConfig",
    "BackboneConfig",
    "CausalObjectiveConfig",
    "Config",
    "DataConfig",
    "DelimiterPatchConfig",
    "DynamicPatchConfig",
    "EmbedConfig",
    "FixedPatchConfig",
    "JointObjectiveConfig",
    "LongConfig",
    "MaskedObjectiveConfig",
    "MediumConfig",
    "MixersConfig",
    "ModelConfig",
    "NonePatchConfig",
    "ObjectiveConfig",
    "PatchConfig",
    "Recipe",
    "ShortConfig",
    "SourceConfig",
    "SplitConfig",
    "StageConfig",
    "SyncmerPatchConfig",
    "TrainConfig",
    "load_recipe",
    "recipe_from",
    "recipe_schema",
]
