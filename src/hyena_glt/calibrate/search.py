"""The threshold, budget or merges that give patches the mean length asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import torch

from hyena_glt.calibrate.sample import Sample, emissions_of, mean_patch_bp
from hyena_glt.config import (
    BpePatchConfig,
    CalibratedPatchConfig,
    LearnedPatchConfig,
    TrackPatchConfig,
)
from hyena_glt.errors import CalibrationError
from hyena_glt.patch import UNIT, Patcher, build_patcher
from hyena_glt.tokenize import Modality

TOLERANCE = 0.02  # relative, of the mean patch
_NUMBER = {
    **{"entropy": "threshold_bits", "entropy_dual": "threshold_bits"},
    **{"entropy_jump": "jump_bits", "budget": "budget_bits"},
    **{"track": "threshold", "bpe": "merges"},
}
# Most and least that a threshold may be, in bits: 20 letters have 4.3 at most.
_RANGE_BITS = {
    **{"entropy": (0, 5), "entropy_dual": (0, 5), "entropy_jump": (-5, 5)},
    "budget": (1 / UNIT, 5 * 1024),
}
_STEPS_BITS = (-0.1, -0.01, 0.01, 0.1)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was found for one stage, and how much hangs on it."""

    stage: int
    kind: str
    number: str  # the config's key that was found
    value: float  # bits, the track's unit, or merges
    wanted_bp: float
    mean_bp: float  # on the sample
    sample_bp: int
    # How the mean patch moves with the number: (number, mean patch).
    sensitivity: tuple[tuple[float, float], ...]


def is_open(patch: object) -> TypeGuard[CalibratedPatchConfig]:
    """Whether a number of the rule is still to be found."""
    if not isinstance(patch, CalibratedPatchConfig) or isinstance(patch, LearnedPatchConfig):
        return False
    return getattr(patch, _NUMBER[patch.kind]) is None  # type: ignore[attr-defined]


def reopened(patch: CalibratedPatchConfig, mean_bp: float) -> CalibratedPatchConfig:
    """Return the rule with its number to be found, for patches of ``mean_bp``."""
    number = _NUMBER[patch.kind]  # type: ignore[attr-defined]
    return patch.model_copy(update={number: None, "mean_bp": mean_bp})


def calibrate_stage(
    stage: int,
    config: CalibratedPatchConfig,
    outer: Sequence[Patcher],
    sample: Sample,
    modality: Modality,
    merges: tuple[str, ...] = (),
) -> tuple[CalibratedPatchConfig, Calibration]:
    """Return (``config`` with its number, what was found), inside the stages of ``outer``.

    The number whose mean patch is nearest to ``config.mean_bp`` is found by bisection, as the mean
    grows with thresholds, budgets and merges (and shrinks with a lower one). Raises
    CalibrationError where the nearest is more than 2 % off.
    """
    kind = config.kind  # type: ignore[attr-defined]
    name = _NUMBER[kind]
    values, setting = _numbers(config, sample, merges)
    measured: dict[int, float] = {}

    def mean_at(index: int) -> float:
        if index not in measured:
            patch = config.model_copy(update={name: setting(index)})
            patcher = build_patcher(patch, modality)  # type: ignore[arg-type]
            measured[index] = mean_patch_bp(emissions_of([*outer, patcher], sample)[-1])
        return measured[index]

    low, high = 0, values - 1
    while high - low > 1:
        middle = (low + high) // 2
        if mean_at(middle) < config.mean_bp:
            low = middle
        else:
            high = middle
    best = min((low, high), key=lambda index: abs(mean_at(index) - config.mean_bp))
    mean_bp = mean_at(best)
    if abs(mean_bp / config.mean_bp - 1) > TOLERANCE:
        raise CalibrationError(
            f"model.stages.{stage}.patch ({kind}): no {name} gives patches of "
            f"{config.mean_bp:g} bp in the mean; nearest are {_shown(mean_at(low))} and "
            f"{_shown(mean_at(high))} bp, between min_bp={config.min_bp} and "
            f"max_bp={config.max_bp}. Use another mean_bp or other limits"
            + ("" if kind != "bpe" else ", or a larger vocabulary")
        )
    found = config.model_copy(update={name: setting(best)})
    return found, Calibration(
        stage=stage,
        kind=kind,
        number=name,
        value=_as_number(setting(best)),
        wanted_bp=config.mean_bp,
        mean_bp=mean_bp,
        sample_bp=sample.bases,
        sensitivity=tuple(
            (_as_number(setting(index)), mean_at(index)) for index in _around(kind, best, values)
        ),
    )


def _numbers(
    config: CalibratedPatchConfig, sample: Sample, merges: tuple[str, ...]
) -> tuple[int, Callable[[int], float | tuple[str, ...]]]:
    """Return (how many settings there are, the i-th), from short patches to long ones."""
    if isinstance(config, BpePatchConfig):
        return len(merges) + 1, lambda index: merges[:index]
    if isinstance(config, TrackPatchConfig):
        assert sample.track is not None
        known = sample.track[~sample.track.isnan()]
        if not len(known):
            raise CalibrationError(
                "data.track has no value in the training windows sampled; give a file that covers "
                "the training regions"
            )
        values = torch.unique(known).tolist()
        return len(values), lambda index: float(values[index])
    first, last = (round(bits * UNIT) for bits in _RANGE_BITS[config.kind])  # type: ignore[attr-defined]
    return last - first + 1, lambda index: (first + index) / UNIT


def _around(kind: str, best: int, values: int) -> list[int]:
    """Settings near the best: by bits where it counts in bits, else by a hundredth of them all."""
    if kind in _RANGE_BITS:
        near = [best + round(bits * UNIT) for bits in _STEPS_BITS]
    else:
        near = [best + round(share * values) for share in (-0.1, -0.01, 0.01, 0.1)]
    return sorted({min(max(index, 0), values - 1) for index in near} - {best})


def _as_number(value: float | tuple[str, ...]) -> float:
    return float(len(value)) if isinstance(value, tuple) else value


def _shown(mean_bp: float) -> str:
    return f"{mean_bp:.2f}"
