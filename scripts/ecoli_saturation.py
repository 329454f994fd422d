"""Every SNV of held-out genes of E. coli DH1: mean effect by codon position, beside a Markov model.

    python scripts/ecoli_saturation.py [CKPT] [--genes 10]

Prints JSON. Most changes at the third position of a codon keep the protein: a model that knew
proteins would find them better than those at the first two, by the last line of each table.
Intervals are 95 %, over genes. Genes are of the part that the demo's recipe holds out; a checkpoint
trained on other regions is refused.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from hyena_glt.api import LoadedModel, load
from hyena_glt.config import load_recipe
from hyena_glt.demo.genome import DemoGenome, read_demo_genome
from hyena_glt.demo.run import demo_recipe_path
from hyena_glt.errors import CheckpointError, HyenaGLTError
from hyena_glt.evaluate import ContextCounts, Gene, choose_order, snv_effects_nats
from hyena_glt.io import Interval, Record, Reference, write_fasta
from hyena_glt.score import saturation_variants, score_variants

WINDOW_BP = 1500
LONGEST_BP = 900  # of a gene: many genes say more than few long ones
ORDERS = range(4, 10)
RESAMPLES = 1000


def drawn_genes(genome: DemoGenome, count: int) -> list[Gene]:
    """Return whole held-out genes, the same for the same count."""
    genes = [
        gene
        for gene in genome.genes_of(genome.split.heldout)
        if not gene.partial and gene.end - gene.start <= LONGEST_BP
    ]
    picked = np.random.default_rng(0).choice(len(genes), min(count, len(genes)), replace=False)
    return [genes[i] for i in sorted(picked.tolist())]


def by_codon_position(by_base: Float64[np.ndarray, " L"], gene: Gene) -> list[float]:
    """Return the mean effect at codon positions 1, 2 and 3 of a gene."""
    in_order = by_base if gene.strand == "+" else by_base[::-1]
    return [float(np.nanmean(in_order[place::3])) for place in range(3)]


def network_means(
    model: LoadedModel, genome: DemoGenome, genes: list[Gene], both_strands: bool
) -> Iterator[list[float]]:
    """Yield each gene's means under the model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "genome.fa"
        write_fasta(path, [Record(genome.contig, "", genome.text)])
        with Reference(path) as reference:
            for gene in genes:
                region = Interval(gene.contig, gene.start, gene.end, gene.name, gene.strand, 0)
                scored = score_variants(
                    model.network,
                    reference,
                    saturation_variants(reference, [region]),
                    window_bp=WINDOW_BP,
                    both_strands=both_strands,
                )
                by_base = [
                    np.mean([np.nan if e.dll_nats is None else e.dll_nats for e in effects])
                    for _, effects in scored
                ]
                yield by_codon_position(np.array(by_base), gene)


def markov_means(genome: DemoGenome, genes: list[Gene]) -> tuple[int, list[list[float]]]:
    """Return the order of a Markov model, chosen on validation, and each gene's means under it."""
    train, validation, _ = (genome.part(regions) for regions in genome.split)
    counts = ContextCounts.of([train], max(ORDERS))
    markov = choose_order(counts, [validation], orders=ORDERS).model
    fields = np.dtype([("position", np.int64), ("ref", np.uint8), ("alt", np.uint8)])
    means = []
    for gene in genes:
        positions = range(gene.start, gene.end)
        codes = genome.codes
        rows = [(p, codes[p], alt) for p in positions for alt in range(4) if alt != codes[p] < 4]
        snvs = np.array(rows, dtype=fields)
        effects = snv_effects_nats(markov, codes, snvs)
        index = snvs["position"] - gene.start
        sums = np.bincount(index, effects, minlength=len(positions))
        alts = np.bincount(index, minlength=len(positions))
        by_base = np.full(len(positions), np.nan)
        np.divide(sums, alts, out=by_base, where=alts > 0)
        means.append(by_codon_position(by_base, gene))
    return markov.order, means


def summary(means: list[list[float]]) -> dict[str, Any]:
    """Return the mean over genes and its interval, by codon position and of 3 minus 1 and 2."""
    table = np.array(means)
    columns = {f"position_{place + 1}": table[:, place] for place in range(3)}
    columns["position_3_minus_1_and_2"] = table[:, 2] - table[:, :2].mean(axis=1)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(table), size=(RESAMPLES, len(table)))
    found = {}
    for name, values in columns.items():
        low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
        found[name] = {
            "nats": round(float(values.mean()), 4),
            "low": round(float(low), 4),
            "high": round(float(high), 4),
        }
    return found


def main() -> None:
    """Print the report as JSON."""
    parser = argparse.ArgumentParser(description="Saturation of held-out genes of E. coli DH1.")
    parser.add_argument("checkpoint", nargs="?", type=Path, default=Path("runs/demo/checkpoint"))
    parser.add_argument("--genes", type=int, default=10)
    parser.add_argument("--both-strands", action="store_true")
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
        genes = drawn_genes(genome, arguments.genes)
        means = list(network_means(model, genome, genes, arguments.both_strands))
    except HyenaGLTError as error:
        sys.exit(f"error: {error}")
    order, baseline = markov_means(genome, genes)
    report = {
        "checkpoint": str(arguments.checkpoint),
        "genes": len(genes),
        "snvs": 3 * sum(gene.end - gene.start for gene in genes),
        "window_bp": WINDOW_BP,
        "both_strands": arguments.both_strands,
        "model": summary(means),
        f"markov_order_{order}": summary(baseline),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
