"""One HTML page of an evaluation that needs nothing beside it."""

import io
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2530; max-width: 62rem; margin: 2rem auto;
       padding: 0 1.2rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .9rem .2rem 0; text-align: left;
       border-bottom: 1px solid #dde2e8; font-variant-numeric: tabular-nums; }
figure { display: inline-block; margin: .5rem 1rem .5rem 0; } svg { max-width: 100%; height: auto; }
"""
_COLOURS = ("#1f5fa8", "#b3392f", "#3a7d44", "#8a5a9e", "#9aa3ad")
_MOST_CURVES = len(_COLOURS)
_MOST_CLASSES = 30


def render_evaluation(report: dict[str, Any]) -> str:
    """Return the page of what ``evaluate`` reports."""
    parts = [
        f"<h1>{escape(report['dataset'])}, {escape(report['part'])}</h1>",
        f"<p>{report['examples']:,} examples, {report['networks']} network(s), "
        f"{'both strands' if report['both_strands'] else 'one strand'}. In brackets: 95 % of "
        f"{report['replicates']:,} bootstrap samples of examples.</p>",
        _table(["metric", "value", "95 %"], [_metric(*item) for item in report["metrics"].items()]),
    ]
    if "classes" in report:
        names = list(next(iter(report["classes"].values())))
        rows = [
            [escape(label), *(_number(found[name]) for name in names)]
            for label, found in list(report["classes"].items())[:_MOST_CLASSES]
        ]
        parts += ["<h2>Classes</h2>", _table(["class", *names], rows)]
    if "segments" in report:
        names = list(next(iter(report["segments"].values())))
        rows = [
            [escape(label), *(_number(found[name]) for name in names)]
            for label, found in report["segments"].items()
        ]
        parts += ["<h2>Segments</h2>", _table(["class", *names], rows)]
    if report.get("curves"):
        parts.append(_figure(lambda axes: _curves(axes, report, "roc"), "ROC"))
        parts.append(_figure(lambda axes: _curves(axes, report, "pr"), "precision and recall"))
    if "reliability" in report:
        parts.append(_figure(lambda axes: _reliability(axes, report["reliability"]), "calibration"))
    if "confusion" in report and len(report["answers"]) <= _MOST_CLASSES:
        parts.append(_figure(lambda axes: _confusion(axes, report), "confusion"))
    for key, label in (("by_length", "length, bp"), ("by_gc", "share of G and C")):
        if report[key]:
            parts.append(_figure(_strata(report, key, label), label))
    if "by_contig" in report:
        rows = [[escape(name), _number(value)] for name, value in report["by_contig"].items()]
        parts += ["<h2>Chromosomes</h2>", _table(["chromosome", report["score"]], rows)]
    parts += ["<h2>Hardest examples</h2>", _hardest(report["hardest"])]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>Evaluation</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _metric(name: str, found: dict[str, Any]) -> list[str]:
    return [
        escape(name),
        _number(found["value"]),
        f"{_number(found['low'])} to {_number(found['high'])}",
    ]


def _number(value: int | float | None) -> str:
    if value is None:
        return "not defined"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; cells are HTML."""
    lines = ["".join(f"<th>{escape(name)}</th>" for name in head)]
    lines += ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _hardest(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    cells = [
        [escape(row[n]) if isinstance(row[n], str) else _number(row[n]) for n in names]
        for row in rows
    ]
    return _table(names, cells)


def _figure(draw: Callable[[Axes], None], title: str) -> str:
    """Return a picture as an SVG element."""
    figure = Figure(figsize=(4.4, 3.4), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    draw(axes)
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=8)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return f"<figure>{svg[svg.index('<svg') :]}</figure>"


def _curves(axes: Axes, report: dict[str, Any], kind: str) -> None:
    for colour, (name, found) in zip(_COLOURS, report["curves"].items(), strict=False):
        axes.plot(*found[kind], color=colour, linewidth=1.2, label=name)
    labels = (
        ("false positive rate", "true positive rate") if kind == "roc" else ("recall", "precision")
    )
    axes.set(xlabel=labels[0], ylabel=labels[1], xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    more = len(report["curves"]) - _MOST_CURVES
    title = f"and {more} classes more" if more > 0 else None
    axes.legend(frameon=False, fontsize=8, title=title)


def _reliability(axes: Axes, found: list[list[Any]]) -> None:
    points = [(c, a, n) for c, a, n in zip(*found, strict=True) if c is not None]
    axes.plot([0, 1], [0, 1], color=_COLOURS[-1], linewidth=0.8)
    sizes = np.array([n for _, _, n in points], dtype=np.float64)
    axes.scatter(
        [c for c, _, _ in points],
        [a for _, a, _ in points],
        s=8 + 60 * sizes / sizes.max(),
        color=_COLOURS[0],
    )
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))


def _confusion(axes: Axes, report: dict[str, Any]) -> None:
    counts = np.array(report["confusion"], dtype=np.float64)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = report["answers"]
    if len(names) <= 8:
        for row, column in np.ndindex(counts.shape):
            colour = "white" if shares[row, column] > 0.6 else "black"
            text = f"{counts[row, column]:,.0f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="answer", ylabel="label")


def _strata(report: dict[str, Any], key: str, label: str) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        middles = [(at["from"] + at["to"]) / 2 for at in report[key]]
        axes.plot(middles, [at["score"] for at in report[key]], "o-", color=_COLOURS[0])
        axes.set(xlabel=label, ylabel=report["score"])

    return draw
