"""Takes a network and sequences; gives log-likelihoods, bits per base and substitution effects."""

from hyena_glt.score.likelihood import SequenceScore, score_sequences, surprisal_bits
from hyena_glt.score.substitutions import Substitution, score_substitutions

__all__ = [
    "SequenceScore",
    "Substitution",
    "score_sequences",
    "score_substitutions",
    "surprisal_bits",
]
