"""Inspections of what files or a prepared dataset hold."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from hyena_glt.config import DatasetConfig
from hyena_glt.data.examples.dataset import MANIFEST, Dataset, Row, open_dataset
from hyena_glt.data.examples.inspect import Inspection, inspect_examples
from hyena_glt.data.examples.prepare import shared_schema
from hyena_glt.data.examples.split import PARTS
from hyena_glt.io.examples import BaseClasses, Example, ExamplesSource, Label, Schema, open_examples
from hyena_glt.tokenize import alphabet


def is_dataset(folder: Path) -> bool:
    """Return whether ``folder`` is what 'data prepare' writes."""
    return (folder / MANIFEST).is_file()


def inspect_sources(config: DatasetConfig, *, similar: bool = True) -> Inspection:
    """Return what the sources of ``config`` hold, before quality and the split of it.

    Raises as open_examples does, RecipeError where sources have labels of two kinds, SequenceError
    at a letter that the modality doesn't have.
    """
    sources = [open_examples(source) for source in config.sources]
    schema = shared_schema(config, sources)
    found = inspect_examples(_All(sources), schema, alphabet(config.modality), similar=similar)
    notes = [note for source in sources for note in source.notes]
    found.report.setdefault("warnings", []).extend(notes)
    return found


def inspect_dataset(folder: Path, *, similar: bool = True) -> Inspection:
    """Return what the prepared dataset in ``folder`` holds, part by part as it is split."""
    dataset = open_dataset(folder)
    manifest = dataset.manifest
    schema = Schema(manifest.target, manifest.names, manifest.bin_bp, manifest.pairs)
    letters = alphabet(manifest.config.modality)
    return inspect_examples(_Prepared(dataset), schema, letters, similar=similar)


class _All:
    """The examples of all sources, in a row; read anew by each iteration."""

    def __init__(self, sources: list[ExamplesSource]) -> None:
        self._sources = sources

    def __iter__(self) -> Iterator[Example]:
        return chain.from_iterable(self._sources)


class _Prepared:
    """A prepared dataset's rows as the examples that they were."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __iter__(self) -> Iterator[Example]:
        for part in PARTS:
            for row in self._dataset.part(part):
                yield Example(
                    row.name,
                    row.sequence.tobytes(),
                    self._label(row),
                    row.where,
                    part=part,
                    contig=row.contig,
                    alternative=None if row.alternative is None else row.alternative.tobytes(),
                )

    def _label(self, row: Row) -> Label:
        manifest, target = self._dataset.manifest, row.target
        if target is None:
            return None
        if isinstance(target, int):
            return manifest.classes[target]
        if manifest.target == "multilabel":
            return tuple(manifest.classes[code] for code in np.flatnonzero(target).tolist())
        if manifest.target == "bases":
            return BaseClasses(target.tobytes(), manifest.classes)
        return target
