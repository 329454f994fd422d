"""A suite of benchmarks: labelled sets, how each is split and measured, and what was published."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from hyena_glt.config.base import Config
from hyena_glt.config.examples import ExamplesConfig, ExamplesSplitConfig, QualityConfig
from hyena_glt.config.tasks import TaskConfig
from hyena_glt.errors import RecipeError

Adapter = Literal[
    "brca1_classes",
    "brca1_sge",
    "dream_yeast",
    "exon_intron_exon",
    "held_out",
    "peaks",
    "saturation_mpra",
    "uci_promoters",
    "uci_splice",
]

ADAPTED = "adapted"  # what a source's path says for the table that an adapter writes


class AdapterConfig(Config):
    """What makes one table of files that no source can read as they are."""

    name: Adapter
    files: dict[str, str] = Field(min_length=1, description="by the adapter's name for each")


class PublishedConfig(Config):
    """A figure that others published: never measured here, and never in a column with what was."""

    model: str
    metric: str
    value: float
    source: str
    note: str = Field("", description="how its protocol differs from the suite's")


class SetConfig(Config):
    """One labelled set: files, split, task, and the metrics that are reported."""

    name: str = Field(min_length=1)
    about: str = ""
    modality: Literal["dna", "rna", "protein"] = "dna"
    sources: tuple[ExamplesConfig, ...] = Field(
        min_length=1, description="paths are relative to the folder of data"
    )
    adapter: AdapterConfig | None = Field(
        None, description=f"writes the table that a source's path {ADAPTED!r} means"
    )
    split: ExamplesSplitConfig
    quality: QualityConfig = QualityConfig()
    task: TaskConfig
    metrics: tuple[str, ...] = Field(
        min_length=1, description="reported; the first chooses on validation"
    )
    both_strands: bool = Field(
        False,
        description="ours answers the test part by the mean of both strands, labels of bases "
        "turned back; floors by one",
    )
    strata: str | None = Field(
        None,
        description="a regular expression whose first group, in a row's name, is what it is "
        "reported apart by",
    )
    published: tuple[PublishedConfig, ...] = ()

    @model_validator(mode="after")
    def _strands_are_two(self) -> "SetConfig":
        if self.both_strands and self.modality == "protein":
            raise ValueError("both_strands: proteins have one strand; remove it")
        return self

    @model_validator(mode="after")
    def _adapted_table_is_read(self) -> "SetConfig":
        paths = [getattr(source, "path", None) for source in self.sources]
        if (self.adapter is not None) != (ADAPTED in paths):
            raise ValueError(f"an adapter and a source whose path is {ADAPTED!r} go together")
        return self


class SuiteConfig(Config):
    """Sets that are run and shown together."""

    name: str
    about: str = ""
    sets: tuple[SetConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> "SuiteConfig":
        names = [each.name for each in self.sets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sets have the name {twice[0]!r}; rename one")
        return self


def load_suite_config(path: Path) -> SuiteConfig:
    """Return the suite in the YAML at ``path``.

    Raises RecipeError for a file that isn't there or is no YAML, with every key that is wrong.
    """
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such file; expected a suite's YAML") from None
    except (OSError, UnicodeDecodeError):
        raise RecipeError(f"{path}: can't be read as text; expected a suite's YAML") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        raise RecipeError(f"{path}{line}: is no valid YAML; correct it") from None
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: expected a mapping of keys to values, found {data!r:.60}")
    data.pop("shared", None)  # what anchors stand on
    try:
        return SuiteConfig.model_validate(data)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(step) for step in found['loc']) or 'suite'}: "
            f"{found['msg'].removeprefix('Value error, ')}"
            for found in error.errors()
        ]
        raise RecipeError(f"{path}: " + "; ".join(lines)) from None


def suite_schema() -> dict[str, Any]:
    """Return the JSON schema of a suite, for editors that complete YAML."""
    return SuiteConfig.model_json_schema()
