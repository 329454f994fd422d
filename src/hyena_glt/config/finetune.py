"""A fine-tuning run's config."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hyena_glt.config.base import Config
from hyena_glt.config.model import ModelConfig
from hyena_glt.config.tasks import TaskConfig
from hyena_glt.config.train import MUON_LR, OPTIMISERS, Optimiser, Precision


class UnfreezeStepConfig(Config):
    """Parts that begin to move with an epoch."""

    epoch: int = Field(ge=1, description="the first epoch, from 1, in which the parts move")
    parts: tuple[str, ...] = Field(
        min_length=1, description="parts of the network, named as in tuning.freeze"
    )


class UnfreezeConfig(Config):
    """The head moves alone at first, the network's parts later: by a rule, or by a list."""

    every_epochs: int | None = Field(
        None,
        ge=1,
        description="one part more after so many epochs each: the last block, then the one before "
        "it, down to the embedding; those that no epoch reaches stay as they are",
    )
    steps: tuple[UnfreezeStepConfig, ...] | None = Field(
        None, min_length=1, description="which parts move from when on; parts unnamed never move"
    )

    @model_validator(mode="after")
    def _a_rule_or_a_list(self) -> "UnfreezeConfig":
        if (self.every_epochs is None) == (self.steps is None):
            raise ValueError("give every_epochs, a rule, or steps, a list; one of them")
        for before, after in pairwise(self.steps or ()):
            if before.epoch >= after.epoch:
                raise ValueError(
                    f"steps has epoch {before.epoch} before epoch {after.epoch}; epochs must rise"
                )
        return self

    def first_epoch(self) -> int:
        """Return the epoch, from 1, in which the first part moves."""
        if self.steps is not None:
            return self.steps[0].epoch
        assert self.every_epochs is not None
        return self.every_epochs + 1

    def last_epoch_needed(self) -> int:
        """Return the epoch, from 1, that a run must reach for all of it to take effect."""
        if self.steps is not None:
            return self.steps[-1].epoch
        assert self.every_epochs is not None
        return self.every_epochs + 1


class FullTuningConfig(Config):
    """All weights move, but those of the parts in ``freeze``."""

    kind: Literal["full"]
    freeze: tuple[str, ...] = Field(
        (),
        description="parts of the network that stay as they are, by the beginning of a parameter's "
        "name: embed, hierarchy.encoder, hierarchy.inner.blocks.0",
    )
    layer_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="train.lr and train.muon_lr are multiplied by it once for each layer from the "
        "head down: the last block moves at lr * layer_decay, the embedding slowest (default: all "
        "at the same)",
    )
    unfreeze: UnfreezeConfig | None = Field(
        None, description="gradual unfreezing (default: all moves from the first epoch)"
    )


class ProbeConfig(Config):
    """The head alone moves: what do the network's states know already?"""

    kind: Literal["probe"]


class _AdaptersConfig(Config):
    """The network stays; adapters at linear layers move."""

    targets: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="linear layers with an adapter, by whole parts of their names: "
        "hierarchy.decoder, mixer, mlp.down (default: all in blocks); with pooling.over=patches, "
        "none behind the backbone, where no head reads",
    )


class ScalesTuningConfig(_AdaptersConfig):
    """A number for each output of a linear layer, which it is multiplied with (Liu et al. 2022).

    (IA)^3 of arXiv:2205.05638, at all linear layers that a head reads and not at keys, values and
    the MLP alone. The checkpoint holds the products.
    """

    kind: Literal["ia3"]


class LoraTuningConfig(_AdaptersConfig):
    """The network stays; beside linear layers, small adapters move (Hu et al. 2021).

    A layer's weight becomes W + alpha / rank * B A. The checkpoint holds the sums alone.
    """

    kind: Literal["lora"]
    rank: int = Field(8, ge=1, description="rank of B A")
    alpha: float = Field(16.0, gt=0, description="B A counts alpha / rank times")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="chance of each feature of a layer's input to be hidden from its adapter, for "
        "a step and all positions",
    )


TuningConfig = Annotated[
    FullTuningConfig | ProbeConfig | LoraTuningConfig | ScalesTuningConfig,
    Field(discriminator="kind"),
]


