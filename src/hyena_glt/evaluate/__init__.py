"""How good a model is: baselines to beat, variants to tell apart, samples to look at.

Sequences are uint8 arrays of base codes, 0 1 2 3 = A C G T and 4 = anything else. No torch here:
a model comes in as its surprisal or its effects.
"""

from hyena_glt.evaluate.auroc import AurocInterval, auroc, bootstrap_auroc, matched_auroc
from hyena_glt.evaluate.coding import CODING_SNV, CONSEQUENCES, coding_snvs
from hyena_glt.evaluate.composition import gc_fraction, period3, windowed_period3
from hyena_glt.evaluate.counts import ContextCounts
from hyena_glt.evaluate.effects import deleterious_auroc, snv_effects_nats, substitution_strata
from hyena_glt.evaluate.genes import Gene, call_genes, genes_within, read_genes, write_genes
from hyena_glt.evaluate.markov import MarkovModel, OrderChoice, OrderTrial, choose_order
from hyena_glt.evaluate.mixture import MixtureModel
from hyena_glt.evaluate.repeats import shared_kmers
from hyena_glt.evaluate.sampling import sample_snvs
from hyena_glt.evaluate.surprisal import (
    SequenceModel,
    bits_per_base,
    both_strand_surprisal_bits,
)

__all__ = [
    "CODING_SNV",
    "CONSEQUENCES",
    "AurocInterval",
    "ContextCounts",
    "Gene",
    "MarkovModel",
    "MixtureModel",
    "OrderChoice",
    "OrderTrial",
    "SequenceModel",
    "auroc",
    "bits_per_base",
    "bootstrap_auroc",
    "both_strand_surprisal_bits",
    "call_genes",
    "choose_order",
    "coding_snvs",
    "deleterious_auroc",
    "gc_fraction",
    "genes_within",
    "matched_auroc",
    "period3",
    "read_genes",
    "sample_snvs",
    "shared_kmers",
    "snv_effects_nats",
    "substitution_strata",
    "windowed_period3",
    "write_genes",
]
