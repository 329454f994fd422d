"""Batches of a prepared dataset, epoch after epoch: resumable between any two of them."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from hyena_glt.data.examples.augment import Augment
from hyena_glt.data.examples.batch import PackedBatch, TaskBatch, check_length, pack_examples
from hyena_glt.data.examples.dataset import Row, Rows, RowTarget
from hyena_glt.data.examples.order import AUGMENTATION, EpochOrder
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
    RecipeError for what `Augment` refuses, and for mutations of pairs, whose difference is what a
    network is to see.
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
        if augment is not None and augment.mutation and rows[0].alternative is not None:
            raise RecipeError(
                f"augment.mutation: found {augment.mutation} for pairs, whose sequences would "
                "differ by more than what they are a pair for; set it to 0"
            )

    @property
    def epoch(self) -> int:
        """Which epoch (from 0) the next batch is of."""
        return self._epoch

    def __len__(self) -> int:
        """How many batches the current epoch has."""
        return len(self._order)

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
        self._random = _RandomOfRows(seed, epoch)

    def __getitem__(self, step: int) -> PackedBatch | HyenaGLTError:
        try:
            rows = [(number, self._row(number)) for number in self._order[step].tolist()]
            return pack_examples(rows, self._kind, self._most_bp)
        except HyenaGLTError as error:
            return error

    def _row(self, number: int) -> Row:
        row = self._rows[number]
        augment = self._augment
        if augment is None:
            return row
        try:
            sequence, target = augment(
                row.sequence, row.target, self._kind, self._random.of(number)
            )
            alternative = row.alternative
            if alternative is not None:
                # The same random numbers: the same strand, the same shift.
                alternative, _ = augment(alternative, None, "none", self._random.of(number))
        except HyenaGLTError as error:
            raise type(error)(f"{row.where}: {error}") from None
        # A label changes, but not its kind.
        kept = cast(RowTarget, target)
        return row._replace(sequence=sequence, target=kept, alternative=alternative)


class _RandomOfRows:
    """Random numbers of each row of an epoch: stretches of one stream, 2**66 numbers apart."""

    def __init__(self, seed: int, epoch: int) -> None:
        # A new generator for each row would take longer than all else that is done to it.
        self._bits = np.random.Philox((seed, AUGMENTATION, epoch))
        self._start = self._bits.state
        self._rng = np.random.Generator(self._bits)

    def of(self, number: int) -> np.random.Generator:
        """Return a generator at the row's first number, which the next call moves elsewhere."""
        self._bits.state = self._start
        self._bits.advance(number << 64)
        return self._rng


def _as_it_is(batch: Any) -> Any:
    return batch
