"""Do sampled genes stay open? Samples after start codons of held-out genes of E. coli DH1.

    python scripts/generated_orfs.py [CKPT] [--samples 200]

Prints JSON: the share of samples, ATG and 297 bases more, without a stop codon in the frame of the
ATG. Prompts are up to 600 bases of the gene's strand that end in its ATG, or ATG alone; beside the
model stand a Markov model, the genome's own bases after the same ATGs and after every ATG of the
held-out part, and each set's expectation were its bases shuffled. Intervals are Wilson's, 95 %.
Genes are of the part that the demo's recipe holds out; a checkpoint trained on other regions is
refused.
"""

import argparse
import json
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hyena_glt.api import LoadedModel, load
from hyena_glt.config import load_recipe
from hyena_glt.demo.genome import DemoGenome, read_demo_genome
from hyena_glt.demo.likelihood import LARGEST_ORDER
from hyena_glt.demo.run import demo_recipe_path
from hyena_glt.errors import CheckpointError, HyenaGLTError
from hyena_glt.evaluate import ContextCounts, MarkovModel, choose_order
from hyena_glt.tokenize import alphabet, decode, encode

START = "ATG"
STOPS = ("TAA", "TAG", "TGA")
PROMPT_BP = 600  # before and including the start codon
SAMPLE_BP = 297  # after it
SEED = 0

Site = tuple[str, str]  # what ends in a start codon, and what follows


def has_in_frame_stop(sequence: str) -> bool:
    """Return whether a codon of ``sequence``, read from its first base, is a stop."""
    return any(sequence[at : at + 3] in STOPS for at in range(0, len(sequence) - 2, 3))


