"""Which genome, which parts of it, in which windows."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

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


class FractionSplitConfig(Config):
    """Of every contig, the last bases are held out and those before them are for validation."""

    by: Literal["fraction"]
    validation: float = Field(0.1, gt=0, lt=1)
    heldout: float = Field(0.1, ge=0, lt=1)
    guard_bp: int = Field(
        10_000, ge=0, description="bases left out at both ends of the kept parts, and at the origin"
    )

    @model_validator(mode="after")
    def _something_trains(self) -> "FractionSplitConfig":
        if self.validation + self.heldout >= 1:
            raise ValueError("validation + heldout leave nothing to train on; use a sum below 1")
        return self


SplitConfig = Annotated[
    ContigSplitConfig | RegionSplitConfig | FractionSplitConfig, Field(discriminator="by")
]


class DataConfig(Config):
    """A genome cut into windows."""

    genome: str = Field(
        description="path of a FASTA (plain, gzip, bgzip) or .2bit file, or 'builtin:ecoli_dh1'; "
        "a relative path starts at the working folder, and ~ is not expanded"
    )
    window_bp: int = Field(ge=1, description="bases of a training window")
    split: SplitConfig
    reverse_complement: bool = Field(
        True, description="read every second window, drawn at random, from the other strand"
    )
    soft_mask_weight: float = Field(
        1.0, ge=0, le=1, description="loss weight of lower-case (repeat-masked) bases"
    )
    contigs: tuple[str, ...] | None = Field(None, description="use these contigs only")
