"""A sweep's config: which settings of a fine-tuning recipe vary, and between what."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, JsonValue, model_validator

from hyena_glt.config.base import Config
from hyena_glt.config.door import apply_override, read_mapping, validated
from hyena_glt.config.multitask import TuningRecipe

# All trials answer the same validation part, by the same metric.
_SAME_IN_ALL = re.compile(r"dataset|name|train\.metric|tasks(\.[^.]+(\.dataset)?)?")


class FloatVaryConfig(Config):
    """Any number between two."""

    kind: Literal["float"]
    low: float
    high: float
    log: bool = Field(False, description="each tenfold is as likely as another; low is above 0")

    @model_validator(mode="after")
    def _low_to_high(self) -> "FloatVaryConfig":
        _check_range(self.low, self.high, self.log)
        return self


class IntVaryConfig(Config):
    """Any whole number between two, both included."""

    kind: Literal["int"]
    low: int
    high: int
    log: bool = Field(False, description="each tenfold is as likely as another; low is above 0")

    @model_validator(mode="after")
    def _low_to_high(self) -> "IntVaryConfig":
        _check_range(self.low, self.high, self.log)
        return self


class ChoiceVaryConfig(Config):
    """One of some values; a mapping may be one, such as ``{kind: probe}``."""

    kind: Literal["choice"]
    values: tuple[JsonValue, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_another(self) -> "ChoiceVaryConfig":
        texts = [setting_text(value) for value in self.values]
        for text in texts:
            if texts.count(text) > 1:
                raise ValueError(f"values: found {text} more than once; keep one")
        return self


VaryConfig = Annotated[
    FloatVaryConfig | IntVaryConfig | ChoiceVaryConfig, Field(discriminator="kind")
]


class SweepConfig(Config):
    """Several runs of one fine-tuning recipe, of one task or several, whose settings vary."""

    recipe: str = Field(description="YAML of a fine-tuning, whose settings vary")
    vary: dict[str, VaryConfig] = Field(
        min_length=1, description="by a setting's name in the recipe, such as train.lr"
    )
    trials: int = Field(20, ge=1, description="how many runs there are in all")
    metric: str | None = Field(
        None,
        description="what chooses the best epoch and the best trial, on validation; without it "
        "train.metric of the recipe",
    )
    seed: int = Field(ge=0, lt=2**63, description="of the choice of settings; runs have their own")
    minutes: float | None = Field(
        None, gt=0, description="no trial begins when a call has taken so long"
    )

    @model_validator(mode="after")
    def _names_vary_alone(self) -> "SweepConfig":
        for name in self.vary:
            if _SAME_IN_ALL.fullmatch(name):
                raise ValueError(
                    f"vary: {name} is the same in all trials, or they can't be compared; remove it"
                )
            for other in self.vary:
                if other.startswith(f"{name}."):
                    raise ValueError(f"vary: {other} is a part of {name}; keep one of them")
        return self


def load_sweep(path: Path, overrides: Sequence[str] = ()) -> SweepConfig:
    """Return the sweep at ``path``; overrides, such as ``trials=50``, and errors as `load_recipe`.

    What varies is compared with the recipe when the sweep begins.
    """
    return validated(SweepConfig, read_mapping(path, overrides), str(path))


def sweep_schema() -> dict[str, Any]:
    """Return the JSON schema of a sweep."""
    return SweepConfig.model_json_schema()


def with_tuning_overrides(
    recipe: TuningRecipe, overrides: Sequence[str], where: str
) -> TuningRecipe:
    """Return ``recipe`` with ``key=value`` overrides, checked again; ``where`` opens an error."""
    data = recipe.model_dump(mode="json", exclude_unset=True)
    for override in overrides:
        apply_override(data, override)
    return validated(type(recipe), data, where)


def values_to_check(vary: VaryConfig) -> list[JsonValue]:
    """Return values that a recipe takes if it takes all of ``vary``: bounds, or every choice."""
    if isinstance(vary, ChoiceVaryConfig):
        return list(vary.values)
    if isinstance(vary, IntVaryConfig):
        return [vary.low, vary.high]
    # Bounds that are whole numbers don't tell whether the recipe asks for such.
    return [vary.low, vary.low + (vary.high - vary.low) / math.pi, vary.high]


def setting_text(value: JsonValue) -> str:
    """Return ``value`` as an override takes it: YAML in one line, such as ``{kind: probe}``."""
    text = yaml.safe_dump(value, default_flow_style=True, width=math.inf, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _check_range(low: float | int, high: float | int, log: bool) -> None:
    if not low < high:
        raise ValueError(f"low={low} isn't below high={high}; a setting must have room to vary")
    if log and low <= 0:
        raise ValueError(f"low={low} has no logarithm; give one above 0, or log: false")
