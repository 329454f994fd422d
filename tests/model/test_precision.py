"""bf16 on a processor without units for it: a trap that is told."""

import warnings
from unittest.mock import patch

import pytest
import torch

from hyena_glt.model import has_bf16_units, most_exact, warn_of_slow_bf16


def test_a_processor_without_units_warns_of_bf16_alone() -> None:
    with patch("hyena_glt.model.precision.has_bf16_units", return_value=False):
        with pytest.warns(RuntimeWarning, match="has no units for bf16.*Use precision fp32"):
            warn_of_slow_bf16("bf16", "cpu")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_of_slow_bf16("fp32", "cpu")


def test_a_processor_with_units_is_silent() -> None:
    with (
        patch("hyena_glt.model.precision.has_bf16_units", return_value=True),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        warn_of_slow_bf16("bf16", "cpu")


def test_accelerators_are_taken_to_have_units() -> None:
    assert has_bf16_units("cuda:0")
    assert has_bf16_units("mps")


def test_answers_are_as_exact_as_the_device_can_have_them() -> None:
    assert most_exact(torch.device("cpu")) == torch.float64
    assert most_exact(torch.device("cuda:1")) == torch.float64
    assert most_exact(torch.device("mps")) == torch.float32
