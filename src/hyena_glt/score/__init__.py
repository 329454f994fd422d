"""Takes a network and sequences; gives log-likelihoods, bits per base and effects of variants."""

from hyena_glt.score.annotation import INFO, BadRecord, OnRecord, Scorer, Tally, annotate, check_out
from hyena_glt.score.files import effects_of, write_effects
from hyena_glt.score.likelihood import (
    SequenceScore,
    Tracks,
    read_both_strands,
    score_sequences,
    surprisal_bits,
)
from hyena_glt.score.records import on_genome, saturation_variants, vcf_header, vcf_records
from hyena_glt.score.sites import BAD_RECORD, NOT_SCORED, OnBad
from hyena_glt.score.stream import BitsPiece, ExactSum, stream_bits
from hyena_glt.score.substitutions import Substitution, score_substitutions
from hyena_glt.score.variants import (
    WINDOW_BP,
    Effect,
    score_variants,
    score_variants_reference,
)

__all__ = [
    "BAD_RECORD",
    "INFO",
    "NOT_SCORED",
    "WINDOW_BP",
    "BadRecord",
    "BitsPiece",
    "Effect",
    "ExactSum",
    "OnBad",
    "OnRecord",
    "Scorer",
    "SequenceScore",
    "Substitution",
    "Tally",
    "Tracks",
    "annotate",
    "check_out",
    "effects_of",
    "on_genome",
    "read_both_strands",
    "saturation_variants",
    "score_sequences",
    "score_substitutions",
    "score_variants",
    "score_variants_reference",
    "stream_bits",
    "surprisal_bits",
    "vcf_header",
    "vcf_records",
    "write_effects",
]
