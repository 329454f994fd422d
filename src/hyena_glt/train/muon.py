"""Muon, at the precision that the processor has units for."""

import math
from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor

from hyena_glt.model import has_bf16_units


class Muon(torch.optim.Muon):
    """torch's Muon (Jordan et al. 2024), in fp32 on processors without units for bf16.

    torch orthogonalises in bf16 everywhere, which without such units can take longer than the rest
    of the training step (``benchmarks/muon.py``); fp32 is fast there, and exacter. State is the
    same in both: a run may go on on another processor.
    """

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move every matrix that has a gradient; return what ``closure`` returns."""
        devices = {matrix.device.type for group in self.param_groups for matrix in group["params"]}
        if all(has_bf16_units(device) for device in devices):
            found: float | None = torch.optim.Muon.step(self, closure)
            return found
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._move(matrix, group)
        return loss

    def _move(self, matrix: Tensor, group: dict[str, Any]) -> None:
        """Move one matrix as torch.optim.Muon does, but for the precision."""
        gradient = matrix.grad
        assert gradient is not None
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        average = state["momentum_buffer"]
        average.lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(average, group["momentum"]) if group["nesterov"] else average
        with torch.autocast(matrix.device.type, enabled=False):  # a step in bf16 is around it
            update = orthogonalised(
                update, group["ns_coefficients"], group["ns_steps"], group["eps"]
            )
        rows, columns = matrix.shape
        scale = math.sqrt(max(1, rows / columns))
        if group["adjust_lr_fn"] == "match_rms_adamw":
            scale = 0.2 * math.sqrt(max(rows, columns))  # Liu et al. 2025, arXiv:2502.16982
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        matrix.add_(update, alpha=-group["lr"] * scale)


def orthogonalised(
    matrix: Tensor, coefficients: tuple[float, float, float], iterations: int, eps: float
) -> Tensor:
    """Return ``matrix`` with its singular values brought to about 1, in its own precision.

    Newton and Schulz's iteration of fifth order on X = matrix / |matrix|: with A = X X' and (a, b,
    c) the coefficients, X becomes a X + (b A + c A A) X. Jordan et al.'s coefficients end between
    .7 and 1.2 after five iterations: fast rather than exact.
    """
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=eps)
    for _ in range(iterations):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
