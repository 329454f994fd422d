"""Calls that are compiled: asked for, and as they were where there is no compiler."""

import os
import shutil
import warnings

from hyena_glt.model.glt import HyenaGLT

_COMPILERS = ("c++", "g++", "clang++")  # that torch's own search finds


def compile_calls(network: HyenaGLT, device: str) -> bool:
    """Compile what ``network`` does in a call from now on; return whether that can be done.

    Weights, states and results are the same, but for rounding. The first call of a shape takes a
    minute or more; other shapes are compiled in their turn, and after a few run as written. On a
    CPU without a C++ compiler a RuntimeWarning says so, and nothing changes.
    """
    if device == "cpu" and not _has_compiler():
        warnings.warn(
            "compiling needs a C++ compiler, and none is installed (looked for $CXX, "
            f"{', '.join(_COMPILERS)}); going on without. Install one, or leave compile out",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    network.compile()
    return True


def _has_compiler() -> bool:
    asked = os.environ.get("CXX")
    return any(shutil.which(name) for name in (asked, *_COMPILERS) if name)
