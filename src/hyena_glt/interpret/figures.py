"""Pictures of patches: their lengths, a region as a browser shows it, means around landmarks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hyena_glt.interpret.annotation import Mark
from hyena_glt.interpret.patch_map import PatchMap
from hyena_glt.interpret.profiles import Profiles
from hyena_glt.io import Interval, replacing_file

BLUE, GREY, RED, GREEN = "#1f5fa8", "#9aa3ad", "#b3392f", "#3a7d44"
COLOURS = (BLUE, RED, GREEN, "#8a5a9e")
SMOOTH_BP = 25
MOST_BITS = 2.0  # the entropy of four letters that are all as likely
LETTERS_BP = 160  # regions up to here show their letters, and patches one by one
_WIDTH = 11.0
_LONGEST_BP = 40  # longer patches share the histogram's last bar
_BARE = {"gene", "transcript", "mRNA"}  # drawn as a line where what is in them is drawn as boxes
_LANES = 6
_LETTER_INCHES = 0.062
_LETTERS_WIDE = 100  # letters side by side in a panel, at the size of a patch's number


@dataclass(frozen=True, eq=False)
class RegionView:
    """What a picture of a region shows."""

    region: Interval
    letters: str  # of the region
    marks: Sequence[Mark]  # of its contig
    maps: Mapping[str, PatchMap]  # of its contig, by the patcher's name


def draw_lengths(path: Path, counts: Mapping[str, Int64[np.ndarray, " N"]]) -> None:
    """Draw how long patches are, by patcher: a bar a length, the last for all that are longer."""
    figure = _figure(6.4, 3.4)
    axes = figure.subplots()
    longest = min(_LONGEST_BP, max(len(found) for found in counts.values()) - 1)
    lengths = np.arange(1, longest + 1)
    width = 0.84 / len(counts)
    for place, (colour, (name, found)) in enumerate(zip(COLOURS, counts.items(), strict=False)):
        bars = np.zeros(longest + 1)
        bars[: len(found)] = found[: longest + 1]
        bars[longest] += found[longest + 1 :].sum()
        share = 100 * bars[1:] / max(1, found.sum())
        mean_bp = (np.arange(len(found)) * found).sum() / max(1, found.sum())
        axes.bar(
            lengths + (place - (len(counts) - 1) / 2) * width,
            share,
            width,
            color=colour,
            label=f"{name}: mean {mean_bp:.2f} bp",
        )
    marks = [1, *range(5, longest + 1, 5)] if longest > 12 else list(lengths)
    more = longest == _LONGEST_BP
    axes.set_xticks(marks, [f"{m}+" if more and m == longest else str(m) for m in marks])
    axes.set(xlabel="patch length, bp", ylabel="share of patches, %", xlim=(0.3, longest + 0.7))
    _plain(axes)
    axes.legend(frameon=False, fontsize=8)
    _save(figure, path)


def draw_region(path: Path, view: RegionView) -> None:
    """Draw a region: genes, patches by patcher, entropy and surprisal.

    A region of LETTERS_BP or less shows its letters and each patch; a longer one the length of the
    patch that a base is in, and running means of SMOOTH_BP over the scores.
    """
    region = view.region
    close = region.length_bp <= LETTERS_BP
    lanes = _lanes([mark for mark in view.marks if _overlap(mark, region)], region)
    scores = _scores_of(view)
    ratios = [0.3 + 0.32 * max(1, len(lanes))] if lanes else []
    ratios += [0.55 if close else 0.9] * len(view.maps) + [1.1] * len(scores)
    figure = _figure(_WIDTH, 0.75 + sum(ratios))
    axes = list(
        figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios, squeeze=False)[:, 0]
    )
    waiting = iter(axes)
    if lanes:
        _draw_genes(next(waiting), lanes, region)
    for colour, (name, found) in zip(COLOURS, view.maps.items(), strict=False):
        _draw_patches(next(waiting), name, found, region, colour, close)
    for label, colour, score in scores:
        _draw_score(next(waiting), label, score[region.start : region.end], region, colour)
    last = axes[-1]
    last.set_xlim(region.start, region.end)
    last.set_xlabel(f"{region.contig}, position (bp, 0-based)", fontsize=9)
    last.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if close:
        _draw_letters(last, view.letters, region)
    _save(figure, path)


def draw_profiles(path: Path, scores: Mapping[str, Profiles]) -> None:
    """Draw the mean of each score around each kind of landmark, with 95 % intervals, by strand."""
    kinds = list(dict.fromkeys(kind for profiles in scores.values() for kind in profiles.kinds))
    figure = _figure(1.2 + 2.9 * len(kinds), 0.7 + 2.2 * len(scores))
    grid = figure.subplots(len(scores), len(kinds), sharex=True, sharey="row", squeeze=False)
    for row, (name, profiles) in zip(grid, scores.items(), strict=True):
        for axes, kind in zip(row, kinds, strict=True):
            offsets = np.arange(-profiles.flank_bp, profiles.flank_bp)
            for strand, colour, way in (("+", BLUE, "read forward"), ("-", RED, "read backward")):
                found = profiles.of(kind, strand)
                if found is None:
                    continue
                label = f"{found.places:,} {way}"
                axes.plot(offsets, found.mean, color=colour, linewidth=0.9, label=label)
                low, high = found.mean - found.margin, found.mean + found.margin
                axes.fill_between(offsets, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.axvline(-0.5, color="black", linewidth=0.6, linestyle=":")
            _plain(axes)
            axes.legend(frameon=False, fontsize=7, loc="best")
        row[0].set_ylabel(f"{name}, bits", fontsize=9)
    for axes, kind in zip(grid[0], kinds, strict=True):
        axes.set_title(kind, fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("bp from it, as the gene reads", fontsize=8)
    _save(figure, path)


def _scores_of(view: RegionView) -> list[tuple[str, str, Float32[np.ndarray, " L"]]]:
    """Return (label, colour, values) of what is there to draw."""
    # The scores of a base are those of the first stage.
    maps = {name: one for name, one in view.maps.items() if one.stage == 1}
    several = sum(one.entropy_bits is not None for one in maps.values()) > 1
    found = []
    for name, one in maps.items():
        if one.entropy_bits is not None:
            label = f"entropy\n({name}), bits" if several else "entropy, bits"
            found.append((label, GREY, one.entropy_bits))
        if one.surprisal_bits is not None:
            found.append(("surprisal, bits", BLUE, one.surprisal_bits))
    return found


def _draw_patches(
    axes: Axes, name: str, found: PatchMap, region: Interval, colour: str, close: bool
) -> None:
    """Draw patches one by one with their lengths, or the length of each as its height."""
    edges = np.concatenate([[0], found.ends])
    first = max(0, int(np.searchsorted(edges, region.start, side="right")) - 1)
    last = int(np.searchsorted(edges, region.end, side="left"))
    edges = edges[first : last + 1]
    lengths = np.diff(edges)
    if close:
        for place, (start, end) in enumerate(pairwise(edges.tolist())):
            dark = (first + place) % 2 == 1
            shade = 0.75 if dark else 0.35
            axes.axvspan(start, end, ymin=0.1, ymax=0.9, color=colour, alpha=shade, linewidth=0)
            left, right = max(start, region.start), min(end, region.end)
            if (right - left) * _LETTERS_WIDE < region.length_bp:
                continue  # too narrow for its number
            axes.text(
                (left + right) / 2,
                0.5,
                str(end - start),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if dark else "black",
                clip_on=True,
            )
        axes.set_ylim(0, 1)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    else:
        axes.stairs(lengths, edges, fill=True, color=colour, alpha=0.35, linewidth=0)
        axes.stairs(lengths, edges, color=colour, linewidth=0.5)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_ylim(0, max(lengths.max(initial=1) * 1.08, 4))
    axes.set_ylabel(f"{name}\npatches" if close else f"{name}\npatch, bp", fontsize=8)
    _plain(axes)


def _draw_score(
    axes: Axes, label: str, bits: Float32[np.ndarray, " R"], region: Interval, colour: str
) -> None:
    places = np.arange(region.start, region.end)
    close = region.length_bp <= LETTERS_BP
    if close:
        axes.bar(places + 0.5, bits, 0.8, color=colour)
    else:
        axes.plot(places + 0.5, bits, color=colour, linewidth=0.3, alpha=0.25)
        axes.plot(places + 0.5, running_mean(bits, SMOOTH_BP), color=colour, linewidth=1.2)
        label += f"\n(mean of {SMOOTH_BP} bp)"
    axes.axhline(MOST_BITS, color="black", linewidth=0.6, linestyle=":")
    known = bits[~np.isnan(bits)]
    # A few very surprising bases would flatten all others, and entropies crowd below 2 bits.
    low, high = np.quantile(known, [0.002, 1]) if known.size else (0.0, 0.0)
    axes.set_ylim(0 if high > MOST_BITS or close else 0.98 * low, max(2.05, min(1.05 * high, 4.5)))
    axes.set_ylabel(label, fontsize=8)
    _plain(axes)


def running_mean(values: Float32[np.ndarray, " L"], width: int) -> Float32[np.ndarray, " L"]:
    """Return the mean of the ``width`` values around each, fewer at the ends; nan is no value."""
    known = ~np.isnan(values)
    window = np.ones(min(width, len(values)))
    total = np.convolve(np.where(known, values, 0), window, mode="same")
    count = np.convolve(known, window, mode="same")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(count > 0.5, total / count, np.nan), np.float32)


def _draw_letters(axes: Axes, letters: str, region: Interval) -> None:
    """Write the letters under the lowest panel's axis."""
    for place, letter in enumerate(letters, start=region.start):
        axes.annotate(
            letter,
            (place + 0.5, 0),
            (0, -3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=6,
            family="monospace",
        )
    axes.tick_params(axis="x", pad=9)


def _overlap(mark: Mark, region: Interval) -> bool:
    return mark.start < region.end and mark.end > region.start


def _lanes(marks: Sequence[Mark], region: Interval) -> list[list[Mark]]:
    """Put features side by side in lanes, so that none overlaps another; each kind has its own.

    Where coding sequences or exons are there, genes are lines that hold them. At most _LANES.
    """
    gap_bp = region.length_bp // 200
    lanes: list[list[Mark]] = []
    order = ("gene", "CDS", "exon")
    kinds = [kind for kind in order if any(mark.kind == kind for mark in marks)]
    shown = [m for m in marks if m.kind in kinds[:2]] if kinds else list(marks)
    once = {(m.kind, m.start, m.end, m.strand): m for m in reversed(shown)}
    for kind in dict.fromkeys(mark.kind for mark in shown):
        of_kind: list[list[Mark]] = []
        for mark in sorted((m for m in once.values() if m.kind == kind), key=lambda m: m.start):
            for lane in of_kind:
                if lane[-1].end + gap_bp <= mark.start:
                    lane.append(mark)
                    break
            else:
                of_kind.append([mark])
        lanes += of_kind
    return lanes[:_LANES]


def _draw_genes(axes: Axes, lanes: Sequence[Sequence[Mark]], region: Interval) -> None:
    """Draw features as arrows along their strand, with the names that fit."""
    head_bp = region.length_bp / 90
    letter_bp = _LETTER_INCHES / (_WIDTH - 1.2) * region.length_bp
    for level, lane in enumerate(lanes):
        for mark in lane:
            left, right = max(mark.start, region.start), min(mark.end, region.end)
            colour = {"+": BLUE, "-": RED}.get(mark.strand, GREY)
            low, high = -level - 0.4, -level + 0.4
            point = min(head_bp, right - left)
            if mark.strand == "-" and mark.start >= region.start:
                x = [right, left + point, left, left + point, right]
                y = [low, low, -level, high, high]
            elif mark.strand == "+" and mark.end <= region.end:
                x = [left, right - point, right, right - point, left]
                y = [low, low, -level, high, high]
            else:
                x, y = [left, right, right, left], [low, low, high, high]
            axes.fill(x, y, color=colour, alpha=0.3 if mark.kind == "gene" else 0.75, linewidth=0)
            if len(mark.name) * letter_bp + 2 * head_bp <= right - left:
                axes.text(
                    (left + right) / 2,
                    -level,
                    mark.name,
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="black" if mark.kind == "gene" else "white",
                )
    axes.set_ylim(-len(lanes) + 0.5, 0.5)
    axes.set_yticks([-level for level in range(len(lanes))], [lane[0].kind for lane in lanes])
    _plain(axes)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(left=False, bottom=False)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _save(figure: Figure, path: Path) -> None:
    """Write PNG or SVG, as the suffix says."""
    with replacing_file(path) as aside:
        figure.savefig(aside, format=path.suffix[1:], dpi=150)
