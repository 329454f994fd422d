"""Rows become tensors that say the same: bases, labels at their bases, nothing cut."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.data.batch import whole_rows_of
from hyena_glt.data.examples.batch import collate_examples
from hyena_glt.data.examples.dataset import Row
from hyena_glt.errors import SequenceError
from hyena_glt.io.examples.example import Target
from hyena_glt.tokenize import BOS, PAD, encode


def row(letters: str, target: Any = None, alternative: str | None = None) -> Row:
    second = None if alternative is None else encode(alternative)
    return Row("gene7", encode(letters), target, second, "in.csv row 9", None)


def batch_of(*targets: Any, kind: Target) -> torch.Tensor:
    rows = [(n, row("ACGT"[: n + 2], target)) for n, target in enumerate(targets)]
    target = collate_examples(rows, kind).target
    assert target is not None
    return target


def test_a_row_is_bos_its_bases_and_padding() -> None:
    batch = collate_examples([(5, row("ACg")), (2, row("T"))], "none")
    a, c, g, t = (ord(letter) for letter in "ACgT")
    assert batch.ids.tolist() == [[BOS, a, c, g], [BOS, t, PAD, PAD]]
    assert batch.length.tolist() == [4, 2]
    assert batch.rows.tolist() == [5, 2]
    assert batch.target is None
    assert batch.alternative_ids is None
    assert batch.alternative_length is None
    assert {t.dtype for t in (batch.ids, batch.length, batch.rows)} == {torch.int64}


@given(st.lists(st.text("ACGTNacgt", min_size=1, max_size=30), min_size=1, max_size=6))
def test_rows_are_laid_out_as_those_of_windows(sequences: list[str]) -> None:
    batch = collate_examples([(0, row(letters)) for letters in sequences], "none")
    ids, length = whole_rows_of([encode(letters) for letters in sequences])
    assert torch.equal(batch.ids, ids)
    assert torch.equal(batch.length, length)


def test_classes_and_numbers_have_the_types_of_losses() -> None:
    classes = batch_of(2, 0, kind="class")
    assert (classes.dtype, classes.tolist()) == (torch.int64, [2, 0])
    yes = np.array([1, 0, 1], np.uint8), np.array([0, 0, 0], np.uint8)
    multilabel = batch_of(*yes, kind="multilabel")
    assert (multilabel.dtype, multilabel.tolist()) == (torch.int64, [[1, 0, 1], [0, 0, 0]])
    numbers = np.array([0.5, np.nan], np.float32), np.array([-1, 8], np.float32)
    values = batch_of(*numbers, kind="values")
    assert values.dtype == torch.float32
    assert values.nan_to_num(99).tolist() == [[0.5, 99], [-1, 8]]


def test_a_class_of_a_base_stands_at_its_position() -> None:
    codes = np.array([1, 2], np.uint8), np.array([0, 1, 255], np.uint8)[::-1]
    bases = batch_of(*codes, kind="bases")
    assert bases.dtype == torch.int64
    assert bases.tolist() == [[-1, 1, 2, -1], [-1, 255, 1, 0]]


def test_bins_behind_a_rows_last_are_no_target() -> None:
    bins = np.ones((1, 2), np.float32), np.array([[1, 2], [3, 4]], np.float32)
    signal = batch_of(*bins, kind="signal")
    assert (signal.dtype, tuple(signal.shape)) == (torch.float32, (2, 2, 2))
    assert signal[0, 1].isnan().all()
    assert signal.nan_to_num(9).tolist() == [[[1, 1], [9, 9]], [[1, 2], [3, 4]]]


def test_both_sequences_of_pairs_are_there() -> None:
    rows = [(0, row("AC", 1, "ACGTA")), (1, row("ACG", 0, "A"))]
    batch = collate_examples(rows, "class")
    assert batch.alternative_ids is not None
    assert batch.alternative_length is not None
    assert batch.length.tolist() == [3, 4]
    assert batch.alternative_length.tolist() == [6, 2]
    assert batch.alternative_ids[0].tolist() == [BOS, *encode("ACGTA").tolist()]
    assert batch.alternative_ids[1].tolist() == [BOS, ord("A"), *[PAD] * 4]


@pytest.mark.parametrize("long", [row("ACGTA"), row("A", None, "ACGTA")])
def test_a_row_that_is_too_long_is_named_and_never_cut(long: Row) -> None:
    assert collate_examples([(0, long)], "none", most_bp=5).rows.tolist() == [0]
    message = "in.csv row 9: found 5 bp in example 'gene7', expected 4 bp or fewer"
    with pytest.raises(SequenceError, match=message):
        collate_examples([(0, long)], "none", most_bp=4)


def test_arrays_of_the_file_are_copied() -> None:
    sequence = encode("ACG")
    sequence.flags.writeable = False
    batch = collate_examples([(0, row("A")._replace(sequence=sequence))], "none")
    batch.ids.zero_()
    assert sequence.tobytes() == b"ACG"


def test_a_batch_moves_to_a_device_with_all_it_has() -> None:
    batch = collate_examples([(3, row("AC", 1, "AG"))], "class").to(torch.device("meta"))
    assert all(field is not None and field.device.type == "meta" for field in batch)
    bare = collate_examples([(3, row("AC"))], "none").to(torch.device("meta"))
    assert bare.target is None
    assert bare.ids.device.type == "meta"
