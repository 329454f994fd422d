"""What ``hyena-glt evaluate`` writes."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hyena_glt.finetune import Evaluation
from hyena_glt.io import TableWriter, replacing_file
from hyena_glt.io.examples import Target

_OF_METRIC = ("value", "low", "high", "left_out")  # replicates in which it has no value


def write_evaluation(
    out: Path, found: Evaluation, names: Sequence[str], target: Target, *, each_base: bool
) -> list[str]:
    """Write the files of an evaluation into the folder ``out``; return their names.

    ``names`` are those of the answers, ``target`` what labels are of. Each base, or bin, has a row
    of its own in a Parquet file only where that is asked for.
    """
    from hyena_glt.finetune.evaluation_page import render_evaluation

    report = found.report
    texts = {
        "report.html": render_evaluation(report),
        "report.json": json.dumps(report, indent=1) + "\n",
        "metrics.csv": _csv(
            ["metric", *_OF_METRIC],
            ([name, *(of[key] for key in _OF_METRIC)] for name, of in report["metrics"].items()),
        ),
        "predictions.csv": _csv(*_predictions(found, names, target)),
    }
    apart = list(_apart(report))
    if apart:
        texts["apart.csv"] = _csv(["of", "name", "figure", *_OF_METRIC], iter(apart))
    if "against" in report:
        texts["comparisons.csv"] = _csv(*_comparisons(report))
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with replacing_file(out / name) as aside:
            aside.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
    if not each_base:
        return list(texts)
    each = "bases.parquet" if target == "bases" else "bins.parquet"
    _write_each(out / each, found, names, target)
    return [*texts, each]


def _csv(head: Sequence[str], rows: Iterator[list[Any]]) -> str:
    """Return a table: numbers in the fewest digits that give them back, nothing for None."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def _apart(report: dict[str, Any]) -> Iterator[list[Any]]:
    """Yield a row a figure of each class, of its segments, of each chromosome and group."""
    kinds = {"classes": "class", "segments": "segments"}
    kinds |= {"by_contig": "chromosome", "by_group": "group"}
    for key, kind in kinds.items():
        for name, figures in report.get(key, {}).items():
            for figure, found in figures.items():
                # Counts have no interval.
                of = found if isinstance(found, dict) else {"value": found}
                yield [kind, name, figure, *(of.get(column) for column in _OF_METRIC)]


def _comparisons(report: dict[str, Any]) -> tuple[list[str], Iterator[list[Any]]]:
    columns = ("other", "difference", "low", "high", "p", "left_out")
    rows = (
        [other, name, report["metrics"][name]["value"], *(of[key] for key in columns)]
        for other, comparison in report["against"].items()
        for name, of in comparison["metrics"].items()
    )
    return ["against", "metric", "value", *columns], rows


def _predictions(
    found: Evaluation, names: Sequence[str], target: Target
) -> tuple[list[str], Iterator[list[Any]]]:
    """Return the columns and rows of a table with a row for each example."""
    head = ["name", "where"]
    if target in ("class", "multilabel"):
        head += ["label", "predicted", "score", *(f"p/{name}" for name in names)]
    elif target == "values":
        head += [f"{column}/{name}" for name in names for column in ("label", "predicted")]
        head.append("score")
    else:
        head += ["bases" if target == "bases" else "bins", "score"]
    return head, _prediction_rows(found, names, target)


def _prediction_rows(
    found: Evaluation, names: Sequence[str], target: Target
) -> Iterator[list[Any]]:
    for row, values, score in zip(found.rows, found.values, found.scores.tolist(), strict=True):
        label = np.asarray(row.target)
        cells: list[Any]
        if target == "class":
            cells = [names[int(label)], names[int(values.argmax())], score, *values.tolist()]
        elif target == "multilabel":
            cells = [_joined(names, label > 0), _joined(names, values >= 0.5), score]
            cells += values.tolist()
        elif target == "values":
            pairs = zip(label.tolist(), values.tolist(), strict=True)
            cells = [_known(number) for pair in pairs for number in pair]
            cells.append(_known(score))
        else:
            cells = [len(values), _known(score)]
        yield [row.name, row.where, *cells]


def _joined(names: Sequence[str], held: np.ndarray) -> str:
    return ";".join(name for name, has in zip(names, held.tolist(), strict=True) if has)


def _known(number: float) -> float | None:
    return None if np.isnan(number) else number


def _write_each(path: Path, found: Evaluation, names: Sequence[str], target: Target) -> None:
    """Write a row for each base or bin, 0-based from the start of its example."""
    if target == "bases":
        columns: dict[str, type | str] = {"name": str, "position": int}
        columns |= {"label": str, "predicted": str} | {f"p/{name}": "f4" for name in names}
    else:
        columns = {"name": str, "bin": int}
        columns |= {f"{column}/{name}": "f4" for name in names for column in ("label", "predicted")}
    with TableWriter(path, columns) as table:
        for row, values in zip(found.rows, found.values, strict=True):
            label = np.asarray(row.target)
            for place, answer in enumerate(values.tolist()):
                cells: list[Any]
                if target == "bases":
                    predicted = int(np.argmax(answer))
                    cells = [names[int(label[place])], names[predicted], *answer]
                else:
                    pairs = zip(label[place].tolist(), answer, strict=True)
                    cells = [_known(number) for pair in pairs for number in pair]
                table.write(dict(zip(columns, [row.name, place, *cells], strict=True)))
