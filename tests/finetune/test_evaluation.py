"""Evaluations of networks whose answers are known, counted by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from hyena_glt.config.examples import DatasetConfig, Part
from hyena_glt.config.tasks import (
    BasesTaskConfig,
    ClassificationTaskConfig,
    PairTaskConfig,
    RegressionTaskConfig,
    SignalTaskConfig,
)
from hyena_glt.data.examples import (
    Dataset,
    Row,
    Rows,
    guess_dataset,
    open_dataset,
    prepare_dataset,
)
from hyena_glt.errors import CheckpointError, RecipeError
from hyena_glt.finetune import evaluation, evaluation_page
from hyena_glt.finetune.apart import without_codons
from hyena_glt.finetune.evaluation import evaluate, stretches
from hyena_glt.finetune.evaluation_page import render_evaluation
from hyena_glt.finetune.predict import Prediction, Predictor
from hyena_glt.tokenize import alphabet


def dataset(
    folder: Path, lines: list[str], kind: Any = "class", head: str = "sequence,label"
) -> Dataset:
    """Both parts hold these lines; a column "group" is one of groups."""
    for part, rows in (("train", lines), ("test", lines)):
        (folder / f"{part}.csv").write_text("\n".join([head, *rows, ""]))
    paths = [str(folder / "train.csv"), str(folder / "test.csv")]
    group = "group" if head.endswith(",group") else None
    prepare_dataset(guess_dataset(paths, kind=kind, group=group), folder / "dataset")
    return open_dataset(folder / "dataset")


def answering(
    monkeypatch: pytest.MonkeyPatch, task: Any, names: tuple[str, ...], answers: list[Any]
) -> Predictor:
    """A predictor that gives these answers, whatever it is asked."""

    def predict(predictor: Any, examples: Any, **options: Any) -> list[Prediction]:
        return [
            Prediction(example, np.array(values, np.float64))
            for example, values in zip(examples, predictor.given, strict=True)
        ]

    monkeypatch.setattr(evaluation, "predict", predict)
    predictor = Predictor.__new__(Predictor)
    predictor.task, predictor.names, predictor.networks = task, names, []
    predictor.alphabet = alphabet("dna")
    predictor.given = answers  # type: ignore[attr-defined]
    return predictor


def undrawn(report: dict[str, Any]) -> dict[str, Any]:
    """The report without what its page draws, which takes most of the time."""
    rest = {key: value for key, value in report.items() if key not in ("confusion", "reliability")}
    return rest | {"curves": {}, "points": {}, "by_length": [], "by_gc": []}


FOUR = ["ACGT,no", "GGGG,no", "AAAAAA,yes", "ACGTAC,yes"]
CHANCES = [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]]
CLASSIFY = ClassificationTaskConfig(kind="classification")


@pytest.mark.slow
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
    recall = report["classes"]["no"]["recall"]
    # Two of "no", one of them right; a sample without either leaves its recall undefined.
    assert (recall["value"], recall["low"], recall["high"]) == (0.5, 0, 1)
    assert recall["left_out"] > 0
    assert report["classes"]["no"]["support"] == 2
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
    assert "Against other networks" not in page
    assert "http-equiv" not in page
    assert "src=" not in page


@pytest.mark.slow
def test_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = dataset(tmp_path, ["ACGT,1", "ACGG,2", "ACGC,4"], "values")
    task = RegressionTaskConfig(kind="regression")
    predictor = answering(monkeypatch, task, ("label",), [[1.0], [3.0], [4.5]])
    report = evaluate(predictor, found, replicates=20).report
    assert report["metrics"]["mae"]["value"] == 0.5
    assert report["score"] == "minus the mean absolute error"
    assert report["hardest"][0]["name"] == "row2"
    assert report["hardest"][0]["label label"] == 2
    assert report["hardest"][0]["answer label"] == 3
    assert report["points"] == {"label": [[1, 2, 4], [1, 3, 4.5]]}
    page = render_evaluation(report)
    assert page.count("<svg") == 3
    # People read an error, not minus one.
    assert "minus the" not in page


def test_segments_run_over_windows_that_follow_one_another() -> None:
    def row(name: str, contig: str | None = "chr1", file: str = "g.gff") -> Row:
        return Row(name, np.zeros(1, np.uint8), None, None, f"{file}: {name}", contig)

    rows = [
        row("chr1:20-30(+)"),
        row("chr1:0-10(+)"),
        row("chr2:30-40(+)", "chr2"),  # of another contig
        row("chr1:10-20(+)"),
        row("chr1:30-40(-)"),  # read the other way round
        row("row7", None),
        row("chr1:31-40(+)"),  # a base is missing before it
        row("chr1:10-20(+)", file="other.gff"),  # of another genome
        row("chr1:10-20(+)"),  # a second time
    ]
    found = stretches(rows)
    assert sorted(map(tuple, found)) == [(1, 3, 0), (2,), (4,), (5,), (6,), (7,), (8,)]


def test_places_in_a_codon_are_one_class_of_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever frame is called, and by what all three places have together."""
    (tmp_path / "genome.fa").write_text(f">chr1\n{'A' * 12}\n>chr2\n{'C' * 12}\n")
    lines = [f"chr{n}\tx\tCDS\t4\t9\t.\t+\t0\t.\n" for n in (1, 2)]
    (tmp_path / "genes.gff3").write_text("".join(["##gff-version 3\n", *lines]))
    source = {
        **{"kind": "annotation", "path": str(tmp_path / "genes.gff3"), "codons": True},
        **{"genome": str(tmp_path / "genome.fa"), "features": {"CDS": "coding"}, "window_bp": 6},
    }
    config = DatasetConfig.model_validate(
        {"modality": "dna", "sources": [source], "split": {"by": "chromosome", "test": ["chr2"]}}
    )
    prepare_dataset(config, tmp_path / "dataset")
    names = ("background", *(f"coding{place}{strand}" for place in "123" for strand in "+-"))
    chances = np.zeros((12, 7))
    chances[:, 0] = 1
    chances[3:9] = [0, 0, 0, 1, 0, 0, 0]
    chances[4] = [0.4, 0.3, 0, 0.3, 0, 0, 0]
    predictor = answering(
        monkeypatch, BasesTaskConfig(kind="bases"), names, [chances[:6], chances[6:]]
    )
    report = evaluate(predictor, open_dataset(tmp_path / "dataset"), replicates=5).report
    assert list(report["segments"]) == ["background", "coding+", "coding-"]
    assert report["segments"]["coding+"]["exact"] == 1
    assert report["segments"]["coding+"]["predicted_segments"] == 1
    assert without_codons(["o", "x1+", "x2+", "y1-"])[0] == ("o", "x1+", "x2+", "y1-")


