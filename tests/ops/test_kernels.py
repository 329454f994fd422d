"""Which form runs: what was measured, unless it is told otherwise."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hyena_glt.errors import KernelError
from hyena_glt.ops import fir, modal, modal_fft
from hyena_glt.ops.kernels import VARIABLE, fir_form, modal_form, using

FP32, BF16 = torch.float32, torch.bfloat16


def test_wide_filters_are_matrix_products_where_matrices_are_of_bf16() -> None:
    assert fir_form(128, 1024, "cpu", FP32, compiled=False) == "library"
    assert fir_form(128, 1024, "cpu", BF16, compiled=False) == "toeplitz"
    assert fir_form(7, 1024, "cpu", BF16, compiled=False) == "library"
    assert fir_form(7, 1024, "cpu", BF16, compiled=True) == "taps"
    assert fir_form(7, 1, "cpu", FP32, compiled=False) == "step"
    assert fir_form(128, 1024, "cuda", BF16, compiled=False) == "library"
    assert fir_form(128, 8192, "cuda", BF16, compiled=False) == "toeplitz"


def test_narrow_filters_over_long_rows_stay_in_the_cache() -> None:
    for dtype, least in ((FP32, 2048), (BF16, 8192)):
        for taps in (3, 7):
            assert fir_form(taps, least - 1, "cpu", dtype, compiled=False) == "library"
            assert fir_form(taps, least, "cpu", dtype, compiled=False) == "cached"
        assert fir_form(128, least, "cpu", dtype, compiled=False) != "cached"
    assert fir_form(7, 1 << 20, "cuda", FP32, compiled=False) == "library"


def test_gradients_of_rows_of_a_few_patches_are_those_of_one_small_matrix_in_fp32() -> None:
    for taps in (7, 128):
        assert fir_form(taps, 24, "cpu", FP32, compiled=False, learns=True) == "toeplitz"
        assert fir_form(taps, 25, "cpu", FP32, compiled=False, learns=True) == "library"
        assert fir_form(taps, 24, "cuda", FP32, compiled=False, learns=True) == "library"
        assert fir_form(taps, 24, "cpu", FP32, compiled=False) == "library"


@pytest.mark.parametrize("length", [17, 24, 101])
def test_an_answer_has_the_same_digits_in_any_batch(length: int) -> None:
    # One filter a channel: there the matrix form's digits do change with the rows.
    x, h = torch.randn(33, 12, length), torch.randn(12, 9)
    with torch.no_grad():
        whole = fir(x, h, None, 2)
        for rows in (1, 2, 7):
            assert torch.equal(fir(x[:rows], h, None, 2), whole[:rows])


def test_a_form_can_be_asked_for_and_no_other_runs() -> None:
    x, log_pole, residue = torch.randn(1, 2, 9), -torch.rand(2, 3), torch.randn(2, 3)
    with using({"modal": "fft", "fir": "taps"}):
        assert (modal_form(), fir_form(128, 9, "cpu", BF16, compiled=False)) == ("fft", "taps")
        y, none = modal(x, log_pole, residue, None)
        assert none is None
        assert torch.equal(y, modal_fft(x, log_pole, residue))
        with pytest.raises(KernelError, match="has no state"):
            modal(x, log_pole, residue, torch.zeros(1, 2, 3), torch.tensor([9]))
    assert modal_form() == "chunked"


@pytest.mark.parametrize("forms", [{"fir": "fast"}, {"convolution": "fft"}])
def test_a_form_that_there_is_not_is_an_error_that_lists_those_there_are(
    forms: dict[str, str],
) -> None:
    with (
        pytest.raises(KernelError, match=r"expected fir=library\|toeplitz\|taps\|cached; modal="),
        using(forms),
    ):
        pass


@pytest.mark.slow
def test_the_environment_is_read() -> None:
    script = (
        "import torch; from hyena_glt.ops.kernels import modal_form, fir_form; "
        "print(modal_form(), fir_form(7, 90, 'cpu', torch.float32, False))"
    )

    def told(text: str) -> subprocess.CompletedProcess[str]:
        environment = {VARIABLE: text}
        return subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert told("modal=fft, fir=taps").stdout == "fft taps\n"
    assert told("").stdout == "chunked library\n"
    assert f"{VARIABLE}: found fir=quick" in told("fir=quick").stderr


@pytest.mark.parametrize(
    ("width", "form"), [(3, "cached"), (7, "cached"), (40, "toeplitz"), (128, "toeplitz")]
)
def test_in_bf16_a_form_is_as_near_to_the_exact_result_as_another(width: int, form: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 8, 300, generator=generator)
    h = torch.randn(2, width, generator=generator) / width**0.5
    exact = fir(x.double(), h.double(), None)
    off = {}
    for name in ("library", form):
        with using({"fir": name}):
            found = fir(x.to(BF16), h.to(BF16), None).double()
        off[name] = float((found - exact).square().mean().sqrt())
    assert off[form] < 1.2 * off["library"] < 0.02


class _NoComplex(TorchDispatchMode):
    """Fails where an operation gives complex numbers."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        assert not any(torch.is_tensor(x) and x.is_complex() for x in tree_leaves(found)), func
        return found


@pytest.mark.parametrize("dtype", [FP32, BF16], ids=str)
@pytest.mark.parametrize("taps", [3, 7, 128])
def test_nothing_that_runs_by_itself_is_complex(taps: int, dtype: torch.dtype) -> None:
    x = torch.randn(1, 4, 300, dtype=dtype, requires_grad=True)
    h = torch.randn(2, taps, dtype=dtype, requires_grad=True)
    log_pole, residue = (-torch.rand(4, 2)).requires_grad_(), torch.randn(4, 2, requires_grad=True)
    with _NoComplex():  # type: ignore[no-untyped-call]
        y = fir(x, h, None) + modal(x, log_pole, residue, None)[0]
        y.sum().backward()
    with (
        using({"modal": "fft"}),
        _NoComplex(),  # type: ignore[no-untyped-call]
        pytest.raises(AssertionError),
    ):
        modal(x, log_pole, residue, None)
