"""Takes YAML and ``key=value`` overrides; gives one frozen, checked recipe. No torch here."""

from hyena_glt.config.base import Config
from hyena_glt.config.data import DataConfig, SplitConfig
from hyena_glt.config.door import load_recipe, recipe_from, recipe_schema
from hyena_glt.config.model import (
    AttentionConfig,
    BackboneConfig,
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
)
from hyena_glt.config.recipe import Recipe
from hyena_glt.config.train import ObjectiveConfig, TrainConfig

__all__ = [
    "AttentionConfig",
    "BackboneConfig",
    "Config",
    "DataConfig",
    "EmbedConfig",
    "FixedPatchConfig",
    "LongConfig",
    "MediumConfig",
    "MixersConfig",
    "ModelConfig",
    "NonePatchConfig",
    "ObjectiveConfig",
    "PatchConfig",
    "Recipe",
    "ShortConfig",
    "SplitConfig",
    "StageConfig",
    "TrainConfig",
    "load_recipe",
    "recipe_from",
    "recipe_schema",
]
