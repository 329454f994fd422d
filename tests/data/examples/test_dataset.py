"""Rows of a prepared dataset are what the sources gave, read where they lie."""

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyena_glt.config.examples import DatasetConfig, ExamplesConfig
from hyena_glt.data.examples import prepare
from hyena_glt.data.examples.dataset import Dataset, open_dataset
from hyena_glt.data.examples.prepare import prepare_dataset
from hyena_glt.errors import SequenceFileError
from hyena_glt.io.examples import BaseClasses, Example, Label, Schema

# The package has a function of that name.
SEQUENCES = (b"ACGTN", b"ac", b"GATTACA", b"T")
PARTS: tuple[Any, ...] = ("train", "test", "train", "train")


class Listed:
    """A source that holds its examples."""

    notes: tuple[str, ...] = ()

    def __init__(self, schema: Schema, examples: list[Example]) -> None:
        self.schema = schema
        self._examples = examples

    def __iter__(self) -> Iterator[Example]:
        return iter(self._examples)


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Dataset]:
    """A dataset of four sequences with these labels, three a shard."""
    monkeypatch.setattr(prepare, "_CHUNK_ROWS", 3)
    (tmp_path / "in.csv").write_text("summed, not read")
    source = {"kind": "table", "path": str(tmp_path / "in.csv"), "label": {"kind": "none"}}
    config = DatasetConfig.model_validate(
        {"modality": "dna", "sources": [source], "split": {"by": "file"}}
    )

    def make(
        schema: Schema,
        labels: list[Label],
        pairs: bool = False,
        contigs: tuple[str | None, ...] = (None,) * 4,
    ) -> Dataset:
        rows = enumerate(zip(SEQUENCES, labels, PARTS, contigs, strict=True))
        examples = [
            Example(f"n{row}", sequence, label, f"line {row}", part, contig=contig)
            for row, (sequence, label, part, contig) in rows
        ]
        if pairs:
            examples = [e._replace(alternative=e.sequence[::-1]) for e in examples]

        def open_source(_: ExamplesConfig) -> Listed:
            return Listed(schema, examples)

        prepare_dataset(config, tmp_path / "out", open_source=open_source)
        return open_dataset(tmp_path / "out")

    return make


def test_rows_are_in_the_order_of_the_sources_with_name_place_and_case(
    prepared: Callable[..., Dataset],
) -> None:
    dataset = prepared(Schema("none"), [None] * 4)
    rows = dataset.part("train")
    assert len(rows) == 3
    assert [row.name for row in rows] == ["n0", "n2", "n3"]
    assert [row.where for row in rows] == ["line 0", "line 2", "line 3"]
    assert [row.sequence.tobytes() for row in rows] == [b"ACGTN", b"GATTACA", b"T"]
    assert [row.target for row in rows] == [None] * 3
    assert rows.lengths().tolist() == [5, 7, 1]
    (row,) = dataset.part("test")
    assert row.sequence.tobytes() == b"ac"
    assert len(dataset.part("validation")) == 0
    assert dataset.part("validation").lengths().tolist() == []
    with pytest.raises(IndexError):
        rows[3]
    assert rows[-1].name == "n3"


def test_contigs_are_there_where_a_source_has_them(prepared: Callable[..., Dataset]) -> None:
    dataset = prepared(Schema("none"), [None] * 4, contigs=("chr1", None, None, "chr2"))
    assert [row.contig for row in dataset.part("train")] == ["chr1", None, "chr2"]
    assert [row.contig for row in dataset.part("test")] == [None]


def test_sequences_are_views_of_the_file(prepared: Callable[..., Dataset]) -> None:
    sequence = prepared(Schema("none"), [None] * 4).part("train")[0].sequence
    assert not sequence.flags.owndata
    assert not sequence.flags.writeable


def test_classes_are_codes_in_the_order_of_names(prepared: Callable[..., Dataset]) -> None:
    dataset = prepared(Schema("class"), ["zebra", "ant", "mouse", "ant"])
    assert dataset.manifest.classes == ("ant", "mouse", "zebra")
    rows = dataset.part("train")
    assert [row.target for row in rows] == [2, 1, 0]
    assert rows.labels().tolist() == [2, 1, 0]
    assert dataset.part("test").labels().tolist() == [0]


def test_several_classes_are_zeros_and_ones(prepared: Callable[..., Dataset]) -> None:
    dataset = prepared(Schema("multilabel"), [("z", "a"), (), ("m", "m"), ()])
    assert dataset.manifest.classes == ("a", "m", "z")
    targets = [np.asarray(row.target).tolist() for row in dataset.part("train")]
    assert targets == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert dataset.manifest.parts["train"].classes == {"a": 1, "m": 1, "z": 1}
    with pytest.raises(ValueError, match="expected 'class'"):
        dataset.part("train").labels()


