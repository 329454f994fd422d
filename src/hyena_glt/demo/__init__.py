"""The main job: train on the genome that the package brings, measure, and show the result."""

from hyena_glt.demo.run import run_demo

__all__ = ["run_demo"]
