"""What goes in comes out, whoever does the work and however often it is cut off."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hyena_glt.config.examples import (
    ClassLabelConfig,
    DatasetConfig,
    RecordsSourceConfig,
    SignalSourceConfig,
    TableSourceConfig,
)
from hyena_glt.data.examples import prepare
from hyena_glt.data.examples.dataset import Manifest, open_dataset
from hyena_glt.data.examples.look import inspect_dataset
from hyena_glt.data.examples.prepare import prepare_dataset, source_files
from hyena_glt.errors import RecipeError, SequenceError, SequenceFileError, StorageError
from hyena_glt.io.examples import BaseClasses, Example, Schema

# The package has a function of that name.
CLASS = Schema("class")
BY_FILE = {"by": "file"}


class Listed:
    """A source that holds its examples; it can break off before the last of them."""

    notes: tuple[str, ...] = ()

    def __init__(self, schema: Schema, examples: list[Example], breaks_at: int = -1) -> None:
        self.schema = schema
        self._examples = examples
        self._breaks_at = breaks_at

    def __iter__(self) -> Iterator[Example]:
        for index, example in enumerate(self._examples):
            if index == self._breaks_at:
                raise KeyboardInterrupt
            yield example


def example(row: int, sequence: bytes, label: Any, part: Any = "train", **more: Any) -> Example:
    return Example(f"r{row}", sequence, label, f"in.csv, line {row}", part, **more)


def config(folder: Path, names: tuple[str, ...] = ("in.csv",), **settings: Any) -> DatasetConfig:
    """Sources whose files are there to be summed; the examples come from elsewhere."""
    sources = []
    for name in names:
        (folder / name).write_text(name)
        label = ClassLabelConfig(kind="class", column="y")
        sources.append(TableSourceConfig(kind="table", path=str(folder / name), label=label))
    base: dict[str, Any] = {"modality": "dna", "split": BY_FILE}
    return DatasetConfig.model_validate({**base, "sources": sources, **settings})


def run(settings: DatasetConfig, out: Path, source: Listed, **options: Any) -> Manifest:
    return prepare_dataset(settings, out, open_source=lambda _: source, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_CHUNK_ROWS", 3)


EIGHT = [
    example(row, b"ACGTACGTAC"[: row + 2], ("b", "a", "c")[row % 3], "train" if row < 6 else "test")
    for row in range(8)
]


@pytest.mark.usefixtures("small_chunks")
def test_manifest_says_what_came_in_and_what_was_dropped(tmp_path: Path) -> None:
    examples = [
        example(1, b"ACGT", "z"),
        example(2, b"AC", "z"),
        example(3, b"ACGTNNNN", "a"),
        example(4, b"acgt", "z"),  # equal but for case
        example(5, b"ACGT", "m"),  # another label
        example(6, b"ACGTT", "a", "validation"),
        example(7, b"AC", "z"),  # too short, before it is a duplicate
        example(8, b"ACGTT", "a", "test"),
        example(9, b"ACGTTT", "a"),
    ]
    quality = {"min_bp": 3, "max_n_share": 0.4, "duplicates": "drop"}
    settings = config(tmp_path, quality=quality)
    out = tmp_path / "out"
    counts: list[int] = []
    manifest = run(settings, out, Listed(CLASS, examples), progress=counts.append)
    assert manifest.dropped == {"too short": 2, "too many N": 1, "duplicate": 2}
    assert counts == [3, 6, 9]
    assert (manifest.rows, manifest.bases) == (4, 4 + 4 + 5 + 6)
    assert manifest.classes == ("a", "m", "z")
    assert [shard.rows for shard in manifest.shards] == [1, 2, 1]
    train = manifest.parts["train"]
    assert (train.rows, train.bases, train.classes) == (3, 14, {"a": 1, "m": 1, "z": 1})
    assert manifest.parts["validation"].classes == {"a": 1, "m": 0, "z": 0}
    assert manifest.config == settings
    assert list(manifest.sources) == [str(tmp_path / "in.csv")]
    assert set(files(out)) == {
        "manifest.json",
        "parts.npy",
        *(f"shard-0000{index}.arrow" for index in range(3)),
    }
    assert json.loads((out / "manifest.json").read_text())["format_version"] == 1


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("stop", [3, 6, 8])
def test_cut_off_after_a_shard_and_resumed_is_as_never_cut_off(tmp_path: Path, stop: int) -> None:
    settings = config(tmp_path, quality={"duplicates": "drop"})
    # The duplicate of the first shard comes in the last: what was seen before the cut counts.
    examples = [*EIGHT[:7], EIGHT[0]._replace(name="again")]
    run(settings, tmp_path / "whole", Listed(CLASS, examples))

    def cut(done: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    out = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        run(settings, out, Listed(CLASS, examples), progress=cut)
    assert not (out / "manifest.json").exists()
    written = {path.name: path.stat().st_mtime_ns for path in out.glob("*.arrow")}
    (out / ".0123456789abcdef.part.arrow").write_bytes(b"half a shard, of a process killed")
    run(settings, out, Listed(CLASS, examples), resume=True)
    assert files(out) == files(tmp_path / "whole")
    for name, time_ns in written.items():
        assert (out / name).stat().st_mtime_ns == time_ns


@pytest.mark.usefixtures("small_chunks")
def test_cut_off_while_reading_and_with_a_shard_damaged_since(tmp_path: Path) -> None:
    settings = config(tmp_path)
    run(settings, tmp_path / "whole", Listed(CLASS, EIGHT))
    out = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        run(settings, out, Listed(CLASS, EIGHT, breaks_at=7))
    assert {path.name for path in out.iterdir()} == {
        "progress.json",
        "shard-00000.arrow",
        "shard-00001.arrow",
    }
    (out / "shard-00000.arrow").write_bytes(b"ARROW1")
    run(settings, out, Listed(CLASS, EIGHT), resume=True)
    assert files(out) == files(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.usefixtures("small_chunks")
def test_two_workers_write_what_one_writes(tmp_path: Path) -> None:
    settings = config(tmp_path)
    run(settings, tmp_path / "one", Listed(CLASS, EIGHT))
    run(settings, tmp_path / "two", Listed(CLASS, EIGHT), workers=2)
    assert files(tmp_path / "two") == files(tmp_path / "one")


_KILLED = """
import multiprocessing, os, signal, sys
from pathlib import Path
from hyena_glt.data.examples import prepare
from hyena_glt.data.examples.prepare import prepare_dataset
from hyena_glt.config.examples import DatasetConfig
from hyena_glt.io.examples import Example, Schema

