"""Log-likelihoods of sequences.

A sequence's score is the same alone and in a batch. A long sequence is read in pieces with carried
state, with the numbers of one pass: beside the sequence and its answer (8 bytes a base and strand),
the memory is that of one piece.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from hyena_glt.data import rows_of, track_rows_of
from hyena_glt.errors import DirectionError, SequenceError
from hyena_glt.model import HyenaGLT
from hyena_glt.stream import PIECE_BP
from hyena_glt.tokenize import encode

BATCH_BP = 32_768  # positions in memory at once

Tracks = Sequence[np.ndarray[tuple[int], np.dtype[np.float32]]]  # a score a base of each sequence


class SequenceScore(NamedTuple):
    """A sequence's likelihood; bases that are no letter of the modality (N) are in no number."""

    length_bp: int
    scored_bp: int
    loglik_nats: float  # sum over scored bases; both strands: the mean of the two sums

    @property
    def bits_per_base(self) -> float:
        """-log2 likelihood a scored base; nan where no base was scored."""
        if self.scored_bp == 0:
            return math.nan
        return -self.loglik_nats / math.log(2) / self.scored_bp


def score_sequences(
    network: HyenaGLT,
    sequences: Sequence[str],
    both_strands: bool | None = None,
    tracks: Tracks | None = None,
) -> list[SequenceScore]:
    """Return each sequence's score, in order.

    A network whose patches read a track needs the ``tracks`` of the sequences, a score a base, and
    its likelihoods are conditional on them: no bits per base to compare with other models'.

    With ``both_strands`` (default: true under ``rc: average``) the log-likelihood is the mean of a
    sequence's and its reverse complement's. Raises SequenceError for a letter that the
    modality doesn't have, and for two strands of a protein; DirectionError for a bidirectional
    model, whose answers for single bases don't multiply to a sequence's likelihood; PatcherError
    where tracks are missing.
    """
    scores = []
    for sequence, surprisal in zip(
        sequences, surprisal_bits(network, sequences, both_strands, tracks), strict=True
    ):
        known = surprisal[~np.isnan(surprisal)]
        loglik_nats = -math.fsum(known) * math.log(2)
        scores.append(SequenceScore(len(sequence), len(known), loglik_nats))
    return scores


def surprisal_bits(
    network: HyenaGLT,
    sequences: Sequence[str],
    both_strands: bool | None = None,
    tracks: Tracks | None = None,
) -> list[Float64[np.ndarray, " L"]]:
    """Return -log2 p(base | bases before it) of every base, nan where a base is no letter (N).

    With ``both_strands`` it is the mean of the two strands' values, in the sequence's order. Raises
    as :func:`score_sequences` does.
    """
    if network.direction == "bidirectional":
        raise DirectionError(
            "a bidirectional model has no likelihood of a sequence (it has variant effects and "
            "embeddings); use a causal model, or one with direction=both"
        )
    ids = [encode(sequence) for sequence in sequences]
    for number, row in enumerate(ids):
        network.alphabet.validate(row, f"sequence {number + 1}")
    _check_tracks(ids, tracks)
    forward = _surprisal(network, ids, tracks)
    if not read_both_strands(network, both_strands):
        return forward
    turned = None if tracks is None else [track[::-1].copy() for track in tracks]
    other = [network.alphabet.reverse_complement(row) for row in ids]
    backward = _surprisal(network, other, turned)
    return [(f + b[::-1]) / 2 for f, b in zip(forward, backward, strict=True)]


def read_both_strands(network: HyenaGLT, asked: bool | None) -> bool:
    """Return whether to average strands: as asked, or as the recipe's ``rc`` says."""
    return network.rc == "average" if asked is None else asked


def _check_tracks(
    ids: list[np.ndarray[tuple[int], np.dtype[np.uint8]]], tracks: Tracks | None
) -> None:
    if tracks is None:
        return
    found, expected = [len(track) for track in tracks], [len(row) for row in ids]
    if found != expected:
        raise SequenceError(
            f"tracks have {found[:8]} scores where sequences have {expected[:8]} bases; give one "
            "score a base (NaN where there is none), a track for each sequence"
        )


def _surprisal(
    network: HyenaGLT,
    ids: list[np.ndarray[tuple[int], np.dtype[np.uint8]]],
    tracks: Tracks | None,
) -> list[Float64[np.ndarray, " L"]]:
    """Group rows of like length, so that little is padding; a row above PIECE_BP is alone."""
    results: list[Float64[np.ndarray, " L"]] = [np.zeros(0) for _ in ids]
    waiting = sorted((i for i in range(len(ids)) if len(ids[i])), key=lambda i: len(ids[i]))
    while waiting:
        longest = len(ids[waiting[-1]])
        group = waiting[-max(1, BATCH_BP // longest) :] if longest <= PIECE_BP else waiting[-1:]
        del waiting[-len(group) :]
        scores = None if tracks is None else [tracks[i] for i in group]
        for i, row in zip(group, _read(network, [ids[i] for i in group], scores), strict=True):
            results[i] = row
    return results


@torch.no_grad()
def _read(
    network: HyenaGLT,
    ids: list[np.ndarray[tuple[int], np.dtype[np.uint8]]],
    tracks: Tracks | None,
) -> list[Float64[np.ndarray, " L"]]:
    """Return the surprisal of a group of rows, piece by piece where they are long."""
    device = next(network.parameters()).device
    total = max(len(row) for row in ids)
    state = network.begin(len(ids)) if total > PIECE_BP else None
    bits = [np.empty(len(row)) for row in ids]
    for start in range(0, total, PIECE_BP):
        piece, length = rows_of(ids, start, start + PIECE_BP)
        track = (
            None if tracks is None else track_rows_of(tracks, start, start + PIECE_BP).to(device)
        )
        output = network(piece.to(device), length.to(device), state, track=track)
        state = output.state
        targets = [row[start : start + PIECE_BP] for row in ids]
        found = bits_of(network, output.logits, targets)
        for i, target in enumerate(targets):
            bits[i][start : start + len(target)] = found[i, : len(target)]
    return bits


def bits_of(
    network: HyenaGLT, logits: Tensor, targets: list[np.ndarray[tuple[int], np.dtype[np.uint8]]]
) -> Float64[np.ndarray, "B L"]:
    """Return -log2 p(target) at each position, nan where there is no target."""
    # MPS has no float64; the sum over letters is exact enough in float32 there.
    exact = logits.double() if logits.device.type != "mps" else logits.float()
    logp = exact.log_softmax(-1)
    index = torch.full(logits.shape[:2], -1)
    for i, target in enumerate(targets):
        letters = network.alphabet.letter_index(target).astype(np.int64)
        index[i, : len(target)] = torch.from_numpy(letters)
    index = index.to(logits.device)
    picked = logp.gather(-1, index.clamp(min=0)[..., None])[..., 0]
    bits: Float64[np.ndarray, "B L"] = (-picked / math.log(2)).cpu().double().numpy()
    bits[(index < 0).cpu().numpy()] = np.nan
    return bits
