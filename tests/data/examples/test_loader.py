"""Batches of an epoch: each example once, labels at their bases, resumed to the letter."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hyena_glt.config.examples import DatasetConfig
from hyena_glt.data.examples.augment import Augment, strand_swaps
from hyena_glt.data.examples.batch import TaskBatch
from hyena_glt.data.examples.dataset import Dataset, open_dataset
from hyena_glt.data.examples.loader import ExampleLoader, evaluation_loader
from hyena_glt.data.examples.order import Curriculum, EpochOrder
from hyena_glt.data.examples.prepare import prepare_dataset
from hyena_glt.errors import RecipeError, SequenceError, StateError
from hyena_glt.tokenize import BOS, PAD, alphabet

DNA = alphabet("dna")
ROWS = 57
# The class of each base can be read off it, and on the other strand too: + and - swap.
SYMBOL_OF = str.maketrans("ACGT", "+00-")
OTHER = str.maketrans("ACGT", "TGCA")
COLUMNS = {
    "class": ("label", {"kind": "class", "column": "label"}),
    "bases": ("bases", {"kind": "bases", "column": "bases"}),
}


def sequences() -> list[str]:
    rng = np.random.default_rng(4)
    return ["".join(rng.choice(list("ACGT"), size)) for size in rng.integers(9, 60, ROWS)]


SEQUENCES = sequences()


def prepared(folder: Path, kind: str, pairs: bool = False) -> Dataset:
    lines = ["sequence,alternative,label,bases,split"]
    for letters in SEQUENCES:
        # An insertion behind the first base.
        second, label = f"{letters[0]}T{letters[1:]}", letters.count("G") % 3
        lines.append(f"{letters},{second},{label},{letters.translate(SYMBOL_OF)},train")
    lines.append("ACGT,ATCGT,0,+00-,test")
    (folder / "in.csv").write_text("\n".join(lines) + "\n")
    source = {
        "kind": "table",
        "path": str(folder / "in.csv"),
        "split": "split",
        "label": COLUMNS[kind][1],
        "alternative": "alternative" if pairs else None,
    }
    config = {"modality": "dna", "sources": [source], "split": {"by": "file"}}
    prepare_dataset(DatasetConfig.model_validate(config), folder / "out")
    return open_dataset(folder / "out")


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(tmp_path_factory.mktemp("class"), "class")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(tmp_path_factory.mktemp("bases"), "bases")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(tmp_path_factory.mktemp("pairs"), "class", pairs=True)


def loader(dataset: Dataset, batch_examples: int = 8, **settings: Any) -> ExampleLoader:
    rows = dataset.part("train")
    lengths = rows.lengths()
    dealt = {name: settings.pop(name) for name in ("rank", "world", "curriculum") & settings.keys()}

    def order(epoch: int) -> EpochOrder:
        return EpochOrder(lengths, batch_examples, 2, epoch, grouped=True, **dealt)

    return ExampleLoader(rows, dataset.manifest.target, order, **settings)


def augment(dataset: Dataset, **settings: Any) -> Augment:
    return Augment(DNA, 0.5, 4, swaps=strand_swaps(dataset.manifest.classes), **settings)


def words(batch: TaskBatch) -> list[str]:
    assert (batch.ids[:, 0] == BOS).all()
    assert [int((row != PAD).sum()) for row in batch.ids] == batch.length.tolist()
    return [
        "".join(map(chr, row[1:length].tolist()))
        for row, length in zip(batch.ids, batch.length.tolist(), strict=True)
    ]


def content(batches: Any) -> list[Any]:
    return [
        tuple(None if field is None else field.tolist() for field in batch) for batch in batches
    ]


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(1, 70), st.integers(1, 5), st.integers(0, 3))
def test_an_epoch_visits_each_example_once_over_all_processes(
    classes: Dataset, batch: int, world: int, epoch: int
) -> None:
    assume(batch >= world)
    seen: dict[int, str] = {}
    steps = set()
    for rank in range(world):
        one = loader(classes, batch, rank=rank, world=world)
        one.load_state_dict({**one.state_dict(), "epoch": epoch})
        assert one.epoch == epoch
        found = list(one)
        steps.add(len(found))
        for part in found:
            for number, letters in zip(part.rows.tolist(), words(part), strict=True):
                assert number not in seen
                seen[number] = letters
    assert len(steps) == 1
    assert [seen[number] for number in range(ROWS)] == SEQUENCES


def test_each_iteration_is_the_next_epoch_in_another_order(classes: Dataset) -> None:
    one = loader(classes)
    first, second = content(one), content(one)
    assert one.epoch == 2
    assert len(one) == len(first) == 8
    assert first != second
    assert sorted(n for batch in second for n in batch[3]) == list(range(ROWS))


def test_labels_are_those_of_their_rows(classes: Dataset) -> None:
    for batch in loader(classes):
        assert batch.target is not None
        assert [letters.count("G") % 3 for letters in words(batch)] == batch.target.tolist()


def test_classes_stay_with_their_bases_through_padding_and_augmentation(bases: Dataset) -> None:
    names = bases.manifest.classes
    turned = short = 0
    for batch in loader(bases, augment=augment(bases)):
        assert batch.target is not None
        assert batch.target.shape == batch.ids.shape
        for number, letters, target in zip(
            batch.rows.tolist(), words(batch), batch.target.tolist(), strict=True
        ):
            end = len(letters) + 1
            assert target[0] == -1
            assert "".join(names[code] for code in target[1:end]) == letters.translate(SYMBOL_OF)
            assert target[end:] == [-1] * (len(target) - end)
            assert len(letters) == len(SEQUENCES[number]) - 4
            other = letters[::-1].translate(OTHER)
            assert letters in SEQUENCES[number] or other in SEQUENCES[number]
            turned += letters not in SEQUENCES[number]
            short += end < len(target)
    assert 15 < turned < 42
    assert short


def test_augmentation_depends_on_seed_epoch_and_row_not_on_the_batch(bases: Dataset) -> None:
    def of_rows(one: ExampleLoader) -> dict[int, tuple[str, list[int]]]:
        found = {}
        for batch in one:
            assert batch.target is not None
            for number, letters, target in zip(
                batch.rows.tolist(), words(batch), batch.target.tolist(), strict=True
            ):
                found[number] = letters, target[: len(letters) + 1]
        return found

    changed = augment(bases, mutation=0.2)
    one = loader(bases, 8, augment=changed, seed=1)
    first, second = of_rows(one), of_rows(one)
    assert first == of_rows(loader(bases, 5, augment=changed, seed=1))
    differing = [sum(a[n] != b[n] for n in a) for a, b in ((first, second),)]
    assert differing[0] > 50
    other = of_rows(loader(bases, 8, augment=changed, seed=2))
    assert sum(first[n] != other[n] for n in first) > 50
    shared = of_rows(loader(bases, 8, augment=changed, seed=1, rank=1, world=3))
    assert 0 < len(shared) < ROWS
    assert all(first[number] == row for number, row in shared.items())


def test_rows_of_one_epoch_have_random_numbers_of_their_own(bases: Dataset) -> None:
    # With one stream for all, every row would lose the same bases at its start.
    shifts = set()
    for batch in loader(bases, augment=Augment(DNA, shift_bp=8)):
        for number, letters in zip(batch.rows.tolist(), words(batch), strict=True):
            shifts.add(SEQUENCES[number].index(letters))
    assert shifts == set(range(9))


@pytest.mark.slow
def test_resuming_goes_on_with_the_next_batch_wherever_it_was_cut(bases: Dataset) -> None:
    changed = augment(bases, mutation=0.1)

    def fresh() -> ExampleLoader:
        return loader(bases, 16, augment=changed)

    one = fresh()
    whole = content(one) + content(one)
    for cut in range(len(whole) + 1):
        first = fresh()
        before: list[TaskBatch] = []
        while len(before) < cut:
            for batch in first:
                before.append(batch)
                if len(before) == cut:
                    break
        second = fresh()
        second.load_state_dict(pickle.loads(pickle.dumps(first.state_dict())))
        after: list[Any] = []
        while len(after) < len(whole) - cut:
            after += content(second)
        assert content(before) + after == whole


def test_after_the_last_batch_nothing_of_the_epoch_is_left(classes: Dataset) -> None:
    first, second = loader(classes), loader(classes)
    states = [first.state_dict() for _ in first]
    second.load_state_dict(states[-1])
    assert list(second) == []
    assert second.epoch == 1
    assert content(second) == content(first)


def test_an_iteration_broken_off_goes_on(classes: Dataset) -> None:
    one = loader(classes)
    first = next(iter(one))
    assert content([first, *one]) == content(loader(classes))


def test_a_state_of_another_run_is_refused(classes: Dataset) -> None:
    state = loader(classes).state_dict()
    with pytest.raises(StateError, match="steps=8, found 12"):
        loader(classes, 5).load_state_dict(state)
    with pytest.raises(StateError, match="seed=0, found 1"):
        loader(classes, seed=1).load_state_dict(state)
    with pytest.raises(StateError, match="rows=57, found 1;"):
        evaluation_loader(classes.part("test"), "class", 8).load_state_dict(state)


def test_a_curriculum_holds_rows_back_in_its_first_epochs(classes: Dataset) -> None:
    one = loader(classes, curriculum=Curriculum(0.5, 1))
    easy = [n for batch in one for n in batch.rows.tolist()]
    assert len(easy) == 28
    longest = max(len(SEQUENCES[n]) for n in easy)
    assert longest <= min(len(SEQUENCES[n]) for n in set(range(ROWS)) - set(easy))
    assert sum(len(batch.rows) for batch in one) == ROWS


def test_evaluation_reads_rows_as_they_are_in_order(classes: Dataset) -> None:
    one = evaluation_loader(classes.part("train"), "class", 10)
    for _ in range(2):
        batches = list(one)
        assert [n for batch in batches for n in batch.rows.tolist()] == list(range(ROWS))
        assert [letters for batch in batches for letters in words(batch)] == SEQUENCES
    grouped = list(evaluation_loader(classes.part("train"), "class", 10, grouped=True))
    by_number = {
        number: letters
        for batch in grouped
        for number, letters in zip(batch.rows.tolist(), words(batch), strict=True)
    }
    assert [by_number[number] for number in range(ROWS)] == SEQUENCES
    sizes = [batch.ids.shape[1] for batch in grouped]
    assert sizes == sorted(sizes)


def test_both_sequences_of_a_pair_are_turned_and_moved_alike(pairs: Dataset) -> None:
    turned, starts = 0, set()
    for batch in loader(pairs, augment=Augment(DNA, 0.5, 3)):
        assert batch.alternative_ids is not None
        assert batch.alternative_length is not None
        second = words(batch._replace(ids=batch.alternative_ids, length=batch.alternative_length))
        for number, reference, alternative in zip(
            batch.rows.tolist(), words(batch), second, strict=True
        ):
            letters = SEQUENCES[number]
            inserted = f"{letters[0]}T{letters[1:]}"
            assert len(alternative) == len(reference) + 1
            pair = [reference, alternative]
            forward = reference in letters and alternative in inserted
            if not forward:
                pair = [word[::-1].translate(OTHER) for word in pair]
            turned += not forward
            starts.add((letters.index(pair[0]), inserted.index(pair[1])))
    assert 15 < turned < 42
    assert starts == {(start, start) for start in range(4)}


def test_pairs_are_not_mutated(pairs: Dataset) -> None:
    with pytest.raises(RecipeError, match=r"mutation: found 0\.1 for pairs"):
        loader(pairs, augment=Augment(DNA, mutation=0.1))


def test_a_row_that_is_too_long_is_found_before_the_first_batch(classes: Dataset) -> None:
    longest = max(range(ROWS), key=lambda number: len(SEQUENCES[number]))
    most = len(SEQUENCES[longest])
    assert len(list(loader(classes, most_bp=most))) == 8
    moved = Augment(DNA, shift_bp=4)
    assert len(list(loader(classes, most_bp=most - 4, augment=moved))) == 8
    for changed in (None, Augment(DNA, 1.0)):
        with pytest.raises(SequenceError, match=rf"in\.csv.*found {most} bp"):
            loader(classes, most_bp=most - 1, augment=changed)


def test_what_augmentation_refuses_names_the_row(classes: Dataset) -> None:
    with pytest.raises(RecipeError, match=r"in\.csv.*shift_bp=40: found a sequence of"):
        list(loader(classes, augment=Augment(DNA, shift_bp=40)))


def test_reading_leaves_the_random_numbers_of_the_network_alone(classes: Dataset) -> None:
    before = torch.get_rng_state()
    list(loader(classes))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_workers_give_the_same_batches_resume_and_raise_without_a_traceback(
    bases: Dataset,
) -> None:
    changed = augment(bases, mutation=0.1)

    def fresh(workers: int) -> ExampleLoader:
        return loader(bases, augment=changed, workers=workers)

    whole = content(fresh(0))
    assert content(fresh(2)) == whole
    cut = fresh(2)
    before = [batch for _, batch in zip(range(3), cut, strict=False)]
    resumed = fresh(2)
    resumed.load_state_dict(cut.state_dict())
    assert content(before) + content(resumed) == whole
    with pytest.raises(RecipeError) as caught:
        list(loader(bases, augment=Augment(DNA, shift_bp=40), workers=2))
    assert "Traceback" not in str(caught.value)


def test_a_shift_leaves_something_of_the_shortest_sequence(
    classes: Dataset, tmp_path: Path
) -> None:
    shortest = min(SEQUENCES, key=len)
    line = SEQUENCES.index(shortest) + 2
    loader(classes, augment=Augment(DNA, shift_bp=len(shortest) - 1))
    with pytest.raises(RecipeError, match=rf"in.csv: line {line}: augment.shift_bp=.*shortest"):
        loader(classes, augment=Augment(DNA, shift_bp=len(shortest)))
    lines = ["ACGTACGT,ACGTACGTA,0,train", "ACGTACGTAC,ACGTA,1,train", "ACG,ACGT,1,test"]
    (tmp_path / "in.csv").write_text("\n".join(["sequence,alternative,label,split", *lines, ""]))
    source = {
        "kind": "table",
        "split": "split",
        "path": str(tmp_path / "in.csv"),
        "label": {"kind": "class", "column": "label"},
        "alternative": "alternative",
    }
    config = {"modality": "dna", "sources": [source], "split": {"by": "file"}}
    prepare_dataset(DatasetConfig.model_validate(config), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    with pytest.raises(RecipeError, match=r"line 3: augment.shift_bp=5: found a sequence of 5 bp"):
        loader(dataset, augment=Augment(DNA, shift_bp=5))
    loader(dataset, augment=Augment(DNA, shift_bp=4))


def test_bins_that_a_turn_would_move_are_found_before_the_first_batch(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">one\nACGTACGTAC\n>two\nACGTACGT\n")
    (tmp_path / "a.bedgraph").write_text("one\t0\t10\t1\ntwo\t0\t8\t2\n")
    source = {
        "kind": "signal",
        "paths": {"a": f"{tmp_path}/a.bedgraph"},
        "part": "train",
        "genome": f"{tmp_path}/g.fa",
        "window_bp": 4,
        "bin_bp": 4,
    }
    config = {"modality": "dna", "sources": [source], "split": {"by": "file"}}
    prepare_dataset(DatasetConfig.model_validate(config), tmp_path / "out")
    rows = open_dataset(tmp_path / "out").part("train")
    assert rows.lengths().tolist() == [4, 4, 2, 4, 4]

    def signal(augment: Augment) -> ExampleLoader:
        return ExampleLoader(
            rows, "signal", lambda epoch: EpochOrder(rows.lengths(), 2, 0, epoch), augment=augment
        )

    with pytest.raises(RecipeError, match=r"one:8-10.*found 2 bp.* bins of 4 bp.*quality.min_bp"):
        signal(Augment(DNA, reverse_complement=0.5, bin_bp=4))
    list(signal(Augment(DNA, mutation=0.5, bin_bp=4)))