@pytest.mark.slow
def test_bases_have_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = dataset(tmp_path, ["ACGTA,oxxoo", "ACGT,ooxx"], "bases")
    yes, no = [0.1, 0.9], [0.9, 0.1]
    answers = [[no, yes, yes, no, no], [no, yes, yes, yes]]
    predictor = answering(monkeypatch, BasesTaskConfig(kind="bases"), ("o", "x"), answers)
    report = evaluate(predictor, found, replicates=20).report
    assert report["metrics"]["accuracy"]["value"] == pytest.approx(8 / 9)
    assert report["segments"]["x"]["exact"] == 1
    assert report["segments"]["x"]["overlapping"] == 2
    # One row has the exact one, the other doesn't: a sample has none, half or all of them.
    recall = report["segments"]["x"]["exact_recall"]
    assert (recall["value"], recall["low"], recall["high"]) == (0.5, 0, 1)
    f1 = report["metrics"]["f1/x"]
    assert report["classes"]["x"]["f1"] == f1
    assert f1["low"] < f1["value"] < f1["high"]
    assert report["confusion"] == [[4, 1], [0, 4]]
    assert "Segments" in render_evaluation(report)


def test_differences_from_other_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        f"{letter * length},{'no' if length % 2 else 'yes'}"
        for letter in "ACGT"
        for length in range(5, 15)
    ]
    found = dataset(tmp_path, lines)
    right = [[0.9, 0.1] if line.endswith("no") else [0.1, 0.9] for line in lines]
    worse = [[0.5, 0.5] if number % 4 else answer for number, answer in enumerate(right)]
    one, other = (
        answering(monkeypatch, CLASSIFY, ("no", "yes"), given) for given in (right, worse)
    )
    report = evaluate(one, found, against={"flat": other, "twin": one}, replicates=40).report
    flat, twin = report["against"]["flat"], report["against"]["twin"]
    # Of 40 the other calls all "no" but the ten that it has from the first.
    missed = sum(line.endswith("yes") and number % 4 > 0 for number, line in enumerate(lines))
    assert flat["mcnemar"] == {"only_a": missed, "only_b": 0, "p": pytest.approx(2 * 0.5**missed)}
    accuracy = flat["metrics"]["accuracy"]
    assert accuracy["difference"] == pytest.approx(missed / 40)
    assert accuracy["other"] == pytest.approx(1 - missed / 40)
    assert 0 < accuracy["low"] < missed / 40 < accuracy["high"]
    assert accuracy["p"] == pytest.approx(2 / 41)
    assert flat["metrics"]["brier"]["difference"] < 0
    assert {at["p"] for at in twin["metrics"].values()} == {1}
    assert {at["difference"] for at in twin["metrics"].values()} == {0}
    json.dumps(report, allow_nan=False)
    page = render_evaluation(undrawn(report))
    first, second = page.split("<h3>twin</h3>")
    # A lower Brier score is the better one.
    brier = first[first.rindex("<td>brier</td>") :]
    assert brier[: brier.index("</tr>")].count("this one is better") == 1
    assert "the other is better" not in page
    assert "this one is better" not in second
    assert f"{missed} have only this network right, 0 only the other" in first


