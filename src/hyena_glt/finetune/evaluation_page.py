"""One HTML page of an evaluation that needs nothing beside it."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from hyena_glt.train.best import is_lower_better

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2530; max-width: 62rem; margin: 2rem auto;
       padding: 0 1.2rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; } p { max-width: 46rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
td, th { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top;
       border-bottom: 1px solid #dde2e8; font-variant-numeric: tabular-nums; }
th { white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
.better { color: #1f6b34; } .worse { color: #b3392f; } .same, .note { color: #5b6673; }
.warning { border-left: 4px solid #b3392f; padding-left: .8rem; }
figure { display: inline-block; margin: .5rem 1rem .5rem 0; vertical-align: top; }
svg { max-width: 100%; height: auto; }
"""
_COLOURS = ("#1f5fa8", "#b3392f", "#3a7d44", "#8a5a9e", "#c58a1c", "#9aa3ad")
_MOST_CURVES = len(_COLOURS)
_MOST_CLASSES = 30
_MOST_GROUPS = 100
_MOST_POINT_FIGURES = 6
_SURE = 0.05  # p below which a difference is called one
_MEANING = {
    "accuracy": "share of answers that are right",
    "exact_match": "share of examples with every class right",
    "mcc": "agreement with the labels whatever the classes' sizes: 1 all right, 0 as by chance",
    "f1": "precision and recall in one number, the mean over classes: 1 is best",
    "precision": "of what was called a class, the share that is of it",
    "recall": "of what is of a class, the share that was called it",
    "auroc": "chance that one of a class gets a higher probability of it than one of the rest: "
    "1 is best, 0.5 is guessing",
    "auprc": "mean precision, as more and more is called a class: 1 is best, guessing has the "
    "class's share",
    "ece": "gap between the probability of answers and the share that is right: 0 is best",
    "nll_nats": "surprise at the right class, nats: 0 is best",
    "brier": "squared error of the probabilities: 0 is best",
    "pearson": "correlation of answers and labels: 1 is best, 0 is none",
    "spearman": "correlation of their ranks: 1 is best, 0 is none",
    "r2": "share of the labels' variance that is explained; below 0 their mean explains more",
    "rmse": "root of the mean squared error, in the label's unit: 0 is best",
    "mae": "mean absolute error, in the label's unit: 0 is best",
    "bases": "bases that have a label",
}


