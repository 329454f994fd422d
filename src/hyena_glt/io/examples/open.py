"""The one door from a source's config to its examples."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from hyena_glt.config.examples import (
    AnnotationSourceConfig,
    ExamplesConfig,
    IntervalsSourceConfig,
    RecordsSourceConfig,
    SignalSourceConfig,
    TableSourceConfig,
)
from hyena_glt.io.examples.annotation import AnnotationSource
from hyena_glt.io.examples.example import Example, Schema
from hyena_glt.io.examples.intervals import IntervalsSource
from hyena_glt.io.examples.records import RecordsSource
from hyena_glt.io.examples.signal import SignalSource
from hyena_glt.io.examples.table import TableSource
from hyena_glt.io.examples.variants import VariantsSource


@runtime_checkable
class ExamplesSource(Protocol):
    """Labelled sequences in a fixed order, read again by each iteration."""

    @property
    def schema(self) -> Schema:
        """What all examples have in common."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of how files were read, in words; whole after an iteration."""

    def __iter__(self) -> Iterator[Example]:
        """Return the examples; raises SequenceFileError at the first that is wrong."""


def open_examples(config: ExamplesConfig) -> ExamplesSource:
    """Return the examples of a source.

    Raises SequenceFileError for a file that isn't what it should be, naming the file and line, now
    or while it is read; RecipeError for settings that can't be of this file.
    """
    if isinstance(config, TableSourceConfig):
        return TableSource(config)
    if isinstance(config, RecordsSourceConfig):
        return RecordsSource(config)
    if isinstance(config, IntervalsSourceConfig):
        return IntervalsSource(config)
    if isinstance(config, AnnotationSourceConfig):
        return AnnotationSource(config)
    if isinstance(config, SignalSourceConfig):
        return SignalSource(config)
    return VariantsSource(config)