@pytest.mark.slow
def test_the_worse_network_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = dataset(tmp_path, [f"{'ACGT'[i % 4] * (5 + i)},{i}" for i in range(12)], "values")
    task = RegressionTaskConfig(kind="regression")
    far = answering(monkeypatch, task, ("label",), [[i + 3.0 + i % 3] for i in range(12)])
    near = answering(monkeypatch, task, ("label",), [[i + 0.1 * (i % 3)] for i in range(12)])
    report = evaluate(far, found, against={"near": near}, replicates=40).report
    assert "mcnemar" not in report["against"]["near"]
    assert report["against"]["near"]["metrics"]["mae"]["difference"] == pytest.approx(3.9)
    assert "the other is better" in render_evaluation(undrawn(report))


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
    yes = answering(monkeypatch, CLASSIFY, ("no", "yes"), CHANCES)
    with pytest.raises(CheckpointError, match="no, yes, the network odd's no, maybe"):
        evaluate(yes, found, against={"odd": predictor})
    with pytest.raises(RecipeError, match="its part validation is empty"):
        evaluate(yes, found, "validation")


def relabelled(found: Dataset, change: Any) -> Dataset:
    """The dataset with the target of each row of a part changed."""

    class Changed(Rows):
        def __getitem__(self, index: int) -> Row:
            row = super().__getitem__(index)
            return row._replace(target=change(index, row.target))

    unchanged = found.part

    def of(part: Part) -> Rows:
        rows = unchanged(part)
        rows.__class__ = Changed
        return rows

    found.part = of  # type: ignore[method-assign]
    return found


def test_rows_without_a_label_are_counted_and_spoil_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"{'ACGT' * (1 + i % 2)},{i}" for i in range(6)]
    nothing = np.array([np.nan], np.float32)
    found = relabelled(
        dataset(tmp_path, lines, "values"), lambda index, target: target if index else nothing
    )
    task = RegressionTaskConfig(kind="regression")
    predictor = answering(monkeypatch, task, ("label",), [[i + 1.0] for i in range(6)])
    done = evaluate(predictor, found, replicates=10)
    report = done.report
    assert report["unscored"] == 1
    assert np.isnan(done.scores).tolist() == [True] + [False] * 5
    assert report["metrics"]["mae"]["value"] == 1
    # Of lengths 4 and 8: rows 2 and 4, and 1, 3 and 5.
    assert sum(at["examples"] for at in report["by_length"]) == 5
    assert {at["score"] for at in report["by_length"]} == {-1}
    assert [row["name"] for row in report["hardest"]] == ["row2", "row3", "row4", "row5", "row6"]
    assert "Of 1 examples no label is known" in render_evaluation(undrawn(report))
    unknown = relabelled(found, lambda index, target: nothing)
    report = evaluate(predictor, unknown, replicates=10).report
    assert (report["unscored"], report["by_length"], report["hardest"]) == (6, [], [])
    assert report["metrics"]["mae"]["value"] is None
    assert "None has a score" in render_evaluation(undrawn(report))


