"""A run's config."""

from typing import Literal

from pydantic import Field, model_validator

from hyena_glt.config.base import Config
from hyena_glt.config.data import DataConfig
from hyena_glt.config.model import ModelConfig
from hyena_glt.config.patch import (
    BudgetPatchConfig,
    DelimiterPatchConfig,
    DynamicPatchConfig,
    FixedPatchConfig,
    KmerEntropyConfig,
    LearnedPatchConfig,
    SyncmerPatchConfig,
    TrackPatchConfig,
)
from hyena_glt.config.train import CausalObjectiveConfig, ObjectiveConfig, TrainConfig

_LETTERS = {"dna": 4, "rna": 4, "protein": 20}
_NUCLEIC = "ACGTURYSWKMBDHVN"
_SYMBOLS = {"dna": _NUCLEIC, "rna": _NUCLEIC, "protein": "ACDEFGHIKLMNPQRSTVWYBZJXUO*"}
_OBJECTIVE_OF = {"causal": "causal", "bidirectional": "masked", "both": "causal_and_masked"}


class Recipe(Config):
    """All that decides a run's result: complete, without inheritance or interpolation."""

    name: str
    seed: int = Field(ge=0, lt=2**63)
    modality: Literal["dna", "rna", "protein"]
    side_information: bool = Field(
        False,
        description="true says that patches read a file besides the sequence (kind track): the "
        "likelihoods are conditional on it, and no bits per base to compare with other models'",
    )
    data: DataConfig
    model: ModelConfig
    objective: ObjectiveConfig = CausalObjectiveConfig(kind="causal")
    train: TrainConfig

    @model_validator(mode="after")
    def _parts_fit(self) -> "Recipe":
        if self.modality == "protein":
            if self.model.embed.exact_k:
                raise ValueError(
                    "model.embed.exact_k is for nucleic acids; for modality=protein use "
                    "hashed_k, such as [3]"
                )
            if self.data.reverse_complement:
                raise ValueError(
                    "data.reverse_complement must be false for modality=protein: a protein has "
                    "one strand"
                )
            if self.model.rc != "none":
                raise ValueError(
                    f"model.rc={self.model.rc} is for nucleic acids: a protein has one strand"
                )
        wanted = _OBJECTIVE_OF[self.model.direction]
        if self.objective.kind != wanted:
            raise ValueError(
                f"objective.kind={self.objective.kind} can't train model.direction="
                f"{self.model.direction}; use objective.kind={wanted}, or another direction"
            )
        letters = _LETTERS[self.modality]
        for k in self.model.embed.hashed_k:
            if letters**k >= 2**63:  # a code is one int64
                longest = next(n for n in range(k, 0, -1) if letters**n < 2**63)
                raise ValueError(
                    f"model.embed.hashed_k holds {k}: {letters}**{k} k-mers are more than 64 bits "
                    f"number; for modality={self.modality} use k <= {longest}"
                )
        self._check_masking()
        self._check_lengths()
        self._check_rules()
        self._check_scores()
        self._check_sizes()
        learned = any(isinstance(stage.patch, LearnedPatchConfig) for stage in self.model.stages)
        if learned and self.train.ema_decay is not None:
            raise ValueError(
                "train.ema_decay can't be set with patches of kind learned: averaged weights turn "
                "otherwise than those that the threshold was found for; remove it"
            )
        return self

    def _check_masking(self) -> None:
        """Check that a masked window has room for a whole span."""
        if isinstance(self.objective, CausalObjectiveConfig):
            return
        key, window_bp = self._shortest_window()
        masked_bp = round(self.objective.fraction * window_bp)
        if self.objective.span_bp > max(1, masked_bp):
            raise ValueError(
                f"objective.span_bp={self.objective.span_bp} is above the {masked_bp} bases that "
                f"fraction={self.objective.fraction} masks in {key}={window_bp}:"
                " no span would be that long; use shorter spans, a larger fraction or longer "
                "windows"
            )

    def _shortest_window(self) -> tuple[str, int]:
        """The recipe's shortest windows: where they are set, and their bases."""
        if self.train.window_schedule:
            return "train.window_schedule.0.window_bp", self.train.window_schedule[0].window_bp
        return "data.window_bp", self.data.window_bp

    def _check_lengths(self) -> None:
        """Check that a run's windows fit into each other, and that segments cut them."""
        window_bp = self.data.window_bp
        for number, part in enumerate(self.train.window_schedule):
            if part.window_bp >= window_bp or window_bp % part.window_bp:
                raise ValueError(
                    f"train.window_schedule.{number}.window_bp={part.window_bp} doesn't divide "
                    f"data.window_bp={window_bp}, the length of the last windows, into two or "
                    "more; a step takes the same bases throughout"
                )
        segment_bp = self.train.segment_bp
        if segment_bp is None:
            return
        if self.objective.kind != "causal":
            raise ValueError(
                f"train.segment_bp can't be set with objective.kind={self.objective.kind}: a "
                "masked window is read from both sides, whole; leave it out, and set "
                "model.activation_checkpointing or train.micro_batch_windows to save memory"
            )
        if segment_bp >= window_bp:
            raise ValueError(
                f"train.segment_bp={segment_bp} has no effect: data.window_bp={window_bp} is no "
                "longer; use shorter segments or leave it out"
            )
        for number, stage in enumerate(self.model.stages):
            if isinstance(stage.patch, LearnedPatchConfig) and stage.patch.ratio_weight:
                raise ValueError(
                    f"train.segment_bp can't be set with model.stages.{number}.patch.ratio_weight: "
                    "that loss is of a whole window and doesn't come apart into segments; leave "
                    "out one of them (the threshold keeps the mean patch without that loss)"
                )

    def _check_rules(self) -> None:
        """Check that patchers' rules read what the modality has."""
        for number, stage in enumerate(self.model.stages):
            path = f"model.stages.{number}.patch"
            words_of_bases = isinstance(stage.patch, SyncmerPatchConfig | BudgetPatchConfig)
            if words_of_bases and self.modality == "protein":
                raise ValueError(
                    f"{path}.kind={stage.patch.kind} is for nucleic acids; for modality=protein "
                    "use fixed, delimiter or entropy"
                )
            if isinstance(stage.patch, DelimiterPatchConfig):
                symbols = _SYMBOLS[self.modality]
                for word in (*stage.patch.motifs, *stage.patch.runs):
                    unknown = next((letter for letter in word if letter.upper() not in symbols), "")
                    if unknown:
                        raise ValueError(
                            f"{path} holds {unknown!r} (in {word!r}), which stands in no "
                            f"{self.modality}; expected {' '.join(symbols)} in either case"
                        )

    def _check_scores(self) -> None:
        """Check that what patchers read besides letters is there, and that it is used."""
        if self.modality == "protein" and isinstance(self.model.entropy, KmerEntropyConfig):
            raise ValueError(
                "model.entropy.kind=kmer is for nucleic acids; for modality=protein use conv"
            )
        tracks = any(isinstance(stage.patch, TrackPatchConfig) for stage in self.model.stages)
        if tracks != self.data.has_track:
            raise ValueError(
                "patches of kind track need data.track, a per-base score for every genome"
                if tracks
                else "data.track has no effect: no stage has patches of kind track"
            )
        if tracks != self.side_information:
            raise ValueError(
                "patches of kind track read a file besides the sequence; say "
                "side_information: true, since likelihoods are conditional on that file"
                if tracks
                else "side_information: true has no effect: no stage has patches of kind track"
            )

    def _check_sizes(self) -> None:
        """Check patches against the data's windows, and attention's reach against patches."""
        largest_bp = 1
        for number, stage in enumerate(self.model.stages):
            patch = stage.patch
            if isinstance(patch, FixedPatchConfig):
                key, longest_bp = "size_bp", patch.size_bp
                largest_bp = max(largest_bp, longest_bp)
            elif isinstance(patch, DynamicPatchConfig):
                key, longest_bp = "max_bp", patch.max_bp
                largest_bp += longest_bp - 1  # it goes on to the end of an outer patch
            else:
                continue
            window, window_bp = self._shortest_window()
            if longest_bp > window_bp:
                raise ValueError(
                    f"model.stages.{number}.patch.{key}={longest_bp} is above "
                    f"{window}={window_bp}: a patch could be longer than a window; "
                    "use smaller patches or longer windows"
                )
        reach_bp = self.model.mixers.A.window_bp
        if "A" in self.model.backbone.layout and reach_bp <= largest_bp:
            raise ValueError(
                f"model.mixers.A.window_bp={reach_bp} reaches no further than the "
                f"largest patch ({largest_bp} bp): in the backbone a patch would see itself "
                f"alone; use {largest_bp + 1} or more"
            )
