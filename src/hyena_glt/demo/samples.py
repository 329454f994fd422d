"""Continuations that the model writes, beside the genome."""

from dataclasses import dataclass

import numpy as np

from hyena_glt.api import LoadedModel
from hyena_glt.demo.genome import DemoGenome
from hyena_glt.evaluate import gc_fraction, period3, windowed_period3

PROMPT_BP = 600
SAMPLE_BP = 600
COUNT = 4
SEED = 0


@dataclass(frozen=True)
class Samples:
    """Sampled continuations of the held-out part's first bases, and the genome's own numbers."""

    sequences: list[str]
    gc: list[float]
    period3: list[float]
    genome_gc: float
    genome_period3: tuple[float, float, float]  # 10th, 50th, 90th percentile of its windows
    shuffled_period3: float  # median over windows whose bases are shuffled


def draw_samples(model: LoadedModel, genome: DemoGenome) -> Samples:
    """Sample and describe."""
    (region,) = genome.split.heldout
    prompt = genome.text[region.start : region.start + PROMPT_BP]
    drawn = model.generate(prompt, length_bp=SAMPLE_BP, count=COUNT, seed=SEED)
    sequences = [sample.sequence for sample in drawn]
    codes = [np.array(["ACGT".index(base) for base in s], dtype=np.uint8) for s in sequences]
    windows = windowed_period3(genome.codes, SAMPLE_BP)
    shuffled = np.random.default_rng(SEED).permutation(genome.part(genome.split.heldout))
    low, middle, high = np.nanpercentile(windows, [10, 50, 90])
    return Samples(
        sequences=sequences,
        gc=[gc_fraction(row) for row in codes],
        period3=[period3(row) for row in codes],
        genome_gc=gc_fraction(genome.codes),
        genome_period3=(float(low), float(middle), float(high)),
        shuffled_period3=float(np.nanmedian(windowed_period3(shuffled, SAMPLE_BP))),
    )
