"""Where patches close: the rules, and the entropy models that some of them read."""

from math import ceil
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hyena_glt.config.base import Config

MAX_MOTIF = 32  # letters of a delimiter's motif
BLOCK_BP = 1024  # patches are counted in blocks of so many bases


class NonePatchConfig(Config):
    """Every base is a patch: the flat model."""

    kind: Literal["none"]


class FixedPatchConfig(Config):
    """A patch closes every ``size_bp`` bases: at base i where (i + 1) % size_bp == frame."""

    kind: Literal["fixed"]
    size_bp: int = Field(ge=2, le=1024)
    frame: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _frame_is_within_the_patch(self) -> "FixedPatchConfig":
        if self.frame >= self.size_bp:
            raise ValueError(f"frame={self.frame} must be below size_bp={self.size_bp}")
        return self


class DynamicPatchConfig(Config):
    """Limits of rules that read the sequence.

    A patch closes where its rule first says so once it is ``min_bp`` long, and at ``max_bp`` in any
    case. An inner stage's patch goes on from there to the end of the outer patch.
    """

    min_bp: int = Field(ge=1, description="shortest patch, in bases")
    max_bp: int = Field(le=1024, description="longest patch, in bases")
    cap: int | None = Field(
        None,
        description="most patches that a block of 1,024 bases may close, what comes after merges; "
        "default: as many as min_bp allows",
    )

    @model_validator(mode="after")
    def _limits_leave_room(self) -> "DynamicPatchConfig":
        if self.min_bp > self.max_bp:
            raise ValueError(
                f"min_bp={self.min_bp} is above max_bp={self.max_bp}; "
                "a patch has at least min_bp and at most max_bp bases"
            )
        needed = ceil(BLOCK_BP / self.max_bp) + 1
        if self.cap is not None and self.cap < needed:
            raise ValueError(
                f"cap={self.cap} is below {needed}, the patches that max_bp={self.max_bp} forces "
                f"in {BLOCK_BP:,} bases; use a larger cap or longer patches"
            )
        return self


class SyncmerPatchConfig(DynamicPatchConfig):
    """A patch closes with each closed syncmer: a k-mer whose smallest s-mer is its first or last.

    Smallest by a fixed hash. Close to 2 / (k - s + 1) of all k-mers are closed syncmers, and the
    same words are everywhere, so that patches shift with an insertion (Edgar 2021, PeerJ 9:e10805).
    """

    kind: Literal["syncmer"]
    k: int = Field(15, ge=2, le=64, description="letters of the k-mers that end patches")
    s: int = Field(6, ge=1, le=31, description="letters of the s-mers compared in a k-mer")
    min_bp: int = Field(2, ge=1, description="shortest patch, in bases")
    max_bp: int = Field(24, le=1024, description="longest patch, in bases")

    @model_validator(mode="after")
    def _words_fit(self) -> "SyncmerPatchConfig":
        if self.s >= self.k:
            raise ValueError(f"s={self.s} must be below k={self.k}: s-mers are parts of a k-mer")
        return self


class DelimiterPatchConfig(DynamicPatchConfig):
    """A patch closes at the last base of every motif, and behind every run of certain letters.

    Case doesn't matter. In nucleic acids T and U are one letter and an IUPAC code stands for its
    bases: R for A or G; only N is itself, the letter N. In proteins a symbol stands for itself. A
    run closes a patch at the first base that is no longer part of it: a base late, because no
    causal rule knows of an end before it is past.
    """

    kind: Literal["delimiter"]
    motifs: tuple[str, ...] = Field((), description="words such as TAA, or single letters")
    runs: str = Field("", description="letters whose runs end a patch, such as N")
    min_bp: int = Field(1, ge=1, description="shortest patch, in bases")
    max_bp: int = Field(64, le=1024, description="longest patch, in bases")

    @model_validator(mode="after")
    def _something_delimits(self) -> "DelimiterPatchConfig":
        if not self.motifs and not self.runs:
            raise ValueError("motifs and runs are both empty; give at least one of them")
        for motif in self.motifs:
            if not 1 <= len(motif) <= MAX_MOTIF:
                raise ValueError(
                    f"motifs holds {motif!r}, of {len(motif)} letters; expected 1 to {MAX_MOTIF}"
                )
        for name, words in (("motifs", self.motifs), ("runs", tuple(self.runs))):
            if len({word.upper() for word in words}) != len(words):
                raise ValueError(f"{name}={getattr(self, name)!r} names a word twice")
        return self


class CalibratedPatchConfig(DynamicPatchConfig):
    """Rules with a number that is found for a wanted mean patch.

    Where the number is None it is found before training, on training regions alone, and stands in
    the checkpoint's recipe.
    """

    mean_bp: float = Field(6.0, gt=0, description="wanted mean patch, in bases")

    @model_validator(mode="after")
    def _the_mean_lies_within_the_limits(self) -> "CalibratedPatchConfig":
        if not self.min_bp <= self.mean_bp <= self.max_bp:
            raise ValueError(
                f"mean_bp={self.mean_bp:g} is outside {self.min_bp} to {self.max_bp}, the limits "
                "of a patch; use another mean or other limits"
            )
        return self


class EntropyPatchConfig(CalibratedPatchConfig):
    """A patch closes where the next base is uncertain: H(next) > threshold (BLT global).

    Ill-conditioned on genomes, whose entropies crowd below 2 bits: a hundredth of a bit moves the
    mean patch by bases. Kept for comparison with BLT (arXiv 2412.09871).
    """

    kind: Literal["entropy"]
    threshold_bits: float | None = Field(None, description="None: calibrated")
    min_bp: int = Field(2, ge=1, description="shortest patch, in bases")
    max_bp: int = Field(24, le=1024, description="longest patch, in bases")


