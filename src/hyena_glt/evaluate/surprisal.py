"""What a sequence model answers, and its bits per base over both strands."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, UInt8

from hyena_glt.errors import SequenceError
from hyena_glt.evaluate.kmers import reverse_complement


@runtime_checkable
class SequenceModel(Protocol):
    """Anything that predicts each base of a sequence from the bases before it."""

    @property
    def context_bp(self) -> int:
        """How many bases before a base its prediction may look at."""
        ...

    def surprisal_bits(self, sequence: UInt8[np.ndarray, " L"]) -> Float64[np.ndarray, " L"]:
        """Return -log2 p(base | bases before it), shape (L,); NaN where a base is not A C G T."""
        ...


def both_strand_surprisal_bits(
    model: SequenceModel, sequence: UInt8[np.ndarray, " L"]
) -> Float64[np.ndarray, " L"]:
    """Return the mean of the two strands' surprisal at each base, shape (L,), forward coordinates.

    A base is predicted from its left on the forward strand, and its complement from its right on
    the other one. NaN where the base is not A C G T.
    """
    forward = model.surprisal_bits(sequence)
    backward = model.surprisal_bits(reverse_complement(sequence))[::-1]
    return np.asarray((forward + backward) / 2)


def bits_per_base(model: SequenceModel, sequences: Sequence[UInt8[np.ndarray, " _"]]) -> float:
    """Return the mean both-strand surprisal over all A C G T of all sequences, in bits per base.

    Uniform guessing gives 2. To leave bases out (repeats shared with training, say), average
    `both_strand_surprisal_bits` over the bases kept.

    Raises `SequenceError` if no sequence holds A, C, G or T.
    """
    bits = [both_strand_surprisal_bits(model, sequence) for sequence in sequences]
    scored_bases = sum(int(np.count_nonzero(~np.isnan(part))) for part in bits)
    if scored_bases == 0:
        raise SequenceError(
            f"found no A, C, G or T in {len(sequences)} sequences, so there is nothing to score; "
            "check the regions of the split"
        )
    return float(sum(np.nansum(part) for part in bits)) / scored_bases
