"""A fine-tuning run's config."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hyena_glt.config.base import Config
from hyena_glt.config.model import ModelConfig
from hyena_glt.config.tasks import TaskConfig
from hyena_glt.config.train import Precision


class FullTuningConfig(Config):
    """All weights move, but those of the parts in ``freeze``."""

    kind: Literal["full"]
    freeze: tuple[str, ...] = Field(
        (),
        description="parts of the network that stay as they are, by the beginning of a parameter's "
        "name: embed, hierarchy.encoder, hierarchy.inner.blocks.0",
    )


class ProbeConfig(Config):
    """The head alone moves: what do the network's states know already?"""

    kind: Literal["probe"]


TuningConfig = Annotated[FullTuningConfig | ProbeConfig, Field(discriminator="kind")]


class AugmentConfig(Config):
    """What a training example may turn into; never when evaluating."""

    reverse_complement: float = Field(
        0.0, ge=0, le=1, description="chance of the other strand, labels of bases with it"
    )
    shift_bp: int = Field(0, ge=0, description="bases that a crop leaves out, at both ends in all")
    mutation: float = Field(0.0, ge=0, lt=1, description="chance of each base of another letter")


class FinetuneTrainConfig(Config):
    """Steps, rates, and when to stop."""

    epochs: int = Field(ge=1)
    batch_examples: int = Field(32, ge=1)
    lr: float = Field(3e-4, gt=0, description="peak rate of AdamW for the network")
    head_lr: float = Field(1e-3, gt=0, description="peak rate of the head")
    weight_decay: float = Field(0.01, ge=0)
    warmup_fraction: float = Field(0.1, ge=0, lt=1)
    clip_norm: float | None = Field(1.0, gt=0)
    metric: str = Field("loss", description="what chooses the best epoch, measured on validation")
    patience_epochs: int | None = Field(
        None, ge=1, description="stop after so many epochs without gain"
    )
    grouped: bool = Field(False, description="batches of like lengths, with less padding")
    precision: Precision = "fp32"


class FinetuneRecipe(Config):
    """All that decides a fine-tuning run: data, network, task, training."""

    name: str
    seed: int = Field(ge=0, lt=2**63)
    dataset: str = Field(description="folder that 'hyena-glt data prepare' wrote")
    init: str | None = Field(None, description="checkpoint of 'hyena-glt train' to begin with")
    model: ModelConfig | None = Field(None, description="a fresh network's shape, without init")
    task: TaskConfig
    tuning: TuningConfig = FullTuningConfig(kind="full")
    augment: AugmentConfig = AugmentConfig()
    train: FinetuneTrainConfig

    @model_validator(mode="after")
    def _one_network(self) -> "FinetuneRecipe":
        if (self.init is None) == (self.model is None):
            raise ValueError(
                "give init, a checkpoint to begin with, or model, a fresh network's shape; one of "
                "them"
            )
        if self.init is None and self.tuning.kind == "probe":
            raise ValueError(
                "tuning.kind=probe leaves the network as it is, and a fresh one knows nothing; "
                "give init, or use tuning.kind=full"
            )
        return self
