"""Which bases train, which choose, and which are read once at the end."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from hyena_glt.config import SourceConfig
from hyena_glt.config.data import (
    ContigSplitConfig,
    FractionSplitConfig,
    RecordSplitConfig,
    RegionSplitConfig,
)
from hyena_glt.data.genome import Genome
from hyena_glt.errors import RecipeError


class Region(NamedTuple):
    """An interval of a contig, 0-based and half-open."""

    contig: str
    start: int
    end: int

    @property
    def length_bp(self) -> int:
        """Bases in the interval."""
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.contig}:{self.start}-{self.end}"


class Split(NamedTuple):
    """Disjoint parts of a genome; what is in none of them is a guard."""

    train: tuple[Region, ...]
    validation: tuple[Region, ...]
    heldout: tuple[Region, ...]

    def as_data(self) -> dict[str, list[list[Any]]]:
        """Return [contig, start, end] of each part's regions, as JSON holds them."""
        return {
            part: [list(region) for region in regions] for part, regions in self._asdict().items()
        }

    @classmethod
    def from_data(cls, data: dict[str, list[list[Any]]]) -> "Split":
        """Return the split that ``as_data`` gave."""
        return cls(*(tuple(Region(*region) for region in data[part]) for part in cls._fields))


def split_genome(genome: Genome, config: SourceConfig, seed: int) -> Split:
    """Return the parts of ``genome``; ``seed`` draws the records of a split by record.

    Raises RecipeError where a part is missing or empty.
    """
    names = genome.names
    if config.contigs is not None:
        _check_contigs(config.contigs, names, "data.contigs")
        names = config.contigs
    lengths = {name: genome.length_bp(name) for name in names}
    if isinstance(config.split, ContigSplitConfig):
        split = _by_contig(lengths, config.split)
    elif isinstance(config.split, RegionSplitConfig):
        split = _by_region(lengths, config.split)
    elif isinstance(config.split, RecordSplitConfig):
        split = _by_record(lengths, config.split, seed)
    else:
        split = _by_fraction(lengths, config.split)
    for part, regions in (("train", split.train), ("validation", split.validation)):
        if not sum(region.length_bp for region in regions):
            raise RecipeError(
                f"data.split of {config.genome} leaves no base in {part}; keep less, or a smaller "
                "guard"
            )
    return split


def cut_out(regions: Sequence[Region], taken: Sequence[Region]) -> tuple[Region, ...]:
    """Return what is left of ``regions`` without ``taken``, whose own may overlap; in order."""
    by_contig: dict[str, list[Region]] = {}
    for region in sorted(taken):
        by_contig.setdefault(region.contig, []).append(region)
    left: list[Region] = []
    for region in regions:
        free = region.start
        for other in by_contig.get(region.contig, ()):
            if other.start > free:
                left.append(Region(region.contig, free, min(other.start, region.end)))
            free = max(free, other.end)
            if free >= region.end:
                break
        if free < region.end:
            left.append(Region(region.contig, free, region.end))
    return tuple(left)


def parse_region(text: str, lengths: dict[str, int]) -> Region:
    """Return the region that ``contig:start-end`` names; it must lie within its contig."""
    match = re.fullmatch(r"(.+):(\d[\d,]*)-(\d[\d,]*)", text)
    if match is None:
        raise RecipeError(
            f"data.split: {text!r} is no region; expected contig:start-end (0-based, half-open)"
        )
    contig = match[1]
    _check_contigs((contig,), tuple(lengths), f"data.split: region {text!r}")
    start, end = (int(digits.replace(",", "")) for digits in match.group(2, 3))
    if not 0 <= start < end <= lengths[contig]:
        raise RecipeError(
            f"data.split: region {text!r} doesn't lie within {contig}, 0-{lengths[contig]}"
        )
    return Region(contig, start, end)


def _check_contigs(wanted: tuple[str, ...], names: tuple[str, ...], where: str) -> None:
    for name in wanted:
        if name not in names:
            shown = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
            raise RecipeError(f"{where}: no contig {name!r}; the genome has {shown}")