def test_whole_groups_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten genes of four: all of a gene are right, or none.
    lines = [
        f"{'ACGT'[i % 4] * (5 + i)},{'yes' if i % 2 else 'no'},gene{i // 4}" for i in range(40)
    ]
    right = [[0.1, 0.9] if i % 2 else [0.9, 0.1] for i in range(40)]
    given = [v if i // 4 < 7 else v[::-1] for i, v in enumerate(right)]
    one = answering(monkeypatch, CLASSIFY, ("no", "yes"), given)
    other = answering(monkeypatch, CLASSIFY, ("no", "yes"), right)
    widths = {}
    for name, own, head in (
        ("groups", lines, "sequence,label,group"),
        ("examples", [line.rsplit(",", 1)[0] for line in lines], "sequence,label"),
    ):
        (tmp_path / name).mkdir()
        found = dataset(tmp_path / name, own, head=head)
        report = evaluate(one, found, against={"other": other}, replicates=200).report
        accuracy = report["metrics"]["accuracy"]
        assert accuracy["value"] == 0.7
        widths[name] = accuracy["high"] - accuracy["low"]
        assert report["resampled"] == name
        assert report["units"] == (10 if name == "groups" else 40)
        # The test that takes examples as independent isn't of groups.
        assert ("mcnemar" in report["against"]["other"]) == (name == "examples")
        page = render_evaluation(undrawn(report))
        assert ("10 groups of examples" in page) == (name == "groups")
        assert ("<h3>Groups</h3>" in page) == (name == "groups")
        if name == "groups":
            assert report["by_group"]["gene3"]["examples"] == 4
            scores = {gene: of["score"]["value"] for gene, of in report["by_group"].items()}
            assert scores == {f"gene{n}": float(n < 7) for n in range(10)}
    # Of four alike, a figure's deviation is twice that of forty that differ.
    assert widths["groups"] > 1.5 * widths["examples"]


def test_one_group_has_no_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = dataset(tmp_path, [f"{line},g" for line in FOUR], head="sequence,label,group")
    predictor = answering(monkeypatch, CLASSIFY, ("no", "yes"), CHANCES)
    report = evaluate(predictor, found, replicates=10).report
    accuracy = report["metrics"]["accuracy"]
    assert (accuracy["value"], accuracy["low"], accuracy["high"]) == (0.75, None, None)
    recall = report["classes"]["no"]["recall"]
    assert (recall["value"], recall["low"], recall["high"]) == (0.5, None, None)
    assert recall["left_out"] == 10
    # Its examples differ among themselves.
    assert report["by_group"]["g"]["score"]["low"] < 0.75 < report["by_group"]["g"]["score"]["high"]
    assert (report["resampled"], report["units"]) == ("groups", 1)


def test_another_modality_pairs_or_bins_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = dataset(tmp_path, FOUR)
    names = ("no", "yes")
    protein = answering(monkeypatch, CLASSIFY, names, CHANCES)
    protein.alphabet = alphabet("protein")
    with pytest.raises(CheckpointError, match="holds dna, and the network reads protein"):
        evaluate(protein, found)
    answer: Any = {"kind": "classification"}
    pair = answering(monkeypatch, PairTaskConfig(kind="pair", answer=answer), names, CHANCES)
    with pytest.raises(RecipeError, match="has one sequence an example, and the network reads pai"):
        evaluate(pair, found)
    plain = answering(monkeypatch, CLASSIFY, names, CHANCES)
    found.manifest = found.manifest.model_copy(update={"pairs": True})
    with pytest.raises(RecipeError, match="has pairs of sequences, and the network reads one seq"):
        evaluate(plain, found)
    binned = {"pairs": False, "target": "signal", "bin_bp": 16}
    found.manifest = found.manifest.model_copy(update=binned)
    signal = answering(monkeypatch, SignalTaskConfig(kind="signal", bin_bp=32), names, [])
    with pytest.raises(RecipeError, match="bins of 16 bp, and the network answers bins of 32 bp"):
        evaluate(signal, found)


def test_names_are_drawn_as_they_are() -> None:
    curve = {"roc": [[0.0, 1.0], [0.0, 1.0]], "pr": [[0.0, 1.0, 0.0], [1.0, 0.5, 1.0]]}
    names = ["$a_{b$", "_hidden", "$x$"]
    report = {"curves": dict.fromkeys(names, curve), "answers": names, "confusion": np.eye(3)}
    axes = Figure().subplots()
    evaluation_page._curves(axes, report, "roc")
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == names
    axes = Figure().subplots()
    evaluation_page._confusion(axes, report)
    ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    assert [text.get_text() for text in ticks] == 2 * names
    assert not any(text.get_parse_math() for text in [*ticks, *legend.get_texts()])
    # Drawn to the end: a formula that isn't one would raise.
    assert "<svg" in evaluation_page._figure(
        lambda axes: evaluation_page._curves(axes, report, "pr"), "$a_{b$"
    )
