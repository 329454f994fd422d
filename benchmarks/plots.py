"""Draws what benchmarks have kept: seconds and memory against length, on logarithmic axes.

Memory that should stay flat has a linear one, from zero.

    python benchmarks/plots.py            # prints the log-log slopes of benchmarks/results/
    python benchmarks/plots.py draw       # and writes docs/results/train_step.png and others

Reads the JSON of operators, training steps, decoding and streaming, of those what is there. A slope
is that of the straight line through (log length, log value), by least squares: 1 is linear.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from measuring.kept import LONG_FORMS, ROOT, read

PAGES = ROOT / "docs" / "results"
MOST_IN_A_ROW = 3


Lines = dict[str, list[tuple[float, float]]]


class Panel(NamedTuple):
    """One pair of axes: a line of (x, y) a label. What should stay flat is drawn from zero."""

    title: str
    x: str
    y: str
    lines: Lines
    from_zero: bool = False


def operators_panels(found: dict[str, Any]) -> Iterator[Panel]:
    """Yield milliseconds, forward and backward, of each group in each precision."""
    for precision in ("fp32", "bf16"):
        for group in ("long", "medium", "mixers"):
            lines: Lines = {}
            for at in found["results"]:
                if (at["group"], at["precision"]) == (group, precision):
                    for name, about in at.items():
                        if isinstance(about, dict):
                            point = (at["length"], about["with_gradients_ms"])
                            lines.setdefault(name, []).append(point)
            yield Panel(f"{group}, {precision}", "row, bp", "ms with gradients", lines)


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
) -> Lines:
    """A line a contender, of the places that were measured in ``precision``."""
    lines: Lines = {}
    for at in places:
        if at["precision"] == precision:
            for name, about in at["contenders"].items():
                lines.setdefault(name, []).append((at["length_bp"], value(about)))
    return lines


def decode_panels(found: dict[str, Any]) -> Iterator[Panel]:
    """Yield milliseconds a step, and what is remembered of a row, against the position."""
    steps: Lines = {}
    memory: Lines = {}
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


def stream_panels(found: dict[str, Any]) -> Iterator[Panel]:
    """Yield seconds, and peak memory, against the strand's length."""
    for title, key, y, is_flat in (
        ("scored from disk", "seconds", "seconds", False),
        ("peak memory", "peak_mib", "MiB", True),
    ):
        points = [(at["length_bp"], at[key]) for at in found["lengths"]]
        yield Panel(title, "strand, bp", y, {f"patched, {found['precision']}": points}, is_flat)


PANELS = {
    "operators": operators_panels,
    "train_step": train_step_panels,
    "train_step_compiled": train_step_panels,
    "decode": decode_panels,
    "stream": stream_panels,
    "stream_chr20": stream_panels,
}


def slope(points: list[tuple[float, float]]) -> float | None:
    """Return the log-log slope; None for a single point."""
    if len(points) < 2:
        return None
    x, y = np.log(np.array(points)).T
    return round(float(np.polyfit(x, y, 1)[0]), 3)


def slopes(panels: list[Panel]) -> dict[str, dict[str, float | None]]:
    """Return the slope of every line, by panel and label."""
    return {
        panel.title: {label: slope(points) for label, points in panel.lines.items()}
        for panel in panels
    }


def panels_of(name: str, found: dict[str, Any]) -> list[Panel]:
    """Return what is to be drawn of what benchmark ``name`` found; panels with no line not."""
    return [panel for panel in PANELS[name](found) if panel.lines]


def drawn(panels: list[Panel]) -> Figure:
    """Return the panels, few of them side by side, more in rows."""
    rows = -(-len(panels) // MOST_IN_A_ROW)
    columns = -(-len(panels) // rows)
    figure = Figure(figsize=(4.2 * columns, 3.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.remove()
    for axes, panel in zip(grid, panels, strict=False):
        for label, points in panel.lines.items():
            axes.loglog(*zip(*points, strict=True), marker="o", label=label)
        if panel.from_zero:
            # Margins of the logarithmic axis would leave the highest points outside.
            highest = max(y for points in panel.lines.values() for _, y in points)
            axes.set(yscale="linear", ylim=(0, 1.1 * highest))
        axes.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend(fontsize="small")
    return figure


def draw(results: Path, out: Path) -> None:
    """Write NAME.png into ``out`` for each NAME.json in ``results`` that is to be drawn."""
    matplotlib.use("agg")
    for name in PANELS:
        found = read(results, name)
        if found is not None:
            out.mkdir(parents=True, exist_ok=True)
            drawn(panels_of(name, found)).savefig(out / f"{name}.png", dpi=120)


def main() -> int:
    """Print the slopes, and draw where that is asked for."""
    parser = argparse.ArgumentParser(description="Plots of what benchmarks have kept.")
    parser.add_argument("action", nargs="?", choices=("draw",))
    parser.add_argument("--results", type=Path, default=LONG_FORMS)
    parser.add_argument("--out", type=Path, default=PAGES)
    arguments = parser.parse_args()
    kept = {name: read(arguments.results, name) for name in PANELS}
    found = {name: slopes(panels_of(name, of)) for name, of in kept.items() if of is not None}
    print(json.dumps(found, indent=1))
    if arguments.action == "draw":
        draw(arguments.results, arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
