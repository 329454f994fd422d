"""States are nested tuples of tensors whose first axis is the row.

What is no tensor in them is the same for all rows.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

S = TypeVar("S")


def select_rows(state: S, rows: Int[Tensor, " R"]) -> S:
    """Return the state of the given rows, in their order; a row may be taken many times (fork)."""
    picked: S = _map(state, lambda tensor: tensor.index_select(0, rows))
    return picked


def put_rows(state: S, rows: Int[Tensor, " R"], part: S) -> S:
    """Return ``state`` with the given rows as ``part`` has them; the others' bits are kept."""
    whole: S = _put(state, rows, part)
    return whole


def join_rows(states: Sequence[S]) -> S:
    """Return one state of all rows of ``states``, in order, which are of one network."""
    joined: S = _joined(states)
    return joined


def named_tensors(state: Any, name: str = "") -> dict[str, Tensor]:
    """Return the tensors of a state by where they stand: ``hierarchy.encoder.0.inner``."""
    if isinstance(state, Tensor):
        return {name: state}
    if not isinstance(state, tuple):
        return {}
    fields = getattr(state, "_fields", range(len(state)))
    return {
        key: tensor
        for field, part in zip(fields, state, strict=True)
        for key, tensor in named_tensors(part, f"{name}.{field}" if name else f"{field}").items()
    }


def with_tensors(like: S, tensors: Iterable[Tensor]) -> S:
    """Return a state of the form of ``like`` that holds ``tensors``, in its order."""
    following = iter(tensors)
    filled: S = _map(like, lambda _: next(following))
    return filled


def state_bytes(state: Any) -> int:
    """Return the bytes that a state holds, all rows together."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    return sum(state_bytes(part) for part in state if part is not None)


def state_tensors(state: Any) -> list[Tensor]:
    """Return the tensors of a state, in order."""
    return list(named_tensors(state).values())


def detached_state(state: S, requires_grad: bool = False) -> S:
    """Return the state as a start of its own: no gradient flows into what led to it.

    With ``requires_grad`` the gradient by its floating numbers can be asked for.
    """

    def leaf(tensor: Tensor) -> Tensor:
        return tensor.detach().requires_grad_(requires_grad and tensor.is_floating_point())

    cut: S = _map(state, leaf)
    return cut


def _map(state: Any, function: Any) -> Any:
    if isinstance(state, Tensor):
        return function(state)
    if not isinstance(state, tuple):
        return state
    return _like(state, [_map(part, function) for part in state])


def _put(state: Any, rows: Tensor, part: Any) -> Any:
    if isinstance(state, Tensor):
        return state.index_copy(0, rows, part)
    if not isinstance(state, tuple):
        return part
    pairs = zip(state, part, strict=True)
    return _like(state, [_put(whole, rows, some) for whole, some in pairs])


def _like(state: Any, parts: list[Any]) -> Any:
    """Return ``parts`` as a tuple of the state's kind."""
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def _joined(states: Sequence[Any]) -> Any:
    first = states[0]
    if isinstance(first, Tensor):
        return torch.cat(list(states))
    if not isinstance(first, tuple):
        return first
    return _like(first, [_joined(parts) for parts in zip(*states, strict=True)])
