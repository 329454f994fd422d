"""Suites end to end on tiny files: planted motifs are found, cells are kept, absence is shown."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from hyena_glt.config.suites import SetConfig, SuiteConfig, load_suite_config
from hyena_glt.config.tasks import ClassificationTaskConfig, PoolingConfig
from hyena_glt.data.examples import open_dataset
from hyena_glt.errors import RecipeError, StorageError
from hyena_glt.finetune import Predictor, evaluate
from hyena_glt.suites import CONTENDERS, BenchmarkOptions, Cell, Results, run_suite
from hyena_glt.suites.contenders import run_contender
from hyena_glt.suites.results import NotRun
from hyena_glt.suites.run import leaked_rows
from hyena_glt.suites.tables import mean_with_interval

MOTIF = "TGACTCA"
SUITE = """
name: planted
about: motifs
sets:
  - name: motif
    sources:
      - {kind: table, path: motif/train.csv, label: {kind: class, column: label}, part: train}
      - {kind: table, path: motif/test.csv, label: {kind: class, column: label}, part: test}
    split: {by: file, validation: 0.2}
    task: {kind: classification}
    metrics: [auroc, mcc]
    strata: "^(even|odd)"
    published:
      - {model: Somebody's, metric: auroc, value: 0.987, source: "arXiv:0000.00000"}
  - name: far
    sources:
      - {kind: table, path: far/train.csv, label: {kind: class, column: label}}
    split: {by: random}
    task: {kind: classification}
    metrics: [auroc]
"""
TINY = (
    "train.epochs=1",
    "model.stages.0.width=16",
    "model.stages.0.mlp_width=16",
    "model.backbone={width: 16, mlp_width: 16, layout: S}",
    "model.mixers={}",
)


def write_table(path: Path, rows: int, seed: int, shuffled: bool = False, bp: int = 40) -> None:
    rng = np.random.default_rng(seed)
    lines = ["sequence,label"]
    labels = [row % 2 == 0 for row in range(rows)]
    told = rng.permutation(labels) if shuffled else labels
    for has_motif, label in zip(labels, told, strict=True):
        letters = "".join(rng.choice(list("ACGT"), bp))
        if has_motif:
            at = int(rng.integers(0, bp - len(MOTIF)))
            letters = letters[:at] + MOTIF + letters[at + len(MOTIF) :]
        lines.append(f"{letters},{'motif' if label else 'none'}")
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([*lines, ""]))


@pytest.fixture
def suite(tmp_path: Path) -> SuiteConfig:
    write_table(tmp_path / "motif/train.csv", 60, 0)
    write_table(tmp_path / "motif/test.csv", 30, 1)
    (tmp_path / "suite.yaml").write_text(SUITE)
    return load_suite_config(tmp_path / "suite.yaml")


def options(folder: Path, **more: object) -> BenchmarkOptions:
    said = {"data": folder, "out": folder / "out", "seeds": 1, "overrides": TINY}
    return BenchmarkOptions(**{**said, **more})  # type: ignore[arg-type]


def told_of(suite: SuiteConfig, asked: BenchmarkOptions) -> tuple[Results, list[Cell | NotRun]]:
    told: list[Cell | NotRun] = []
    results, terminated = run_suite(suite, asked, told.append)
    assert not terminated
    return results, told


@pytest.mark.slow
def test_all_contenders_run_and_what_is_absent_is_shown(suite: SuiteConfig, tmp_path: Path) -> None:
    results, _ = told_of(suite, options(tmp_path))
    assert [cell.contender for cell in results.cells] == list(CONTENDERS)
    for cell in results.cells:
        assert (cell.set, cell.train_rows, cell.test_rows) == ("motif", 48, 30)
        assert cell.metrics["auroc"] is not None
        assert 0 < cell.parameters < 1_000_000
    # The budget is one: as many epochs of the same rows.
    networks = ("ours", "cnn", "transformer")
    assert {c.examples_seen for c in results.cells if c.contender in networks} == {48}
    reasons = {(each.set, each.contender): each.reason for each in results.not_run}
    assert reasons == {("far", name): "far/train.csv absent" for name in CONTENDERS}
    page = (tmp_path / "out/results.md").read_text()
    assert f"| far | auroc |{' not run |' * len(CONTENDERS)}" in page
    assert f"| far | {', '.join(CONTENDERS)} | 0 | far/train.csv absent |" in page
    kept = json.loads((tmp_path / "out/results.json").read_text())
    assert [cell["contender"] for cell in kept["cells"]] == list(CONTENDERS)
    with (tmp_path / "out/results.csv").open() as file:
        figures = {
            (row["contender"], row["rows"], row["metric"]): row["value"]
            for row in csv.DictReader(file)
        }
    assert float(figures["ours", "test", "auroc"]) == results.cells[0].metrics["auroc"]
    assert not list((tmp_path / "out/runs/motif").glob("cnn*"))
    assert list((tmp_path / "out/runs/motif").glob("ours-0-*/checkpoint"))


@pytest.mark.slow
def test_an_optimiser_for_our_matrices_leaves_floors_as_they_are(
    suite: SuiteConfig, tmp_path: Path
) -> None:
    """Their networks hold no hierarchy, and are trained as they always are."""
    found = []
    for overrides in (TINY, (*TINY, "train.optimiser=muon", "train.muon_lr=0.01")):
        asked = options(tmp_path, contenders=["ours", "cnn"], only="motif", overrides=overrides)
        results, _ = told_of(suite, asked)
        found.append({cell.contender: cell.validation["loss"] for cell in results.cells})
    assert found[0]["cnn"] == found[1]["cnn"]
    assert found[0]["ours"] != found[1]["ours"]


@pytest.mark.slow
def test_ours_answers_by_both_strands_where_a_set_says_so(
    suite: SuiteConfig, tmp_path: Path
) -> None:
    """Of the same network as by one strand, in a cell of its own; floors stay as they are."""
    found = {}
    for both in (False, True):
        sets = (suite.sets[0].model_copy(update={"both_strands": both}),)
        asked = options(tmp_path, contenders=["ours", "onehot"], only="motif")
        results, _ = told_of(suite.model_copy(update={"sets": sets}), asked)
        found[both] = {cell.contender: cell for cell in results.cells}
        said = "Ours answers motif by the mean of both strands" in (
            tmp_path / "out/results.md"
        ).read_text(encoding="utf-8")
        assert said == both
    assert found[True]["onehot"] == found[False]["onehot"]
    one, other = found[False]["ours"], found[True]["ours"]
    assert one.checksum != other.checksum
    assert one.validation == other.validation
    (folder,) = (tmp_path / "out/runs/motif").glob(f"ours-0-{other.checksum[:8]}/checkpoint")
    (dataset,) = (tmp_path / "out/datasets").glob("**/manifest.json")
    for cell, both in ((one, False), (other, True)):
        expected = evaluate(Predictor([folder]), open_dataset(dataset.parent), both_strands=both)
        nats = expected.report["metrics"]["nll_nats"]["value"]
        assert cell.metrics["nll_nats"] == pytest.approx(nats, rel=1e-6)
    assert one.metrics["nll_nats"] != pytest.approx(other.metrics["nll_nats"], rel=1e-5)


def test_both_strands_without_place_or_use_are_refused_before_training(
    suite: SuiteConfig, tmp_path: Path
) -> None:
    said = suite.sets[0].model_dump(mode="json", exclude_unset=True)
    with pytest.raises(ValueError, match="proteins have one strand"):
        SetConfig.model_validate({**said, "both_strands": True, "modality": "protein"})
    one = suite.model_copy(
        update={"sets": (suite.sets[0].model_copy(update={"both_strands": True}),)}
    )
    more = (*TINY, "task.strands=both", "model.direction=causal")
    asked = options(tmp_path, contenders=["ours"], overrides=more)
    (missed,) = told_of(one, asked)[0].not_run
    assert "its answer is that of both strands already" in missed.reason


def test_what_others_published_stands_apart(suite: SuiteConfig, tmp_path: Path) -> None:
    told_of(suite, options(tmp_path, contenders=["onehot"]))
    measured, _, published = (
        (tmp_path / "out/results.md").read_text().partition("## Published by others")
    )
    assert "0.987" not in measured
    assert "Somebody" not in measured
    assert "| motif | Somebody's | auroc | 0.987 | arXiv:0000.00000 |" in published
    assert "0.987" not in (tmp_path / "out/results.csv").read_text()


@pytest.mark.slow
def test_a_finished_cell_is_run_again_only_for_another_recipe_or_dataset(
    suite: SuiteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, int]] = []
    real = run_contender

    def counted(contender, recipe, *rest, **named):  # type: ignore[no-untyped-def]
        ran.append((contender, recipe.seed))
        return real(contender, recipe, *rest, **named)

    monkeypatch.setattr("hyena_glt.suites.run.run_contender", counted)
    asked = options(tmp_path, contenders=["onehot", "cnn"], only="motif")
    first, _ = told_of(suite, asked)
    assert ran == [("onehot", 0), ("cnn", 0)]
    again, told = told_of(suite, asked)
    assert ran == [("onehot", 0), ("cnn", 0)]
    assert told == again.cells == first.cells
    longer = options(
        tmp_path, contenders=["onehot", "cnn"], only="motif", overrides=(*TINY, "train.epochs=2")
    )
    told_of(suite, longer)
    # Regression on letters has no epochs.
    assert ran[2:] == [("cnn", 0)]
    write_table(tmp_path / "motif/test.csv", 30, 2)
    told_of(suite, longer)
    assert ran[3:] == [("onehot", 0), ("cnn", 0)]
    # Each seed draws its own validation part.
    told_of(suite, options(tmp_path, contenders=["onehot"], only="motif", seeds=2))
    assert ran[5:] == [("onehot", 1)]


@pytest.mark.slow
def test_a_run_that_was_cut_off_keeps_its_cells(
    suite: SuiteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run_contender

    def cut_off(contender, *rest, **named):  # type: ignore[no-untyped-def]
        if contender == "kmer":
            raise KeyboardInterrupt
        return real(contender, *rest, **named)

    monkeypatch.setattr("hyena_glt.suites.run.run_contender", cut_off)
    asked = options(tmp_path, contenders=["onehot", "kmer"], only="motif")
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, asked)
    kept = json.loads((tmp_path / "out/results.json").read_text())
    assert [cell["contender"] for cell in kept["cells"]] == ["onehot"]
    monkeypatch.setattr("hyena_glt.suites.run.run_contender", real)
    results, _ = told_of(suite, asked)
    assert [cell.contender for cell in results.cells] == ["onehot", "kmer"]


@pytest.mark.slow
def test_leaked_test_rows_are_reported_with_and_without(suite: SuiteConfig, tmp_path: Path) -> None:
    train = (tmp_path / "motif/train.csv").read_text().splitlines()
    with (tmp_path / "motif/test.csv").open("a") as file:
        # Case is no difference.
        cells = [line.split(",") for line in train[1:5]]
        file.writelines(f"{letters.lower()},{label}\n" for letters, label in cells)
    results, _ = told_of(suite, options(tmp_path, contenders=["onehot"], only="motif"))
    (cell,) = results.cells
    assert (cell.leaked_rows, cell.test_rows) == (4, 34)
    assert cell.without_leaked is not None
    assert cell.without_leaked["auroc"] != cell.metrics["auroc"]
    page = (tmp_path / "out/results.md").read_text()
    assert "| motif | 4 of 34 left out | auroc |" in page


def test_strata_partition_the_test_rows(tmp_path: Path, suite: SuiteConfig) -> None:
    named = [source.model_copy(update={"name": "label"}) for source in suite.sets[0].sources]
    changed = suite.sets[0].model_copy(
        update={"sources": tuple(named), "strata": "^(m|n)", "metrics": ("accuracy",)}
    )
    one = suite.model_copy(update={"sets": (changed,)})
    results, _ = told_of(one, options(tmp_path, contenders=["onehot"]))
    (cell,) = results.cells
    assert {name: found["rows"] for name, found in cell.strata.items()} == {"m": 15.0, "n": 15.0}
    found = [each["accuracy"] for each in cell.strata.values()]
    whole = cell.metrics["accuracy"]
    assert None not in found
    assert sum(v for v in found if v is not None) / 2 == pytest.approx(whole)
    # One class alone has no AUROC.
    assert cell.strata["m"]["auroc"] is None


@pytest.mark.slow
def test_time_that_is_up_is_a_reason(suite: SuiteConfig, tmp_path: Path) -> None:
    results, _ = told_of(suite, options(tmp_path, contenders=["onehot"], minutes=0.0, only="motif"))
    assert results.cells == []
    assert [each.reason for each in results.not_run] == ["out of time (--minutes)"]
    # What is finished is shown whatever the time.
    told_of(suite, options(tmp_path, contenders=["onehot"], only="motif"))
    results, _ = told_of(suite, options(tmp_path, contenders=["onehot"], minutes=0.0, only="motif"))
    assert len(results.cells) == 1
    assert results.not_run == []


@pytest.mark.slow
def test_a_floor_without_an_answer_is_not_run_and_others_are(
    suite: SuiteConfig, tmp_path: Path
) -> None:
    with (tmp_path / "motif/test.csv").open("a") as file:
        file.write("ACGTACGT,none\n")
    asked = options(tmp_path, contenders=["onehot", "kmer"], only="motif")
    results, _ = told_of(suite, asked)
    assert [cell.contender for cell in results.cells] == ["kmer"]
    (missed,) = results.not_run
    assert missed.contender == "onehot"
    assert "8 to 40 letters" in missed.reason


def test_mistakes_say_what_there_is(suite: SuiteConfig, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there are motif, far"):
        run_suite(suite, options(tmp_path, only="zebra"))
    with pytest.raises(RecipeError, match="no regular expression"):
        run_suite(suite, options(tmp_path, only="("))
    (tmp_path / "out").mkdir()
    other = json.dumps({"suite": "gue", "format_version": 1, "cells": []})
    (tmp_path / "out/results.json").write_text(other)
    with pytest.raises(StorageError, match="holds results of suite 'gue'"):
        run_suite(suite, options(tmp_path))
    (tmp_path / "out/results.json").write_text(other[:20])
    with pytest.raises(StorageError, match="is damaged"):
        run_suite(suite, options(tmp_path))


def test_classes_are_in_the_order_of_names_whatever_files_say(
    suite: SuiteConfig, tmp_path: Path
) -> None:
    from hyena_glt.suites.datasets import prepared

    lines = (tmp_path / "motif/train.csv").read_text().splitlines()
    reverse = [lines[0], *sorted(lines[1:], key=lambda line: line.split(",")[1], reverse=True)]
    (tmp_path / "motif/train.csv").write_text("\n".join([*reverse, ""]))
    dataset = prepared(suite.sets[0], 0, tmp_path, tmp_path / "out")
    assert dataset.part("train")[0].target == 1
    assert dataset.manifest.classes == ("motif", "none")
    assert not leaked_rows(dataset).any()


def test_sequences_of_one_length_are_pooled_by_place(suite: SuiteConfig, tmp_path: Path) -> None:
    from hyena_glt.suites.datasets import prepared
    from hyena_glt.suites.run import _task

    dataset = prepared(suite.sets[0], 0, tmp_path, tmp_path / "out")
    lengths = {len(row.sequence) for row in dataset.part("train")}
    assert len(lengths) == 1
    aligned = {"kind": "aligned", "length_bp": lengths.pop()}
    assert _task(suite.sets[0], dataset)["pooling"] == aligned
    said = suite.sets[0].model_copy(
        update={"task": ClassificationTaskConfig(kind="classification", pooling=PoolingConfig())}
    )
    assert _task(said, dataset)["pooling"] == {}


def test_each_seed_draws_its_own_validation_and_none_its_own_test(
    suite: SuiteConfig, tmp_path: Path
) -> None:
    from hyena_glt.suites.datasets import prepared

    def letters(seed: int, part: str) -> set[bytes]:
        dataset = prepared(suite.sets[0], seed, tmp_path, tmp_path / "out")
        return {row.sequence.tobytes() for row in dataset.part(part)}  # type: ignore[arg-type]

    assert letters(0, "validation") != letters(1, "validation")
    assert letters(0, "test") == letters(1, "test")


@pytest.mark.slow
@pytest.mark.parametrize("shuffled", [False, True])
def test_floors_find_a_planted_motif_and_nothing_in_shuffled_labels(
    suite: SuiteConfig, tmp_path: Path, shuffled: bool
) -> None:
    write_table(tmp_path / "motif/train.csv", 1000, 0, shuffled, bp=30)
    write_table(tmp_path / "motif/test.csv", 400, 1, shuffled, bp=30)
    asked = options(
        tmp_path,
        contenders=["kmer", "cnn", "transformer"],
        only="motif",
        # Where there is nothing to learn, more epochs would only learn training rows by heart.
        overrides=(*TINY, f"train.epochs={4 if shuffled else 9}", "train.patience_epochs=15"),
    )
    results, _ = told_of(suite, asked)
    found = {cell.contender: cell.metrics["auroc"] for cell in results.cells}
    for auroc in found.values():
        assert auroc is not None
        if shuffled:
            assert 0.4 < auroc < 0.6, found
        else:
            assert auroc > 0.95, found


def test_a_mean_says_how_many_seeds_and_which_are_not_defined() -> None:
    assert mean_with_interval([0.5]) == "0.500 (1)"
    # t(2, .975) = 4.3027; s = 0.1.
    assert mean_with_interval([0.4, 0.5, 0.6]) == "0.500 [0.252, 0.748] (3)"
    assert mean_with_interval([0.5, None]) == "0.500 (1 of 2)"
    assert mean_with_interval([None, None]) == "not defined"
