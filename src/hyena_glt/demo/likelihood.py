"""How well the held-out part is predicted, beside what counting can do."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from hyena_glt.api import LoadedModel
from hyena_glt.demo.genome import DemoGenome
from hyena_glt.evaluate import (
    ContextCounts,
    MarkovModel,
    MixtureModel,
    both_strand_surprisal_bits,
    choose_order,
    shared_kmers,
)

SHARED_BP = 32
LARGEST_ORDER = 12


@dataclass(frozen=True)
class Heldout:
    """Surprisal of the held-out part, mean of both strands, under each model."""

    model_bits: Float64[np.ndarray, " L"]
    markov_bits: Float64[np.ndarray, " L"]
    mixture_bits: Float64[np.ndarray, " L"]
    shared: Bool[np.ndarray, " L"]  # bases in 32-mers that training holds on either strand
    markov: MarkovModel

    def table(self) -> dict[str, float]:
        """Return bits per base, over all bases and without those shared with training."""
        own = ~self.shared
        return {
            "heldout_bits_per_base": float(np.nanmean(self.model_bits)),
            "markov_bits_per_base": float(np.nanmean(self.markov_bits)),
            "mixture_bits_per_base": float(np.nanmean(self.mixture_bits)),
            "uniform_bits_per_base": 2.0,
            "heldout_bits_per_base_unshared": float(np.nanmean(self.model_bits[own])),
            "markov_bits_per_base_unshared": float(np.nanmean(self.markov_bits[own])),
            "mixture_bits_per_base_unshared": float(np.nanmean(self.mixture_bits[own])),
            "shared_fraction": float(self.shared.mean()),
            "markov_order": float(self.markov.order),
            "heldout_bp": float(len(self.model_bits)),
        }


def measure_heldout(model: LoadedModel, genome: DemoGenome) -> Heldout:
    """Read the held-out part once with every model. The baselines are chosen on validation."""
    train, validation, heldout = (genome.part(regions) for regions in genome.split)
    counts = ContextCounts.of([train], LARGEST_ORDER)
    markov = choose_order(counts, [validation]).model
    mixture = MixtureModel.fit(counts, [validation])
    (region,) = genome.split.heldout
    (model_bits,) = model.surprisal_bits(
        [genome.text[region.start : region.end]], both_strands=True
    )
    return Heldout(
        model_bits=model_bits,
        markov_bits=both_strand_surprisal_bits(markov, heldout),
        mixture_bits=both_strand_surprisal_bits(mixture, heldout),
        shared=shared_kmers([train], heldout, SHARED_BP),
        markov=markov,
    )
