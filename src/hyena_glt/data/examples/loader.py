"""Batches of a prepared dataset, epoch after epoch: resumable between any two of them."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch.utils.data import DataLoader, Dataset

from hyena_glt.data.examples.augment import Augment, row_keys
from hyena_glt.data.examples.batch import PackedBatch, TaskBatch, check_length, pack_examples
from hyena_glt.data.examples.dataset import Rows
from hyena_glt.data.examples.order import EpochOrder
from hyena_glt.errors import HyenaGLTError, RecipeError, StateError
from hyena_glt.io.examples.example import Target


class ExampleLoader:
    """Gives the batches of one epoch each time that it is iterated over, then those of the next.

    A batch depends on the order and, with ``augment``, on (seed, epoch, row number) alone, not on
    ``workers``, the processes that read ahead (0: none, batches are made when asked for). All that
    is to be resumed is thus where one is: `state_dict`. An iteration that was broken off goes on
    with the next iteration where it was, and so does one after `load_state_dict`.

    ``order`` gives the order of an epoch, from 0. Both sequences of a pair are turned and moved
    alike.

    Raises SequenceError, with the row, for a sequence of more than ``most_bp`` after augmentation;
    RecipeError for what `Augment` refuses, for a shift that leaves nothing of the shortest example,
    and for mutations of pairs, whose difference is what a network is to see.
    """

    def __init__(
        self,
        rows: Rows,
        kind: Target,
        order: Callable[[int], EpochOrder],
        *,
        augment: Augment | None = None,
        seed: int = 0,
        most_bp: int | None = None,
        workers: int = 0,
    ) -> None:
        self._rows, self._kind, self._order_of = rows, kind, order
        self._augment, self._seed, self._most_bp = augment, seed, most_bp
        self._workers = workers
        self._epoch, self._step = 0, 0
        self._order = order(0)
        lengths = rows.lengths()
        if most_bp is not None:
            # Now, not after hours; only the shift makes a sequence shorter.
            shift_bp = 0 if augment is None else augment.shift_bp
            check_length(rows[int(lengths.argmax())], most_bp + shift_bp)
        if augment is not None and augment.shift_bp:
            _check_shift(rows, lengths, augment.shift_bp)
        if augment is not None and kind == "signal":
            _check_bins(rows, lengths, augment)
        if augment is not None and augment.mutation and rows[0].alternative is not None:
            raise RecipeError(
                f"augment.mutation: found {augment.mutation} for pairs, whose sequences would "
                "differ by more than what they are a pair for; set it to 0"
            )

    @property
    def epoch(self) -> int:
        """Which epoch (from 0) the next batch is of."""
        return self._epoch

    @property
    def step(self) -> int:
        """How many batches of the epoch have been given."""
        return self._step

    def __len__(self) -> int:
        """How many batches the current epoch has."""
        return len(self._order)

    def steps_of(self, epochs: int) -> list[int]:
        """Return how many batches each of the first ``epochs`` has: a curriculum's differ."""
        return [len(self._order_of(epoch)) for epoch in range(epochs)]

    def __iter__(self) -> Iterator[TaskBatch]:
        batches = DataLoader(
            _Batches(
                self._rows,
                self._kind,
                self._order,
                self._epoch,
                self._augment,
                self._seed,
                self._most_bp,
            ),
            batch_size=None,
            sampler=range(self._step, len(self._order)),
            num_workers=self._workers,
            collate_fn=_as_it_is,
            # One of its own: the network's random numbers don't depend on how it is fed.
            generator=torch.Generator(),
        )
        for batch in batches:
            if isinstance(batch, HyenaGLTError):
                raise batch
            self._step += 1
            yield batch.tensors()
        self._move(self._epoch + 1, 0)

    def begin(self, epoch: int) -> None:
        """Go to the first batch of ``epoch`` (from 0), wherever an iteration was broken off."""
        self._move(epoch, 0)

    def state_dict(self) -> dict[str, Any]:
        """Return which batch is next, and what the position is of."""
        return {
            "epoch": self._epoch,
            "step": self._step,
            "steps": len(self._order),
            "rows": len(self._rows),
            "seed": self._seed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where ``state`` was taken; the next iteration gives the batches left of its epoch.

        After an epoch's last batch that is none, as where the state was taken. Raises StateError
        for a state of another dataset, seed, or size of batches.
        """
        here = {"rows": len(self._rows), "seed": self._seed}
        here["steps"] = len(self._order_of(state["epoch"]))
        for name, expected in here.items():
            if state[name] != expected:
                raise StateError(
                    f"the position saved in the data is of {name}={state[name]}, found "
                    f"{expected}; resume with the dataset, the seed and the batches that it was "
                    "saved with"
                )
        self._move(state["epoch"], state["step"])

    def _move(self, epoch: int, step: int) -> None:
        self._epoch, self._step = epoch, step
        self._order = self._order_of(epoch)


def evaluation_loader(
    rows: Rows,
    kind: Target,
    batch_examples: int,
    *,
    grouped: bool = False,
    most_bp: int | None = None,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> ExampleLoader:
    """Return a loader of ``rows`` as they are, in their order, every epoch alike.

    With ``grouped`` rows of similar length share a batch, and ``TaskBatch.rows`` says which is
    which. Raises as `ExampleLoader` and `EpochOrder` do.
    """
    order = EpochOrder(
        rows.lengths(),
        batch_examples,
        seed=0,
        epoch=0,
        shuffle=False,
        grouped=grouped,
        rank=rank,
        world=world,
    )
    return ExampleLoader(rows, kind, lambda epoch: order, most_bp=most_bp, workers=workers)


def _check_shift(rows: Rows, lengths: Int64[np.ndarray, " R"], shift_bp: int) -> None:
    """Raise RecipeError, with the row, where a crop would leave nothing of a sequence."""
    shortest = rows[int(lengths.argmin())]
    found_bp, where = len(shortest.sequence), shortest.where
    if shortest.alternative is not None:
        for row in rows:
            assert row.alternative is not None
            if len(row.alternative) < found_bp:
                found_bp, where = len(row.alternative), row.where
    if found_bp <= shift_bp:
        raise RecipeError(
            f"{where}: augment.shift_bp={shift_bp}: found a sequence of {found_bp} bp, the "
            "shortest, expected a longer one; use a smaller shift, or drop short examples with "
            "quality.min_bp"
        )


def _check_bins(rows: Rows, lengths: Int64[np.ndarray, " R"], augment: Augment) -> None:
    """Raise RecipeError, with the row, where bins of a turned or moved signal would lie elsewhere.

    The last window of a contig is seldom whole bins.
    """
    short = np.flatnonzero(lengths % augment.bin_bp)
    if len(short) and (augment.reverse_complement or augment.shift_bp):
        row = rows[int(short[0])]
        raise RecipeError(
            f"{row.where}: found {len(row.sequence)} bp, the first of {len(short)} examples that "
            f"aren't whole bins of {augment.bin_bp} bp: turned or moved, their bins would lie "
            "elsewhere; drop such examples with quality.min_bp (window_bp), or leave "
            "augment.reverse_complement and augment.shift_bp at 0"
        )


class _Batches(Dataset[PackedBatch | HyenaGLTError]):
    """The batches of one epoch, each a pure function of its step.

    A user's mistake is given back, not raised: a worker would wrap it in its traceback.
    """

    def __init__(
        self,
        rows: Rows,
        kind: Target,
        order: EpochOrder,
        epoch: int,
        augment: Augment | None,
        seed: int,
        most_bp: int | None,
    ) -> None:
        self._rows, self._kind, self._order = rows, kind, order
        self._augment, self._most_bp = augment, most_bp
        self._seed, self._epoch = seed, epoch

    def __getitem__(self, step: int) -> PackedBatch | HyenaGLTError:
        try:
            numbers = self._order[step]
            rows = [self._rows[number] for number in numbers.tolist()]
            if self._augment is not None:
                keys = row_keys(self._seed, self._epoch, numbers)
                rows = self._augment.rows(rows, self._kind, keys)
            numbered = list(zip(numbers.tolist(), rows, strict=True))
            return pack_examples(numbered, self._kind, self._most_bp)
        except HyenaGLTError as error:
            return error


def _as_it_is(batch: Any) -> Any:
    return batch
