"""An epoch takes each example once, whatever the processes; its order is a pure function."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hyena_glt.data.examples.order import Curriculum, EpochOrder, TaskOrder, padding_share
from hyena_glt.errors import RecipeError

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(10, 1000, 6000)


def taken(order: EpochOrder) -> list[list[int]]:
    return [batch.tolist() for batch in order]


@given(
    st.integers(1, 300),
    st.integers(1, 40),
    st.integers(1, 5),
    st.booleans(),
    st.booleans(),
    st.integers(0, 9),
)
def test_each_example_once_over_all_processes_in_equally_many_steps(
    examples: int, batch: int, world: int, shuffle: bool, grouped: bool, epoch: int
) -> None:
    assume(world <= min(batch, examples))
    shares = [
        taken(
            EpochOrder(
                LENGTHS[:examples],
                batch,
                3,
                epoch,
                shuffle=shuffle,
                grouped=grouped,
                rank=rank,
                world=world,
            )
        )
        for rank in range(world)
    ]
    assert len({len(share) for share in shares}) == 1
    assert all(batch for share in shares for batch in share)
    seen = [number for share in shares for batch in share for number in batch]
    assert sorted(seen) == list(range(examples))
    steps = [[n for part in step for n in part] for step in zip(*shares, strict=True)]
    sizes = [len(step) for step in steps]
    assert max(sizes) - min(sizes) <= 1
    most = max(len(part) for share in shares for part in share)
    assert max(sizes) <= batch or (batch < 2 * world and most <= 2)
    if batch >= 2 * world:
        assert len(steps) == -(-examples // batch)
        alone = EpochOrder(LENGTHS[:examples], batch, 3, epoch, shuffle=shuffle, grouped=grouped)
        assert [sorted(step) for step in steps] == [sorted(step) for step in taken(alone)]


def test_sizes_that_do_not_divide_leave_no_small_rest() -> None:
    order = EpochOrder(LENGTHS[:65], 32, 0, 0)
    assert [len(batch) for batch in order] == [21, 22, 22]
    assert len(order) == 3
    with pytest.raises(IndexError):
        order[3]


def test_in_order_without_shuffle() -> None:
    batches = taken(EpochOrder(LENGTHS[:6], 3, seed=1, epoch=4, shuffle=False))
    assert batches == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("grouped", [False, True])
def test_the_order_depends_on_seed_and_epoch_alone(grouped: bool) -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        return taken(EpochOrder(LENGTHS, 64, seed, epoch, grouped=grouped))

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_groups_of_similar_length_pad_little_and_are_still_shuffled() -> None:
    loose = EpochOrder(LENGTHS, 32, 0, 0)
    grouped = EpochOrder(LENGTHS, 32, 0, 0, grouped=True)
    assert padding_share(LENGTHS, loose) > 0.4
    assert padding_share(LENGTHS, grouped) < 0.03
    means = [LENGTHS[batch].mean() for batch in grouped]
    rising = sum(first < second for first, second in pairwise(means)) / len(means)
    assert 0.4 < rising < 0.6
    # From all over the file: 50 batches that were sorted together are a random sample.
    assert np.median([batch.max() - batch.min() for batch in grouped]) > 5000


def test_padding_share_counts_bos() -> None:
    lengths = np.array([1, 3, 9])
    batches = [np.array([0, 1]), np.array([2])]
    assert padding_share(lengths, batches) == pytest.approx(2 / (8 + 10))


def test_more_processes_than_examples_are_refused() -> None:
    with pytest.raises(RecipeError, match="found 2 examples, expected 3 or more"):
        EpochOrder(LENGTHS[:2], 9, 0, 0, world=3)
    with pytest.raises(RecipeError, match="found 0 examples, expected 1 or more"):
        EpochOrder(LENGTHS[:0], 9, 0, 0)
    with pytest.raises(RecipeError, match="batch_examples: found 2, expected 3 or more"):
        EpochOrder(LENGTHS, 2, 0, 0, world=3)


def test_a_curriculum_holds_the_longest_back_until_its_epoch() -> None:
    lengths = LENGTHS[:100]
    curriculum = Curriculum(0.2, 4)
    for epoch, count in enumerate([20, 40, 60, 80, 100, 100]):
        order = EpochOrder(lengths, 8, 0, epoch, curriculum=curriculum)
        seen = sorted(number for batch in taken(order) for number in batch)
        assert len(seen) == len(set(seen)) == count
        held = np.setdiff1d(np.arange(100), seen)
        assert not len(held) or lengths[seen].max() <= lengths[held].min()


def test_a_curriculum_by_difficulty_ignores_lengths() -> None:
    difficulty = -np.arange(10.0)
    allowed = Curriculum(0.3, 2, difficulty).allowed(0, np.arange(10), seed=0)
    assert allowed.tolist() == [7, 8, 9]
    with pytest.raises(ValueError, match="10 difficulties for 9"):
        Curriculum(0.3, 2, difficulty).allowed(0, np.arange(9), seed=0)


def test_equally_hard_examples_are_drawn_and_stay_allowed() -> None:
    curriculum = Curriculum(0.25, 4)
    equal = np.full(400, 200)
    first, second = (set(curriculum.allowed(e, equal, seed=5).tolist()) for e in (0, 1))
    assert first < second
    assert 50 < np.mean(sorted(first)) < 350
    assert len([number for number in first if number < 200]) not in (0, 100)
    assert first != set(curriculum.allowed(0, equal, seed=6).tolist())


def test_a_curriculum_allows_one_example_at_least() -> None:
    assert len(Curriculum(0.001, 3).allowed(0, np.arange(5), 0)) == 1


@pytest.mark.parametrize(
    ("share", "until", "difficulty", "message"),
    [
        (0.0, 3, None, "from_share: found 0.0"),
        (1.5, 3, None, "from_share: found 1.5"),
        (0.5, 0, None, "until_epoch: found 0"),
        (0.5, 3, np.array([0.0, np.nan]), "example 1 "),
    ],
)
def test_settings_of_a_curriculum_that_mean_nothing_are_refused(
    share: float, until: int, difficulty: np.ndarray | None, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        Curriculum(share, until, difficulty)


SIZES = {"promoters": 900, "splice": 100, "enhancers": 25}


@pytest.mark.parametrize(
    ("how", "temperature", "weights"),
    [
        ("proportional", None, (900, 100, 25)),
        ("uniform", None, (1, 1, 1)),
        ("square_root", None, (30, 10, 5)),
        ("temperature", 1.0, (900, 100, 25)),
        ("temperature", 2.0, (30, 10, 5)),
        ("temperature", 4.0, (900**0.25, 100**0.25, 25**0.25)),
        ("temperature", 1e9, (1, 1, 1)),
    ],
)
def test_steps_are_apportioned_by_weight(
    how: str, temperature: float | None, weights: tuple[float, ...]
) -> None:
    order = TaskOrder(SIZES, how, temperature, seed=1)  # type: ignore[arg-type]
    for steps in (0, 1, 7, 1025):
        counts = order.counts(steps)
        assert sum(counts.values()) == steps
        for count, weight in zip(counts.values(), weights, strict=True):
            assert abs(count - steps * weight / sum(weights)) < 1
        assert Counter(order.tasks(0, steps)) == Counter(counts)


def test_an_epoch_of_all_batches_takes_each_of_them_in_proportion() -> None:
    assert TaskOrder(SIZES).counts(sum(SIZES.values())) == SIZES


def test_the_largest_remainders_have_the_steps_left() -> None:
    # 10 * (47, 16, 37) / 100: 4.7, 1.6, 3.7; two steps are left after 4, 1 and 3.
    assert TaskOrder({"a": 47, "b": 16, "c": 37}).counts(10) == {"a": 5, "b": 1, "c": 4}
    assert TaskOrder({"a": 1, "b": 1, "c": 1}).counts(2) == {"a": 1, "b": 1, "c": 0}


def test_a_low_temperature_does_not_overflow() -> None:
    assert TaskOrder({"a": 10, "b": 10**6}, "temperature", 0.01).counts(8) == {"a": 0, "b": 8}


def test_tasks_are_mixed_by_seed_and_epoch() -> None:
    order = TaskOrder({"a": 50, "b": 50}, seed=3)
    tasks = order.tasks(2, 100)
    assert tasks == TaskOrder({"a": 50, "b": 50}, seed=3).tasks(2, 100)
    assert tasks != order.tasks(3, 100)
    assert 10 < tasks[:50].count("a") < 40


@pytest.mark.parametrize(
    ("sizes", "how", "temperature", "message"),
    [
        ({}, "uniform", None, "found none"),
        ({"a": 0}, "uniform", None, "'a' has 0 batches"),
        ({"a": 1}, "uniform", 2.0, "no effect"),
        ({"a": 1}, "temperature", None, "is needed"),
        ({"a": 1}, "temperature", 0.0, "found 0.0"),
    ],
)
def test_settings_of_tasks_that_mean_nothing_are_refused(
    sizes: dict[str, int], how: str, temperature: float | None, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        TaskOrder(sizes, how, temperature)  # type: ignore[arg-type]
