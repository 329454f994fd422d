"""Whether examples that judge a network lie where its pretraining trained it."""

import json
import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from hyena_glt.checkpoint.replace import standing_folder
from hyena_glt.checkpoint.tasks import TaskCheckpoint, load_task_checkpoint
from hyena_glt.config.examples import (
    AnnotationSourceConfig,
    IntervalsSourceConfig,
    Part,
    SignalSourceConfig,
    VariantsSourceConfig,
)
from hyena_glt.data import Region
from hyena_glt.data.examples import Dataset
from hyena_glt.data.examples.dataset import Row
from hyena_glt.errors import RecipeError, SequenceFileError
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
    """Of a part's rows those that the pretraining of a network read while it trained."""

    genomes: int  # that the network was pretrained on; 0: none, or the network began fresh
    rows: int
    checked: int  # rows that know their place on a genome; 0 where there are no genomes
    overlapping: int
    first: str | None  # the first of them, and the region it lies in


def pretraining_overlap(checkpoint: Path, dataset: Dataset, part: Part) -> Overlap:
    """Return which rows of a part share bases with regions that a network was pretrained on.

    Rows know their place if they were cut from a genome: intervals, annotation, signal, variants (a
    variant's place is its window; at a contig's end, where that was moved inwards, it is looked for
    where it would be without). A row's genome is the pretraining's if the SHA-256 of their files
    are equal. The checkpoint names the one that it began with, which holds those of pretraining;
    where that is gone or another by now, contigs of the same name count as the same.

    Raises CheckpointError for a folder that is no fine-tuned network.
    """
    return _overlap(load_task_checkpoint(checkpoint), dataset, part)


def check_overlap(
    checkpoints: Sequence[Path], dataset: Dataset, part: Part, *, allow: bool = False
) -> dict[str, Overlap]:
    """Return the overlap of each checkpoint by its folder.

    Raises RecipeError at the first that has any, unless it is allowed, and CheckpointError.
    """
    found = {}
    for folder in checkpoints:
        overlap = found[str(folder)] = pretraining_overlap(folder, dataset, part)
        if overlap.overlapping and not allow:
            raise RecipeError(
                f"{dataset.folder}: {overlap.overlapping:,} of {overlap.checked:,} examples of "
                f"{part} lie in regions that {folder} was pretrained on, the first is "
                f"{overlap.first}; evaluate on regions that pretraining left out, or give "
                "--allow-overlap"
            )
    return found


class _Genome(NamedTuple):
    """A genome of pretraining: of each contig the starts of what trained, and how far they reach.

    ``reach`` at i is the farthest end of the regions up to i.
    """

    name: str
    sha256: str | None
    regions: dict[str, list[Region]]
    reach: dict[str, list[int]]

    def trained(self, contig: str, start: int, end: int) -> Region | None:
        """Return a region that shares a base with ``[start, end)`` of a contig."""
        try:
            contig = same_contig(Path(self.name), self.regions, contig)
        except SequenceFileError:
            return None
        regions = self.regions[contig]
        before = bisect_left(regions, end, key=lambda region: region.start)
        if not before or self.reach[contig][before - 1] <= start:
            return None
        return next(region for region in regions[:before] if region.end > start)


def _overlap(checkpoint: TaskCheckpoint, dataset: Dataset, part: Part) -> Overlap:
    rows = dataset.part(part)
    genomes = _genomes(checkpoint)
    if not genomes:
        return Overlap(0, len(rows), 0, 0, None)
    sources = _sources(dataset)
    checked = overlapping = 0
    first = None
    for row in rows:
        source = next((s for s in sources if row.where.startswith(s.prefixes)), None)
        place = None if source is None else _place(row, source.config)
        if source is None or place is None:
            continue
        checked += 1
        for genome in genomes:
            if None not in (genome.sha256, source.sha256) and genome.sha256 != source.sha256:
                continue
            region = genome.trained(place.contig, place.start, place.end)
            if region is not None:
                overlapping += 1
                first = first or f"{row.name} ({row.where}), in {region} of {genome.name}"
                break
    return Overlap(len(genomes), len(rows), checked, overlapping, first)


def _genomes(checkpoint: TaskCheckpoint) -> list[_Genome]:
    checksums = _checksums(checkpoint)
    genomes = []
    for name, split in checkpoint.splits.items():
        regions: dict[str, list[Region]] = {}
        for region in sorted(split.train):
            regions.setdefault(region.contig, []).append(region)
        reach = {
            contig: list(accumulate((region.end for region in some), max))
            for contig, some in regions.items()
        }
        genomes.append(_Genome(name, checksums.get(name), regions, reach))
    return genomes


def _checksums(checkpoint: TaskCheckpoint) -> dict[str, str]:
    """Return the SHA-256 of the genomes of pretraining, if the donor is there and the same."""
    if checkpoint.provenance.initialised_from is None:
        return {}
    donor = standing_folder(Path(checkpoint.provenance.initialised_from))
    try:
        regions = json.loads((donor / "regions.json").read_text(encoding="utf-8"))
        provenance = json.loads((donor / "provenance.json").read_text(encoding="utf-8"))
        sums: dict[str, str] = dict(provenance["data_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    same = regions == {name: split.as_data() for name, split in checkpoint.splits.items()}
    return sums if same else {}


class _Source(NamedTuple):
    config: Any  # one of _OF_GENOMES
    sha256: str | None  # of its genome
    prefixes: tuple[str, ...]  # of what rows say of where they are from


def _sources(dataset: Dataset) -> list[_Source]:
    """Return the sources whose rows know their place."""
    sources = []
    for config in dataset.manifest.config.sources:
        if isinstance(config, _OF_GENOMES):
            path = config.genome if isinstance(config, SignalSourceConfig) else config.path
            sha256 = dataset.manifest.sources.get(str(Path(config.genome).expanduser()))
            names = {path, str(Path(path)), str(Path(path).absolute())}
            prefixes = tuple(name + mark for name in sorted(names) for mark in (": ", "/"))
            sources.append(_Source(config, sha256, prefixes))
    return sources


def _place(row: Row, config: Any) -> Region | None:
    """Return where a row lies, as its name tells it."""
    if row.contig is None:
        return None
    if isinstance(config, VariantsSourceConfig):
        variant = _VARIANT.fullmatch(row.name)
        if variant is None:
            return None
        at, ref_bp = int(variant[1]) - 1, len(variant[2])
        start = max(0, at - (config.window_bp - ref_bp) // 2)
        return Region(row.contig, start, start + config.window_bp)
    interval = _INTERVAL.fullmatch(row.name)
    return None if interval is None else Region(row.contig, int(interval[1]), int(interval[2]))
