"""``hyena-glt data``: from files to what is shown, and to a dataset."""

import json
from pathlib import Path

import numpy as np
import pytest

from cli.asking import Run
from hyena_glt.cli.dataset_figures import _edges
from hyena_glt.data.examples import open_dataset


def random_dna(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@pytest.fixture
def gue(tmp_path: Path) -> Path:
    """A folder of tables by part; one sequence of test stands in train."""
    folder = tmp_path / "tf"
    folder.mkdir()
    shared = random_dna(100, 0)
    for number, (part, rows) in enumerate({"train": 12, "dev": 4, "test": 4}.items()):
        lines = [f"{random_dna(100, 100 * number + row + 1)},{row % 2}" for row in range(rows)]
        if part != "dev":
            lines.append(f"{shared},1")
        (folder / f"{part}.csv").write_text("sequence,label\n" + "\n".join(lines) + "\n")
    return folder


def test_inspect_shows_parts_classes_and_leaks(run: Run, gue: Path, tmp_path: Path) -> None:
    out = tmp_path / "look"
    shown = run("data", "inspect", str(gue), "--out", str(out))
    assert shown.exit_code == 0
    text = " ".join(shown.stdout.split())
    assert "examples │ 13 │ 4 │ 5" in text
    assert "1 sequences of test also in train, 1 the same or similar" in text
    assert "1 of 5 sequences of test are identical to one of train" in text
    assert {path.name for path in out.iterdir()} == {
        "report.json",
        "lengths.png",
        "gc.png",
        "classes.png",
    }
    report = json.loads((out / "report.json").read_text())
    assert report["parts"]["train"]["classes"] == {"0": 6, "1": 7}
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in out.glob("*.png"))


def test_inspect_prints_the_report_as_json(run: Run, gue: Path) -> None:
    report = json.loads(run("data", "inspect", str(gue), "--json").stdout)
    assert report["leaks"][1]["identical"] == 1
    assert report["parts"]["validation"]["bases"] == 400


def test_prepare_writes_what_inspect_then_shows(run: Run, gue: Path, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    shown = run("data", "prepare", str(gue), "--out", str(out))
    assert shown.exit_code == 0, shown.stderr
    assert "22 examples, 2,200 bases" in shown.stdout
    dataset = open_dataset(out)
    assert {p: len(dataset.part(p)) for p in ("train", "validation", "test")} == {
        "train": 13,
        "validation": 4,
        "test": 5,
    }
    assert dataset.manifest.classes == ("0", "1")
    report = json.loads(run("data", "inspect", str(out), "--json").stdout)
    again = json.loads(run("data", "inspect", str(gue), "--json").stdout)
    assert report["parts"] == again["parts"]
    assert report["duplicates"] == again["duplicates"]
    assert report["leaks"][1]["identical"] == 1
    assert run("data", "prepare", str(gue), "--out", str(out)).exit_code == 1


def test_settings_drop_and_count(run: Run, gue: Path, tmp_path: Path) -> None:
    table = gue / "train.csv"
    table.write_text(table.read_text() + "ACGTN,0\n")
    command = ("data", "prepare", str(gue), "--out", str(tmp_path / "d"), "--json")
    shown = run(*command, "--set", "quality.min_bp=50", "--set", "quality.duplicates=drop")
    manifest = json.loads(shown.stdout)
    assert sum(manifest["dropped"].values()) == 2
    assert manifest["rows"] == 21
    assert manifest["config"]["quality"]["min_bp"] == 50


def test_similar_sequences_stay_on_one_side(run: Run, tmp_path: Path) -> None:
    lines = []
    for family in range(12):
        base = random_dna(200, family)
        for copy in range(3):
            changed = base[: 50 + copy] + "A" + base[51 + copy :]
            lines.append(f"{changed},{family % 2}")
    (tmp_path / "all.csv").write_text("sequence,label\n" + "\n".join(lines) + "\n")
    out = tmp_path / "d"
    how = ("--set", "split.by=similarity", "--set", "split.test=0.3")
    assert run("data", "prepare", str(tmp_path / "all.csv"), "--out", str(out), *how).exit_code == 0
    report = json.loads(run("data", "inspect", str(out), "--json").stdout)
    assert [leak["similar"] for leak in report["leaks"]] == [0, 0, 0]
    assert report["parts"]["test"]["examples"] % 3 == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ACGT", "line 3"),
        ("ACGE,1", "'E'"),
        (",1", "line 3"),
        ("ACGT,", "line 3"),
    ],
)
def test_a_wrong_row_is_named(run: Run, tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"sequence,label\nACGT,0\n{line}\n")
    for verb in (["inspect"], ["prepare", "--out", str(tmp_path / "d")]):
        shown = run("data", verb[0], str(path), *verb[1:])
        assert shown.exit_code == 1
        assert message in shown.stderr
        assert "Traceback" not in shown.stderr
        assert not (tmp_path / "d" / "manifest.json").exists()


def test_a_missing_column_names_those_that_there_are(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("dna,y\nACGT,0\n")
    shown = run("data", "inspect", str(path))
    assert shown.exit_code == 1
    assert "dna" in shown.stderr
    assert run("data", "inspect", str(path), "--sequence", "dna", "--label", "y").exit_code == 0
    assert run("data", "inspect", str(path), "--sequence", "dna", "--kind", "none").exit_code == 0


def test_numbers(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("sequence,dev,hk\nACGT,1,2\nACGG,3,4\n")
    how = ("--kind", "values", "--label", "dev", "--label", "hk")
    shown = run("data", "inspect", str(path), *how)
    assert "all, dev: 2 numbers, mean 2, standard deviation 1" in shown.stdout


def test_many_classes_with_long_names_stay_readable(run: Run, tmp_path: Path) -> None:
    lines = [f"{random_dna(20, row)},a_long_name_of_class_{row % 25:02d}" for row in range(250)]
    (tmp_path / "t.csv").write_text("sequence,label\n" + "\n".join(lines) + "\n")
    out = tmp_path / "d"
    how = ("--set", "split.test=0", "--set", "split.validation=0")
    shown = run("data", "prepare", str(tmp_path / "t.csv"), "--out", str(out), *how)
    assert "│ a_long_name_of_class_19 │    10 │          0 │    0 │" in shown.stdout
    assert "and 5 classes more" in shown.stdout


def test_a_folder_that_can_not_be_made_is_an_error(run: Run, gue: Path) -> None:
    blocked = gue / "train.csv" / "look"
    shown = run("data", "inspect", str(gue), "--no-similar", "--out", str(blocked))
    assert shown.exit_code == 1
    assert f"{blocked}: can't be made" in shown.stderr


@pytest.mark.parametrize("length_bp", [1, 70, 100, 2000])
def test_bins_hold_as_many_possible_values_each(length_bp: int) -> None:
    values = np.arange(length_bp + 1) / length_bp
    edges = _edges(values, 0.0001)
    counts, _ = np.histogram(values, edges)
    assert len(counts) <= 40
    assert len(set(counts[:-1].tolist())) <= 1
    assert counts.sum() == length_bp + 1


def test_one_length_alone_is_one_bin_around_it() -> None:
    assert _edges(np.array([70, 70]), 1.0).tolist() == [69.5, 70.5]
