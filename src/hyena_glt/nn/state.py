"""States are nested tuples of tensors whose first axis is the row."""

from typing import Any, TypeVar

from jaxtyping import Int
from torch import Tensor

S = TypeVar("S")


def select_rows(state: S, rows: Int[Tensor, " R"]) -> S:
    """Return the state of the given rows, in their order; a row may be taken many times (fork)."""
    picked: S = _map(state, lambda tensor: tensor.index_select(0, rows))
    return picked


def state_bytes(state: Any) -> int:
    """Return the bytes that a state holds, all rows together."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    return sum(state_bytes(part) for part in state if part is not None)


def _map(state: Any, function: Any) -> Any:
    if state is None:
        return None
    if isinstance(state, Tensor):
        return function(state)
    parts = [_map(part, function) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