class EntropyJumpPatchConfig(CalibratedPatchConfig):
    """A patch closes where uncertainty rises: H(next) - H(current) > jump (BLT monotonic)."""

    kind: Literal["entropy_jump"]
    jump_bits: float | None = Field(None, description="None: calibrated")
    min_bp: int = Field(2, ge=1, description="shortest patch, in bases")
    max_bp: int = Field(24, le=1024, description="longest patch, in bases")


class EntropyDualPatchConfig(CalibratedPatchConfig):
    """A patch closes where the next base is uncertain and uncertainty rises (BLT combined)."""

    kind: Literal["entropy_dual"]
    threshold_bits: float | None = Field(None, description="None: calibrated")
    jump_bits: float = Field(0.0, description="least rise of the entropy")
    min_bp: int = Field(2, ge=1, description="shortest patch, in bases")
    max_bp: int = Field(24, le=1024, description="longest patch, in bases")


class BudgetPatchConfig(CalibratedPatchConfig):
    """A patch closes when so many bits of entropy have come together since the last anchor.

    Anchors are words that the sequence alone decides, so that patches fall back into step behind
    an insertion. An anchor closes a patch, however short, and starts the sum and the limits anew.
    """

    kind: Literal["budget"]
    budget_bits: float | None = Field(None, ge=1 / 1024, description="None: calibrated")
    anchor_k: int = Field(12, ge=4, le=31, description="letters of the words that may be anchors")
    anchor_every: int = Field(
        128, ge=16, description="an anchor's hash is the least of so many words up to it"
    )
    anchor_gap_bp: int = Field(512, ge=32, description="an anchor comes after so many bases anyway")
    min_bp: int = Field(3, ge=1, description="shortest patch but those that anchors end, in bases")
    max_bp: int = Field(24, le=1024, description="longest patch, in bases")


class TrackPatchConfig(CalibratedPatchConfig):
    """A patch closes where a per-base score from a file (data.track) is above a threshold."""

    kind: Literal["track"]
    threshold: float | None = Field(None, description="None: calibrated")
    min_bp: int = Field(2, ge=1, description="shortest patch, in bases")
    max_bp: int = Field(64, le=1024, description="longest patch, in bases")


class BpePatchConfig(CalibratedPatchConfig):
    """A patch is a byte-pair token of the letters. A token's end depends on what follows it."""

    kind: Literal["bpe"]
    vocabulary: int = Field(1024, ge=8, le=65_536, description="tokens; more make longer patches")
    merges: tuple[str, ...] | None = Field(
        None, description="pairs such as 'A C', in order; None: counted on training regions"
    )
    min_bp: int = Field(1, ge=1, description="shortest patch, in bases")
    max_bp: int = Field(64, le=1024, description="longest patch, in bases")

    @model_validator(mode="after")
    def _merges_join_what_is_there(self) -> "BpePatchConfig":
        tokens: set[str] = set()
        for number, merge in enumerate(self.merges or ()):
            parts = merge.split(" ")
            if len(parts) != 2 or not all(len(part) == 1 or part in tokens for part in parts):
                raise ValueError(
                    f"merges[{number}]={merge!r} isn't a pair; expected two tokens with a space "
                    "between them, each a letter or what an earlier pair has joined"
                )
            tokens.add("".join(parts))
        return self


class LearnedPatchConfig(CalibratedPatchConfig):
    """A patch closes where the encoder's state turns: H-Net's cosine router (arXiv 2507.07955).

    The threshold moves after each step of training, until patches have the wanted mean, and stands
    still outside training.
    """

    kind: Literal["learned"]
    mean_bp: float = Field(6.0, gt=1, description="wanted mean patch, in bases")
    gain: float = Field(0.3, gt=0, le=1, description="how far a step moves the threshold")
    ratio_weight: float = Field(
        0.0, ge=0, description="weight of H-Net's ratio loss, taken over each micro-batch"
    )
    min_bp: int = Field(2, ge=1, description="shortest patch, in bases")
    max_bp: int = Field(24, le=1024, description="longest patch, in bases")


PatchConfig = Annotated[
    NonePatchConfig
    | FixedPatchConfig
    | SyncmerPatchConfig
    | DelimiterPatchConfig
    | EntropyPatchConfig
    | EntropyJumpPatchConfig
    | EntropyDualPatchConfig
    | BudgetPatchConfig
    | TrackPatchConfig
    | BpePatchConfig
    | LearnedPatchConfig,
    Field(discriminator="kind"),
]
# Rules that read an entropy model.
EntropyRule = (
    EntropyPatchConfig | EntropyJumpPatchConfig | EntropyDualPatchConfig | BudgetPatchConfig
)


class KmerEntropyConfig(Config):
    """The entropy of the next base after the last k, counted on training regions."""

    kind: Literal["kmer"]
    k: int = Field(10, ge=1, le=12, description="longest context, in bases")


class ConvEntropyConfig(Config):
    """The entropy of the next letter by a small convolution with a finite field."""

    kind: Literal["conv"]
    width: int = Field(32, ge=1, description="channels")
    layers: int = Field(4, ge=1, le=10, description="layers, each dilated twice as wide")
    kernel: int = Field(5, ge=2, description="taps of a layer")
    bases: int = Field(2_000_000, ge=1, description="bases that it is trained on")
    lr: float = Field(3e-3, gt=0, description="peak learning rate")


EntropyConfig = Annotated[KmerEntropyConfig | ConvEntropyConfig, Field(discriminator="kind")]
