"""What ``hyena-glt info --kernels`` shows: the form in which each convolution runs."""

from collections.abc import Iterator
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from hyena_glt.model import HyenaGLT
from hyena_glt.nn.mixers import ExplicitFilter, ModalFilter
from hyena_glt.ops.kernels import fir_form, modal_form

_PLACES = {  # device, precision, whether it is compiled
    "cpu fp32": ("cpu", torch.float32, False),
    "cpu bf16": ("cpu", torch.bfloat16, False),
    "cuda bf16": ("cuda", torch.bfloat16, False),
    "compiled fp32": ("cpu", torch.float32, True),
    "compiled bf16": ("cpu", torch.bfloat16, True),
}


def kernels_of(network: HyenaGLT, window_bp: int) -> list[dict[str, Any]]:
    """Return, for each kind of convolution, where it is, how long it runs and in which forms.

    Lengths are those of a window of ``window_bp`` bases, at the mean patch of each rate.
    """
    found: dict[tuple[str, int, int], dict[str, Any]] = {}
    for name, module in network.named_modules():
        for operation, taps in _convolutions(module, network.direction == "bidirectional"):
            length = max(1, round(window_bp / _mean_patch_bp(network, name)))
            row = found.setdefault(
                (operation, taps, length),
                {"operation": operation, "taps": taps, "length": length, "count": 0, "forms": {}},
            )
            row["count"] += 1
            row["forms"] = _forms(operation, taps, length)
    return list(found.values())


def show_kernels(kernels: list[dict[str, Any]]) -> None:
    """Print them as a table."""
    columns = list(kernels[0]["forms"]) if kernels else []
    table = Table(title="forms of convolutions")
    for heading in ("", "taps", "length", "n", *columns):
        table.add_column(heading, no_wrap=True)
    for row in kernels:
        numbers = (f"{row[name]:,}" for name in ("taps", "length", "count"))
        table.add_row(row["operation"], *numbers, *row["forms"].values())
    Console().print(table)


def _convolutions(module: torch.nn.Module, two_sided: bool) -> Iterator[tuple[str, int]]:
    if isinstance(module, ExplicitFilter):
        yield "fir", module.width + (module.width - 1) * two_sided
    elif isinstance(module, ModalFilter):
        yield "modal", module.residue.shape[1]


def _mean_patch_bp(network: HyenaGLT, name: str) -> float:
    """Bases a position of the module ``name``: the patches of all rates around it."""
    rates = name.split(".blocks")[0].split(".").count("inner")  # hierarchy.inner.inner: two
    return network.patchers[rates - 1].mean_bp if rates else 1.0


def _forms(operation: str, taps: int, length: int) -> dict[str, str]:
    if operation == "modal":
        return dict.fromkeys(_PLACES, modal_form())
    return {
        place: fir_form(taps, length, device, dtype, compiled)
        for place, (device, dtype, compiled) in _PLACES.items()
    }
