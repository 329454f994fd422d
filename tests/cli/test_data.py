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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_prepare_warns_once_of_what_leaks_between_parts(
    run: Run, gue: Path, tmp_path: Path
) -> None:
    base = random_dna(100, 0)
    near = base[:60] + ("A" if base[60] != "A" else "C") + base[61:]
    table = gue / "dev.csv"
    table.write_text(table.read_text() + f"{near},0\n")
    shown = run("data", "prepare", str(gue), "--out", str(tmp_path / "d"))
    expected = (
        "Warning: 0 sequences of validation stand in train, too (1 do or nearly); "
        "1 sequences of test stand in train, too (1 do or nearly); "
        "0 sequences of test stand in validation, too (1 do or nearly): "
        "split.by=similarity keeps such on one side"
    )
    assert [line for line in shown.stderr.splitlines() if "Warning" in line] == [expected]
    assert "0 sequences of validation also in train, 1 the same or similar" in shown.stdout
    manifest = open_dataset(tmp_path / "d").manifest
    assert manifest.warnings == (expected.removeprefix("Warning: "),)
    assert [(leak.part, leak.other, leak.identical, leak.similar) for leak in manifest.leaks] == [
        ("validation", "train", 0, 1),
        ("test", "train", 1, 1),
        ("test", "validation", 0, 1),
    ]
    how = ("--set", "split.by=similarity", "--set", "split.test=0.3", "--json")
    shown = run("data", "prepare", str(gue), "--out", str(tmp_path / "similar"), *how)
    manifest = json.loads(shown.stdout)
    assert manifest["warnings"] == []
    assert [leak["similar"] for leak in manifest["leaks"]] == [0, 0, 0]
    assert "Warning" not in shown.stderr


def test_one_part_has_nothing_to_leak_into(run: Run, gue: Path, tmp_path: Path) -> None:
    how = ("--set", "split.by=random", "--set", "split.test=0", "--set", "split.validation=0")
    shown = run("data", "prepare", str(gue), "--out", str(tmp_path / "d"), "--json", *how)
    assert json.loads(shown.stdout)["leaks"] == []


def test_fasta_files_of_a_class_each_may_repeat_names(run: Run, tmp_path: Path) -> None:
    for name, seed in (("promoter", 0), ("rest", 9)):
        records = [
            f">{'' if row % 2 else 'gene'}\n{random_dna(80, seed + row)}" for row in range(4)
        ]
        (tmp_path / f"{name}.fa").write_text("\n".join(records) + "\n")
    paths = [f"{name}={tmp_path / name}.fa" for name in ("promoter", "rest")]
    how = ("--set", "split.validation=0", "--set", "split.test=0")
    shown = run("data", "prepare", *paths, "--out", str(tmp_path / "d"), *how)
    assert shown.exit_code == 0, shown.stderr
    warnings = [line for line in shown.stderr.splitlines() if line.startswith("Warning: ")]
    assert [line.split(": ", 2)[2] for line in warnings] == [
        "2 records have no name and are called by their place: row1 is the first record",
        "1 records have the name of an earlier one, and their place added to it: gene.row3",
    ] * 2
    names = [row.name for row in open_dataset(tmp_path / "d").part("train")]
    assert names == ["gene", "row2", "gene.row3", "row4"] * 2
    shown = run("data", "inspect", *paths)
    assert shown.stdout.count("records have no name") == 2


def test_both_verbs_have_the_options_that_describe_a_dataset(run: Run) -> None:
    for verb in ("inspect", "prepare"):
        text = run("data", verb, "--help").stdout
        for option in ("--modality", "--split-column", "--genome", "--label", "PATH..."):
            assert option in text
    assert "--similar" not in run("data", "prepare", "--help").stdout
    assert run("data", "inspect").exit_code == 2
