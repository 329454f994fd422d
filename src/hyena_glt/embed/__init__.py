"""Takes a network and sequences; gives vectors: a pooled one a sequence, or one a base."""

from hyena_glt.embed.layers import Layer, layers_of
from hyena_glt.embed.probe import BasesRead, PatchesRead, Probe, ProbeState
from hyena_glt.embed.sequences import Pool, embed_sequences
from hyena_glt.embed.stream import EmbeddedPiece, embed_stream

__all__ = [
    "BasesRead",
    "EmbeddedPiece",
    "Layer",
    "PatchesRead",
    "Pool",
    "Probe",
    "ProbeState",
    "embed_sequences",
    "embed_stream",
    "layers_of",
]
