"""The report's pictures, as SVG text."""

import csv
import io
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from hyena_glt.demo.genome import DemoGenome
from hyena_glt.demo.likelihood import Heldout
from hyena_glt.evaluate import Gene
from hyena_glt.score.heat_map import draw_effects, effect_limit

BLUE, GREY, RED = "#1f5fa8", "#9aa3ad", "#b3392f"
SMOOTH_BP = 75


def training_curve(metrics: Path, markov_bits: float) -> str:
    """Return bits per base by step: training (faint), its running mean, validation, Markov."""
    train, validation = read_metrics(metrics)
    figure, (axes,) = _canvas(8.4, 3.0)
    if train:
        steps, bits = (np.array(column) for column in zip(*sorted(train.items()), strict=True))
        axes.plot(steps, bits, color=GREY, linewidth=0.6, alpha=0.6, label="training batch")
        width = min(len(bits), 25)
        mean = np.convolve(bits, np.ones(width) / width, mode="valid")
        axes.plot(steps[width - 1 :], mean, color=BLUE, linewidth=1.2, label="its running mean")
    if validation:
        steps, bits = (np.array(c) for c in zip(*sorted(validation.items()), strict=True))
        axes.plot(steps, bits, color=RED, marker="o", markersize=3, label="validation")
    axes.axhline(2.0, color="black", linewidth=0.6, linestyle=":")
    axes.axhline(
        markov_bits, color="black", linewidth=0.8, linestyle="--", label="best Markov model"
    )
    axes.set(xlabel="optimiser step", ylabel="bits per base", ylim=(None, 2.02))
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure, "Bits per base during training")


def read_metrics(metrics: Path) -> tuple[dict[int, float], dict[int, float]]:
    """Return (training, validation) bits per base by step, from all attempts of a run.

    A resumed run writes a file of its own; where two hold a step, the later one counts.
    """
    train: dict[int, float] = {}
    validation: dict[int, float] = {}
    attempts = sorted(metrics.glob("*/metrics.csv"), key=lambda path: path.stat().st_mtime_ns)
    for path in attempts:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                step = int(float(row["step"]))
                if row.get("bits_per_base"):
                    train[step] = float(row["bits_per_base"])
                if row.get("validation_bits_per_base"):
                    validation[step] = float(row["validation_bits_per_base"])
    return train, validation


def surprisal_track(heldout: Heldout, genome: DemoGenome, start: int, end: int) -> str:
    """Return the model's and the Markov model's surprisal along a region, genes under it."""
    (region,) = genome.split.heldout
    inside = slice(start - region.start, end - region.start)
    figure, (axes, below) = _canvas(11.0, 3.4, rows=2)
    middle = np.arange(start, end)[SMOOTH_BP // 2 : end - start - SMOOTH_BP // 2]
    for bits, color, label in (
        (heldout.markov_bits, GREY, "best Markov model"),
        (heldout.model_bits, BLUE, "Hyena-GLT"),
    ):
        mean = np.convolve(bits[inside], np.ones(SMOOTH_BP) / SMOOTH_BP, mode="valid")
        axes.plot(middle, mean, color=color, linewidth=1.2, label=label)
    axes.axhline(2.0, color="black", linewidth=0.6, linestyle=":")
    axes.set(ylabel=f"surprisal, bits\n(mean of {SMOOTH_BP} bp)", xlim=(start, end))
    axes.legend(frameon=False, fontsize=8, loc="lower right", ncols=2)
    axes.tick_params(labelbottom=False)
    _draw_genes(below, genome.genes, start, end)
    below.set(xlabel=f"{genome.contig}, position (bp)")
    below.ticklabel_format(axis="x", style="plain", useOffset=False)
    return _svg(figure, "Surprisal along a held-out region with its genes")


def heat_map(effects: Float64[np.ndarray, "4 L"], gene: Gene, genome: DemoGenome) -> str:
    """Return the heat map of every SNV of a gene; red: the model finds the change worse."""
    figure, (axes,) = _canvas(11.0, 2.3)
    image = draw_effects(axes, effects, gene.start, effect_limit(effects))
    arrow = "left to right" if gene.strand == "+" else "right to left"
    axes.set(xlabel=f"{genome.contig}, position (bp); the gene reads {arrow}")
    bar = figure.colorbar(image, ax=axes, pad=0.01)
    bar.set_label("effect, nats", fontsize=8)
    return _svg(figure, "Effect of every single-nucleotide variant of one gene")


def codon_position_means(effects: Float64[np.ndarray, "4 L"], gene: Gene) -> tuple[float, ...]:
    """Return the mean effect in nats at codon positions 1, 2, 3 of the gene."""
    by_base = np.nanmean(effects, axis=0)
    in_order = by_base if gene.strand == "+" else by_base[::-1]
    return tuple(float(in_order[place::3].mean()) for place in range(3))


def _draw_genes(axes: Axes, genes: list[Gene], start: int, end: int) -> None:
    for gene in genes:
        if gene.end <= start or gene.start >= end:
            continue
        left, right = max(gene.start, start), min(gene.end, end)
        forward = gene.strand == "+"
        tail, head = (left, right) if forward else (right, left)
        axes.annotate(
            "",
            xy=(head, 0.5 if forward else -0.5),
            xytext=(tail, 0.5 if forward else -0.5),
            arrowprops={"arrowstyle": "simple", "color": BLUE if forward else RED, "alpha": 0.75},
        )
    axes.set(ylim=(-1.2, 1.2), xlim=(start, end))
    axes.set_yticks([-0.5, 0.5], ["\N{MINUS SIGN}", "+"])
    axes.set_ylabel("genes")


def _canvas(width: float, height: float, rows: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    ratios = [3.0, 1.0] if rows == 2 else None
    axes = list(figure.subplots(rows, 1, height_ratios=ratios, squeeze=False)[:, 0])
    for one in axes:
        _plain(one)
    return figure, axes


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _svg(figure: Figure, title: str) -> str:
    """Return the figure as an <svg> element with a title for screen readers."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
