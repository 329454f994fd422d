"""Which examples each step of an epoch takes: a pure function of the seed and the epoch."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, get_args

import numpy as np
from jaxtyping import Float, Int64

from hyena_glt.errors import RecipeError

# Random numbers come from (seed, purpose, ...), as those of windows do, whose purposes end at 5:
# 6 an epoch's order, 7 which of equally hard examples comes first, 8 tasks, 9 augmentation, 10 what
# a step drops out.
ORDER, TIES, TASKS, AUGMENTATION, DROPOUT = 6, 7, 8, 9, 10

MEGABATCH: Final = 50  # batches that are grouped by length together

How = Literal["proportional", "uniform", "square_root", "temperature"]


@dataclass(frozen=True, slots=True, eq=False)
class Curriculum:
    """Easy examples first: the share of examples allowed grows from epoch to epoch.

        share(epoch) = from_share + (1 - from_share) * min(1, epoch / until_epoch)

    The easiest are those with the lowest ``difficulty``, one number an example; without it the
    shortest. Which of equally difficult ones comes first is drawn once from the seed, so that
    what an epoch allows the next one allows too, and files in the order of classes don't matter.

    Raises RecipeError for a share that is 0 or less, or above 1, an epoch below 1, and a
    difficulty that is no number.
    """

    from_share: float
    until_epoch: int
    difficulty: Float[np.ndarray, " R"] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.from_share <= 1:
            raise RecipeError(
                f"curriculum.from_share: found {self.from_share}, expected more than 0, 1 at most"
            )
        if self.until_epoch < 1:
            raise RecipeError(
                f"curriculum.until_epoch: found {self.until_epoch}, expected 1 or more; leave the "
                "curriculum out to have all examples from the start"
            )
        if self.difficulty is not None and np.isnan(self.difficulty).any():
            raise RecipeError(
                f"curriculum.difficulty: example {int(np.isnan(self.difficulty).argmax())} (from "
                "0) has none, expected a number for each"
            )

    def share(self, epoch: int) -> float:
        """Return the share of examples that ``epoch`` (from 0) allows."""
        return self.from_share + (1 - self.from_share) * min(1.0, epoch / self.until_epoch)

    def allowed(
        self, epoch: int, lengths: Int64[np.ndarray, " R"], seed: int
    ) -> Int64[np.ndarray, " N"]:
        """Return the numbers of the examples that ``epoch`` allows, ascending; one at least.

        Raises ValueError unless there are as many difficulties as lengths.
        """
        hard = lengths if self.difficulty is None else self.difficulty
        if len(hard) != len(lengths):
            raise ValueError(f"found {len(hard)} difficulties for {len(lengths)} examples")
        ties = np.random.default_rng((seed, TIES)).permutation(len(hard))
        easiest_first = np.lexsort((ties, hard))
        count = round(self.share(epoch) * len(hard))
        return np.sort(easiest_first[: max(1, count)])


class EpochOrder:
    """The steps of an epoch: for each, the numbers of the examples that this process takes.

    An epoch takes each example once (with a ``curriculum``, each that it allows), in batches of
    ``batch_examples`` or fewer over all ``world`` processes. None is dropped and no step is a
    small rest: sizes differ by one at most. They don't depend on the number of processes, nor does
    which examples a step takes; each process takes every ``world``-th of them. All processes have
    equally many steps, and none of them is empty: where batches would have fewer examples than
    there are processes, which only ``batch_examples`` below twice ``world`` can bring about, there
    are fewer steps, in which some processes take two.

    With ``shuffle`` the order is random. With ``grouped`` examples of similar length share a
    batch: each 50 batches in a row are sorted by length, and then batches are shuffled.

    Raises RecipeError for fewer ``batch_examples``, or fewer examples, than processes.
    """

    def __init__(
        self,
        lengths: Int64[np.ndarray, " R"],
        batch_examples: int,
        seed: int,
        epoch: int,
        *,
        shuffle: bool = True,
        grouped: bool = False,
        curriculum: Curriculum | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if not 0 <= rank < world:
            raise ValueError(f"found rank {rank} of {world} processes")
        if curriculum is None:
            order = np.arange(len(lengths))
        else:
            order = curriculum.allowed(epoch, lengths, seed)
        examples = len(order)
        _check_enough(batch_examples, examples, world)
        self._rank, self._world = rank, world
        rng = np.random.default_rng((seed, ORDER, epoch))
        if shuffle:
            order = rng.permutation(order)
        steps = min(-(-examples // batch_examples), examples // world)
        self._cuts = np.arange(steps + 1) * examples // steps
        self._places = np.arange(steps)
        if grouped:
            for first in range(0, steps, MEGABATCH):
                end = min(first + MEGABATCH, steps)
                together = order[self._cuts[first] : self._cuts[end]]
                together[:] = together[np.argsort(lengths[together], kind="stable")]
            if shuffle:
                self._places = rng.permutation(steps)
        self._order = order

    def __len__(self) -> int:
        """How many steps."""
        return len(self._places)

    def __getitem__(self, step: int) -> Int64[np.ndarray, " N"]:
        place = self._places[step]
        whole = self._order[self._cuts[place] : self._cuts[place + 1]]
        return whole[self._rank :: self._world]

    def __iter__(self) -> Iterator[Int64[np.ndarray, " N"]]:
        return (self[step] for step in range(len(self)))


def padding_share(
    lengths: Int64[np.ndarray, " R"], batches: Iterable[Int64[np.ndarray, " _"]]
) -> float:
    """Return the share of the positions of ``batches``, BOS too, that is padding."""
    filled = positions = 0
    for batch in batches:
        found = lengths[batch] + 1
        filled += int(found.sum())
        positions += len(found) * int(found.max())
    return 1 - filled / positions


class TaskOrder:
    """Which task each step takes. A task has a share of the steps in proportion to its weight:

    - proportional: n, its number of batches in ``sizes``
    - uniform: 1
    - square_root: n ** (1 / 2)
    - temperature: n ** (1 / temperature): 1 is proportional, 2 the square root, infinity uniform

    Shares of an epoch's steps are kept as exactly as whole steps can be: each task has its share
    rounded down, and the steps left go to the largest remainders (Hamilton's method), the first
    named at equal ones. A small task of a short epoch may have none.

    Raises RecipeError where there is no task, one without a batch, and a temperature that is
    missing, not above 0, or without effect.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        how: How = "proportional",
        temperature: float | None = None,
        seed: int = 0,
    ) -> None:
        if how not in get_args(How):
            raise RecipeError(f"tasks: found {how!r}, expected one of {', '.join(get_args(How))}")
        if not sizes:
            raise RecipeError("tasks: found none, expected one or more")
        for name, size in sizes.items():
            if size < 1:
                raise RecipeError(
                    f"tasks: {name!r} has {size} batches, expected 1 or more; add examples, or "
                    "leave it out"
                )
        if (temperature is not None) != (how == "temperature"):
            verb = "is needed for" if temperature is None else "has no effect with"
            raise RecipeError(f"temperature {verb} tasks drawn by {how}")
        if temperature is not None and not temperature > 0:
            raise RecipeError(f"temperature: found {temperature}, expected more than 0")
        powers = {"proportional": 1.0, "uniform": 0.0, "square_root": 0.5}
        power = powers[how] if temperature is None else 1 / temperature
        # Over the largest, or a low temperature's powers would overflow.
        parts = {name: Fraction(n, max(sizes.values())) for name, n in sizes.items()}
        self._weights = {
            name: part if power == 1 else Fraction(float(part) ** power)
            for name, part in parts.items()
        }
        self._seed = seed

    def counts(self, steps: int) -> dict[str, int]:
        """Return how many of ``steps`` each task has; they add up."""
        total = sum(self._weights.values())
        exact = {name: steps * weight / total for name, weight in self._weights.items()}
        counts = {name: int(share) for name, share in exact.items()}
        by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
        for name in by_remainder[: steps - sum(counts.values())]:
            counts[name] += 1
        return counts

    def tasks(self, epoch: int, steps: int) -> list[str]:
        """Return the task of each of an epoch's ``steps``, in a random order."""
        counts = self.counts(steps)
        names = list(counts)
        drawn = np.repeat(np.arange(len(names)), list(counts.values()))
        rng = np.random.default_rng((self._seed, TASKS, epoch))
        return [names[task] for task in rng.permutation(drawn).tolist()]


def _check_enough(batch_examples: int, examples: int, world: int) -> None:
    if batch_examples < world:
        raise RecipeError(
            f"batch_examples: found {batch_examples}, expected {world} or more, one for each "
            "process; use larger batches or fewer processes"
        )
    if examples < world:
        raise RecipeError(
            f"found {examples} examples, expected {world} or more, one for each process; use "
            "fewer processes, or a part of the split that holds more"
        )