def _by_contig(lengths: dict[str, int], config: ContigSplitConfig) -> Split:
    _check_contigs(config.validation + config.heldout, tuple(lengths), "data.split")
    kept = set(config.validation + config.heldout)

    def whole(names: tuple[str, ...]) -> tuple[Region, ...]:
        return tuple(Region(name, 0, lengths[name]) for name in names)

    train = tuple(name for name in lengths if name not in kept)
    return Split(whole(train), whole(config.validation), whole(config.heldout))


def _by_region(lengths: dict[str, int], config: RegionSplitConfig) -> Split:
    validation = tuple(parse_region(text, lengths) for text in config.validation)
    heldout = tuple(parse_region(text, lengths) for text in config.heldout)
    _check_apart({"validation": validation, "heldout": heldout}, config.guard_bp)
    train: list[Region] = []
    for contig, length in lengths.items():
        free = 0
        kept = sorted(region for region in validation + heldout if region.contig == contig)
        for region in kept:
            train.append(Region(contig, free, max(free, region.start - config.guard_bp)))
            free = max(free, min(length, region.end + config.guard_bp))
        train.append(Region(contig, free, length))
    return Split(tuple(r for r in train if r.length_bp > 0), validation, heldout)


def _check_apart(parts: dict[str, tuple[Region, ...]], guard_bp: int) -> None:
    """Raise RecipeError where regions overlap, or those of two parts are nearer than a guard."""
    last: dict[tuple[str, str], Region] = {}
    kept = sorted((region, part) for part, regions in parts.items() for region in regions)
    for region, part in kept:
        for other_part in parts:
            other = last.get((region.contig, other_part))
            if other is None:
                continue
            gap_bp = region.start - other.end
            pair = f"data.split: {other} ({other_part})"
            if gap_bp < 0:
                raise RecipeError(f"{pair} overlaps {region} ({part}); name every base once")
            if other_part != part and gap_bp < guard_bp:
                raise RecipeError(
                    f"{pair} and {region} ({part}) are {gap_bp} bp apart, expected "
                    f"guard_bp={guard_bp} or more; move one of them, or use a smaller guard_bp"
                )
        last[region.contig, part] = region


def _by_fraction(lengths: dict[str, int], config: FractionSplitConfig) -> Split:
    """Guards also lie at the contig's ends, since a circular contig's ends are neighbours."""
    guard = config.guard_bp
    train, validation, heldout = [], [], []
    for contig, length in lengths.items():
        heldout_start = length - round(config.heldout * length)
        validation_start = heldout_start - round(config.validation * length)
        train.append(Region(contig, guard, validation_start - guard))
        validation.append(Region(contig, validation_start, heldout_start - guard))
        if config.heldout:
            heldout.append(Region(contig, heldout_start, length))
    for part in (train, validation, heldout):
        for region in part:
            if region.length_bp <= 0:
                raise RecipeError(
                    f"data.split: {region.contig} ({lengths[region.contig]} bp) is too short for "
                    f"guard_bp={guard}; use a smaller guard, data.contigs, or split by contig"
                )
    return Split(tuple(train), tuple(validation), tuple(heldout))


def _by_record(lengths: dict[str, int], config: RecordSplitConfig, seed: int) -> Split:
    """A part takes its share of the records, one at least; each part keeps the file's order."""
    names = list(lengths)
    order = np.random.default_rng((seed, 3)).permutation(len(names))
    validation = max(1, round(config.validation * len(names)))
    kept = validation
    if config.heldout:
        kept += max(1, round(config.heldout * len(names)))

    def whole(numbers: Int64[np.ndarray, " R"]) -> tuple[Region, ...]:
        return tuple(Region(names[i], 0, lengths[names[i]]) for i in np.sort(numbers).tolist())

    return Split(whole(order[kept:]), whole(order[:validation]), whole(order[validation:kept]))
