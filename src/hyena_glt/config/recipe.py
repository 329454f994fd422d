"""A run's config."""

from typing import Literal

from pydantic import Field, model_validator

from hyena_glt.config.base import Config
from hyena_glt.config.data import DataConfig
from hyena_glt.config.model import ModelConfig
from hyena_glt.config.train import ObjectiveConfig, TrainConfig


class Recipe(Config):
    """All that decides a run's result: complete, without inheritance or interpolation."""

    name: str
    seed: int = Field(ge=0)
    modality: Literal["dna", "rna", "protein"]
    data: DataConfig
    model: ModelConfig
    objective: ObjectiveConfig = ObjectiveConfig()
    train: TrainConfig

    @model_validator(mode="after")
    def _parts_fit(self) -> "Recipe":
        if self.modality == "protein":
            if self.model.embed.exact_k:
                raise ValueError(
                    "model.embed.exact_k is for nucleic acids; for modality=protein use "
                    "hashed_k, such as [3]"
                )
            if self.data.reverse_complement:
                raise ValueError(
                    "data.reverse_complement must be false for modality=protein: a protein has "
                    "one strand"
                )
        return self
