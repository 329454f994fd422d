"""Floors by themselves: what they read, that padding is none of it, and what they can learn."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.config import with_dataset_overrides
from hyena_glt.config.tasks import (
    BasesTaskConfig,
    ClassificationTaskConfig,
    NumberAnswerConfig,
    PairTaskConfig,
    PoolingConfig,
    RegressionTaskConfig,
    TaskConfig,
)
from hyena_glt.data import whole_rows_of
from hyena_glt.data.examples import guess_dataset, prepare_dataset
from hyena_glt.data.examples.dataset import Dataset, open_dataset
from hyena_glt.suites.linear import fit_linear, kmer_counts, window_letters
from hyena_glt.suites.networks import FloorKind, TokenTransformer, build_floor
from hyena_glt.tokenize import KmerTokenizer, alphabet

DNA = alphabet("dna")
CLASSES = ClassificationTaskConfig(kind="classification")
BASES = BasesTaskConfig(kind="bases")
KINDS: tuple[FloorKind, ...] = get_args(FloorKind)


def letters(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


LEARNED = [letters("ACGTTGCAACGTTGCACC"), letters("TTGACGTTGCATTGACC")]


@given(st.lists(st.text("ACGTNacgt", min_size=1, max_size=20), min_size=1, max_size=4))
def test_words_are_counted_as_a_plain_loop_counts_them(texts: list[str]) -> None:
    found = kmer_counts([letters(text) for text in texts], DNA, (1, 2))
    words = ["A", "C", "G", "T", *(a + b for a in "ACGT" for b in "ACGT")]
    for row, text in zip(found, texts, strict=True):
        upper = text.upper()
        expected = [
            sum(upper[at : at + len(word)] == word for at in range(len(upper))) for word in words
        ]
        assert row.tolist() == expected


def test_a_window_has_its_base_in_the_middle_and_nothing_beyond_the_ends() -> None:
    found = window_letters(letters("ACGN"), DNA, 1).reshape(4, 3, 4)
    shown = [
        ["".join("ACGT"[i] for i in np.flatnonzero(place)) or "." for place in window]
        for window in found
    ]
    assert shown == [[".", "A", "C"], ["A", "C", "G"], ["C", "G", "."], ["G", ".", "."]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", [CLASSES, BASES], ids=["classes", "bases"])
def test_an_answer_is_the_same_alone_and_beside_a_longer_row(
    kind: FloorKind, task: TaskConfig
) -> None:
    network = build_floor(kind, DNA, task, 3, seed=0, sequences=LEARNED).eval()
    torch.nn.init.normal_(network.head.out.weight)
    rows = [letters("ACGTTGCAACC"), letters("TTGACTCAGGTACCATTAGCATTTACGAGCAAC")]
    with torch.no_grad():
        together = network(*whole_rows_of(rows))
        alone = network(*whole_rows_of(rows[:1]))
    both = (together[0], alone[0])
    if task is BASES:
        both = (together[0, 1 : len(rows[0]) + 1], alone[0, 1:])
    assert both[1].std() > 0
    torch.testing.assert_close(*both, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_base_is_answered_from_both_sides(kind: FloorKind) -> None:
    network = build_floor(kind, DNA, BASES, 3, seed=0, sequences=LEARNED).eval()
    torch.nn.init.normal_(network.head.out.weight)
    with torch.no_grad():
        one, other, third = (
            network(*whole_rows_of([letters(text)]))[0, 8]
            for text in ("ACGTTGCAACCTT", "ACGTTGCAACCTA", "TCGTTGCAACCTT")
        )
    assert (one - other).abs().max() > 1e-6
    assert (one - third).abs().max() > 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_of_equals_has_no_effect_of_its_own(kind: FloorKind) -> None:
    task = PairTaskConfig(kind="pair", answer=NumberAnswerConfig(kind="regression"))
    network = build_floor(kind, DNA, task, 1, seed=0, sequences=LEARNED).eval()
    torch.nn.init.normal_(network.head.out.weight)
    reference, other = letters("ACGTTGCAACCTT"), letters("ACGTTGAAACCTT")
    with torch.no_grad():
        equal = network(*whole_rows_of([reference]), *whole_rows_of([reference]))
        unequal = network(*whole_rows_of([reference]), *whole_rows_of([other]))
    assert equal.item() == 0
    assert unequal.item() != 0


def test_a_base_has_the_state_of_its_token() -> None:
    body = TokenTransformer(KmerTokenizer(3, 3)).eval()
    with torch.no_grad():
        states, valid = body(*whole_rows_of([letters("ACGTTNACGT"), letters("AC")]))
    assert valid.sum(1).tolist() == [10, 2]
    row = states[0, 1:]  # ACG T T N ACG T
    assert torch.equal(row[0], row[2])
    assert torch.equal(row[6], row[8])
    for one, other in ((2, 3), (3, 4), (4, 5), (5, 6), (8, 9)):
        assert not torch.equal(row[one], row[other])


@pytest.mark.parametrize("length_bp", [1, 7, 8, 9, 60])
def test_a_cnn_has_places_where_the_task_has(length_bp: int) -> None:
    pooling = PoolingConfig(kind="aligned", length_bp=length_bp)
    task = ClassificationTaskConfig(kind="classification", pooling=pooling)
    network = build_floor("cnn", DNA, task, 2, seed=0).eval()
    (places,) = (p for name, p in network.named_parameters() if name.endswith("places"))
    for parameter in (places, *network.head.parameters()):
        torch.nn.init.normal_(parameter)
    texts = ["A" * at + "TG" * (length_bp > 1) + "A" * (length_bp - at - 2) for at in (0, 4, 30)]
    rows = [letters(text[:length_bp] or "A") for text in texts]
    with torch.no_grad():
        together = network(*whole_rows_of(rows))
        alone = torch.cat([network(*whole_rows_of([row])) for row in rows])
    torch.testing.assert_close(together, alone)
    if length_bp == 60:
        assert len({tuple(row) for row in together.tolist()}) == 3  # where it stands counts


def test_floors_are_small() -> None:
    for kind in ("cnn", "transformer"):
        network = build_floor(kind, DNA, CLASSES, 2, seed=0)
        assert 50_000 < sum(p.numel() for p in network.parameters()) < 300_000


def dataset_of(folder: Path, kind: str, rows: list[tuple[str, str]]) -> Dataset:
    lines = ["sequence,label,split"]
    for number, (sequence, label) in enumerate(rows):
        part = ("train", "train", "dev", "test")[number % 4]
        lines.append(f"{sequence},{label},{part}")
    (folder / "t.csv").write_text("\n".join([*lines, ""]))
    table = str(folder / "t.csv")
    guessed = guess_dataset([table], kind=kind, split="split")  # type: ignore[arg-type]
    config = with_dataset_overrides(guessed, ["split={by: file}"])
    prepare_dataset(config, folder / "d")
    return open_dataset(folder / "d")


def random_letters(rng: np.random.Generator, bp: int) -> str:
    return "".join(rng.choice(list("ACGT"), bp))


def test_ridge_reads_a_number_off_words(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [random_letters(rng, 60) for _ in range(200)]
    rows = [(text, str(text.count("GAT") - 0.5 * text.count("CCA"))) for text in texts]
    dataset = dataset_of(tmp_path, "values", rows)
    fit = fit_linear("kmer", dataset, RegressionTaskConfig(kind="regression"), "pearson", 0)
    assert fit.answers.targets is not None
    r = np.corrcoef(np.ravel(fit.answers.values), np.ravel(fit.answers.targets))[0, 1]
    assert r > 0.6
    assert fit.examples == 100


@pytest.mark.slow
def test_a_letter_at_a_place_is_read_by_place_and_not_by_words(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [random_letters(rng, 24) for _ in range(400)]
    dataset = dataset_of(tmp_path, "class", [(t, "yes" if t[11] in "AG" else "no") for t in texts])
    right = {}
    for kind in ("onehot", "kmer"):
        fit = fit_linear(kind, dataset, CLASSES, "accuracy", 0)
        assert fit.answers.targets is not None
        called = np.stack(fit.answers.values).argmax(1)
        right[kind] = float(np.mean(called == np.stack(fit.answers.targets)))
    assert right["onehot"] > 0.95
    assert right["kmer"] < 0.75


def test_a_class_of_bases_is_read_off_the_window_on_either_side(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [random_letters(rng, int(rng.integers(20, 40))) for _ in range(80)]
    rows = []
    for text in texts:
        marked = [
            "X" if text[max(0, at - 2) : at + 3].count("G") >= 2 else "O" for at in range(len(text))
        ]
        rows.append((text, "".join(marked)))
    dataset = dataset_of(tmp_path, "bases", rows)
    fit = fit_linear("kmer", dataset, BASES, "mcc", 0)
    assert fit.answers.targets is not None
    assert [len(v) for v in fit.answers.values] == [len(t) for t in fit.answers.targets]
    called = np.concatenate(fit.answers.values).argmax(1)
    assert np.mean(called == np.concatenate(fit.answers.targets)) > 0.9