def test_numbers_come_back_exactly(prepared: Callable[..., Dataset]) -> None:
    labels = [np.array([row / 3, -row], np.float32) for row in range(4)]
    dataset = prepared(Schema("values", names=("x", "y")), labels)
    assert dataset.manifest.names == ("x", "y")
    for row, expected in zip(dataset.part("train"), [labels[0], labels[2], labels[3]], strict=True):
        np.testing.assert_array_equal(row.target, expected, strict=True)


def test_classes_of_bases_are_recoded_to_one_order(prepared: Callable[..., Dataset]) -> None:
    # The second shard knows fewer classes than the first, and each example counts them its own way.
    dataset = prepared(
        Schema("bases"),
        [
            BaseClasses(b"\0\1\2\0\1", ("gene", "background", "exon")),
            BaseClasses(b"\0\0", ("gene",)),
            BaseClasses(b"\1\1\1\0\0\0\0", ("exon", "gene")),
            BaseClasses(b"\0", ("gene",)),
        ],
    )
    classes = dataset.manifest.classes
    assert classes == ("background", "exon", "gene")
    found = [[classes[code] for code in np.asarray(row.target)] for row in dataset.part("train")]
    assert found == [
        ["gene", "background", "exon", "gene", "background"],
        ["gene"] * 3 + ["exon"] * 4,
        ["gene"],
    ]
    assert dataset.manifest.parts["train"].classes == {"background": 2, "exon": 5, "gene": 6}


def test_tracks_keep_their_bins(prepared: Callable[..., Dataset]) -> None:
    labels = [np.arange(bins * 2, dtype=np.float32).reshape(bins, 2) for bins in (3, 1, 4, 1)]
    dataset = prepared(Schema("signal", names=("a", "b"), bin_bp=2), labels)
    assert dataset.manifest.bin_bp == 2
    for row, expected in zip(dataset.part("train"), [labels[0], labels[2], labels[3]], strict=True):
        np.testing.assert_array_equal(row.target, expected, strict=True)


def test_pairs_have_their_alternative(prepared: Callable[..., Dataset]) -> None:
    dataset = prepared(Schema("none", pairs=True), [None] * 4, pairs=True)
    alternatives = [row.alternative for row in dataset.part("train")]
    assert [a.tobytes() for a in alternatives if a is not None] == [b"NTGCA", b"ACATTAG", b"T"]


def test_pickled_rows_are_opened_again_by_path(prepared: Callable[..., Dataset]) -> None:
    rows = prepared(Schema("class"), ["b", "a", "a", "b"]).part("train")
    rows[0]
    copied = pickle.dumps(rows)
    assert len(copied) < 1000
    assert [row.target for row in pickle.loads(copied)] == [1, 0, 1]


@pytest.mark.parametrize("name", ["shard-00001.arrow", "parts.npy"])
def test_damage_and_loss_are_found(prepared: Callable[..., Dataset], name: str) -> None:
    folder = prepared(Schema("none"), [None] * 4).folder
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(SequenceFileError, match=f"{name}: is damaged, its SHA-256"):
        open_dataset(folder)
    open_dataset(folder, check=False)
    (folder / name).unlink()
    with pytest.raises(SequenceFileError, match=f"{name}: is missing"):
        open_dataset(folder, check=False)


def test_a_shard_cut_short_is_damaged_even_unchecked(prepared: Callable[..., Dataset]) -> None:
    folder = prepared(Schema("none"), [None] * 4).folder
    shard = folder / "shard-00000.arrow"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(SequenceFileError, match=r"shard-00000\.arrow: is damaged"):
        open_dataset(folder, check=False).part("train")[0]


def test_a_folder_that_is_no_dataset(prepared: Callable[..., Dataset], tmp_path: Path) -> None:
    with pytest.raises(SequenceFileError, match="gone: no such folder"):
        open_dataset(tmp_path / "gone")
    with pytest.raises(SequenceFileError, match=r"has no manifest\.json"):
        open_dataset(tmp_path)
    folder = prepared(Schema("none"), [None] * 4).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    for content, problem in (
        ({**manifest, "format_version": 9}, "format_version 9, this version of hyena-glt reads 1"),
        ({**manifest, "rows": "many"}, "is damaged"),
        ([], "is damaged"),
    ):
        (folder / "manifest.json").write_text(json.dumps(content))
        with pytest.raises(SequenceFileError, match=problem):
            open_dataset(folder)
