"""Calls that are compiled: asked for, and as they were where there is no compiler."""

import os
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hyena_glt.model.glt import HyenaGLT, ModelState, Output
from hyena_glt.patch import DynamicPatcher

# A shape takes a minute or more to compile, and a compiled call saves some milliseconds.
_COMES_AGAIN = 32
_MOST_SHAPES = 6  # of a network, besides the piece; the compiler keeps 8 of one function
_LEAST_POSITIONS = 64  # a step of decoding leaves the backbone out, which no graph can


def compile_calls(network: HyenaGLT, device: str) -> bool:
    """Compile what ``network`` does in a call from now on; return whether that can be done.

    Weights, states and results are the same, but for rounding. The first call of a shape takes a
    minute or more; other shapes are compiled in their turn, and after a few run as written. On a
    CPU without a C++ compiler a RuntimeWarning says so, and nothing changes.
    """
    if not _can_compile(device):
        return False
    network.compile()
    return True


def compile_readings(network: HyenaGLT, device: str, piece_bp: int) -> bool:
    """As :func:`compile_calls`, for a network that is asked and no longer trained.

    Compiled are calls without gradients whose shape comes again and again: a stream's piece, one
    row of ``piece_bp`` positions with a state, from the first on, and any other shape of several
    rows or without a state once it has come so often that it will come again. All others run as
    written; where more shapes come again than are compiled, a RuntimeWarning says so. What a
    stream reads is compiled or not by its length alone, so that one that goes on after a kill has
    the same numbers.

    Where the sequence says where patches close, a compiled call has room for as many as can close
    at most, and saves nothing: a RuntimeWarning says so, and nothing changes.
    """
    if not (_can_compile(device) and _has_settled_patches(network)):
        return False
    network.forward = _Readings(network.forward, piece_bp)  # type: ignore[method-assign]
    return True


class _Readings:
    """A network's ``forward``, compiled for shapes that come again and again."""

    def __init__(self, forward: Callable[..., Output], piece_bp: int) -> None:
        self._as_written = forward
        # Shape by shape: the network's branches hang on the number of positions.
        self._compiled = torch.compile(forward, dynamic=False)
        self._piece_bp = piece_bp
        self._seen: Counter[tuple[int, int, bool]] = Counter()
        self._chosen: set[tuple[int, int, bool]] = set()

    def __call__(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"] | None = None,
        state: ModelState | None = None,
        two_sided: bool | None = None,
        track: Float[Tensor, "B L"] | None = None,
    ) -> Output:
        """As ``HyenaGLT.forward``."""
        if torch.is_grad_enabled() or not self._pays(ids.shape[0], ids.shape[1], state is not None):
            return self._as_written(ids, length, state, two_sided, track)
        if length is None:  # one graph for rows that say how long they are and rows that don't
            length = torch.full((len(ids),), ids.shape[1], device=ids.device)
        return self._compiled(ids, length, state, two_sided, track)

    def _pays(self, rows: int, positions: int, has_state: bool) -> bool:
        """Whether a call of this shape is to be compiled."""
        if rows == 1 and has_state:
            return positions == self._piece_bp
        if positions < _LEAST_POSITIONS:
            return False
        shape = (rows, positions, has_state)
        if shape in self._chosen:
            return True
        self._seen[shape] += 1
        if self._seen[shape] != _COMES_AGAIN:
            return False
        if len(self._chosen) == _MOST_SHAPES:
            warnings.warn(
                f"{_MOST_SHAPES} shapes of a call are compiled, and no more are; others, such as "
                f"{rows} rows of {positions} positions, run as written. Sequences or windows of "
                "one length have one shape",
                RuntimeWarning,
                stacklevel=2,
            )
            return False
        self._chosen.add(shape)
        return True


def _has_settled_patches(network: HyenaGLT) -> bool:
    """Whether positions alone say where patches close; a RuntimeWarning says where not."""
    if not any(isinstance(patcher, DynamicPatcher) for patcher in network.patchers):
        return True
    warnings.warn(
        "the model's patches close where the sequence says, and a compiled call makes room for as "
        "many as can close at most, which saves no time; going on without. Leave compile out, or "
        "take a model of fixed patches",
        RuntimeWarning,
        stacklevel=3,
    )
    return False


def _can_compile(device: str) -> bool:
    """Whether there is a compiler for ``device``; a RuntimeWarning says where there is none."""
    # As torch looks for it.
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if device != "cpu" or shutil.which(compiler) is not None:
        return True
    warnings.warn(
        f"compiling needs a C++ compiler, and {compiler} isn't installed; going on without. "
        "Install it, name another in CXX, or leave compile out",
        RuntimeWarning,
        stacklevel=3,
    )
    return False
