"""Parts are whole, of their share, and the same on every run and in every order of the rows."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import UInt8
from pydantic import TypeAdapter

from hyena_glt.config.examples import ExamplesSplitConfig, Part
from hyena_glt.data.examples.split import PARTS, assign_parts, missing_classes
from hyena_glt.errors import RecipeError
from hyena_glt.io.examples.example import BaseClasses

TRAIN, VALIDATION, TEST = range(3)
Keep = Literal["random", "group", "similarity"]
CONFIG: TypeAdapter[Any] = TypeAdapter(ExamplesSplitConfig)


def assign(
    rows: int,
    seed: int = 1,
    given: Sequence[Part | None] | None = None,
    groups: Sequence[str | None] | None = None,
    contigs: Sequence[str | None] | None = None,
    cluster: Sequence[int] | None = None,
    **config: Any,
) -> UInt8[np.ndarray, " R"]:
    none = [None] * rows
    return assign_parts(
        CONFIG.validate_python(config),
        seed,
        none if given is None else given,
        none if groups is None else groups,
        none if contigs is None else contigs,
        None if cluster is None else np.array(cluster, dtype=np.int64),
    )


def counts(parts: UInt8[np.ndarray, " R"]) -> list[int]:
    return [int((parts == part).sum()) for part in range(3)]


def test_parts_are_in_the_order_of_their_codes() -> None:
    assert PARTS == ("train", "validation", "test")


def test_random_parts_have_their_shares() -> None:
    assert counts(assign(1000, by="random", validation=0.15, test=0.2)) == [650, 150, 200]
    assert counts(assign(1000, by="random", validation=0, test=0.2)) == [800, 0, 200]
    assert counts(assign(5, by="random", validation=0.01, test=0.01)) == [3, 1, 1]
    assert counts(assign(3, by="random", validation=0.5, test=0.4)) == [1, 1, 1]


def test_random_parts_are_those_of_the_seed() -> None:
    first = assign(200, by="random")
    assert (assign(200, by="random") == first).all()
    assert (assign(200, seed=2, by="random") != first).any()
    assert first[:100].any()
    assert first[100:].any()


def test_too_few_examples_are_said() -> None:
    with pytest.raises(RecipeError, match="found 2 examples, expected 3 or more"):
        assign(2, by="random")
    with pytest.raises(RecipeError, match="found 2 groups by group, expected 3 or more"):
        assign(9, groups=list("aaaabbbbb"), by="group")
    with pytest.raises(RecipeError, match="found 3 examples, expected 4 or more"):
        assign(3, by="folds", folds=4, fold=0)
    with pytest.raises(RecipeError, match="found 2 groups by similarity, expected 3 or more"):
        assign(9, cluster=[0] * 5 + [7] * 4, by="folds", folds=3, fold=0, keep="similarity")


def test_groups_are_whole_and_reach_the_shares() -> None:
    names = [f"gene{row % 100}" for row in range(1000)]
    parts = assign(1000, groups=names, by="group", validation=0.1, test=0.2)
    assert counts(parts) == [700, 100, 200]
    assert len({(name, part) for name, part in zip(names, parts.tolist(), strict=True)}) == 100
    again = assign(1000, seed=2, groups=names, by="group", validation=0.1, test=0.2)
    assert (again != parts).any()


def test_a_group_larger_than_a_share_trains() -> None:
    for seed in range(20):
        names = ["large"] * 60 + [f"small{row // 2}" for row in range(40)]
        parts = assign(100, seed, groups=names, by="group", validation=0.1, test=0.1)
        assert not parts[:60].any()
        assert counts(parts) == [80, 10, 10]


def test_where_all_groups_are_large_each_part_has_one() -> None:
    for seed in range(20):
        parts = assign(
            100,
            seed,
            cluster=[3] * 25 + [4] * 35 + [-9] * 40,
            by="similarity",
            validation=0.05,
            test=0.05,
        )
        assert parts[[0, 25, 60]].tolist() == [1, 2, 0]
        few = assign(100, seed, groups=["a"] * 98 + ["b", "c"], by="group")
        assert counts(few) == [98, 1, 1]


@settings(max_examples=30)
@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=40),
    st.integers(0, 5),
    st.sampled_from(["group", "similarity", "folds group", "folds similarity", "chromosome"]),
    st.randoms(use_true_random=False),
)
def test_reordered_rows_stay_in_their_parts(
    numbers: list[int], seed: int, kind: str, random: Any
) -> None:
    numbers += range(-5, 6)
    config: dict[str, Any] = {"by": kind}
    if kind.startswith("folds"):
        config = {"by": "folds", "folds": 4, "fold": 1, "keep": kind.split()[1]}
    if kind == "chromosome":
        config |= {"validation": ["3"], "test": ["-5", "0"]}

    def part_of(numbers: list[int]) -> dict[int, int]:
        names = [str(number) for number in numbers]
        parts = assign(
            len(numbers), seed, groups=names, contigs=names, cluster=numbers, **config
        ).tolist()
        of_number = dict(zip(numbers, parts, strict=True))
        assert [of_number[number] for number in numbers] == parts
        return of_number

    before = part_of(numbers)
    assert set(before.values()) == {TRAIN, VALIDATION, TEST}
    random.shuffle(numbers)
    assert part_of(numbers) == before


@settings(max_examples=30)
@given(
    st.integers(3, 6),
    st.lists(st.integers(0, 20), min_size=6, max_size=60),
    st.sampled_from(["random", "group", "similarity"]),
)
def test_every_example_is_tested_in_one_fold(folds: int, numbers: list[int], keep: Keep) -> None:
    numbers += range(6)
    names = [str(number) for number in numbers]
    parts = np.stack(
        [
            assign(
                len(numbers),
                groups=names,
                cluster=numbers,
                by="folds",
                folds=folds,
                fold=fold,
                keep=keep,
            )
            for fold in range(folds)
        ]
    )
    assert ((parts == TEST).sum(axis=0) == 1).all()
    assert (np.roll(parts == TEST, -1, axis=0) == (parts == VALIDATION)).all()
    sizes = (parts == TEST).sum(axis=1)
    largest = 1 if keep == "random" else max(Counter(numbers).values())
    assert sizes.max() - sizes.min() <= largest
    if keep != "random":
        tested = np.argmax(parts == TEST, axis=0).tolist()
        assert len(set(zip(numbers, tested, strict=True))) == len(set(numbers))


def test_a_row_without_what_the_split_needs_is_named() -> None:
    with pytest.raises(RecipeError, match=r"example 2 \(from 0\), one of 2 of 4, has no group"):
        assign(4, groups=["a", "b", None, None], by="group")
    with pytest.raises(RecipeError, match=r"example 1 \(from 0\), .* no chromosome"):
        assign(2, contigs=["chr1", None], by="chromosome", test=["chr1"])
    with pytest.raises(RecipeError, match=r"example 0 \(from 0\), .* no part"):
        assign(2, given=[None, "train"], by="file")


def test_chromosomes_named_are_kept() -> None:
    contigs = ["chr2", "chr1", "chr3", "chr2", "chrX"]
    parts = assign(5, contigs=contigs, by="chromosome", validation=["chr3"], test=["chr2"])
    assert parts.tolist() == [TEST, TRAIN, VALIDATION, TEST, TRAIN]
    with pytest.raises(RecipeError, match=r"test: no .* 'chr9'; .*: chr1, chr2, chr3, chrX$"):
        assign(5, contigs=contigs, by="chromosome", test=["chr9"])
    with pytest.raises(RecipeError, match="'chr2' is in validation and in test"):
        assign(5, contigs=contigs, by="chromosome", validation=["chr2"], test=["chr2"])
    with pytest.raises(RecipeError, match="nothing to train on"):
        assign(1, contigs=["chr1"], by="chromosome", test=["chr1"])


def test_validation_of_files_is_drawn_by_whole_groups() -> None:
    given: list[Part | None] = ["train", "test", "train", "train"] * 20
    groups = [f"g{row % 7}" for row in range(80)]
    parts = assign(80, given=given, groups=groups, by="file", validation=0.2)
    assert counts(parts)[2] == 20
    sides: dict[str, set[int]] = {}
    for name, part in zip(groups, parts.tolist(), strict=True):
        sides.setdefault(name, set()).add(part)
    assert all(len(side - {TEST}) == 1 for side in sides.values())
    assert 1 <= sum(1 in side for side in sides.values()) <= 2
    some = [*groups[:2], None, *groups[3:]]
    with pytest.raises(RecipeError, match=r"example 2 .*one of 1 of 60 for train, has no group"):
        assign(80, given=given, groups=some, by="file", validation=0.2)


def test_files_say_the_part_and_validation_may_be_drawn_from_train() -> None:
    given: list[Part | None] = ["train", "test", "train"] * 20
    assert assign(60, given=given, by="file").tolist() == [0, 2, 0] * 20
    parts = assign(60, given=given, by="file", validation=0.25)
    assert counts(parts) == [30, 10, 20]
    assert (parts[1::3] == TEST).all()
    # Drawn examples are the same whatever the others are.
    of_train = assign(40, given=["train"] * 40, by="file", validation=0.25)
    assert (parts[[row for row in range(60) if row % 3 != 1]] == of_train).all()
    with pytest.raises(RecipeError, match="already have 1 examples for validation"):
        assign(3, given=["train", "validation", "train"], by="file", validation=0.5)
    with pytest.raises(RecipeError, match="no example for train"):
        assign(1, given=["test"], by="file")


def test_classes_that_train_lacks_are_listed() -> None:
    parts = np.array([0, 0, 1, 1, 2], dtype=np.uint8)
    assert missing_classes(parts, ["a", "b", "d", "c", "a"]) == {"validation": ["c", "d"]}
    assert missing_classes(parts, [("a",), ("b",), ("a", "b"), (), ("e", "b")]) == {"test": ["e"]}
    assert missing_classes(parts, [None] * 5) == {}
    bases = [BaseClasses(codes, ("x", "y")) for codes in (b"\0\0", b"\0", b"\0", b"", b"\0\1")]
    assert missing_classes(parts, bases) == {"test": ["y"]}
