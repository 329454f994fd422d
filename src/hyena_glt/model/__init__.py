"""Takes ids; gives one row of outputs a position: the network, free of any training engine."""

from hyena_glt.model.compiling import compile_calls, compile_readings
from hyena_glt.model.glt import HyenaGLT, ModelState, Output
from hyena_glt.model.hierarchy import Hierarchy

__all__ = ["Hierarchy", "HyenaGLT", "ModelState", "Output", "compile_calls", "compile_readings"]
