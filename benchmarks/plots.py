"""Draws what benchmarks have kept: seconds and memory against length, on logarithmic axes.

    python benchmarks/plots.py            # prints the log-log slopes of benchmarks/results/
    python benchmarks/plots.py draw       # and writes docs/results/train_step.png, decode.png

Reads train_step.json, train_step_compiled.json and decode.json, of those what is there. A slope is
that of the straight line through (log length, log value), by least squares: 1 is linear.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ROOT / "docs" / "results"


class Panel(NamedTuple):
    """One pair of axes: a line of (x, y) a label."""

    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]


def train_step_panels(found: dict[str, Any]) -> Iterator[Panel]:
    """Yield microseconds a base, and peak memory, against the row's length."""
    for precision in ("fp32", "bf16"):
        us_a_base = _lines(found["steps"], precision, lambda at: 1e6 / at["bases_per_second"])
        yield Panel(f"training step, {precision}", "row, bp", "microseconds a base", us_a_base)
    for precision in ("fp32", "bf16"):
        mib = _lines(found["memory"], precision, lambda at: at["above_start_mib"])
        yield Panel(f"peak memory, {precision}", "row, bp", "MiB above the start", mib)


def _lines(
    places: list[dict[str, Any]], precision: str, value: Callable[[dict[str, Any]], float]
) -> dict[str, list[tuple[float, float]]]:
    """A line a contender, of the places that were measured in ``precision``."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for at in places:
        if at["precision"] == precision:
            for name, about in at["contenders"].items():
                lines.setdefault(name, []).append((at["length_bp"], value(about)))
    return lines


def decode_panels(found: dict[str, Any]) -> Iterator[Panel]:
    """Yield milliseconds a step, and what is remembered of a row, against the position."""
    steps: dict[str, list[tuple[float, float]]] = {}
    memory: dict[str, list[tuple[float, float]]] = {}
    for at in found["decoding"]:
        for name in ("patched", "transformer"):
            about, label = at[name], f"{name}, {at['batch']} rows"
            if "bases_per_second" in about:
                point = (at["position"], 1e3 * at["batch"] / about["bases_per_second"])
                steps.setdefault(label, []).append(point)
            if at["batch"] == 1:
                point = (at["position"], about["bytes_per_row"] / 1024)
                memory.setdefault(name, []).append(point)
    yield Panel("decoding", "position, bp", "milliseconds a step", steps)
    yield Panel("remembered of a row", "position, bp", "KiB", memory)


PANELS = {
    "train_step": train_step_panels,
    "train_step_compiled": train_step_panels,
    "decode": decode_panels,
}


def slope(points: list[tuple[float, float]]) -> float | None:
    """Return the log-log slope; None for a single point."""
    if len(points) < 2:
        return None
    x, y = np.log(np.array(points)).T
    return round(float(np.polyfit(x, y, 1)[0]), 3)


def drawn(panels: list[Panel]) -> Figure:
    """Return the panels side by side."""
    figure = Figure(figsize=(4.2 * len(panels), 3.6), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for label, points in panel.lines.items():
            axes.loglog(*zip(*points, strict=True), marker="o", label=label)
        axes.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend(fontsize="small")
    return figure


def main() -> int:
    """Print the slopes, and draw where that is asked for."""
    parser = argparse.ArgumentParser(description="Plots of what benchmarks have kept.")
    parser.add_argument("action", nargs="?", choices=("draw",))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=PAGES)
    arguments = parser.parse_args()
    matplotlib.use("agg")
    slopes = {}
    for name, panels_of in PANELS.items():
        path = arguments.results / f"{name}.json"
        if not path.is_file():
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        panels = [panel for panel in panels_of(found) if panel.lines]
        slopes[name] = {
            panel.title: {label: slope(points) for label, points in panel.lines.items()}
            for panel in panels
        }
        if arguments.action == "draw":
            arguments.out.mkdir(parents=True, exist_ok=True)
            drawn(panels).savefig(arguments.out / f"{name}.png", dpi=120)
    print(json.dumps(slopes, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
