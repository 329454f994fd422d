"""Intervals that models are evaluated on, in one BED: training and validation keep off them."""

from collections.abc import Iterable, Mapping, Sequence

from hyena_glt.config.data import ReservedConfig, genome_file_name
from hyena_glt.data.genome import Genome
from hyena_glt.data.splits import Region, Split, cut_out
from hyena_glt.errors import RecipeError, SequenceFileError
from hyena_glt.io import Interval, read_bed


def read_reserved(
    config: ReservedConfig, genomes: Mapping[str, Genome]
) -> dict[str, tuple[Interval, ...]]:
    """Return the intervals of each genome, in the BED's order; keys are those of ``genomes``.

    Of a single genome the fourth column may hold anything, such as the names of genes.

    Raises SequenceFileError where a line is of no genome, of a contig that its genome doesn't have,
    or beyond that contig's end; RecipeError where two genomes can't be told apart, or where a
    genome has no line and ``nothing_on`` doesn't name it. Nothing in the BED is passed over.
    """
    named = _by_file_name(genomes)
    for name in config.nothing_on:
        if name not in named:
            raise RecipeError(
                f"data.reserved.nothing_on: {name!r} is no genome of this recipe; expected "
                f"{_or(named)}"
            )
    found: dict[str, list[Interval]] = {genome: [] for genome in genomes}
    for interval in read_bed(config.bed):
        where = f"{config.bed}: line {interval.line}"
        genome = named[_name_of(interval, tuple(named), where)]
        _check_on_genome(interval, genome, genomes[genome], where)
        if genome_file_name(genome) in config.nothing_on:
            raise RecipeError(
                f"data.reserved.nothing_on names {genome_file_name(genome)}, and {where} is of it; "
                "take the name out"
            )
        found[genome].append(interval)
    for genome, intervals in found.items():
        name = genome_file_name(genome)
        if not intervals and name not in config.nothing_on:
            raise RecipeError(
                f"data.reserved: {config.bed} has no line of {name}; add what is evaluated on it, "
                f"or say data.reserved.nothing_on=[{name}]"
            )
    return {genome: tuple(intervals) for genome, intervals in found.items()}


def keep_off(
    genome: str, split: Split, intervals: Sequence[Interval], config: ReservedConfig
) -> Split:
    """Return ``split`` without what is reserved, or as it is where nothing comes near.

    Held-out regions are for evaluation, and stay. Raises RecipeError where a training or validation
    region comes within the margin, or with ``exclude`` where nothing of one part is left.
    """
    if config.exclude:
        wide = [_widened(interval, config.margin_bp) for interval in intervals]
        train, validation = cut_out(split.train, wide), cut_out(split.validation, wide)
        for part, regions in (("train", train), ("validation", validation)):
            if not regions:
                raise RecipeError(
                    f"data.reserved: {config.bed} with margin_bp={config.margin_bp} leaves no base "
                    f"of {genome} in {part}; use another data.split, or a smaller margin"
                )
        return Split(train, validation, split.heldout)
    for part, regions in (("training", split.train), ("validation", split.validation)):
        near = first_near(regions, intervals, config.margin_bp)
        if near is not None:
            region, interval = near
            raise RecipeError(
                f"data.reserved: the {part} region {region} of {genome} comes within "
                f"margin_bp={config.margin_bp} of {_shown(interval)}, which is reserved for "
                f"evaluation ({config.bed}, line {interval.line}); keep off it with data.split, or "
                "cut it out with data.reserved.exclude=true"
            )
    return split


def first_near(
    regions: Iterable[Region], intervals: Iterable[Interval], margin_bp: int
) -> tuple[Region, Interval] | None:
    """Return the first region that comes near an interval, and that interval, if there is one.

    Near is an overlap, or fewer than ``margin_bp`` bases between the two.
    """
    by_contig: dict[str, list[Interval]] = {}
    for interval in intervals:
        by_contig.setdefault(interval.contig, []).append(interval)
    for region in regions:
        for interval in by_contig.get(region.contig, ()):
            wide = _widened(interval, margin_bp)
            if region.start < wide.end and wide.start < region.end:
                return region, interval
    return None


def _widened(interval: Interval, margin_bp: int) -> Region:
    """The interval with its margin, which may run over its contig."""
    return Region(interval.contig, interval.start - margin_bp, interval.end + margin_bp)


def _by_file_name(genomes: Iterable[str]) -> dict[str, str]:
    """Each genome by what the BED calls it."""
    named: dict[str, str] = {}
    for genome in genomes:
        name = genome_file_name(genome)
        if name in named:
            raise RecipeError(
                f"data.reserved: {named[name]} and {genome} have the same file name, so that the "
                "BED can't tell them apart; rename one of the files"
            )
        named[name] = genome
    return named


def _name_of(interval: Interval, names: tuple[str, ...], where: str) -> str:
    """The name of the genome that the interval is of; where there is one, all are."""
    if len(names) == 1:
        return names[0]
    # What read_bed calls an interval whose fourth column isn't there.
    if interval.name == _shown(interval):
        raise SequenceFileError(
            f"{where}: doesn't say which genome it is of; put the name of the genome's file in the "
            f"fourth column: {_or(names)}"
        )
    if interval.name not in names:
        raise SequenceFileError(
            f"{where}: found the genome {interval.name!r} in the fourth column, expected "
            f"{_or(names)}; correct it, or take the lines of other genomes out"
        )
    return interval.name


def _check_on_genome(interval: Interval, name: str, genome: Genome, where: str) -> None:
    if interval.contig not in genome.names:
        shown = ", ".join(genome.names[:8]) + (" ..." if len(genome.names) > 8 else "")
        raise SequenceFileError(
            f"{where}: found the contig {interval.contig!r}, expected one of {name}, which has "
            f"{shown}; use the genome's own names"
        )
    length_bp = genome.length_bp(interval.contig)
    if interval.end > length_bp:
        raise SequenceFileError(
            f"{where}: found {_shown(interval)}, expected it inside the contig's {length_bp} bp in "
            f"{name}; check the assembly"
        )


def _shown(interval: Interval) -> str:
    return f"{interval.contig}:{interval.start}-{interval.end}"


def _or(names: Iterable[str]) -> str:
    return " or ".join(names)
