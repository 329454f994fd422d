"""Labels stay with their bases through every change, and changes follow the random numbers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyena_glt.data.examples.augment import Augment, paired_swaps, row_keys, strand_swaps
from hyena_glt.data.examples.dataset import Row
from hyena_glt.errors import RecipeError
from hyena_glt.tokenize import alphabet, decode, encode

DNA = alphabet("dna")
# The gene's bases, and those of its complement, are planted: each base's class can be read off it.
CLASSES = ("background", "gene+", "gene-")
STRANDED = strand_swaps(CLASSES)
CODE_OF = {"A": 1, "T": 2, "C": 0, "G": 0}


def codes_of(letters: str) -> list[int]:
    return [CODE_OF[letter] for letter in letters.upper()]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.text("ACGTacgt", min_size=9, max_size=40), st.integers(0, 8), st.integers(0, 99))
def test_classes_of_bases_stay_with_their_bases(letters: str, shift: int, seed: int) -> None:
    augment = Augment(DNA, reverse_complement=0.5, shift_bp=shift, swaps=STRANDED)
    target = np.array(codes_of(letters), dtype=np.uint8)
    sequence, codes = augment(encode(letters), target, "bases", rng(seed))
    assert isinstance(codes, np.ndarray)
    assert codes.tolist() == codes_of(decode(sequence))
    assert codes.dtype == np.uint8
    assert len(sequence) == len(letters) - shift
    turned = decode(DNA.reverse_complement(sequence))
    assert decode(sequence) in letters or turned in letters


@settings(max_examples=40)
@given(st.text("CG", min_size=6, max_size=20), st.integers(0, 2), st.integers(0, 99))
def test_bins_of_a_signal_stay_with_their_bases(text: str, shift: int, seed: int) -> None:
    # A bin of 3 bp; the first track counts C and the other, of the other strand, G.
    letters = text * 3
    augment = Augment(
        DNA,
        reverse_complement=0.5,
        shift_bp=3 * shift,
        swaps=strand_swaps(["cage_plus", "cage_minus"]),
        bin_bp=3,
    )

    def signal(letters: str) -> list[list[int]]:
        bins = [letters[at : at + 3] for at in range(0, len(letters), 3)]
        return [[part.count("C"), part.count("G")] for part in bins]

    target = np.array(signal(letters), dtype=np.float32)
    sequence, bins = augment(encode(letters), target, "signal", rng(seed))
    assert isinstance(bins, np.ndarray)
    assert bins.tolist() == signal(decode(sequence))
    assert len(sequence) == len(letters) - 3 * shift


@settings(max_examples=40)
@given(st.text("ACGTNRYacgtn", max_size=30), st.data())
def test_the_other_strand_of_the_other_strand_is_the_first(letters: str, data: Any) -> None:
    augment = Augment(DNA, reverse_complement=1.0, swaps=STRANDED)
    size = len(letters)
    codes = data.draw(st.lists(st.integers(-1, 2), min_size=size, max_size=size))
    target = np.array(codes, dtype=np.int8)
    once = augment.other_strand(encode(letters), target, "bases")
    sequence, again = augment.other_strand(*once, "bases")
    assert isinstance(again, np.ndarray)
    assert decode(sequence) == letters
    assert again.tolist() == codes
    assert isinstance(once[1], np.ndarray)
    assert (once[1] == -1).sum() == codes.count(-1)


def test_whole_labels_stay() -> None:
    augment = Augment(DNA, reverse_complement=1.0, shift_bp=2, mutation=0.5)
    values = np.array([1.5, -2], dtype=np.float32)
    assert augment(encode("AACGT"), 7, "class", rng())[1] == 7
    assert augment(encode("AACGT"), values, "values", rng())[1] is values
    assert augment(encode("AACGT"), None, "none", rng())[1] is None


def test_whole_labels_that_name_a_strand_swap_with_it() -> None:
    swaps = paired_swaps(["none", "minus", "plus"], [("plus", "minus")])
    turning = Augment(DNA, reverse_complement=1.0, swaps=swaps)
    classes = [turning(encode("AACG"), code, "class", rng())[1] for code in range(3)]
    assert classes == [0, 2, 1]
    several = np.array([1, 0, 1], dtype=np.uint8)
    found = turning(encode("AACG"), several, "multilabel", rng())[1]
    assert np.asarray(found).tolist() == [1, 1, 0]
    values = np.array([0.5, 2, 3], dtype=np.float32)
    found = turning(encode("AACG"), values, "values", rng())[1]
    assert np.asarray(found).tolist() == [0.5, 3, 2]
    staying = Augment(DNA, mutation=0.5, swaps=swaps)
    assert staying(encode("AACG"), 1, "class", rng())[1] == 1
    with pytest.raises(RecipeError, match="found 'other', expected of none, minus"):
        paired_swaps(["none", "minus"], [("minus", "other")])


def test_without_swaps_codes_are_turned_and_kept() -> None:
    augment = Augment(DNA, reverse_complement=1.0)
    sequence, codes = augment(encode("AACG"), np.array([0, 1, 2, 3]), "bases", rng())
    assert decode(sequence) == "CGTT"
    assert isinstance(codes, np.ndarray)
    assert codes.tolist() == [3, 2, 1, 0]


def test_a_shift_reaches_every_start_and_pads_nothing() -> None:
    augment = Augment(DNA, shift_bp=3)
    found = {decode(augment(encode("ACGTTG"), None, "none", rng(seed))[0]) for seed in range(60)}
    assert found == {"ACG", "CGT", "GTT", "TTG"}
    bins = Augment(DNA, shift_bp=2, bin_bp=2)
    signal = np.zeros((3, 1), dtype=np.float32)
    found = {decode(bins(encode("ACGTTG"), signal, "signal", rng(seed))[0]) for seed in range(60)}
    assert found == {"ACGT", "GTTG"}


def test_each_strand_is_as_likely_as_said() -> None:
    augment = Augment(DNA, reverse_complement=0.25)
    random = rng()
    turned = [decode(augment(encode("AC"), None, "none", random)[0]) for _ in range(400)]
    assert 70 < turned.count("GT") < 130
    assert turned.count("GT") + turned.count("AC") == 400
    assert decode(Augment(DNA)(encode("AC"), None, "none", random)[0]) == "AC"


@pytest.mark.parametrize(("modality", "letters"), [("dna", "ACgt"), ("rna", "ACgu")])
def test_mutations_are_other_letters_as_often_as_said(modality: Any, letters: str) -> None:
    before = encode(letters * 5000)
    after, _ = Augment(alphabet(modality), mutation=0.1)(before, None, "none", rng())
    changed = before != after
    assert abs(changed.mean() - 0.1) < 0.01
    assert set(decode(after)) == set(letters.upper() + letters.lower())
    assert (alphabet(modality).is_soft_masked(after) == np.resize([0, 0, 1, 1], 20000)).all()
    for letter in letters:
        others = after[changed & (before == ord(letter))]
        shares = np.unique(others, return_counts=True)[1] / len(others)
        assert len(shares) == 3
        assert (np.abs(shares - 1 / 3) < 0.1).all()
    assert decode(before) == letters * 5000


def test_every_base_may_mutate_and_letters_for_several_never() -> None:
    sequence, _ = Augment(DNA, mutation=1.0)(encode("NACGTRn"), None, "none", rng())
    text = decode(sequence)
    assert (text[0], text[5:]) == ("N", "Rn")
    assert all(a != b for a, b in zip(text[1:5], "ACGT", strict=True))
    protein, _ = Augment(alphabet("protein"), mutation=1.0)(encode("MKTX"), None, "none", rng())
    assert decode(protein)[3] == "X"


def test_the_same_random_numbers_give_the_same_example() -> None:
    augment = Augment(DNA, reverse_complement=0.5, shift_bp=7, mutation=0.2)
    runs = [
        [decode(augment(encode("GATTACAGGCTT"), None, "none", rng(seed))[0]) for seed in range(20)]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 10


def test_partners_of_classes_are_by_name() -> None:
    names = ["background", "coding+", "exon_donor", "coding-", "exon_acceptor"]
    assert strand_swaps(names).tolist() == [0, 3, 2, 1, 4]
    assert strand_swaps(["a_minus", "a_plus", "surplus", "-", "b.plus", "b.minus"]).tolist() == [
        1, 0, 2, 3, 5, 4,
    ]  # fmt: skip
    assert strand_swaps(["-", "+"]).tolist() == [1, 0]
    for alone in ("coding-", "cage_plus", "plus"):
        with pytest.raises(RecipeError, match=f"found '{alone}' without"):
            strand_swaps(["background", alone])


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(RecipeError, match="no other strand; set it to 0"):
        Augment(alphabet("protein"), reverse_complement=0.1)
    with pytest.raises(RecipeError, match=r"mutation: found 1\.5"):
        Augment(DNA, mutation=1.5)
    with pytest.raises(RecipeError, match="found 3, expected 0 or more whole bins of 2 bp"):
        Augment(DNA, shift_bp=3, bin_bp=2)
    with pytest.raises(RecipeError, match="found an example of 4 bp, expected a longer one"):
        Augment(DNA, shift_bp=4)(encode("ACGT"), 0, "class", rng())
    signal = np.zeros((3, 1), dtype=np.float32)
    with pytest.raises(RecipeError, match="3 bins of 2 bp for 5 bp, expected whole bins"):
        Augment(DNA, reverse_complement=1.0, bin_bp=2)(encode("ACGTA"), signal, "signal", rng())
    with pytest.raises(RecipeError, match="expected whole bins"):
        Augment(DNA, shift_bp=2, bin_bp=2)(encode("ACGTA"), signal, "signal", rng())
    with pytest.raises(ValueError, match="a code for each of 4 bases"):
        Augment(DNA, reverse_complement=1.0)(encode("ACGT"), np.arange(3), "bases", rng())


def rows_of(words: list[str], alternatives: list[str | None] | None = None) -> list[Row]:
    seconds = alternatives or [None] * len(words)
    return [
        Row(
            f"r{number}",
            encode(word),
            np.array(codes_of(word), dtype=np.uint8),
            None if second is None else encode(second),
            f"table.csv: line {number}",
            None,
        )
        for number, (word, second) in enumerate(zip(words, seconds, strict=True))
    ]


def plain(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [
        (row.name, decode(row.sequence), np.array(row.target).tolist(), row.where) for row in rows
    ]


@settings(max_examples=30)
@given(
    st.lists(st.text("ACGTacgt", min_size=5, max_size=40), min_size=1, max_size=9),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_a_row_changes_alike_whatever_is_beside_it(
    words: list[str], epoch: int, first: int
) -> None:
    augment = Augment(DNA, reverse_complement=0.5, shift_bp=4, mutation=0.3, swaps=STRANDED)
    rows = rows_of(words)
    keys = row_keys(7, epoch, np.arange(first, first + len(words)))
    together = plain(augment.rows(rows, "bases", keys))
    alone = [
        plain(augment.rows([row], "bases", keys[number : number + 1]))[0]
        for number, row in enumerate(rows)
    ]
    assert together == alone
    backwards = augment.rows(rows[::-1], "bases", keys[::-1].copy())
    assert plain(backwards)[::-1] == together
    assert [decode(row.sequence) for row in rows] == words


def test_rows_of_a_batch_mutate_and_move_as_often_as_said() -> None:
    augment = Augment(DNA, reverse_complement=0.25, shift_bp=3, mutation=0.1)
    words = ["AAAAAAAAAAC" * 9 + "C" for _ in range(800)]
    changed = augment.rows(rows_of(words), "none", row_keys(0, 0, np.arange(800)))
    # What most letters are tells the strand.
    turned = [decode(row.sequence).count("T") > 48 for row in changed]
    assert 150 < sum(turned) < 250
    letters = np.concatenate(
        [row.sequence for row, other in zip(changed, turned, strict=True) if not other]
    )
    share = np.isin(letters, list(b"GT")).mean()
    assert abs(share - 0.1 * 2 / 3) < 0.005
    places = np.array([row.sequence for row in changed]) == ord("G")
    assert (places.mean(axis=0) > 0).all()
    exact = Augment(DNA, shift_bp=3).rows(
        rows_of(["ACGTTG"] * 400), "none", row_keys(0, 0, np.arange(400))
    )
    found, counts = np.unique([decode(row.sequence) for row in exact], return_counts=True)
    assert found.tolist() == ["ACG", "CGT", "GTT", "TTG"]
    assert counts.min() > 70


def test_keys_differ_by_seed_epoch_and_row() -> None:
    numbers = np.arange(100)
    keys = [row_keys(*at, numbers) for at in ((0, 0), (1, 0), (0, 1), (1, 1))]
    assert len(np.unique(np.concatenate(keys))) == 400
    assert row_keys(1, 1, numbers[40:41]).tolist() == keys[3][40:41].tolist()


def test_both_sequences_of_a_pair_are_turned_and_moved_alike() -> None:
    augment = Augment(DNA, reverse_complement=0.5, shift_bp=3)
    rows = rows_of(["AACCAGGA"] * 50, ["AACCAGGAA"] * 50)
    for row in augment.rows(rows, "none", row_keys(0, 0, np.arange(50))):
        assert row.alternative is not None
        first, second = decode(row.sequence), decode(row.alternative)
        whole = "AACCAGGA"
        if first not in whole:
            first, second = (
                decode(DNA.reverse_complement(encode(letters))) for letters in (first, second)
            )
        assert second == f"{whole}A"[whole.index(first) :][: len(first) + 1]


def test_the_row_that_can_not_be_changed_is_named() -> None:
    augment = Augment(DNA, shift_bp=4)
    rows = rows_of(["ACGTA", "ACGT", "ACGTT"])
    with pytest.raises(RecipeError, match=r"^table.csv: line 1: augment.shift_bp=4: found an"):
        augment.rows(rows, "none", row_keys(0, 0, np.arange(3)))
    assert augment.rows([], "none", row_keys(0, 0, np.arange(0))) == []
