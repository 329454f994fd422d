"""Calls that are compiled: asked for, and as they were where there is no compiler."""

import os
import shutil
import sys
import warnings

from hyena_glt.model.glt import HyenaGLT


def compile_calls(network: HyenaGLT, device: str) -> bool:
    """Compile what ``network`` does in a call from now on; return whether that can be done.

    Weights, states and results are the same, but for rounding. The first call of a shape takes a
    minute or more; other shapes are compiled in their turn, and after a few run as written. On a
    CPU without a C++ compiler a RuntimeWarning says so, and nothing changes.
    """
    # As torch looks for it.
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if device == "cpu" and shutil.which(compiler) is None:
        warnings.warn(
            f"compiling needs a C++ compiler, and {compiler} isn't installed; going on without. "
            "Install it, name another in CXX, or leave compile out",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    network.compile()
    return True
