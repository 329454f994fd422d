"""The step on a long row: what it measures, and what it calls a failure."""

from typing import Any

import long_step
import pytest
import torch


@pytest.mark.slow
def test_every_variant_takes_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_step, "WARM_BP", 64)  # within a segment: all start alike
    found = [long_step.measure(name, 300, 128, "fp32") for name in long_step.VARIANTS]
    nats = [each["nats_per_base"] for each in found]
    assert nats == pytest.approx([nats[0]] * len(nats), rel=1e-5)
    assert all(each["peak_mib"] >= each["before_mib"] > 100 for each in found)


@pytest.mark.slow
def test_gradients_are_compared_in_both_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_step, "CHECKED_BP", 300)
    monkeypatch.setattr(long_step, "CHECKED_SEGMENT_BP", 77)
    assert 0 < long_step.largest_difference(torch.float64) < long_step.DIFFERENCE["fp64"]
    monkeypatch.setitem(long_step.VARIANTS, "exact", long_step.Variant("truncated", False))
    assert long_step.largest_difference(torch.float64) > long_step.DIFFERENCE["fp64"]
    assert long_step.largest_difference(torch.float32) > long_step.DIFFERENCE["fp32"]


def result(fp32: float, step_s: float, peak_mib: int) -> dict[str, Any]:
    return {
        "gradient_differences": {"fp64": 1e-15, "fp32": fp32},
        "steps": {"exact": {"step_s": step_s, "peak_mib": peak_mib}},
    }


def test_a_wrong_slow_or_large_step_fails() -> None:
    assert long_step.holds(result(1e-6, 299, 16_000))
    assert not long_step.holds(result(1e-3, 299, 16_000))
    assert not long_step.holds(result(1e-6, 301, 16_000))
    assert not long_step.holds(result(1e-6, 299, 17_000))
