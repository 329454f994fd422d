"""One vector a base, of sequences of any length, in constant memory."""

import tempfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from hyena_glt.embed.probe import BATCH_BP, Probe
from hyena_glt.embed.sequences import Row, embed_bases, reads_both
from hyena_glt.model import HyenaGLT
from hyena_glt.tokenize import encode


class EmbeddedPiece(NamedTuple):
    """The vectors of some bases of a sequence."""

    number: int  # of the sequence, from 0
    start: int  # the first base's position in it, 0-based
    values: Float[np.ndarray, "L D"]


def embed_stream(
    network: HyenaGLT,
    sequences: Iterable[str],
    layer: str = "backbone.-1",
    both_strands: bool | None = None,
    two_sided: bool | None = None,
) -> Iterator[EmbeddedPiece]:
    """Yield what ``embed_sequences`` with ``pool="base"`` returns, in pieces, in order.

    Sequences are taken one at a time; short ones are read together. The memory is that of a
    sequence and a piece, also for both strands of a chromosome: the other strand's vectors wait in
    a temporary file, as large as the result. Raises as ``embed_sequences`` does, at the sequence.
    """
    probe = Probe(network, layer, two_sided)
    both = reads_both(network, both_strands)
    together: list[Row] = []
    first = held_bp = 0
    for number, sequence in enumerate(sequences):
        ids = encode(sequence)
        probe.check(ids, f"sequence {number + 1}")
        alone = probe.in_pieces(len(ids))
        if alone or held_bp + len(ids) > BATCH_BP:
            yield from _together(probe, together, first, both)
            together, first, held_bp = [], number, 0
        if alone:
            for start, values in _alone(probe, ids, both):
                yield EmbeddedPiece(number, start, values)
            first = number + 1
        else:
            together.append(ids)
            held_bp += len(ids)
    yield from _together(probe, together, first, both)


def _together(
    probe: Probe, ids: list[UInt8[np.ndarray, "..."]], first: int, both: bool
) -> Iterator[EmbeddedPiece]:
    other = [probe.network.alphabet.reverse_complement(row) for row in ids] if both else []
    for number, values in enumerate(embed_bases(probe, ids, other), first):
        yield EmbeddedPiece(number, 0, values)


def _alone(
    probe: Probe, ids: UInt8[np.ndarray, "..."], both: bool
) -> Iterator[tuple[int, Float[np.ndarray, "L D"]]]:
    """(start, values) of each piece of one sequence."""
    if not both:
        yield from _read(probe, ids)
        return
    vector_bytes = probe.layer.width * probe.dtype.itemsize
    with tempfile.TemporaryFile() as waiting:
        for _, values in _read(probe, probe.network.alphabet.reverse_complement(ids)):
            waiting.write(values.tobytes())
        for start, values in _read(probe, ids):
            waiting.seek((len(ids) - start - len(values)) * vector_bytes)
            other = np.frombuffer(waiting.read(values.nbytes), probe.dtype).reshape(values.shape)
            yield start, (values + other[::-1]) / 2


def _read(
    probe: Probe, ids: UInt8[np.ndarray, "..."]
) -> Iterator[tuple[int, Float[np.ndarray, "L D"]]]:
    for piece in probe.read([ids]):
        yield piece.start, probe.array(piece.values[0])
