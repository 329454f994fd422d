"""Takes a suite of labelled sets; gives what ours and floors measure on them, side by side."""

from hyena_glt.suites.library import absent_files, load_suite, suite_names
from hyena_glt.suites.results import Cell, Results, read_results
from hyena_glt.suites.run import CONTENDERS, BenchmarkOptions, run_suite

__all__ = [
    "CONTENDERS",
    "BenchmarkOptions",
    "Cell",
    "Results",
    "absent_files",
    "load_suite",
    "read_results",
    "run_suite",
    "suite_names",
]
