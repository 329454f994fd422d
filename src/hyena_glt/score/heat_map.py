"""Effects of every SNV of some regions, as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from hyena_glt.errors import StorageError
from hyena_glt.io import Interval, Variant, check_output, replacing_file
from hyena_glt.score.variants import Effect

MOST_BP = 2_000  # of all regions together: more could not be told apart
SUFFIXES = (".png", ".svg")

_LETTERS = "ACGT"
_LEAST_INCHES, _MOST_INCHES, _INCHES_A_BASE = 5.0, 40.0, 0.08
_TICKS = 12


class HeatMap:
    """Collects the effects of regions, in their order, and draws one map a region.

    Raises StorageError, before any work, for a name that isn't a picture's and for regions of more
    than MOST_BP bases.
    """

    def __init__(self, path: Path, regions: Sequence[Interval]) -> None:
        check_output(path)
        if path.suffix not in SUFFIXES:
            raise StorageError(
                f"{path}: found the suffix {path.suffix!r}, expected {' or '.join(SUFFIXES)}; "
                "rename the heat map"
            )
        total_bp = sum(region.length_bp for region in regions)
        if total_bp > MOST_BP:
            raise StorageError(
                f"{path}: found {total_bp:,} bp of regions, expected {MOST_BP:,} bp or less for a "
                "heat map; give fewer or shorter regions, or leave the heat map out"
            )
        self._path = path
        self._regions = regions
        self._effects: list[Float64[np.ndarray, " 4"]] = []

    def add(self, variant: Variant, effects: Sequence[Effect]) -> None:
        """Take the next position."""
        column = np.full(4, np.nan)
        for alt, effect in zip(variant.alts, effects, strict=True):
            if effect.dll_nats is not None:
                column[_LETTERS.index(alt)] = effect.dll_nats
        self._effects.append(column)

    def draw(self) -> None:
        """Write the picture; raises StorageError if that can't be."""
        effects = np.array(self._effects).T
        longest_bp = max(region.length_bp for region in self._regions)
        width = min(max(_LEAST_INCHES, _INCHES_A_BASE * longest_bp), _MOST_INCHES)
        figure = Figure(figsize=(width, 1.9 * len(self._regions) + 0.3), layout="constrained")
        FigureCanvasAgg(figure)
        limit = effect_limit(effects)
        start = 0
        every = figure.subplots(len(self._regions), 1, squeeze=False)[:, 0]
        for axes, region in zip(every, self._regions, strict=True):
            end = start + region.length_bp
            image = draw_effects(axes, effects[:, start:end], region.start, limit)
            axes.set_title(region.name, fontsize=9, loc="left")
            axes.set_xlabel(f"{region.contig}, position (bp, 0-based)", fontsize=8)
            start = end
        bar = figure.colorbar(image, ax=list(every), pad=0.01)
        bar.set_label("effect, nats", fontsize=8)
        with replacing_file(self._path) as aside:
            figure.savefig(aside, format=self._path.suffix[1:], dpi=150)


def effect_limit(effects: Float64[np.ndarray, "4 L"]) -> float:
    """Return where the colours end: few effects, and no outlier's colour, reach it."""
    known = np.abs(effects[~np.isnan(effects)])
    limit = float(np.percentile(known, 98)) if known.size else 0.0
    return limit or 1.0


def draw_effects(
    axes: Axes, effects: Float64[np.ndarray, "4 L"], start: int, limit: float
) -> AxesImage:
    """Draw the effects of every SNV from position ``start``: rows A C G T, red where it is worse.

    A cell without an effect is grey; where it is the only one of its position it is the reference
    base, and has a dot. Returns the image, for a colour bar in nats.
    """
    axes.set_facecolor("#e8e8e8")
    image = axes.imshow(
        effects, aspect="auto", cmap="RdBu", vmin=-limit, vmax=limit, interpolation="nearest"
    )
    missing = np.isnan(effects)
    rows, columns = np.nonzero(missing & (missing.sum(axis=0) == 1))
    axes.plot(columns, rows, linestyle="", marker=".", markersize=2, color="black")
    axes.set_yticks(range(4), list(_LETTERS))
    step = max(10, -(-effects.shape[1] // _TICKS // 10) * 10)
    marks = range(0, effects.shape[1], step)
    axes.set_xticks(marks, [str(start + mark) for mark in marks])
    axes.tick_params(labelsize=8)
    axes.set_ylabel("new base", fontsize=8)
    return image