class Killed:
    schema = Schema("class")
    notes = ()
    def __iter__(self):
        for row in range(3):
            yield Example(f"r{row}", b"ACGT", "a", "in.csv", "train")
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    prepare._CHUNK_ROWS = 1
    config = DatasetConfig.model_validate_json((folder / "config.json").read_text())
    prepare_dataset(config, folder / "out", workers=2, open_source=lambda _: Killed())
"""


@pytest.mark.slow
def test_workers_of_a_killed_preparation_end(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config(tmp_path).model_dump_json(exclude_unset=True))
    (tmp_path / "killed.py").write_text(_KILLED)
    command = [sys.executable, str(tmp_path / "killed.py"), str(tmp_path)]
    # Workers hold stdout open, so that run() returns when the last of them has ended.
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    assert ended.returncode == -9
    assert len(ended.stdout.split()) == 2


def test_resuming_what_is_finished_gives_its_manifest(tmp_path: Path) -> None:
    settings = config(tmp_path)
    first = run(settings, tmp_path / "out", Listed(CLASS, EIGHT))
    before = files(tmp_path / "out")
    nothing_read = Listed(CLASS, EIGHT, breaks_at=0)
    again = run(settings, tmp_path / "out", nothing_read, resume=True)
    assert again == first
    assert files(tmp_path / "out") == before


def test_resume_of_nothing_begins(tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = run(config(tmp_path), out, Listed(CLASS, EIGHT), resume=True)
    assert manifest.rows == 8


@pytest.mark.parametrize("finished", [True, False])
def test_resume_with_other_settings_or_sources_is_an_error(tmp_path: Path, finished: bool) -> None:
    settings = config(tmp_path)
    out = tmp_path / "out"
    if finished:
        run(settings, out, Listed(CLASS, EIGHT))
    else:
        with pytest.raises(KeyboardInterrupt):
            run(settings, out, Listed(CLASS, EIGHT, breaks_at=7))
    other = config(tmp_path, seed=1)
    with pytest.raises(RecipeError, match="other settings of seed;"):
        run(other, out, Listed(CLASS, EIGHT), resume=True)
    (tmp_path / "in.csv").write_text("changed")
    with pytest.raises(SequenceFileError, match=r"in\.csv: has changed since"):
        run(settings, out, Listed(CLASS, EIGHT), resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, resume: bool) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    (out / ".mine.part.txt").write_text("more")
    with pytest.raises(StorageError, match="holds files"):
        run(config(tmp_path), out, Listed(CLASS, EIGHT), resume=resume)
    assert set(files(out)) == {"thesis.tex", ".mine.part.txt"}


def test_sources_of_two_kinds_are_an_error_that_names_both(tmp_path: Path) -> None:
    settings = config(tmp_path, ("a.csv", "b.csv"))
    opened = iter([Listed(Schema("values", names=(name,)), []) for name in ("x", "y")])
    with pytest.raises(RecipeError, match=r"sources\.1 .*b\.csv.*'y'.*sources\.0 .*a\.csv"):
        prepare_dataset(settings, tmp_path / "out", open_source=lambda _: next(opened))


def test_a_class_that_train_lacks_is_an_error_that_names_its_first_row(tmp_path: Path) -> None:
    examples = [*EIGHT, example(8, b"ACGT", "rare", "test"), example(9, b"ACG", "rare", "test")]
    with pytest.raises(RecipeError, match=r"'rare'.*in test \(first in in\.csv, line 8\)"):
        run(config(tmp_path), tmp_path / "out", Listed(CLASS, examples))
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_after_a_wrong_row_the_same_folder_is_free_again(tmp_path: Path, workers: int) -> None:
    out = tmp_path / "out"
    wrong = [*EIGHT, example(8, b"AC!T", "a")]
    with pytest.raises(SequenceError, match="line 8"):
        run(config(tmp_path), out, Listed(CLASS, wrong), workers=workers)
    assert files(out) == {}
    assert run(config(tmp_path), out, Listed(CLASS, EIGHT)).rows == 8


def test_a_foreign_letter_names_its_row_whatever_quality_says(tmp_path: Path) -> None:
    settings = config(tmp_path, quality={"min_bp": 100})
    with pytest.raises(SequenceError, match=r"in\.csv, line 8.*position 2 .*'E'"):
        run(settings, tmp_path / "out", Listed(CLASS, [*EIGHT, example(8, b"ACE", "a")]))


def test_of_a_pair_both_sequences_are_checked(tmp_path: Path) -> None:
    schema = Schema("class", pairs=True)
    good = example(0, b"ACGT", "a", alternative=b"ACTT")
    quality = {"min_bp": 3, "duplicates": "drop"}
    short = example(1, b"ACGT", "a", alternative=b"AC")
    other = example(2, b"ACGT", "a", alternative=b"ACAT")
    source = Listed(schema, [good, short, other, good])
    manifest = run(config(tmp_path, quality=quality), tmp_path / "out", source)
    assert (manifest.rows, manifest.dropped) == (2, {"too short": 1, "duplicate": 1})
    bad = example(3, b"ACGT", "a", alternative=b"EACC")
    with pytest.raises(SequenceError, match=r"line 3, alternative.*position 0 .*'E'"):
        run(config(tmp_path), tmp_path / "o", Listed(schema, [bad]))


def test_nothing_left_is_an_error_that_says_why(tmp_path: Path) -> None:
    settings = config(tmp_path, quality={"min_bp": 100})
    with pytest.raises(SequenceFileError, match="no example is left \\(8 too short\\)"):
        run(settings, tmp_path / "out", Listed(CLASS, EIGHT))


def test_labels_of_other_bases_than_the_sequence_has_are_an_error(tmp_path: Path) -> None:
    bad = example(4, b"ACGT", BaseClasses(b"\0\0\0", ("x",)))
    with pytest.raises(SequenceFileError, match="line 4: found labels of 3 bases, expected 4"):
        run(config(tmp_path), tmp_path / "out", Listed(Schema("bases"), [bad]))


@pytest.mark.parametrize("label", ["a", "\udc80"])
def test_text_that_is_no_utf8_is_an_error(tmp_path: Path, label: str) -> None:
    bad = Example("r\udcff" if label == "a" else "r", b"ACGT", label, "in.csv, line 5", "train")
    with pytest.raises(SequenceFileError, match=r"line 5'?: found text that isn't UTF-8"):
        run(config(tmp_path), tmp_path / "out", Listed(CLASS, [EIGHT[0], bad]))


def test_equal_labels_of_bases_are_duplicates_however_codes_count(tmp_path: Path) -> None:
    examples = [
        example(0, b"ACGT", BaseClasses(b"\0\0\1\1", ("in", "out"))),
        example(1, b"ACGT", BaseClasses(b"\2\2\0\0", ("out", "lost", "in"))),
        example(2, b"ACGT", BaseClasses(b"\0\0\1\1", ("out", "in", "unused"))),
    ]
    settings = config(tmp_path, quality={"duplicates": "drop"})
    manifest = run(settings, tmp_path / "out", Listed(Schema("bases"), examples))
    assert manifest.dropped == {"duplicate": 1}
    assert manifest.classes == ("in", "out", "unused")
    assert manifest.parts["train"].classes == {"in": 4, "out": 4, "unused": 0}


def test_similar_sequences_stay_on_one_side(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    originals = ["".join(rng.choice(list("ACGT"), 120)) for _ in range(12)]
    examples = [
        example(row, original[shift:].encode(), "a", None)
        for shift in (0, 3, 6)
        for row, original in enumerate(originals)
    ]
    split = {"by": "similarity", "validation": 0.2, "test": 0.2}
    run(config(tmp_path, split=split), tmp_path / "out", Listed(CLASS, examples))
    parts = np.load(tmp_path / "out" / "parts.npy").reshape(3, 12)
    assert (parts == parts[0]).all()
    assert set(parts[0].tolist()) == {0, 1, 2}


def test_pairs_that_share_a_sequence_stay_on_one_side(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    firsts, seconds = (
        ["".join(rng.choice(list("ACGT"), 120)).encode() for _ in range(count)]
        for count in (24, 12)
    )
    examples = [
        example(row, first, "a", None)._replace(alternative=seconds[row % 12])
        for row, first in enumerate(firsts)
    ]
    split = {"by": "similarity", "validation": 0.2, "test": 0.2}
    listed = Listed(Schema("class", pairs=True), examples)
    manifest = run(config(tmp_path, split=split), tmp_path / "out", listed)
    parts = np.load(tmp_path / "out" / "parts.npy").reshape(2, 12)
    assert (parts[0] == parts[1]).all()
    assert set(parts[0].tolist()) == {0, 1, 2}
    assert {leak.similar for leak in manifest.leaks} == {0}


def test_a_prepared_dataset_of_pairs_is_inspected_as_pairs(tmp_path: Path) -> None:
    rows = [
        example(row, b"ACGTACGTAA", label, part)._replace(alternative=second)
        for row, (label, part, second) in enumerate(
            [("a", "train", b"CCGTACGTAA"), ("b", "train", b"GCGTACGTAA"), ("a", "test", b"TT")]
        )
    ]
    run(config(tmp_path), tmp_path / "out", Listed(Schema("class", pairs=True), rows))
    found = inspect_dataset(tmp_path / "out").report
    assert found["duplicates"]["train"] == {"repeated": 0, "with_two_labels": 0}
    assert [leak["identical"] for leak in found["leaks"]] == [0]


def test_chromosomes_and_groups_reach_the_split(tmp_path: Path) -> None:
    contigs = ["chr1", "chr2", "chr1", "chr3"]
    examples = [
        example(row, b"ACGT", "a", None, contig=contig, group=contig)
        for row, contig in enumerate(contigs)
    ]
    by_contig = {"by": "chromosome", "validation": ["chr2"], "test": ["chr3"]}
    run(config(tmp_path, split=by_contig), tmp_path / "c", Listed(CLASS, examples))
    assert np.load(tmp_path / "c" / "parts.npy").tolist() == [0, 1, 0, 2]
    by_group = {"by": "group", "validation": 0.25, "test": 0.25}
    run(config(tmp_path, split=by_group), tmp_path / "g", Listed(CLASS, examples))
    first, _, third, _ = np.load(tmp_path / "g" / "parts.npy").tolist()
    assert first == third


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.text("ACGTacgtN", max_size=6), st.sampled_from("xyz")), min_size=1, max_size=12
    ),
    st.integers(2, 5),
)
@hypothesis_settings(max_examples=15)
def test_rows_are_the_examples_less_those_dropped(
    tmp_path_factory: pytest.TempPathFactory, given_rows: list[tuple[str, str]], chunk: int
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    examples = [
        example(row, sequence.encode(), label) for row, (sequence, label) in enumerate(given_rows)
    ]
    expected = []
    seen = set()
    for each in examples:
        key = (each.sequence.upper(), each.label)
        if len(each.sequence) >= 2 and key not in seen:
            expected.append((each.name, each.sequence, each.label, each.where))
        seen.add(key)
    settings = config(folder, quality={"min_bp": 2, "duplicates": "drop"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "_CHUNK_ROWS", chunk)
        source = Listed(CLASS, examples)
        if not expected:
            with pytest.raises(SequenceFileError, match="no example is left"):
                run(settings, folder / "out", source)
            return
        manifest = run(settings, folder / "out", source)
    assert manifest.rows + sum(manifest.dropped.values()) == len(examples)
    rows = open_dataset(folder / "out").part("train")
    labels = [manifest.classes[code] for code in rows.labels()]
    found = [
        (row.name, row.sequence.tobytes(), label, row.where)
        for row, label in zip(rows, labels, strict=True)
    ]
    assert found == expected


def test_source_files_are_all_that_is_read(tmp_path: Path) -> None:
    for name in ("t.csv", "r.fa", "g.fa", "one.bw", "two.bw"):
        (tmp_path / name).write_text(name)
    (tmp_path / "saved" / "train").mkdir(parents=True)
    (tmp_path / "saved" / "train" / "data.arrow").write_text("data")
    at = {path.name: str(path) for path in tmp_path.iterdir()}
    label = ClassLabelConfig(kind="class", column="y")
    table = TableSourceConfig(kind="table", path=at["t.csv"], label=label)
    records = RecordsSourceConfig(kind="records", path=at["r.fa"], label="table", table=table)
    assert [path.name for path in source_files(records)] == ["r.fa", "t.csv"]
    tracks = {"a": at["one.bw"], "b": at["two.bw"]}
    signal = SignalSourceConfig(kind="signal", paths=tracks, genome=at["g.fa"], window_bp=8)
    assert [path.name for path in source_files(signal)] == ["one.bw", "two.bw", "g.fa"]
    folder = TableSourceConfig(kind="table", path=at["saved"], label=label)
    assert source_files(folder) == [tmp_path / "saved" / "train" / "data.arrow"]
    (built_in,) = source_files(table.model_copy(update={"path": "builtin:ecoli_dh1"}))
    assert built_in.name == "ecoli_dh1.2bit"
    with pytest.raises(SequenceFileError, match=r"gone\.csv: no such file"):
        source_files(table.model_copy(update={"path": "gone.csv"}))


def test_a_class_that_no_example_is_of_names_its_column(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sequence,a,b,c\nACGT,1,0,0\nGGGG,0,1,0\nTTTT,1,1,0\n")
    label = {"kind": "multilabel", "columns": ["a", "b", "c"]}
    source = {"kind": "table", "path": f"{tmp_path}/t.csv", "label": label, "part": "train"}
    asked = {"modality": "dna", "sources": [source], "split": {"by": "file"}}
    with pytest.raises(RecipeError, match="column 'c': holds 1 in no example"):
        prepare_dataset(DatasetConfig.model_validate(asked), tmp_path / "out")
    label["columns"] = ["a", "b"]
    made = prepare_dataset(DatasetConfig.model_validate(asked), tmp_path / "out")
    assert made.classes == ("a", "b")
