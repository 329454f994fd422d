"""What is minimised, and how."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hyena_glt.config.base import Config

Decay = Annotated[float, Field(ge=0, lt=1)]
Precision = Literal["fp32", "bf16"]  # of matrix products; weights, states and sums are fp32
Optimiser = Literal["adamw", "muon"]
# What two configs say of their fields.
OPTIMISERS = "muon: orthogonalised momentum for matrices, AdamW for the rest"
MUON_LR = "peak rate of Muon's matrices"


class CausalObjectiveConfig(Config):
    """Predict each base from those before it."""

    kind: Literal["causal"]


class _MaskingConfig(Config):
    fraction: float = Field(
        0.15, gt=0, lt=1, description="share of a window's bases that is masked"
    )
    span_bp: int = Field(1, ge=1, description="bases of a masked span; 1 masks bases one by one")


class MaskedObjectiveConfig(_MaskingConfig):
    """Hide some bases and predict them from both sides."""

    kind: Literal["masked"]


class JointObjectiveConfig(_MaskingConfig):
    """Some windows are causal and some masked: one network learns both."""

    kind: Literal["causal_and_masked"]
    masked_share: float = Field(
        0.5, gt=0, lt=1, description="share of the windows, and of the loss, that is masked"
    )


ObjectiveConfig = Annotated[
    CausalObjectiveConfig | MaskedObjectiveConfig | JointObjectiveConfig,
    Field(discriminator="kind"),
]


SegmentGradient = Literal["exact", "truncated"]


class ShorterWindowsConfig(Config):
    """A part of a run whose windows are shorter than data.window_bp."""

    window_bp: int = Field(ge=1, description="bases of a window; data.window_bp is a multiple")
    until: float = Field(
        gt=0, lt=1, description="share of the run's steps after which longer windows come"
    )


class TrainConfig(Config):
    """Optimiser, schedule and the rhythm of saving and validating."""

    bases: int = Field(
        gt=0,
        description="training bases in all, counted in whole windows: fewer are read where records "
        "are shorter than data.window_bp",
    )
    batch_windows: int = Field(16, ge=1, description="windows an optimiser step takes")
    micro_batch_windows: int | None = Field(
        None, ge=1, description="windows in memory at once; changes no result (default: all)"
    )
    window_schedule: tuple[ShorterWindowsConfig, ...] = Field(
        (),
        description="shorter windows that the run begins with, in their order; data.window_bp "
        "comes last. All steps take the same bases: shorter windows, more of them",
    )
    segment_bp: int | None = Field(
        None,
        ge=1,
        description="read windows in segments of so many bases, with carried state: activations "
        "are held for one segment at a time (default: whole windows)",
    )
    segment_gradient: SegmentGradient = Field(
        "exact",
        description="exact: that of whole windows, for one forward pass more; truncated: none "
        "flows from a segment into those before it",
    )
    optimiser: Optimiser = Field("adamw", description=OPTIMISERS)
    lr: float = Field(2e-3, gt=0, description="peak rate of AdamW's parameters")
    muon_lr: float = Field(0.02, gt=0, description=MUON_LR)
    weight_decay: float = Field(0.1, ge=0, description="of matrices only")
    betas: tuple[Decay, Decay] = (0.9, 0.95)
    clip_norm: float | None = Field(1.0, gt=0, description="largest norm of the gradient")
    warmup_fraction: float = Field(0.02, ge=0, lt=1)
    schedule: Literal["cosine", "constant_then_decay"] = "cosine"
    decay_fraction: float = Field(
        0.3, gt=0, le=1, description="last part of a constant_then_decay run"
    )
    final_lr_fraction: float = Field(0.0, ge=0, le=1, description="of the peak, at the end")
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="average of the weights; validated and kept instead of them"
    )
    precision: Precision = Field("fp32", description="of training; validation always runs in fp32")
    compile: bool = Field(
        False,
        description="compile training steps (needs a C++ compiler on a CPU): a minute or more for "
        "each length of window, then faster; validation runs as written",
    )
    validate_every_steps: int = Field(100, ge=1)
    validation_bases: int = Field(200_000, ge=1, description="bases read at each validation")
    patience: int | None = Field(
        None, ge=1, description="stop after so many validations without a better one"
    )
    save_every_steps: int = Field(100, ge=1)

    @model_validator(mode="after")
    def _settings_take_effect(self) -> "TrainConfig":
        def is_set(name: str) -> bool:
            return bool(getattr(self, name) != type(self).model_fields[name].default)

        if self.optimiser != "muon" and is_set("muon_lr"):
            raise ValueError("muon_lr has no effect with optimiser=adamw")
        if self.schedule != "constant_then_decay" and is_set("decay_fraction"):
            raise ValueError("decay_fraction has no effect with schedule=cosine")
        if self.segment_bp is None and is_set("segment_gradient"):
            raise ValueError("segment_gradient has no effect without segment_bp; add it")
        for before, after in zip(self.window_schedule, self.window_schedule[1:], strict=False):
            if not (before.window_bp < after.window_bp and before.until < after.until):
                raise ValueError(
                    f"window_schedule has {before.window_bp} bp until {before.until} before "
                    f"{after.window_bp} bp until {after.until}; both must rise"
                )
        micro = self.micro_batch_windows
        if micro is not None and micro > self.batch_windows:
            raise ValueError(
                f"micro_batch_windows={micro} is above batch_windows={self.batch_windows}"
            )
        return self
