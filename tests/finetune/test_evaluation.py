"""Evaluations of networks whose answers are known, counted by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyena_glt.config.tasks import BasesTaskConfig, ClassificationTaskConfig, RegressionTaskConfig
from hyena_glt.data.examples import Dataset, guess_dataset, open_dataset, prepare_dataset
from hyena_glt.errors import CheckpointError, RecipeError
from hyena_glt.finetune import evaluation
from hyena_glt.finetune.evaluation import evaluate
from hyena_glt.finetune.evaluation_page import render_evaluation
from hyena_glt.finetune.predict import Prediction, Predictor


def dataset(folder: Path, lines: list[str], kind: Any = "class") -> Dataset:
    for part, rows in (("train", lines), ("test", lines)):
        (folder / f"{part}.csv").write_text("\n".join(["sequence,label", *rows, ""]))
    paths = [str(folder / "train.csv"), str(folder / "test.csv")]
    prepare_dataset(guess_dataset(paths, kind=kind), folder / "dataset")
    return open_dataset(folder / "dataset")


def answering(
    monkeypatch: pytest.MonkeyPatch, task: Any, names: tuple[str, ...], answers: list[Any]
) -> Predictor:
    """A predictor that gives these answers, whatever it is asked."""

    def predict(predictor: Any, examples: Any, **options: Any) -> list[Prediction]:
        return [
            Prediction(example, np.array(values, np.float64))
            for example, values in zip(examples, answers, strict=True)
        ]

    monkeypatch.setattr(evaluation, "predict", predict)
    predictor = Predictor.__new__(Predictor)
    predictor.task, predictor.names, predictor.networks = task, names, []
    return predictor


FOUR = ["ACGT,no", "GGGG,no", "AAAAAA,yes", "ACGTAC,yes"]
CHANCES = [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]]
CLASSIFY = ClassificationTaskConfig(kind="classification")


def test_classes_counted_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = dataset(tmp_path, FOUR)
    predictor = answering(monkeypatch, CLASSIFY, ("no", "yes"), CHANCES)
    report = evaluate(predictor, found, replicates=30).report
    assert report["examples"] == 4
    accuracy = report["metrics"]["accuracy"]
    assert accuracy["value"] == 0.75
    assert 0 <= accuracy["low"] <= 0.75 <= accuracy["high"] <= 1
    assert report["metrics"]["auroc"]["value"] == 1
    assert report["confusion"] == [[1, 1], [0, 2]]
    assert report["classes"]["no"]["recall"] == 0.5
    assert report["hardest"][0] == {
        "name": "row2",
        "where": report["hardest"][0]["where"],
        "score": 0.4,
        "label": "no",
        "answer": "yes",
    }
    assert "line 3" in report["hardest"][0]["where"]
    assert [(at["from"], at["to"], at["score"]) for at in report["by_gc"]][-1] == (1, 1, 0)
    assert sum(at["examples"] for at in report["by_length"]) == 4
    json.dumps(report, allow_nan=False)
    page = render_evaluation(report)
    assert page.count("<svg") == 6
    assert "http-equiv" not in page
    assert "src=" not in page


def test_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = dataset(tmp_path, ["ACGT,1", "ACGG,2", "ACGC,4"], "values")
    task = RegressionTaskConfig(kind="regression")
    predictor = answering(monkeypatch, task, ("label",), [[1.0], [3.0], [4.5]])
    report = evaluate(predictor, found, replicates=20).report
    assert report["metrics"]["mae"]["value"] == 0.5
    assert report["score"] == "minus the mean absolute error"
    assert report["hardest"][0]["name"] == "row2"
    assert "<h1>" in render_evaluation(report)


def test_bases_have_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = dataset(tmp_path, ["ACGTA,oxxoo", "ACGT,ooxx"], "bases")
    yes, no = [0.1, 0.9], [0.9, 0.1]
    answers = [[no, yes, yes, no, no], [no, yes, yes, yes]]
    predictor = answering(monkeypatch, BasesTaskConfig(kind="bases"), ("o", "x"), answers)
    report = evaluate(predictor, found, replicates=20).report
    assert report["metrics"]["accuracy"]["value"] == pytest.approx(8 / 9)
    assert report["segments"]["x"]["exact"] == 1
    assert report["segments"]["x"]["overlapping"] == 2
    assert report["confusion"] == [[4, 1], [0, 4]]
    assert "Segments" in render_evaluation(report)


def test_other_labels_or_classes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = dataset(tmp_path, FOUR)
    task = RegressionTaskConfig(kind="regression")
    with pytest.raises(RecipeError, match="labels of kind class, and the network answers values"):
        evaluate(answering(monkeypatch, task, ("y",), []), found)
    predictor = answering(monkeypatch, CLASSIFY, ("no", "maybe"), CHANCES)
    with pytest.raises(CheckpointError, match="its answers are no, yes, the network's no, maybe"):
        evaluate(predictor, found)
    predictor = answering(monkeypatch, CLASSIFY, ("no", "yes"), CHANCES)
    with pytest.raises(RecipeError, match="its part validation is empty"):
        evaluate(predictor, found, "validation")
