"""The genomes of a recipe: opened, split, and drawn from."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hyena_glt.config import DataConfig, Recipe, SourceConfig
from hyena_glt.config.data import ReservedConfig
from hyena_glt.data.genome import Genome, file_sha256, open_genome
from hyena_glt.data.masking import ObjectiveWindows, objective_validation
from hyena_glt.data.reserved import keep_off, read_reserved
from hyena_glt.data.splits import Split, split_genome
from hyena_glt.data.windows import TrainingWindows, Window, Windows, validation_windows
from hyena_glt.errors import RecipeError
from hyena_glt.io import Interval, Track, open_track
from hyena_glt.tokenize import alphabet


class Source(NamedTuple):
    """One genome of a recipe."""

    name: str  # as the recipe writes it
    share: float  # of the windows; all shares sum to 1
    genome: Genome
    sha256: str  # of the genome's file
    split: Split
    track: Track | None = None
    track_sha256: str | None = None  # of the track's file
    reserved: tuple[Interval, ...] = ()  # for evaluation; the split keeps off them


def open_sources(recipe: Recipe, cache: Path) -> tuple[Source, ...]:
    """Return the recipe's genomes, one or a mixture, in its order.

    Raises SequenceFileError and SequenceError as open_genome does, and where a track lacks a contig
    of the split or is of another assembly; RecipeError for a split that can't be, for one file
    under two names, or where a split comes near what is reserved; what read_reserved raises.
    """
    configs = _source_configs(recipe.data)
    total = sum(config.weight for config in configs)
    letters = alphabet(recipe.modality)
    sources: list[Source] = []
    for config in configs:
        genome, sha256 = open_genome(config.genome, letters, cache)
        for other in sources:
            if other.sha256 == sha256 and other.name != config.genome:
                raise RecipeError(
                    f"data.mixture: {other.name} and {config.genome} hold the same bytes, so that "
                    "one's training bases could be held out in the other; name one of them"
                )
        split = split_genome(genome, config, recipe.seed)
        source = Source(config.genome, config.weight / total, genome, sha256, split)
        sources.append(source if config.track is None else _with_track(source, config.track))
    if recipe.data.reserved is None:
        return tuple(sources)
    return _off_reserved(sources, recipe.data.reserved)


def data_checksums(sources: Sequence[Source], recipe: Recipe) -> dict[str, str]:
    """Return the SHA-256 of every genome and track, and of the BED of what is reserved.

    Keys are the names that the recipe gives the files.
    """
    checksums = {source.name: source.sha256 for source in sources}
    for source, config in zip(sources, _source_configs(recipe.data), strict=True):
        if config.track is not None and source.track_sha256 is not None:
            checksums[config.track] = source.track_sha256
    if recipe.data.reserved is not None:
        bed = recipe.data.reserved.bed
        checksums[bed] = file_sha256(Path(bed))
    return checksums


def renamed_contigs(sources: Sequence[Source]) -> dict[str, str]:
    """Return the contigs that a track names otherwise than its genome: its name, the genome's."""
    renamed: dict[str, str] = {}
    for source in sources:
        if source.track is not None:
            renamed.update((found, name) for name, found in source.track.renamed.items())
    return renamed


def splits_of(sources: Sequence[Source]) -> dict[str, Split]:
    """Return the parts of each genome, by the name that the recipe gives it."""
    splits: dict[str, Split] = {}
    for source in sources:
        before = splits.get(source.name, Split((), (), ()))
        parts = zip(before, source.split, strict=True)
        splits[source.name] = Split(*(regions + more for regions, more in parts))
    return splits


def training_windows(sources: Sequence[Source], recipe: Recipe, count: int) -> Windows:
    """Return ``count`` training windows; item i depends on (recipe.seed, i) alone."""
    windows: Windows
    if len(sources) == 1:
        windows = _of_source(sources[0], recipe, count, recipe.seed)
    else:
        windows = MixtureWindows(sources, recipe, count)
    return ObjectiveWindows(windows, recipe.objective, recipe.seed)


def held_windows(sources: Sequence[Source], recipe: Recipe) -> list[Window]:
    """Return the validation windows: of each genome its share of train.validation_bases."""
    windows: list[Window] = []
    for source in sources:
        bases = round(source.share * recipe.train.validation_bases)
        letters = alphabet(recipe.modality)
        regions = source.split.validation
        windows += validation_windows(
            source.genome, regions, letters, recipe.data, bases, source.track
        )
    return objective_validation(windows, recipe.objective)


class MixtureWindows:
    """Windows of several genomes; the genome of item i is drawn by share, from (seed, i) alone.

    Within a genome windows come in its own order, so that each genome's bases are read evenly.
    """

    def __init__(self, sources: Sequence[Source], recipe: Recipe, count: int) -> None:
        edges = np.cumsum([source.share for source in sources])[:-1]
        drawn = np.random.default_rng((recipe.seed, 4)).random(count)
        self._source = np.searchsorted(edges, drawn, side="right")
        self._within = np.empty(count, dtype=np.int64)
        self._windows: list[TrainingWindows] = []
        for number, source in enumerate(sources):
            mine = self._source == number
            self._within[mine] = np.arange(mine.sum())
            # A seed of its own: strands and orders of two genomes have nothing to do with another.
            own = np.random.SeedSequence((recipe.seed, 5, number)).generate_state(1, np.uint64)
            self._windows.append(_of_source(source, recipe, int(mine.sum()), int(own[0])))

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Window:
        return self._windows[int(self._source[index])][int(self._within[index])]


def _source_configs(data: DataConfig) -> tuple[SourceConfig, ...]:
    if data.mixture is not None:
        return data.mixture
    assert data.genome is not None
    assert data.split is not None
    only = SourceConfig(
        genome=data.genome, weight=1, split=data.split, contigs=data.contigs, track=data.track
    )
    return (only,)


def _off_reserved(sources: Sequence[Source], config: ReservedConfig) -> tuple[Source, ...]:
    """The sources with what is reserved on each, their splits kept off it."""
    reserved = read_reserved(config, {source.name: source.genome for source in sources})
    apart: list[Source] = []
    for source in sources:
        intervals = reserved[source.name]
        split = keep_off(source.name, source.split, intervals, config)
        apart.append(source._replace(split=split, reserved=intervals))
    return tuple(apart)


def _with_track(source: Source, path: str) -> Source:
    track = open_track(path)
    contigs = {region.contig for part in source.split for region in part}
    names = [name for name in source.genome.names if name in contigs]
    track.check_lengths({name: source.genome.length_bp(name) for name in names})
    return source._replace(track=track, track_sha256=file_sha256(track.path))


def _of_source(source: Source, recipe: Recipe, count: int, seed: int) -> TrainingWindows:
    letters = alphabet(recipe.modality)
    regions = source.split.train
    return TrainingWindows(source.genome, regions, letters, recipe.data, count, seed, source.track)
