"""A run's config."""

from typing import Literal

from pydantic import Field, model_validator

from hyena_glt.config.base import Config
from hyena_glt.config.data import DataConfig
from hyena_glt.config.model import FixedPatchConfig, ModelConfig
from hyena_glt.config.train import ObjectiveConfig, TrainConfig

_LETTERS = {"dna": 4, "rna": 4, "protein": 20}


class Recipe(Config):
    """All that decides a run's result: complete, without inheritance or interpolation."""

    name: str
    seed: int = Field(ge=0, lt=2**63)
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
        letters = _LETTERS[self.modality]
        for k in self.model.embed.hashed_k:
            if letters**k >= 2**63:  # a code is one int64
                longest = next(n for n in range(k, 0, -1) if letters**n < 2**63)
                raise ValueError(
                    f"model.embed.hashed_k holds {k}: {letters}**{k} k-mers are more than 64 bits "
                    f"number; for modality={self.modality} use k <= {longest}"
                )
        self._check_sizes()
        return self

    def _check_sizes(self) -> None:
        """Check patches against the data's windows, and attention's reach against patches."""
        largest_bp = 1
        for number, stage in enumerate(self.model.stages):
            if isinstance(stage.patch, FixedPatchConfig):
                largest_bp = max(largest_bp, stage.patch.size_bp)
                if stage.patch.size_bp > self.data.window_bp:
                    raise ValueError(
                        f"model.stages.{number}.patch.size_bp={stage.patch.size_bp} is above "
                        f"data.window_bp={self.data.window_bp}: windows would hold no whole patch; "
                        "use smaller patches or longer windows"
                    )
        reach_bp = self.model.mixers.A.window_bp
        if "A" in self.model.backbone.layout and reach_bp <= largest_bp:
            raise ValueError(
                f"model.mixers.A.window_bp={reach_bp} reaches no further than the "
                f"largest patch (size_bp={largest_bp}): in the backbone a patch would see itself "
                f"alone; use {largest_bp + 1} or more"
            )
