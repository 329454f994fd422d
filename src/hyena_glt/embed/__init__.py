"""Takes a network and sequences; gives vectors: a pooled one a sequence, or one a base."""

from hyena_glt.embed.layers import Layer, layers_of
from hyena_glt.embed.probe import Probe
from hyena_glt.embed.sequences import Pool, embed_sequences
from hyena_glt.embed.stream import EmbeddedPiece, embed_stream

__all__ = [
    "EmbeddedPiece",
    "Layer",
    "Pool",
    "Probe",
    "embed_sequences",
    "embed_stream",
    "layers_of",
]
