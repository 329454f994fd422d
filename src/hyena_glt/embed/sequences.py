"""One vector a sequence, or all vectors of each, in memory.

A sequence's embedding is the same alone and in a batch. A long sequence is read in pieces with
carried state, with the numbers of one pass; a pool streams over the pieces.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, overload

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from hyena_glt.embed.probe import Piece, Probe
from hyena_glt.errors import LayerError
from hyena_glt.model import HyenaGLT
from hyena_glt.tokenize import encode

Pool = Literal["mean", "max", "last", "base"]
Row = UInt8[np.ndarray, "..."]


@overload
def embed_sequences(
    network: HyenaGLT,
    sequences: Sequence[str],
    layer: str = ...,
    pool: Literal["mean", "max", "last"] = ...,
    both_strands: bool | None = ...,
    two_sided: bool | None = ...,
) -> Float[np.ndarray, "N D"]: ...


@overload
def embed_sequences(
    network: HyenaGLT,
    sequences: Sequence[str],
    layer: str = ...,
    *,
    pool: Literal["base"],
    both_strands: bool | None = ...,
    two_sided: bool | None = ...,
) -> list[Float[np.ndarray, "_ D"]]: ...


def embed_sequences(
    network: HyenaGLT,
    sequences: Sequence[str],
    layer: str = "backbone.-1",
    pool: Pool = "mean",
    both_strands: bool | None = None,
    two_sided: bool | None = None,
) -> Float[np.ndarray, "N D"] | list[Float[np.ndarray, "_ D"]]:
    """Return the sequences' embeddings, in order: (N, D), or a list of (L, D) for ``pool="base"``.

    A pool runs over all bases (``last``: the last one's vector); a layer at the rate of patches
    counts each at the bases that read it. BOS is in none. With ``both_strands`` the result is the
    mean of a sequence's and its reverse complement's: of their pools, or at each base. None does so
    where the network's ``rc`` isn't none. ``two_sided`` is for a network of direction both. Numbers
    are float32; float64 from a network in float64.

    Raises LayerError for an unknown layer, DirectionError for a call that the network isn't for,
    SequenceError for an empty sequence, one with a letter that the modality doesn't have, one too
    long to be read whole by a two-sided network, and for two strands of a protein.
    """
    if pool not in ("base", *POOLS):
        raise LayerError(f"pool={pool!r}: expected one of {', '.join(POOLS)}, base")
    probe = Probe(network, layer, two_sided)
    ids = [encode(sequence) for sequence in sequences]
    for number, row in enumerate(ids):
        probe.check(row, f"sequence {number + 1}")
    other = []
    if reads_both(network, both_strands):
        other = [network.alphabet.reverse_complement(row) for row in ids]
    if pool == "base":
        return embed_bases(probe, ids, other)
    pooled = _pooled(probe, ids, POOLS[pool])
    return (pooled + _pooled(probe, other, POOLS[pool])) / 2 if other else pooled


def reads_both(network: HyenaGLT, both_strands: bool | None) -> bool:
    """Return whether both strands are read."""
    return network.rc != "none" if both_strands is None else both_strands


def embed_bases(
    probe: Probe, ids: Sequence[Row], other: Sequence[Row] = ()
) -> list[Float[np.ndarray, "_ D"]]:
    """Return each row's vectors; with the ``other`` strands the mean at each base."""
    forward = _bases(probe, ids)
    if not other:
        return forward
    return [(f + b[::-1]) / 2 for f, b in zip(forward, _bases(probe, other), strict=True)]


def _bases(probe: Probe, ids: Sequence[Row]) -> list[Float[np.ndarray, "_ D"]]:
    found = [np.empty((len(row), probe.layer.width), probe.dtype) for row in ids]
    for group in probe.groups([len(row) for row in ids]):
        for piece in probe.read([ids[i] for i in group]):
            values = probe.array(piece.values)
            for i, row, length in zip(group, values, piece.length.tolist(), strict=True):
                found[i][piece.start : piece.start + length] = row[:length]
    return found


def _pooled(
    probe: Probe, ids: Sequence[Row], pool: "Callable[[Iterator[Piece]], Tensor]"
) -> Float[np.ndarray, "N D"]:
    pooled = np.empty((len(ids), probe.layer.width), probe.dtype)
    for group in probe.groups([len(row) for row in ids]):
        pooled[group] = probe.array(pool(probe.read([ids[i] for i in group])))
    return pooled


def _mean(pieces: Iterator[Piece]) -> Float[Tensor, "B D"]:
    total: Tensor | int = 0
    count: Tensor | int = 0
    for piece in pieces:
        # MPS has no float64.
        exact = torch.float32 if piece.values.device.type == "mps" else torch.float64
        total = total + piece.values.where(piece.valid, 0).sum(1, dtype=exact)
        count = count + piece.length
    return torch.as_tensor(total) / torch.as_tensor(count)[:, None]


def _max(pieces: Iterator[Piece]) -> Float[Tensor, "B D"]:
    most = torch.tensor(-torch.inf)
    for piece in pieces:
        values = piece.values.float() if piece.values.dtype == torch.bfloat16 else piece.values
        most = torch.maximum(values.where(piece.valid, -torch.inf).amax(1), most.to(values))
    return most


def _last(pieces: Iterator[Piece]) -> Float[Tensor, "B D"]:
    last = torch.tensor(torch.nan)
    for piece in pieces:
        rows = torch.arange(len(piece.length), device=piece.length.device)
        newest = piece.values[rows, (piece.length - 1).clamp(min=0)]
        last = newest.where(piece.length[:, None] > 0, last.to(newest))
    return last


POOLS: dict[str, Callable[[Iterator[Piece]], Tensor]] = {"mean": _mean, "max": _max, "last": _last}
