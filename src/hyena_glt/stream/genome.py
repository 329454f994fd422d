"""All strands of a genome read one after another, with saves between pieces."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

from hyena_glt.io import Reference
from hyena_glt.nn import named_tensors
from hyena_glt.stream.progress import Notes, Progress
from hyena_glt.stream.saved import fitted
from hyena_glt.stream.strand import Strand
from hyena_glt.tokenize import Alphabet


class Step(NamedTuple):
    """A piece that has been read."""

    start: int  # of the piece, as its job counts
    found: Any
    following: int  # where the next piece begins
    state: Any  # to go on from there


@runtime_checkable
class Job(Protocol):
    """What is read of each strand, and what becomes of it."""

    memory: dict[str, Any]  # what it remembers from piece to piece, of types that JSON has

    def begin(self) -> Any:
        """Return the state before a strand."""

    def read(self, strand: Strand, start: int, state: Any) -> Iterator[Step]:
        """Yield the pieces of a strand from ``start`` on."""

    def take(self, strand: Strand, step: Step) -> None:
        """Write what a piece gives."""

    def end(self, strand: Strand) -> None:
        """Write what the whole strand gives."""


def stream_genome(
    job: Job, genome: Reference, alphabet: Alphabet, both_strands: bool, progress: Progress
) -> None:
    """Let ``job`` read every contig, from where ``progress`` stands to the end.

    With ``both_strands`` a contig's other strand comes first. Letters are checked before any work.
    Raises SequenceError at one that the alphabet doesn't have.
    """
    orders = (True, False) if both_strands else (False,)
    legs = [(contig, other) for contig in genome.names for other in orders]
    leg, position, state = 0, 0, job.begin()
    if progress.notes is None:
        for contig in genome.names:
            Strand(genome, contig, alphabet).check()
    else:
        leg, position = progress.notes.leg, progress.notes.position
        job.memory = progress.notes.memory or job.memory
        if progress.notes.finished:
            return  # the files may be in their place already
        if position:
            state = fitted(state, progress.notes.tensors, progress.folder)
    for number, (contig, other) in enumerate(legs[leg:], leg):
        strand = Strand(genome, contig, alphabet, other)
        for step in job.read(strand, position, state):
            job.take(strand, step)
            if progress.is_due:
                tensors = named_tensors(step.state)
                progress.save(Notes(number, step.following, job.memory, tensors))
        job.end(strand)
        position, state = 0, job.begin()
        if progress.is_due:
            progress.save(Notes(number + 1, 0, job.memory, {}))
    progress.save(Notes(len(legs), 0, job.memory, {}, finished=True))
