"""Whether examples that judge a network lie where its pretraining trained it."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from hyena_glt.checkpoint import Checkpoint
from hyena_glt.checkpoint.tasks import load_task_checkpoint
from hyena_glt.config.examples import (
    AnnotationSourceConfig,
    IntervalsSourceConfig,
    Part,
    SignalSourceConfig,
    VariantsSourceConfig,
)
from hyena_glt.data import Region, Split, file_sha256
from hyena_glt.data.examples import Dataset
from hyena_glt.data.examples.dataset import Row
from hyena_glt.errors import HyenaGLTError, RecipeError, SequenceFileError
from hyena_glt.io.examples import Example, ExamplesSource
from hyena_glt.io.examples.genome import Genome, open_genome
from hyena_glt.io.record import same_contig

_OF_GENOMES = (
    IntervalsSourceConfig,
    AnnotationSourceConfig,
    SignalSourceConfig,
    VariantsSourceConfig,
)
_INTERVAL = re.compile(r".*:(\d+)-(\d+)(?:\([-+.]\))?")
_VARIANT = re.compile(r".*:(\d+):([^:>]+)>[^:>]+")


class Overlap(NamedTuple):
    """Of examples those that the pretraining of a network read while it trained."""

    genomes: int  # that the network was pretrained on; 0: none, or the network began fresh
    rows: int
    checked: int  # compared with a genome of pretraining; of the other rows nothing is known
    overlapping: int
    first: str | None  # the first of them, and the region it lies in
    by_name: int  # of those checked, in a genome that was told by its contig's name alone

    def says(self, network: str, part: str | None = None) -> str:
        """Return what was found, as a sentence; empty where nothing was pretrained."""
        if not self.genomes:
            return ""
        of_part = "" if part is None else f" of {part}"
        if not self.checked:
            return (
                f"none of {self.rows:,} examples{of_part} could be compared with the genomes of "
                f"{network}: whether it was pretrained on them isn't known"
            )
        if self.overlapping:
            said = (
                f"{self.overlapping:,} of {self.checked:,} examples{of_part} lie in regions that "
                f"{network} was pretrained on, the first is {self.first}"
            )
        else:
            said = (
                f"{self.checked:,} examples{of_part} were compared with the regions that {network} "
                "was pretrained on, and none lies there"
            )
        if self.checked < self.rows:
            said += f"; {self.rows - self.checked:,} more could not be compared"
        if self.by_name:
            said += f"; genomes were compared by contig names for {self.by_name:,} of them"
        return said


def pretraining_overlap(checkpoint: Path, dataset: Dataset, part: Part) -> Overlap:
    """Return which rows of a part share bases with regions that a network was pretrained on.

    Rows know their place if they were cut from a genome: intervals, annotation, signal, variants (a
    variant's place is its window, moved inwards at a contig's end; where the genome's file can't be
    read any more, both places count).

    A row's genome is the pretraining's if the SHA-256 of their files are equal. One genome has many
    (compressed, as 2bit, with other contigs), so that where none is equal a contig of the same
    name, with or without ``chr``, counts as the same if the regions of pretraining end within it.
    Other rows are not compared, and not ``checked``.

    Raises CheckpointError for a folder that is no fine-tuned network.
    """
    tuned = load_task_checkpoint(checkpoint)
    rows = dataset.part(part)
    sources = _sources(dataset)
    located = (
        (row, next((s for s in sources if row.where.startswith(s.prefixes)), None)) for row in rows
    )
    return _overlap(_genomes(tuned.splits, tuned.provenance.pretraining_sha256), located, len(rows))


def check_overlap(
    checkpoints: Sequence[Path], dataset: Dataset, part: Part, *, allow: bool = False
) -> dict[str, Overlap]:
    """Return the overlap of each checkpoint by its folder.

    Raises RecipeError at the first that has any, unless it is allowed, and CheckpointError.
    """
    found = {}
    for folder in checkpoints:
        overlap = found[str(folder)] = pretraining_overlap(folder, dataset, part)
        _refuse(overlap, f"{dataset.folder}: {overlap.says(str(folder), part)}", allow)
    return found


def check_ranked_overlap(
    checkpoint: Checkpoint,
    network: str,
    sources: Sequence[tuple[Any, ExamplesSource]],
    *,
    allow: bool = False,
) -> Overlap:
    """Return which examples of ``sources`` share bases with what ``checkpoint`` was trained on.

    ``sources`` come with their settings, ``network`` is what messages call the checkpoint. Examples
    are read once, compared as ``pretraining_overlap`` says. Raises RecipeError where there are any,
    unless that is allowed, and what the sources raise.
    """
    located = [
        (example, source)
        for config, examples in sources
        for source in [_source(config, None)]
        for example in _without_letters(examples)
    ]
    genomes = _genomes(checkpoint.splits, checkpoint.provenance.data_sha256)
    found = _overlap(genomes, located, len(located))
    _refuse(found, found.says(network), allow)
    return found


def _without_letters(examples: Iterable[Example]) -> Iterable[Example]:
    return (example._replace(sequence=b"", alternative=None) for example in examples)


def _refuse(overlap: Overlap, said: str, allow: bool) -> None:
    if overlap.overlapping and not allow:
        raise RecipeError(
            f"{said}; evaluate on regions that pretraining left out, or give --allow-overlap"
        )


class _Genome(NamedTuple):
    """A genome of pretraining: of each contig the starts of what trained, and how far they reach.

    ``reach`` at i is the farthest end of the regions up to i; ``ends`` are of all that is known of
    a contig, kept parts as well.
    """

    name: str
    sha256: str | None
    regions: dict[str, list[Region]]
    reach: dict[str, list[int]]
    ends: dict[str, int]

    def contig(self, name: str) -> str | None:
        """Return what this genome calls a contig, None if it has none such."""
        try:
            return same_contig(Path(self.name), self.ends, name)
        except SequenceFileError:
            return None

    def trained(self, contig: str | None, start: int, end: int) -> Region | None:
        """Return a region that shares a base with ``[start, end)`` of a contig of this genome."""
        regions = self.regions.get(contig, []) if contig is not None else []
        before = bisect_left(regions, end, key=lambda region: region.start)
        if contig is None or not before or self.reach[contig][before - 1] <= start:
            return None
        return next(region for region in regions[:before] if region.end > start)


class _Source:
    """The settings of a source whose rows know their place, and its genome."""

    def __init__(self, config: Any, sha256: str | None, prefixes: tuple[str, ...] = ()) -> None:
        self.config = config  # one of _OF_GENOMES
        self.sha256 = sha256
        self.prefixes = prefixes  # of what rows say of where they are from
        self._genome: Genome | None = None
        self._unread = True

    def length_bp(self, contig: str) -> int | None:
        """Return the length of a contig, None where the genome's file can't be read any more."""
        if self._unread:
            self._unread = False
            try:
                self._genome = open_genome(str(Path(self.config.genome).expanduser()))
            except (HyenaGLTError, OSError):
                return None
        if self._genome is None or contig not in self._genome.names:
            return None
        return self._genome.length_bp(contig)


def _overlap(
    genomes: Sequence[_Genome], located: Iterable[tuple[Row | Example, _Source | None]], rows: int
) -> Overlap:
    if not genomes:
        return Overlap(0, rows, 0, 0, None, 0)
    checked = overlapping = by_name = 0
    first = None
    known: dict[tuple[_Source, str], _Compared] = {}
    for row, source in located:
        place = None if source is None else _place(row, source)
        if source is None or place is None:
            continue
        key = (source, place.contig)
        if key not in known:
            known[key] = _compared(genomes, *key)
        compared = known[key]
        checked += bool(compared.contigs)
        by_name += bool(compared.contigs) and compared.by_name
        for genome, contig in compared.contigs:
            region = genome.trained(contig, place.start, place.end)
            if region is not None:
                overlapping += 1
                first = first or f"{row.name} ({row.where}), in {region} of {genome.name}"
                break
    return Overlap(len(genomes), rows, checked, overlapping, first, by_name)


class _Compared(NamedTuple):
    contigs: list[tuple[_Genome, str | None]]  # None: a genome that has nothing of the contig
    by_name: bool


def _compared(genomes: Sequence[_Genome], source: _Source, contig: str) -> _Compared:
    """Return what a contig of a source is compared with."""
    same = [g for g in genomes if source.sha256 is not None and g.sha256 == source.sha256]
    if same:
        return _Compared([(genome, genome.contig(contig)) for genome in same], False)
    named = [(genome, genome.contig(contig)) for genome in genomes]
    length_bp = source.length_bp(contig)
    return _Compared(
        [
            (genome, name)
            for genome, name in named
            if name is not None and (length_bp is None or genome.ends[name] <= length_bp)
        ],
        True,
    )


def _genomes(splits: Mapping[str, Split], checksums: Mapping[str, str]) -> list[_Genome]:
    genomes = []
    for name, split in splits.items():
        regions: dict[str, list[Region]] = {}
        for region in sorted(split.train):
            regions.setdefault(region.contig, []).append(region)
        reach = {
            contig: list(accumulate((region.end for region in some), max))
            for contig, some in regions.items()
        }
        ends: dict[str, int] = {}
        for region in (*split.train, *split.validation, *split.heldout):
            ends[region.contig] = max(region.end, ends.get(region.contig, 0))
        genomes.append(_Genome(name, checksums.get(name), regions, reach, ends))
    return genomes


def _sources(dataset: Dataset) -> list[_Source]:
    """Return the sources whose rows know their place."""
    found = (_source(config, dataset) for config in dataset.manifest.config.sources)
    return [source for source in found if source is not None]


def _source(config: Any, dataset: Dataset | None) -> _Source | None:
    """Return a source whose rows know their place, or None; its checksum is a dataset's if any."""
    if not isinstance(config, _OF_GENOMES):
        return None
    genome = Path(config.genome).expanduser()
    if dataset is None:
        return _Source(config, file_sha256(genome))
    path = config.genome if isinstance(config, SignalSourceConfig) else config.path
    names = {path, str(Path(path)), str(Path(path).absolute())}
    prefixes = tuple(name + mark for name in sorted(names) for mark in (": ", "/"))
    return _Source(config, dataset.manifest.sources.get(str(genome)), prefixes)


def _place(row: Row | Example, source: _Source) -> Region | None:
    """Return where a row lies, as its name tells it."""
    if row.contig is None:
        return None
    if isinstance(source.config, VariantsSourceConfig):
        variant = _VARIANT.fullmatch(row.name)
        if variant is None:
            return None
        at, ref_bp, window_bp = int(variant[1]) - 1, len(variant[2]), source.config.window_bp
        start = max(0, at - (window_bp - ref_bp) // 2)
        length_bp = source.length_bp(row.contig)
        if length_bp is not None:
            start = max(0, min(start, length_bp - window_bp))
            return Region(row.contig, start, start + window_bp)
        # Moved inwards, the window ends with REF at the soonest.
        return Region(row.contig, max(0, min(start, at + ref_bp - window_bp)), start + window_bp)
    interval = _INTERVAL.fullmatch(row.name)
    return None if interval is None else Region(row.contig, int(interval[1]), int(interval[2]))
