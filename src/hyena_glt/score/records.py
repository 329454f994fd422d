"""Variants as the records of a new VCF, and every SNV of a region as variants."""

import re
from collections.abc import Iterable, Iterator

from hyena_glt.errors import SequenceError, SequenceFileError
from hyena_glt.io import Interval, Reference, Variant, VcfRecord, check_alleles

_PIECE_BP = 65_536  # of a region, in memory at once
_LETTERS = "ACGT"
# VCF 4.3, section 1.4.7.
_CONTIG = re.compile(r"[0-9A-Za-z!#$%&+./:;?@^_|~-][0-9A-Za-z!#$%&*+./:;=?@^_|~-]*")


def vcf_header(reference: Reference) -> tuple[str, ...]:
    """Return the header of a VCF of this genome without samples.

    Raises SequenceFileError for a contig whose name VCF doesn't allow.
    """
    for name in reference.names:
        if not _CONTIG.fullmatch(name):
            raise SequenceFileError(
                f"{reference.path}: found the contig {name!r}, a name that VCF doesn't allow; "
                "write a table instead (.tsv, .parquet), or rename the contig"
            )
    contigs = (
        f"##contig=<ID={name},length={reference.length_bp(name)}>" for name in reference.names
    )
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
    return ("##fileformat=VCFv4.2", f"##reference={reference.path}", *contigs, columns)


def vcf_records(variants: Iterable[Variant]) -> Iterator[VcfRecord]:
    """Yield the record of each variant; ``line`` counts them from 1. Raises as ``checked``."""
    for number, variant in enumerate(checked(variants), start=1):
        alts = ",".join(variant.alts) or "."
        place = f"{variant.contig}\t{variant.start + 1}\t{variant.name}\t{variant.ref}\t{alts}"
        yield VcfRecord(variant, number, f"{place}\t.\t.\t.")


def checked(variants: Iterable[Variant]) -> Iterator[Variant]:
    """Yield variants made in Python; SequenceError, with the number from 1, at one that is none."""
    for number, variant in enumerate(variants, start=1):
        try:
            if isinstance(variant.alts, str):
                raise ValueError(f"found ALTs {variant.alts!r}, expected a tuple of them")
            check_alleles(variant.ref, variant.alts)
        except ValueError as problem:
            raise SequenceError(f"variant {number}: {problem}") from None
        yield variant


def saturation_variants(reference: Reference, regions: Iterable[Interval]) -> Iterator[Variant]:
    """Yield each position of the regions with all other letters as its ALTs, on the strand given.

    A base that is no letter (an IUPAC code) has REF N and four ALTs. Regions come in their order,
    and a position that two of them hold comes twice.
    """
    for region in regions:
        contig = reference.resolve(region.contig)
        for start in range(region.start, region.end, _PIECE_BP):
            letters = reference.fetch(contig, start, min(start + _PIECE_BP, region.end))
            for position, letter in enumerate(letters.upper().replace("U", "T"), start=start):
                ref = letter if letter in _LETTERS else "N"
                alts = tuple(other for other in _LETTERS if other != ref)
                yield Variant(contig, position, ref, alts)


def on_genome(
    reference: Reference,
    regions: Iterable[Interval],
    source: object,
    skipped: list[str] | None = None,
) -> list[Interval]:
    """Return the regions, all of which lie on the genome.

    Raises SequenceFileError, naming the line, at one that doesn't; where there is a list
    ``skipped``, it is left out and what is wrong with it is added there.
    """
    found = []
    for region in regions:
        try:
            length_bp = reference.length_bp(reference.resolve(region.contig))
            if region.end > length_bp:
                raise SequenceFileError(
                    f"found {region.contig}:{region.start}-{region.end}, expected an end of "
                    f"{length_bp} or less, the length of the contig in {reference.path}; clip it"
                )
        except SequenceFileError as error:
            problem = f"{source}: line {region.line}: {error}"
            if skipped is None:
                raise SequenceFileError(problem) from None
            skipped.append(problem)
            continue
        found.append(region)
    return found
