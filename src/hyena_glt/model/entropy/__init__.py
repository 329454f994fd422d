"""Takes ids; gives how uncertain the next letter is, in 1/1024 bit: what entropy patchers read."""

from hyena_glt.model.entropy.build import build_entropy
from hyena_glt.model.entropy.conv import ConvEntropy
from hyena_glt.model.entropy.kmer import KmerEntropy, kmer_entropy_reference
from hyena_glt.model.entropy.protocol import EntropyModel

__all__ = [
    "ConvEntropy",
    "EntropyModel",
    "KmerEntropy",
    "build_entropy",
    "kmer_entropy_reference",
]
