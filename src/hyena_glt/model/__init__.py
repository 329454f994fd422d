"""Takes ids; gives one row of outputs a position: the network, free of any training engine."""

from hyena_glt.model.compiling import compile_calls, compile_readings
from hyena_glt.model.glt import HyenaGLT, ModelState, Output
from hyena_glt.model.hierarchy import Hierarchy
from hyena_glt.model.precision import has_bf16_units, most_exact, warn_of_slow_bf16
from hyena_glt.model.task_network import TaskNetwork

__all__ = [
    "Hierarchy",
    "HyenaGLT",
    "ModelState",
    "Output",
    "TaskNetwork",
    "compile_calls",
    "compile_readings",
    "has_bf16_units",
    "most_exact",
    "warn_of_slow_bf16",
]
