"""The network's shape."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hyena_glt.config.base import Config
from hyena_glt.config.layout import parse_layout

MAX_EXACT_K = 8  # 4**8 = 65,536 rows; above it a table is hashed
HASHED_ROWS = 65_536
MAX_MOTIF = 32  # letters of a delimiter's motif


class ShortConfig(Config):
    """S: Hyena with a short explicit filter."""

    width: int = Field(7, ge=2, description="filter taps, in positions of its stage")


class MediumConfig(Config):
    """M: Hyena with a medium explicit filter under a decay window, shared by groups of channels."""

    width: int = Field(128, ge=2, description="filter taps, in positions of its stage")
    group_size: int = Field(16, ge=1, description="channels that share one filter")


class LongConfig(Config):
    """L: Hyena with a filter of real exponentials, without an end."""

    poles: int = Field(16, ge=1, description="exponentials a channel")
    slowest: int = Field(
        4096, ge=2, description="longest time constant at the start, in positions of its stage"
    )
    chunk: int = Field(64, ge=1, description="positions a GEMM takes at once; changes no result")


class AttentionConfig(Config):
    """A: grouped-query attention in a window of bases."""

    heads: int = Field(4, ge=1)
    kv_heads: int = Field(1, ge=1)
    window_bp: int = Field(1024, ge=1, description="how far back a query sees, in bases")
    rotary_base: float = Field(10_000.0, gt=1)

    @model_validator(mode="after")
    def _heads_share_keys(self) -> "AttentionConfig":
        if self.heads % self.kv_heads:
            raise ValueError(
                f"heads={self.heads} is no multiple of kv_heads={self.kv_heads}; "
                "every key head serves the same number of query heads"
            )
        return self


class MixersConfig(Config):
    """The mixers' settings, by the letters of a layout."""

    S: ShortConfig = ShortConfig()
    M: MediumConfig = MediumConfig()
    L: LongConfig = LongConfig()
    A: AttentionConfig = AttentionConfig()


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

    @model_validator(mode="after")
    def _limits_leave_room(self) -> "DynamicPatchConfig":
        if self.min_bp > self.max_bp:
            raise ValueError(
                f"min_bp={self.min_bp} is above max_bp={self.max_bp}; "
                "a patch has at least min_bp and at most max_bp bases"
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


PatchConfig = Annotated[
    NonePatchConfig | FixedPatchConfig | SyncmerPatchConfig | DelimiterPatchConfig,
    Field(discriminator="kind"),
]


class EmbedConfig(Config):
    """What a position looks up: its own letter and the k-mers that end there."""

    exact_k: tuple[int, ...] = Field((), description=f"k of exact 4**k tables, 2 to {MAX_EXACT_K}")
    hashed_k: tuple[int, ...] = Field((), description="k of hashed tables")
    hashed_rows: int = Field(HASHED_ROWS, ge=2, description="rows of each hashed table")

    @model_validator(mode="after")
    def _tables_are_of_their_kind(self) -> "EmbedConfig":
        for k in self.exact_k:
            if not 2 <= k <= MAX_EXACT_K:
                raise ValueError(
                    f"exact_k holds {k}: exact tables are for 2 <= k <= {MAX_EXACT_K}; "
                    "put a longer k into hashed_k"
                )
        for k in self.hashed_k:
            if not 2 <= k <= 24:
                raise ValueError(f"hashed_k holds {k}: expected 2 <= k <= 24")
        for name, ks in (("exact_k", self.exact_k), ("hashed_k", self.hashed_k)):
            if len(set(ks)) != len(ks):
                raise ValueError(f"{name}={list(ks)} names a k twice")
        if not self.hashed_k and self.hashed_rows != HASHED_ROWS:
            raise ValueError("hashed_rows has no effect without hashed_k; remove one or add both")
        return self


class StackConfig(Config):
    """Blocks in a row at one rate."""

    width: int = Field(ge=1, description="channels of a position")
    mlp_width: int = Field(ge=1, description="hidden channels of each gated MLP")


class StageConfig(StackConfig):
    """One rate of the hierarchy: encode, cut into patches, ..., decode."""

    encoder: str = Field(description="layout of the local encoder; may be empty")
    patch: PatchConfig
    decoder: str = Field(description="layout of the local decoder; may be empty")

    @model_validator(mode="after")
    def _layouts_can_be_read(self) -> "StageConfig":
        parse_layout(self.encoder)
        parse_layout(self.decoder)
        return self


class BackboneConfig(StackConfig):
    """The innermost network, at the rate of the largest patches."""

    layout: str = Field(description='blocks, such as "2*SML A"')

    @model_validator(mode="after")
    def _layout_can_be_read(self) -> "BackboneConfig":
        if not parse_layout(self.layout):
            raise ValueError("layout is empty; a backbone has at least one block, such as 'SML'")
        return self


class ModelConfig(Config):
    """The network: nucleotides first, larger and larger patches inside."""

    direction: Literal["causal", "bidirectional", "both"] = Field(
        "causal",
        description="causal: each base from those before it; bidirectional: a masked base from "
        "both sides; both: one network that does either",
    )
    rc: Literal["none", "average", "equivariant"] = Field(
        "none",
        description="average: answers are the mean of both strands'; equivariant: strands share "
        "the network inside, exactly (bidirectional only)",
    )
    embed: EmbedConfig = EmbedConfig()
    stages: tuple[StageConfig, ...] = Field(min_length=1)
    backbone: BackboneConfig
    mixers: MixersConfig = MixersConfig()
    activation_checkpointing: bool = Field(
        False, description="recompute blocks in the backward pass instead of keeping them"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> "ModelConfig":
        if self.rc == "equivariant" and self.direction != "bidirectional":
            raise ValueError(
                f"rc=equivariant needs direction=bidirectional, found {self.direction}: a causal "
                "row reads one strand's way; use rc=average"
            )
        for outer, inner in zip(self.stages, self.stages[1:], strict=False):
            _check_nested(outer.patch, inner.patch)
        for stage in self.stages:
            self._check_stack(stage, stage.encoder + " " + stage.decoder)
        self._check_stack(self.backbone, self.backbone.layout)
        self._check_mixers_are_used()
        return self

    def layouts(self) -> str:
        """All letters used, in no order."""
        stages = "".join(parse_layout(s.encoder) + parse_layout(s.decoder) for s in self.stages)
        return stages + parse_layout(self.backbone.layout)

    def _check_mixers_are_used(self) -> None:
        used = set(self.layouts())
        for letter, default in MixersConfig():
            if letter not in used and getattr(self.mixers, letter) != default:
                raise ValueError(f"mixers.{letter} is set, but no layout has the letter {letter!r}")

    def _check_stack(self, stack: StackConfig, layout: str) -> None:
        if "A" in layout:
            heads = self.mixers.A.heads
            if stack.width % (2 * heads):
                raise ValueError(
                    f"width={stack.width} can't be split into {heads} attention heads of even "
                    f"width; use a multiple of {2 * heads}"
                )
        if "M" in layout and stack.width % self.mixers.M.group_size:
            raise ValueError(
                f"width={stack.width} is no multiple of mixers.M.group_size="
                f"{self.mixers.M.group_size}"
            )


def _check_nested(outer: PatchConfig, inner: PatchConfig) -> None:
    """Inner boundaries are a subset of outer ones (DESIGN: two stages).

    A dynamic rule takes its boundaries from the outer stage's; a fixed one can't.
    """
    if isinstance(outer, NonePatchConfig) or not isinstance(inner, FixedPatchConfig):
        return
    if isinstance(outer, DynamicPatchConfig):
        raise ValueError(
            f"fixed patches of {inner.size_bp} bp can't stand inside {outer.kind} patches, which "
            "close where the sequence says; use a dynamic kind for the inner stage, or fixed for "
            "both"
        )
    if inner.size_bp % outer.size_bp or (inner.frame - outer.frame) % outer.size_bp:
        raise ValueError(
            f"patches of {inner.size_bp} bp (frame {inner.frame}) don't close where patches of "
            f"{outer.size_bp} bp (frame {outer.frame}) do; use a multiple and a matching frame"
        )
