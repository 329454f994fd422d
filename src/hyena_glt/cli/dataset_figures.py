"""Pictures of labelled sequences: lengths, GC, classes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hyena_glt.data.examples import Inspection
from hyena_glt.io import replacing_file

_COLOURS = ("#1f5fa8", "#b3392f", "#3a7d44", "#8a5a9e", "#9aa3ad")
_BINS = 40
_ROUNDING = 1e-9  # shares of G and C that differ by less are the same
_MOST_CLASSES = 30


def draw_inspection(out: Path, found: Inspection) -> None:
    """Draw lengths.png, gc.png (where letters pair) and classes.png (where there are classes)."""
    _histograms(out / "lengths.png", found.length_bp, "length, bp", least_step=1.0)
    gc = {name: values[~np.isnan(values)] for name, values in found.gc.items()}
    gc = {name: values for name, values in gc.items() if len(values)}
    if gc:
        most = dict(sorted(gc.items(), key=lambda item: -len(item[1]))[: len(_COLOURS)])
        _histograms(out / "gc.png", most, "share of G and C", least_step=0.002)
    parts: Mapping[str, Any] = found.report["parts"]
    key = "classes" if any("classes" in about for about in parts.values()) else "base_classes"
    if any(key in about for about in parts.values()):
        _classes(out / "classes.png", {name: about.get(key, {}) for name, about in parts.items()})


def _histograms(
    path: Path, values: Mapping[str, np.ndarray], label: str, least_step: float
) -> None:
    """Draw the share of sequences in each bin, a line for each name."""
    figure = _figure(6.4, 3.4)
    axes = figure.subplots()
    edges = _edges(np.concatenate(list(values.values())), least_step)
    for colour, (name, found) in zip(_COLOURS, values.items(), strict=False):
        counts, _ = np.histogram(found, edges)
        axes.stairs(
            100 * counts / len(found), edges, color=colour, label=f"{name} ({len(found):,})"
        )
    axes.set(xlabel=label, ylabel="share of sequences, %")
    _finish(figure, axes, path)


def _edges(values: np.ndarray, least_step: float) -> np.ndarray:
    """Return edges of at most some `_BINS` equal bins, each with as many possible values.

    Values that lie a step apart, as lengths do and the GC of sequences of one length, would
    otherwise be two in one bin and three in the next, which looks like peaks.
    """
    distinct = np.unique(values)
    gaps = np.diff(distinct)
    gaps = gaps[gaps > _ROUNDING]
    step = max(least_step, float(gaps.min())) if len(gaps) else least_step
    steps = round((distinct[-1] - distinct[0]) / step) + 1
    together = -(-steps // _BINS)
    bins = -(-steps // together)
    return np.asarray(distinct[0] - step / 2 + step * together * np.arange(bins + 1))


def _classes(path: Path, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Draw the share of each class in each part."""
    names = sorted({name for of in counts.values() for name in of})[:_MOST_CLASSES]
    figure = _figure(max(4.0, 0.5 * len(names) + 2.5), 3.4)
    axes = figure.subplots()
    width = 0.84 / len(counts)
    for place, (colour, (part, of)) in enumerate(zip(_COLOURS, counts.items(), strict=False)):
        total = max(1, sum(of.values()))
        at = np.arange(len(names)) + (place - (len(counts) - 1) / 2) * width
        axes.bar(at, [100 * of.get(n, 0) / total for n in names], width, color=colour, label=part)
    crowded = len(names) > 8 or max(map(len, names)) > 12
    axes.set_xticks(
        range(len(names)), names, rotation=45 if crowded else 0, ha="right" if crowded else "center"
    )
    axes.set_ylabel("share, %")
    _finish(figure, axes, path)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _finish(figure: Figure, axes: Axes, path: Path) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    # Beside the axes, where it hides nothing.
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
    with replacing_file(path) as aside:
        figure.savefig(aside, format="png", dpi=150)
