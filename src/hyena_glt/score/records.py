"""Variants as the records of a new VCF, and every SNV of a region as variants."""

from collections.abc import Iterable, Iterator, Sequence

from hyena_glt.errors import SequenceFileError
from hyena_glt.io import Interval, Reference, Variant, VcfRecord

_PIECE_BP = 65_536  # of a region, in memory at once
_LETTERS = "ACGT"


def vcf_header(reference: Reference) -> tuple[str, ...]:
    """Return the header of a VCF of this genome without samples."""
    contigs = (
        f"##contig=<ID={name},length={reference.length_bp(name)}>" for name in reference.names
    )
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
    return ("##fileformat=VCFv4.2", f"##reference={reference.path}", *contigs, columns)


def vcf_records(variants: Iterable[Variant]) -> Iterator[VcfRecord]:
    """Yield the record of each variant; ``line`` counts them from 1."""
    for number, variant in enumerate(variants, start=1):
        alts = ",".join(variant.alts) or "."
        place = f"{variant.contig}\t{variant.start + 1}\t{variant.name}\t{variant.ref}\t{alts}"
        yield VcfRecord(variant, number, f"{place}\t.\t.\t.")


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


def check_regions(reference: Reference, regions: Sequence[Interval], source: object) -> None:
    """Raise SequenceFileError, naming the line, at a region that isn't on the genome."""
    for region in regions:
        where = f"{source}: line {region.line}"
        try:
            length_bp = reference.length_bp(reference.resolve(region.contig))
        except SequenceFileError as error:
            raise SequenceFileError(f"{where}: {error}") from None
        if region.end > length_bp:
            raise SequenceFileError(
                f"{where}: found {region.contig}:{region.start}-{region.end}, expected an end of "
                f"{length_bp} or less, the length of the contig in {reference.path}; clip it"
            )
