"""The config of a fine-tuning run on several tasks, each with a dataset of its own."""

import re
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from hyena_glt.config.base import Config
from hyena_glt.config.finetune import (
    AugmentConfig,
    FinetuneRecipe,
    FinetuneTrainConfig,
    FullTuningConfig,
    TuningConfig,
)
from hyena_glt.config.model import ModelConfig
from hyena_glt.config.tasks import BalanceConfig, FixedBalanceConfig, TaskConfig

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class DatasetTaskConfig(Config):
    """A task, and the data that it is learned on."""

    dataset: str = Field(description="folder that 'hyena-glt data prepare' wrote")
    task: TaskConfig
    augment: AugmentConfig = AugmentConfig()


class SamplerConfig(Config):
    """How many of an epoch's steps a task with n batches has: in proportion to a power of n."""

    kind: Literal["proportional", "uniform", "square_root", "temperature"] = Field(
        "proportional",
        description="proportional: n, so that an epoch takes every example once; uniform: 1; "
        "square_root: n ** (1 / 2); temperature: n ** (1 / temperature)",
    )
    temperature: float | None = Field(
        None, gt=0, description="1: proportional, 2: square_root, larger: closer to uniform"
    )

    @model_validator(mode="after")
    def _a_temperature_has_its_kind(self) -> "SamplerConfig":
        if (self.temperature is not None) != (self.kind == "temperature"):
            verb = "is needed for" if self.temperature is None else "has no effect with"
            raise ValueError(f"temperature {verb} kind={self.kind}")
        return self


class MultitaskRecipe(Config):
    """All that decides a fine-tuning run of several tasks: data, network, tasks, training."""

    name: str
    seed: int = Field(ge=0, lt=2**63)
    tasks: dict[str, DatasetTaskConfig] = Field(
        description="two or more by name; all datasets hold one modality"
    )
    init: str | None = Field(None, description="checkpoint of 'hyena-glt train' to begin with")
    model: ModelConfig | None = Field(None, description="a fresh network's shape, without init")
    tuning: TuningConfig = FullTuningConfig(kind="full")
    sampler: SamplerConfig | None = Field(
        None,
        description="which task a step takes a batch of; None: proportional. With gradnorm every "
        "step takes one of each",
    )
    balance: BalanceConfig = FixedBalanceConfig(kind="fixed")
    train: FinetuneTrainConfig = Field(
        description="metric is loss, the plain mean of the tasks' losses, or TASK/METRIC"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> "MultitaskRecipe":
        if len(self.tasks) < 2:
            raise ValueError(
                f"tasks: found {len(self.tasks)}, expected two or more; for one task give its "
                "dataset, task and augment beside name and seed, without tasks"
            )
        for name in self.tasks:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"tasks: found the name {name!r}, which a folder is to have; use letters, "
                    "digits, - and _, the first a letter or a digit"
                )
        if self.balance.kind == "gradnorm":
            if self.sampler is not None:
                raise ValueError(
                    "sampler has no effect with balance.kind=gradnorm, whose every step takes a "
                    "batch of each task; remove it"
                )
            if self.tuning.kind == "probe":
                raise ValueError(
                    "balance.kind=gradnorm weighs how tasks pull on shared weights, which "
                    "tuning.kind=probe keeps as they are; use balance.kind=fixed"
                )
            unfreeze = getattr(self.tuning, "unfreeze", None)
            if unfreeze is not None and unfreeze.first_epoch() > 1:
                raise ValueError(
                    "balance.kind=gradnorm weighs how tasks pull on shared weights, and "
                    f"tuning.unfreeze lets none of them move before epoch {unfreeze.first_epoch()}"
                    "; use another balance, or steps whose first epoch is 1"
                )
        for name in self.tasks:
            try:
                self.of_task(name)
            except ValidationError as error:  # what one task alone may not be, several may not
                raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        return self

    def of_task(self, name: str) -> FinetuneRecipe:
        """Return the recipe of fine-tuning the task ``name`` alone.

        Its metric is the run's where that is one of this task, and else its loss.
        """
        one = self.tasks[name]
        task, _, metric = self.train.metric.partition("/")
        own = metric if task == name and metric else "loss"
        return FinetuneRecipe(
            name=f"{self.name}-{name}",
            seed=self.seed,
            dataset=one.dataset,
            init=self.init,
            model=self.model,
            task=one.task,
            tuning=self.tuning,
            augment=one.augment,
            train=self.train.model_copy(update={"metric": own}),
        )


TuningRecipe = FinetuneRecipe | MultitaskRecipe
