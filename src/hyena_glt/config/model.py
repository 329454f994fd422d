"""The network's shape."""

import math
from typing import Literal

from pydantic import Field, field_validator, model_validator

from hyena_glt.config.base import Config
from hyena_glt.config.layout import parse_layout
from hyena_glt.config.patch import (
    BpePatchConfig,
    DynamicPatchConfig,
    EntropyConfig,
    EntropyRule,
    FixedPatchConfig,
    LearnedPatchConfig,
    NonePatchConfig,
    PatchConfig,
)

MAX_EXACT_K = 8  # 4**8 = 65,536 rows; above it a table is hashed
HASHED_ROWS = 65_536


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

    @field_validator("window_bp", mode="before")
    @classmethod
    def _window_has_an_end(cls, window_bp: object) -> object:
        if window_bp is None:
            raise ValueError(
                "found null, no window: a row's state would grow with every base, and its size has "
                "a bound here. To see whole rows, give their length, such as window_bp: 8192. That "
                "costs time with the square of the window and, in each block, 2 * kv_heads * "
                "(width / heads) numbers of state a row for every position in it; 'hyena-glt info' "
                "shows how many bytes"
            )
        return window_bp

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
    pooling: Literal["mean_max", "aligned"] = Field(
        "mean_max",
        description="mean_max: the mean and the maximum of a patch's positions; aligned: its "
        "positions side by side, so that a codon's places are told apart (fixed patches only)",
    )
    decoder: str = Field(description="layout of the local decoder; may be empty")

    @model_validator(mode="after")
    def _layouts_can_be_read(self) -> "StageConfig":
        parse_layout(self.encoder)
        parse_layout(self.decoder)
        return self

    @model_validator(mode="after")
    def _places_are_known(self) -> "StageConfig":
        if self.pooling == "aligned" and not isinstance(self.patch, FixedPatchConfig):
            raise ValueError(
                f"pooling=aligned lays as many positions side by side in each patch, and those of "
                f"{self.patch.kind} patches differ; use patch.kind=fixed or pooling=mean_max"
            )
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
    entropy: EntropyConfig | None = Field(
        None, description="what the entropy kinds and budget of patch read; the model holds it"
    )
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
        for level, stage in enumerate(self.stages[1:], 1):
            _check_nested(self.outer_patch(level) or self.stages[0].patch, stage.patch)
        self._check_entropy_is_used()
        for stage in self.stages:
            if isinstance(stage.patch, BpePatchConfig) and self.direction != "bidirectional":
                raise ValueError(
                    f"patch.kind=bpe needs direction=bidirectional, found {self.direction}: a "
                    "token's end depends on the letters behind it, which a causal model would see "
                    "that way; use fixed, syncmer or budget"
                )
        for stage in self.stages:
            self._check_stack(stage, stage.encoder + " " + stage.decoder)
        self._check_stack(self.backbone, self.backbone.layout)
        self._check_mixers_are_used()
        return self

    def outer_patch(self, level: int) -> PatchConfig | None:
        """Return the rule in whose patches those of stage ``level`` lie; None if in bases.

        Stages of `none` between the two close where the outer one does.
        """
        outer = [stage.patch for stage in self.stages[:level] if stage.patch.kind != "none"]
        return outer[-1] if outer else None

    def layouts(self) -> str:
        """All letters used, in no order."""
        stages = "".join(parse_layout(s.encoder) + parse_layout(s.decoder) for s in self.stages)
        return stages + parse_layout(self.backbone.layout)

    def _check_entropy_is_used(self) -> None:
        readers = [s.patch.kind for s in self.stages if isinstance(s.patch, EntropyRule)]
        if readers and self.entropy is None:
            raise ValueError(
                f"patch.kind={readers[0]} reads an entropy model; add one, such as "
                "model.entropy={kind: kmer, k: 10}"
            )
        if self.entropy is not None and not readers:
            raise ValueError(
                "entropy is set, but no stage has a kind that reads it: entropy, entropy_jump, "
                "entropy_dual or budget"
            )

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
    if isinstance(inner, LearnedPatchConfig) and inner.ratio_weight:
        mean_bp = {"none": 1.0, "fixed": getattr(outer, "size_bp", 0.0)}.get(
            outer.kind, getattr(outer, "mean_bp", math.inf)
        )
        if not inner.mean_bp > mean_bp:
            raise ValueError(
                f"learned patches with a ratio_weight and mean_bp={inner.mean_bp:g} must be longer "
                f"than the {outer.kind} patches that they stand in, whose mean must be known; use "
                "a larger mean_bp, or leave out ratio_weight"
            )
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