class _CurriculumConfig(Config):
    """Easy examples first: the share allowed grows from epoch to epoch."""

    from_share: float = Field(
        gt=0, lt=1, description="share of the training examples that the first epoch takes"
    )
    until_epoch: int = Field(
        ge=1, description="after so many epochs all are taken; fewer than train.epochs"
    )


class LengthCurriculumConfig(_CurriculumConfig):
    """The shortest sequences first."""

    by: Literal["length"]


class TableCurriculumConfig(_CurriculumConfig):
    """The lowest numbers of a table first."""

    by: Literal["table"]
    path: str = Field(
        description="table with a row for every training example: .csv, .tsv, .jsonl, .parquet"
    )
    column: str = Field("difficulty", description="column of numbers; the lowest come first")
    name_column: str = Field("name", description="column of the examples' names in the dataset")


CurriculumConfig = Annotated[
    LengthCurriculumConfig | TableCurriculumConfig, Field(discriminator="by")
]


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
    optimiser: Optimiser = Field("adamw", description=OPTIMISERS)
    lr: float = Field(3e-4, gt=0, description="peak rate of AdamW for the network")
    muon_lr: float = Field(
        0.02,
        gt=0,
        description=f"{MUON_LR}; the default is for a fresh network, and makes a pretrained one "
        "forget",
    )
    head_lr: float = Field(1e-3, gt=0, description="peak rate of the head")
    weight_decay: float = Field(0.01, ge=0, description="of matrices only; times their rate")
    warmup_fraction: float = Field(0.1, ge=0, lt=1)
    clip_norm: float | None = Field(1.0, gt=0)
    metric: str = Field("loss", description="what chooses the best epoch, measured on validation")
    patience_epochs: int | None = Field(
        None, ge=1, description="stop after so many epochs without gain"
    )
    grouped: bool = Field(False, description="batches of like lengths, with less padding")
    precision: Precision = "fp32"
    save_every_steps: int | None = Field(
        None,
        ge=1,
        description="save a state to resume from after so many steps of an epoch, too (default: at "
        "each epoch's end, and on SIGTERM)",
    )

    @model_validator(mode="after")
    def _a_rate_has_its_optimiser(self) -> "FinetuneTrainConfig":
        if self.optimiser != "muon" and self.muon_lr != type(self).model_fields["muon_lr"].default:
            raise ValueError("muon_lr has no effect with optimiser=adamw")
        return self


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
    curriculum: CurriculumConfig | None = Field(
        None, description="easy examples first (default: all from the first epoch)"
    )
    train: FinetuneTrainConfig

    @model_validator(mode="after")
    def _one_network(self) -> "FinetuneRecipe":
        if (self.init is None) == (self.model is None):
            raise ValueError(
                "give init, a checkpoint to begin with, or model, a fresh network's shape; one of "
                "them"
            )
        if self.init is None and self.tuning.kind != "full":
            raise ValueError(
                f"tuning.kind={self.tuning.kind} leaves the network as it is, and a fresh one "
                "knows nothing; give init, or use tuning.kind=full"
            )
        if self.train.optimiser == "muon" and self.tuning.kind != "full":
            raise ValueError(
                "train.optimiser=muon is for matrices of the network, which "
                f"tuning.kind={self.tuning.kind} leaves as they are; use train.optimiser=adamw"
            )
        return self

    @model_validator(mode="after")
    def _epochs_are_reached(self) -> "FinetuneRecipe":
        epochs = self.train.epochs
        unfreeze = getattr(self.tuning, "unfreeze", None)
        if unfreeze is not None and unfreeze.last_epoch_needed() > epochs:
            raise ValueError(
                f"tuning.unfreeze frees parts in epoch {unfreeze.last_epoch_needed()}, and "
                f"train.epochs is {epochs}; free them earlier, or train longer"
            )
        curriculum = self.curriculum
        if curriculum is not None and curriculum.until_epoch >= epochs:
            raise ValueError(
                f"curriculum.until_epoch is {curriculum.until_epoch} and train.epochs {epochs}: no "
                "epoch would take all examples; lower it, or train longer"
            )
        return self