def render_evaluation(report: dict[str, Any]) -> str:
    """Return the page of what ``evaluate`` reports."""
    parts = [*_beginning(report), *_comparisons(report)]
    for key, title in (("classes", "Classes"), ("segments", "Segments")):
        if key in report:
            parts += [f"<h2>{title}</h2>", _by_class(report[key])]
    figures = []
    if report.get("curves"):
        figures.append(_figure(lambda axes: _curves(axes, report, "roc"), "ROC curve"))
        figures.append(_figure(lambda axes: _curves(axes, report, "pr"), "Precision and recall"))
    if "reliability" in report:
        draw = _reliability(report["reliability"])
        figures.append(_figure(draw, "Calibration (area: examples)"))
    if "confusion" in report and len(report["answers"]) <= _MOST_CLASSES:
        figures.append(_figure(lambda axes: _confusion(axes, report), "Confusion"))
    for name, points in list(report.get("points", {}).items())[:_MOST_POINT_FIGURES]:
        figures.append(_figure(_points(points), name))
    if figures:
        parts += ["<h2>Answers and labels</h2>", *figures]
    strata = [
        _figure(_strata(report, key, label), title)
        for key, label, title in (
            ("by_length", "length, bp", "By length"),
            ("by_gc", "share of G and C", "By share of G and C"),
        )
        if report[key]
    ]
    if strata:
        parts += [
            "<h2>Where it errs</h2>",
            "<p>The examples in fifths: across, what each fifth holds; up and down, its mean with "
            "a 95 % interval.</p>",
            *strata,
        ]
    score, sign = _score(report)
    if "by_contig" in report:
        found = sorted(report["by_contig"].items(), key=lambda item: _natural(item[0]))
        parts += ["<h3>Chromosomes</h3>", _by_group("chromosome", found, score, sign)]
    if "by_group" in report:
        found = sorted(report["by_group"].items(), key=lambda item: _natural(item[0]))
        parts += ["<h3>Groups</h3>", _by_group("group", found, score, sign)]
    parts += ["<h2>Hardest examples</h2>", *_hardest(report, score, sign)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>Evaluation</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _beginning(report: dict[str, Any]) -> list[str]:
    networks, drawn = report["networks"], report["resampled"]
    if drawn == "groups":
        drawn = f"{report['units']:,} groups of examples, each drawn whole"
    strands = "both strands" if report["both_strands"] else "one strand"
    parts = [
        f"<h1>{escape(report['dataset'])}, {escape(report['part'])}</h1>",
        f"<p>{report['examples']:,} examples, "
        f"{f'the mean of {networks} networks' if networks > 1 else 'one network'}, {strands}. "
        f"Intervals hold 95 % of {report['replicates']:,} bootstrap samples of the {drawn}: they "
        f"say how far a figure depends on which {report['resampled']} were drawn.</p>",
    ]
    if report["unscored"]:
        parts.append(
            f'<p class="note">Of {report["unscored"]:,} examples no label is known: no figure '
            "counts them.</p>"
        )
    for found in report.get("pretraining_overlap", {}).values():
        if found["genomes"]:
            kind = "warning" if found["overlapping"] else "note"
            parts.append(f'<p class="{kind}">{escape(found["says"])}</p>')
    # Those of one class stand in the table of classes.
    classes = report.get("classes", {})
    whole = {n: of for n, of in report["metrics"].items() if n.partition("/")[2] not in classes}
    rows = [_metric(*item) for item in whole.items()]
    return [*parts, _table(["metric", "value", "95 % interval", "what it is"], rows)]


def _comparisons(report: dict[str, Any]) -> list[str]:
    """Return the differences from other networks, with what they say in words."""
    if not report.get("against"):
        return []
    parts = [
        "<h2>Against other networks</h2>",
        "<p>All answered the same examples. A difference is this network's figure less the "
        f"other's. Where p is below {_SURE}, it would most likely have the same sign on other "
        "examples of this kind; where p is larger, these examples can't tell the networks apart, "
        "which doesn't show that they are equally good. Each line is a test of its own: choose "
        "the metric that matters beforehand. Nothing here tells how a network would be if it were "
        "trained again from another seed.</p>",
    ]
    for other, comparison in report["against"].items():
        rows = [
            [
                escape(name),
                _number(report["metrics"][name]["value"]),
                _number(found["other"]),
                _number(found["difference"]),
                _bounds(found),
                _chance(found["p"]),
                _verdict(name, found),
            ]
            for name, found in comparison["metrics"].items()
        ]
        head = ["metric", "this", "other", "difference", "95 % interval", "p", "in words"]
        parts += [f"<h3>{escape(other)}</h3>", _table(head, rows)]
        if "mcnemar" in comparison:
            found = comparison["mcnemar"]
            parts.append(
                f"<p>Example by example: {found['only_a']:,} have only this network right, "
                f"{found['only_b']:,} only the other; if both were equally good, counts as far "
                f"apart as that or farther would come with probability {_chance(found['p'])} "
                "(McNemar's exact test).</p>"
            )
    return parts


def _verdict(name: str, found: dict[str, Any]) -> str:
    """Return what a difference says, in words."""
    if found["p"] is None:
        return '<span class="same">not defined often enough</span>'
    if found["p"] >= _SURE or found["difference"] == 0:
        return '<span class="same">no clear difference</span>'
    lower = is_lower_better(name)
    if (found["difference"] < 0) == lower:
        return '<span class="better">this one is better</span>'
    return '<span class="worse">the other is better</span>'


def _metric(name: str, found: dict[str, Any]) -> list[str]:
    base = name.split("/")[0]
    meaning = _MEANING.get(base) or _MEANING.get(base.split("_")[0], "")
    # Of several lines of one metric the first says what it is.
    said = f'<span class="note">{escape(meaning)}</span>' if "/" not in name else ""
    return [escape(name), _number(found["value"]), _bounds(found), said]


def _bounds(found: dict[str, Any]) -> str:
    if found["low"] is None:
        return "not defined"
    return f"{_number(found['low'])} to {_number(found['high'])}"


def _number(value: int | float | None) -> str:
    if value is None:
        return "not defined"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _chance(p: float | None) -> str:
    return "not defined" if p is None else f"{p:.2g}"


def _signed(value: float | None, sign: int) -> float | None:
    return None if value is None else sign * value


def _score(report: dict[str, Any]) -> tuple[str, int]:
    """Return what the score is called where people read it, and the sign it has there."""
    name: str = report["score"]
    plain = name.removeprefix("minus the ")
    return plain, 1 if plain == name else -1


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that puts chr2 before chr10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; cells are HTML, and columns of numbers stand to the right."""
    numeric = [
        all(re.match(r"-?[\d.]|not defined", row[column]) for row in rows)
        for column in range(len(head))
    ]
    marks = [' class="number"' if is_number else "" for is_number in numeric]
    lines = [
        "".join(f"<th{mark}>{escape(name)}</th>" for mark, name in zip(marks, head, strict=True))
    ]
    lines += [
        "".join(f"<td{mark}>{cell}</td>" for mark, cell in zip(marks, row, strict=True))
        for row in rows
    ]
    table = "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
    return f'<div class="wide">{table}</div>'


def _by_class(found: Mapping[str, dict[str, Any]]) -> str:
    names = list(next(iter(found.values())))
    rows = [
        [escape(label), *(_figure_of(of[name]) for name in names)]
        for label, of in list(found.items())[:_MOST_CLASSES]
    ]
    head = ["class", *(name.replace("_", " ") for name in names)]
    return _table(head, rows) + _more(len(found) - len(rows))


def _by_group(kind: str, found: Sequence[tuple[str, dict[str, Any]]], score: str, sign: int) -> str:
    rows = []
    for name, of in found[:_MOST_GROUPS]:
        value, low, high = (_signed(of["score"][bound], sign) for bound in ("value", "low", "high"))
        # What is shown with the other sign has its bounds the other way round.
        bounds = {
            "value": value,
            "low": low if sign > 0 else high,
            "high": high if sign > 0 else low,
        }
        rows.append([escape(name), _number(of["examples"]), _figure_of(bounds)])
    return _table([kind, "examples", score], rows) + _more(len(found) - len(rows))


def _more(left: int) -> str:
    return f'<p class="note">and {left:,} more, in report.json</p>' if left else ""


def _figure_of(found: int | float | dict[str, Any] | None) -> str:
    """Return a count, or a figure with its interval."""
    if not isinstance(found, dict):
        return _number(found)
    if found["value"] is None or found["low"] is None:
        return _number(found["value"])
    return f'{_number(found["value"])} <span class="note">({_bounds(found)})</span>'


def _hardest(report: dict[str, Any], score: str, sign: int) -> list[str]:
    """Return the table of what was answered worst, and what its score is."""
    rows = report["hardest"]
    if not rows:
        return ['<p class="note">None has a score.</p>']
    if "confusion" in report and "segments" not in report:
        score, sign = "probability of the label", 1
    cells = []
    for row in rows:
        shown = row | {"score": _signed(row["score"], sign)}
        cells.append([escape(v) if isinstance(v, str) else _number(v) for v in shown.values()])
    head = [score if name == "score" else name for name in rows[0]]
    return [_table(head, cells)]


def _figure(draw: Callable[[Axes], None], title: str) -> str:
    """Return a picture as an SVG element."""
    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    draw(axes)
    # What the user named is shown as it is: a "$" in it opens no formula.
    axes.set_title(title, fontsize=10, loc="left", parse_math=False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return f"<figure>{svg[svg.index('<svg') :]}</figure>"


def _open(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _curves(axes: Axes, report: dict[str, Any], kind: str) -> None:
    shown = list(report["curves"].items())[:_MOST_CURVES]
    lines = []
    for colour, (_, found) in zip(_COLOURS, shown, strict=False):
        # The last point of precision and recall is where nothing is called: it is no answer.
        x, y = (points[: None if kind == "roc" else -1] for points in found[kind])
        lines += axes.plot(x, y, color=colour, linewidth=1.3)
    if kind == "roc":
        labels = ("false positive rate", "true positive rate")
        axes.plot([0, 1], [0, 1], color=_COLOURS[-1], linewidth=0.8, linestyle=":")
    else:
        labels = ("recall", "precision")
    axes.set(xlabel=labels[0], ylabel=labels[1], xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    _open(axes)
    more = len(report["curves"]) - _MOST_CURVES
    title = f"and {more} classes more" if more > 0 else None
    # Labels that open with "_" are for matplotlib no labels, so that names are put in afterwards.
    legend = axes.legend(
        lines, [" "] * len(lines), frameon=False, fontsize=8, title=title, title_fontsize=8
    )
    for text, (name, _) in zip(legend.get_texts(), shown, strict=True):
        text.set(text=name, parse_math=False)


def _reliability(found: list[list[Any]]) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        points = [(c, a, n) for c, a, n in zip(*found, strict=True) if c is not None]
        axes.plot([0, 1], [0, 1], color=_COLOURS[-1], linewidth=0.8, linestyle=":")
        confidence, accuracy, counts = (
            np.array(column, np.float64) for column in zip(*points, strict=True)
        )
        axes.plot(confidence, accuracy, color=_COLOURS[0], linewidth=0.8)
        areas = 8 + 90 * counts / counts.max()
        axes.scatter(confidence, accuracy, s=areas, color=_COLOURS[0], zorder=3)
        axes.set(
            xlabel="probability of the answer",
            ylabel="share that is right",
            xlim=(0, 1.03),
            ylim=(-0.03, 1.03),
        )
        axes.text(0.03, 0.97, "too modest", fontsize=8, color="#5b6673", va="top")
        axes.text(1.0, 0.0, "too sure", fontsize=8, color="#5b6673", ha="right")
        _open(axes)

    return draw


def _confusion(axes: Axes, report: dict[str, Any]) -> None:
    counts = np.array(report["confusion"], dtype=np.float64)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [name if len(name) <= 16 else f"{name[:15]}…" for name in report["answers"]]
    if len(names) <= 8:
        for row, column in np.ndindex(*counts.shape):
            colour = "white" if shares[row, column] > 0.6 else "black"
            text = f"{counts[row, column]:,.0f}"
            if len(names) <= 4:
                text += f"\n{shares[row, column]:.0%}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    if len(names) <= 4:
        axes.set_xticks(range(len(names)), names, parse_math=False)
    else:
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set(xlabel="answer", ylabel="label")


def _points(found: list[list[float]]) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        labels, answers = found
        axes.scatter(labels, answers, s=9, alpha=0.45, color=_COLOURS[0], linewidths=0)
        if labels:
            ends = [min(*labels, *answers), max(*labels, *answers)]
            axes.plot(ends, ends, color=_COLOURS[-1], linewidth=0.8, linestyle=":")
        axes.set(xlabel="label", ylabel="answer")
        _open(axes)

    return draw


def _strata(report: dict[str, Any], key: str, label: str) -> Callable[[Axes], None]:
    name, sign = _score(report)

    def draw(axes: Axes) -> None:
        for at in report[key]:
            if at["score"] is None:
                continue
            middle, height = (at["from"] + at["to"]) / 2, sign * at["score"]
            axes.errorbar(
                middle,
                height,
                xerr=(at["to"] - at["from"]) / 2,
                yerr=1.96 * at["error"],
                fmt="o",
                markersize=5,
                linewidth=1.2,
                color=_COLOURS[0],
            )
        axes.set(xlabel=label, ylabel=name)
        # From 0, and to 1 where that is the best there is, so that small differences look small.
        axes.set_ylim(0, 1.03 if sign > 0 else None)
        _open(axes)

    return draw
