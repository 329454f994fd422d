"""Which genome, which parts of it, in which windows."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_serializer, model_validator

from hyena_glt.config.base import Config


class ContigSplitConfig(Config):
    """Whole contigs are kept for validation and held out."""

    by: Literal["contig"]
    validation: tuple[str, ...] = Field(min_length=1)
    heldout: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _no_contig_twice(self) -> "ContigSplitConfig":
        both = set(self.validation) & set(self.heldout)
        if both:
            raise ValueError(f"contigs {sorted(both)} are both in validation and in heldout")
        return self


class RegionSplitConfig(Config):
    """Intervals ``contig:start-end`` (0-based, half-open) are kept; all else but guards trains."""

    by: Literal["region"]
    validation: tuple[str, ...] = Field(min_length=1)
    heldout: tuple[str, ...] = ()
    guard_bp: int = Field(
        10_000,
        ge=0,
        description="bases left out around each kept interval; validation and heldout lie this far "
        "apart at least",
    )


class _SharesConfig(Config):
    validation: float = Field(0.1, gt=0, lt=1)
    heldout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _something_trains(self) -> "_SharesConfig":
        if self.validation + self.heldout >= 1:
            raise ValueError("validation + heldout leave nothing to train on; use a sum below 1")
        return self


class FractionSplitConfig(_SharesConfig):
    """Of every contig, the last bases are held out and those before them are for validation."""

    by: Literal["fraction"]
    guard_bp: int = Field(
        10_000, ge=0, description="bases left out at both ends of the kept parts, and at the origin"
    )


class RecordSplitConfig(_SharesConfig):
    """Whole records (proteins, transcripts, reads), drawn at random by the recipe's seed.

    Homologous records may stand on both sides, so that a kept record can be easier than one of a
    family never seen: cluster by sequence identity first where that matters, and split by contig.
    """

    by: Literal["record"]


SplitConfig = Annotated[
    ContigSplitConfig | RegionSplitConfig | FractionSplitConfig | RecordSplitConfig,
    Field(discriminator="by"),
]

_GENOME = (
    "path of a FASTA (plain, gzip, bgzip) or .2bit file, or 'builtin:ecoli_dh1'; "
    "a relative path starts at the working folder, and ~ is not expanded"
)
_CONTIGS = "use these contigs only"
_TRACK = "a score a base, for patches of kind track: path of a bedGraph, bigWig or .npz file"


class ReservedConfig(Config):
    """Intervals that models are evaluated on: no window of training or validation comes near."""

    bed: str = Field(
        description="path of a BED; with a mixture its fourth column says which genome a line is "
        "of, by the name of the genome's file without folders, or 'builtin:ecoli_dh1'; with one "
        "genome that column isn't read"
    )
    margin_bp: int = Field(
        5000, ge=0, description="bases around each interval that are reserved with it"
    )
    exclude: bool = Field(
        False,
        description="cut what is reserved out of the training and validation regions; false: a "
        "recipe whose regions come near is refused",
    )
    nothing_on: tuple[str, ...] = Field(
        (), description="genomes that nothing is evaluated on, by file: the BED has no line of them"
    )


class SourceConfig(Config):
    """One genome of a mixture."""

    genome: str = Field(description=_GENOME)
    weight: float = Field(
        gt=0, description="windows drawn from this genome, in proportion to the other weights"
    )
    split: SplitConfig
    contigs: tuple[str, ...] | None = Field(None, description=_CONTIGS)
    track: str | None = Field(None, description=_TRACK)


class DataConfig(Config):
    """A genome, or a mixture of genomes, cut into windows."""

    genome: str | None = Field(None, description=_GENOME)
    split: SplitConfig | None = None
    contigs: tuple[str, ...] | None = Field(None, description=_CONTIGS)
    track: str | None = Field(None, description=_TRACK)
    mixture: tuple[SourceConfig, ...] | None = Field(
        None, description="two genomes or more, instead of genome, split and contigs"
    )
    window_bp: int = Field(ge=1, description="bases of a training window")
    reverse_complement: bool = Field(
        True, description="read every second window, drawn at random, from the other strand"
    )
    soft_mask_weight: float = Field(
        1.0, ge=0, le=1, description="loss weight of lower-case (repeat-masked) bases"
    )
    reserved: ReservedConfig | None = Field(
        None, description="a BED of evaluation intervals, which no window may come near"
    )

    @model_serializer(mode="wrap")
    def _as_before(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Leave ``reserved`` out where there is none: records of runs before it stay the same."""
        data = handler(self)
        if self.reserved is None:
            data.pop("reserved", None)
        return data

    @model_validator(mode="after")
    def _one_genome_or_a_mixture(self) -> "DataConfig":
        if self.mixture is None:
            for name in ("genome", "split"):
                if getattr(self, name) is None:
                    raise ValueError(f"{name} is missing; give genome and split, or a mixture")
            return self
        for name in ("genome", "split", "contigs", "track"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name} and mixture can't both be given; with a mixture each of its genomes "
                    "has its own genome, split, contigs and track"
                )
        if len(self.mixture) < 2:
            raise ValueError("mixture has fewer than two genomes; for one use genome and split")
        _check_no_contig_twice(self.mixture)
        if len({source.track is None for source in self.mixture}) > 1:
            raise ValueError("a part of the mixture has no track; give each genome one, or none")
        return self

    @property
    def has_track(self) -> bool:
        """Whether every genome comes with a score a base."""
        sources = (self,) if self.mixture is None else self.mixture
        return all(source.track is not None for source in sources)


def genome_file_name(genome: str) -> str:
    """Return what a BED calls ``genome``: its file's name; a genome of the package as it is."""
    return genome if genome.startswith("builtin:") else Path(genome).name


def _check_no_contig_twice(mixture: tuple[SourceConfig, ...]) -> None:
    """A contig in two sources could train in one and be held out in the other."""
    used: dict[str, list[SourceConfig]] = {}
    for source in mixture:
        for other in used.setdefault(source.genome, []):
            shared = set(source.contigs or ()) & set(other.contigs or ())
            if source.contigs is None or other.contigs is None or shared:
                what = f"contigs {sorted(shared)}" if shared else "contigs"
                raise ValueError(
                    f"mixture names {what} of {source.genome} twice; name every contig once "
                    "(a genome may stand twice with other contigs)"
                )
        used[source.genome].append(source)
