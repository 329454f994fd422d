"""Answers to new sequences, from one fine-tuned network or several, on one strand or both."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hyena_glt.checkpoint.tasks import TaskCheckpoint, build_task_network, load_task_checkpoint
from hyena_glt.config.tasks import BasesTaskConfig, PairTaskConfig, SignalTaskConfig, answered
from hyena_glt.data import whole_rows_of
from hyena_glt.data.examples import paired_swaps, strand_swaps
from hyena_glt.errors import CheckpointError, RecipeError, SequenceError
from hyena_glt.finetune.answers import places_of, readable, rows_of
from hyena_glt.io.examples import Example
from hyena_glt.model import TaskNetwork
from hyena_glt.tokenize import Alphabet, alphabet

_BATCH_POSITIONS = 1 << 16  # read at once, padding too, unless one sequence is longer


class Prediction(NamedTuple):
    """One example's answer: (C,), of bases (L, C), of a signal (T, C)."""

    example: Example
    values: Float[np.ndarray, "..."]


class Predictor:
    """Fine-tuned networks whose answers are averaged."""

    def __init__(self, folders: Sequence[Path], device: str = "cpu") -> None:
        """Load the networks in ``folders``.

        Raises CheckpointError for a folder that is none, and where they answer different tasks.
        """
        checkpoints = [load_task_checkpoint(folder) for folder in folders]
        first = checkpoints[0]
        for folder, other in zip(folders, checkpoints, strict=True):
            if _question(other) != _question(first):
                raise CheckpointError(
                    f"{folder}: answers another task, or other classes, than {folders[0]}; name "
                    "checkpoints of one dataset's classes and one task"
                )
        self.device = torch.device(device)
        self.networks: list[TaskNetwork] = [
            build_task_network(found).to(self.device) for found in checkpoints
        ]
        self.task, self.names = first.recipe.task, first.answers
        self.alphabet: Alphabet = alphabet(first.modality)

    @torch.no_grad()
    def values(
        self, sequences: Sequence[np.ndarray], alternatives: Sequence[np.ndarray] | None
    ) -> list[Float[np.ndarray, "..."]]:
        """Return each sequence's answer on the strand given, the mean over networks.

        Sequences are read together with others of about their length, so that padding takes no more
        memory than ``_BATCH_POSITIONS``; an answer is the same in any company.
        """
        lengths = [len(sequence) for sequence in sequences]
        if alternatives is not None:
            lengths = [max(n, len(other)) for n, other in zip(lengths, alternatives, strict=True)]
        found: list[np.ndarray | None] = [None] * len(sequences)
        for rows in _together(lengths):
            others = None if alternatives is None else [alternatives[row] for row in rows]
            answers = self._of_batch([sequences[row] for row in rows], others)
            for row, values in zip(rows, answers, strict=True):
                found[row] = values
        return [values for values in found if values is not None]

    def _of_batch(
        self, sequences: Sequence[np.ndarray], alternatives: Sequence[np.ndarray] | None
    ) -> list[Float[np.ndarray, "..."]]:
        ids, length = (t.to(self.device) for t in whole_rows_of(sequences))
        others: tuple[Tensor, ...] = ()
        if alternatives is not None:
            others = tuple(t.to(self.device) for t in whole_rows_of(alternatives))
        found = [
            readable(network, network(ids, length, *others), length) for network in self.networks
        ]
        mean = torch.stack(found).mean(0)
        return rows_of(mean, self.task, [len(sequence) for sequence in sequences])

    def on_other_strand(
        self, values: Float[np.ndarray, "..."], length_bp: int
    ) -> Float[np.ndarray, "..."]:
        """Return what an answer about the other strand says of the strand given.

        Raises RecipeError for a signal whose last bin is shorter, since bins don't fall together.
        """
        if isinstance(self.task, BasesTaskConfig | SignalTaskConfig):
            if isinstance(self.task, SignalTaskConfig) and length_bp % self.task.bin_bp:
                raise RecipeError(
                    f"a sequence of {length_bp} bp isn't whole bins of {self.task.bin_bp} bp, so "
                    "that bins of its strands differ; use one strand"
                )
            return values[::-1][:, strand_swaps(self.names)]
        pairs = getattr(self.task, "strand_pairs", ())
        return values[..., paired_swaps(self.names, pairs)] if pairs else values


def predict(
    predictor: Predictor,
    examples: Iterable[Example],
    *,
    both_strands: bool = False,
    batch_examples: int = 64,
) -> Iterator[Prediction]:
    """Give the answer to each example in turn; labels are not looked at.

    With ``both_strands`` it is the mean of a sequence's and its reverse complement's, labels of
    bases turned back. Raises SequenceError for a letter that the modality doesn't have, for the
    other strand of a protein, and for a sequence longer than there are places where the task pools
    by place; RecipeError where a task of pairs gets single sequences.
    """
    source = iter(examples)
    known = [places_of(network.task) for network in predictor.networks]
    places = min((found for found in known if found is not None), default=None)
    while batch := list(islice(source, batch_examples)):
        sequences = [np.frombuffer(example.sequence, np.uint8) for example in batch]
        for example, sequence in zip(batch, sequences, strict=True):
            predictor.alphabet.validate(sequence, example.where)
            longest = max(len(sequence), len(example.alternative or b""))
            if places is not None and longest > places:
                raise SequenceError(
                    f"{example.where}: found {longest} bp, and the network was fine-tuned with "
                    f"weights for {places} places; cut sequences as those that it learned from"
                )
        alternatives = _alternatives(predictor, batch)
        found = predictor.values(sequences, alternatives)
        if both_strands:
            turn = predictor.alphabet.reverse_complement
            turned = [turn(sequence) for sequence in sequences]
            others = None if alternatives is None else [turn(other) for other in alternatives]
            back = [
                predictor.on_other_strand(values, len(sequence))
                for values, sequence in zip(
                    predictor.values(turned, others), sequences, strict=True
                )
            ]
            found = [(one + other) / 2 for one, other in zip(found, back, strict=True)]
        for example, values in zip(batch, found, strict=True):
            yield Prediction(example, values)


def _together(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Give the numbers of sequences to read at once, the shortest first."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        if batch and (len(batch) + 1) * (lengths[row] + 1) > _BATCH_POSITIONS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _alternatives(predictor: Predictor, batch: Sequence[Example]) -> list[np.ndarray] | None:
    if not isinstance(predictor.task, PairTaskConfig):
        return None
    found = []
    for example in batch:
        if example.alternative is None:
            raise RecipeError(
                f"{example.where}: the task compares two sequences, found one; name the column of "
                "the second (--alternative), or give a YAML whose source is a VCF"
            )
        found.append(np.frombuffer(example.alternative, np.uint8))
        predictor.alphabet.validate(found[-1], example.where)
    return found


def _question(checkpoint: TaskCheckpoint) -> tuple[object, ...]:
    task = checkpoint.recipe.task
    pairs = frozenset(map(frozenset, getattr(task, "strand_pairs", ())))
    kind = (task.kind, answered(task).kind, getattr(task, "bin_bp", None), pairs)
    return (*kind, checkpoint.answers, checkpoint.modality)