def shuffled_share(sequences: Sequence[str]) -> float:
    """Return the share expected open after the ATG if bases came independently, as often as here.

    Of A C G T alike it is (61 / 64) ** 99.
    """
    counts = Counter("".join(sequences))
    p = {base: counts[base] / sum(counts[each] for each in "ACGT") for base in "ACGT"}
    stop = sum(math.prod(p[base] for base in codon) for codon in STOPS)
    return float((1 - stop) ** (SAMPLE_BP // 3))


def wilson(found: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22:209)."""
    z = 1.959964
    middle = (found + z * z / 2) / (total + z * z)
    half = z * math.sqrt(found * (total - found) / total + z * z / 4) / (total + z * z)
    return max(0.0, middle - half), min(1.0, middle + half)


def summary(continuations: Sequence[str]) -> dict[str, float]:
    """Return the share of start codons that stay open, with its interval, and what to expect."""
    stays = sum(not has_in_frame_stop(START + sequence) for sequence in continuations)
    low, high = wilson(stays, len(continuations))
    return {
        "sequences": len(continuations),
        "open_share": round(stays / len(continuations), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "shuffled_share": round(shuffled_share(continuations), 4),
    }


def strand_sites(strand: str, ends: Sequence[int]) -> Iterator[Site]:
    """Yield the sites of start codons that end at ``ends``, where all bases needed are there."""
    for end in ends:
        prompt, after = strand[max(0, end - PROMPT_BP) : end], strand[end : end + SAMPLE_BP]
        if (
            prompt.endswith(START)
            and len(after) == SAMPLE_BP
            and set(prompt) | set(after) <= set("ACGT")
        ):
            yield prompt, after


def sites(genome: DemoGenome) -> tuple[list[Site], list[Site]]:
    """Return the sites of the held-out genes, and of every ATG of the held-out part."""
    (region,) = genome.split.heldout
    forward = genome.text[region.start : region.end].upper()
    strands = {
        "+": forward,
        "-": decode(alphabet("dna").reverse_complement(encode(forward))),
    }
    begins: dict[str, list[int]] = {"+": [], "-": []}
    for gene in genome.genes_of(genome.split.heldout):
        if not gene.partial:
            begin = gene.start - region.start if gene.strand == "+" else region.end - gene.end
            begins[gene.strand].append(begin + len(START))
    of_genes: list[Site] = []
    of_all: list[Site] = []
    for name, strand in strands.items():
        of_genes += strand_sites(strand, begins[name])
        of_all += strand_sites(strand, range(len(START), len(strand)))
    return of_genes, of_all


def markov_samples(
    markov: MarkovModel, prompts: Sequence[str], length_bp: int, rng: np.random.Generator
) -> list[str]:
    """Return a continuation of each prompt; after a short one the context is all there is."""
    order = markov.order
    context = np.zeros(len(prompts), dtype=np.int64)
    for row, prompt in enumerate(prompts):
        for base in prompt[max(0, len(prompt) - order) :]:
            context[row] = 4 * context[row] + "ACGT".index(base)
    known_bp = np.array([min(len(prompt), order) for prompt in prompts])
    drawn = np.empty((len(prompts), length_bp), dtype=np.int64)
    p = np.empty((len(prompts), 4))
    for position in range(length_bp):
        for length in np.unique(known_bp):
            here = known_bp == length
            counts = markov.counts.tables[length].reshape(-1, 4)[context[here] % 4**length]
            smoothed = counts + markov.pseudocount
            p[here] = smoothed / smoothed.sum(axis=1, keepdims=True)
        below = p.cumsum(axis=1) <= rng.random((len(prompts), 1))
        drawn[:, position] = np.minimum(below.sum(axis=1), 3)
        context = (4 * context + drawn[:, position]) % 4**order
        known_bp = np.minimum(known_bp + 1, order)
    return ["".join("ACGT"[base] for base in row) for row in drawn.tolist()]


def chosen_markov(genome: DemoGenome) -> MarkovModel:
    """Return the Markov model of the training part that predicts validation best."""
    train, validation, _ = (genome.part(regions) for regions in genome.split)
    return choose_order(ContextCounts.of([train], LARGEST_ORDER), [validation]).model


def model_samples(model: LoadedModel, prompts: Sequence[str]) -> list[str]:
    """Return a continuation of each prompt."""
    drawn = model.generate(prompts, length_bp=SAMPLE_BP, seed=SEED)
    return [sample.sequence for sample in drawn]


def measure(model: LoadedModel, genome: DemoGenome, samples: int) -> dict[str, object]:
    """Return the report."""
    of_genes, of_all = sites(genome)
    rng = np.random.default_rng(SEED)
    picked = rng.choice(len(of_genes), min(samples, len(of_genes)), replace=False)
    upstream, own = zip(*(of_genes[i] for i in sorted(picked.tolist())), strict=True)
    alone = [START] * len(upstream)
    markov = chosen_markov(genome)
    return {
        "prompt_bp": PROMPT_BP,
        "sample_bp": SAMPLE_BP,
        "markov_order": markov.order,
        "model_after_gene_starts": summary(model_samples(model, upstream)),
        "model_after_atg_alone": summary(model_samples(model, alone)),
        "markov_after_gene_starts": summary(markov_samples(markov, upstream, SAMPLE_BP, rng)),
        "markov_after_atg_alone": summary(markov_samples(markov, alone, SAMPLE_BP, rng)),
        "genome_after_the_same_gene_starts": summary(own),
        "genome_after_every_heldout_atg": summary([after for _, after in of_all]),
    }


def main() -> None:
    """Print the report as JSON."""
    parser = argparse.ArgumentParser(description="Open reading frames in samples of a model.")
    parser.add_argument("checkpoint", nargs="?", type=Path, default=Path("runs/demo/checkpoint"))
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    try:
        model = load(arguments.checkpoint, arguments.device)
        with tempfile.TemporaryDirectory() as cache:
            genome = read_demo_genome(load_recipe(demo_recipe_path()), Path(cache))
        if list(model.checkpoint.splits.values()) != [genome.split]:
            raise CheckpointError(
                f"{arguments.checkpoint}: was trained on other regions than the demo's recipe; "
                "what is held out there may be what it learned. Give a checkpoint of the demo"
            )
        report = measure(model, genome, arguments.samples)
    except HyenaGLTError as error:
        sys.exit(f"error: {error}")
    print(json.dumps({"checkpoint": str(arguments.checkpoint), **report}, indent=2))


if __name__ == "__main__":
    main()
