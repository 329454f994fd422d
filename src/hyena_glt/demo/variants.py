"""Zero-shot effects of coding variants: no label was ever seen in training."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Shaped

from hyena_glt.api import LoadedModel
from hyena_glt.demo.genome import DemoGenome
from hyena_glt.demo.likelihood import Heldout
from hyena_glt.evaluate import (
    AurocInterval,
    Gene,
    deleterious_auroc,
    sample_snvs,
    snv_effects_nats,
)

WINDOW_BP = 1024
CELL_BP = 256  # SNVs of one cell of the contig share a window, and its reference's score
GENES = 80
PER_CLASS = 400
SEED = 0


@dataclass(frozen=True)
class VariantEffects:
    """The sampled SNVs and their effects in nats under each model."""

    snvs: Shaped[np.ndarray, " N"]
    model_nats: Float64[np.ndarray, " N"]
    markov_nats: Float64[np.ndarray, " N"]

    def table(self) -> dict[str, dict[str, float]]:
        """Return AUROCs with their intervals, by name."""
        table = {}
        for name, effects in (("", self.model_nats), ("markov_", self.markov_nats)):
            for worse in ("stop_gained", "missense"):
                short = worse.removesuffix("_gained")
                for suffix, matched in (("", False), ("_matched", True)):
                    key = f"{name}auroc_{short}_vs_synonymous{suffix}"
                    found = deleterious_auroc(effects, self.snvs, worse, matched=matched)
                    table[key] = _interval(found)
        return table


def _interval(found: AurocInterval) -> dict[str, float]:
    return {
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
        "pairs": float(found.pairs),
    }


def measure_variants(model: LoadedModel, genome: DemoGenome, heldout: Heldout) -> VariantEffects:
    """Sample SNVs of held-out genes and score them on both strands."""
    rng = np.random.default_rng(SEED)
    genes = [gene for gene in genome.genes_of(genome.split.heldout) if not gene.partial]
    picked = sorted(rng.choice(len(genes), size=min(GENES, len(genes)), replace=False))
    snvs = sample_snvs(
        genome.codes,
        [genes[i] for i in picked],
        PER_CLASS,
        GENES // 2,
        SEED,
        neighbours=genome.genes,
    )
    return VariantEffects(
        snvs=snvs,
        model_nats=network_effects_nats(model, genome, snvs),
        markov_nats=snv_effects_nats(heldout.markov, genome.codes, snvs),
    )


def network_effects_nats(
    model: LoadedModel, genome: DemoGenome, snvs: Shaped[np.ndarray, " N"]
) -> Float64[np.ndarray, " N"]:
    """Return log-likelihood(window with the SNV) - log-likelihood(window), mean of both strands.

    The window is the one whose middle cell holds the SNV, so that both strands read at least
    ``(WINDOW_BP - CELL_BP) / 2`` bases on either side.
    """
    cells = snvs["position"] // CELL_BP
    starts = np.clip(cells * CELL_BP - (WINDOW_BP - CELL_BP) // 2, 0, len(genome.text) - WINDOW_BP)
    windows = {int(start): genome.text[start : start + WINDOW_BP] for start in np.unique(starts)}
    changed = []
    for start, snv in zip(starts, snvs, strict=True):
        window, at = windows[int(start)], int(snv["position"] - start)
        changed.append(window[:at] + "ACGT"[snv["alt"]] + window[at + 1 :])
    scores = model.score([*windows.values(), *changed], both_strands=True)
    reference = {
        start: score.loglik_nats
        for start, score in zip(windows, scores[: len(windows)], strict=True)
    }
    return np.array(
        [
            score.loglik_nats - reference[int(start)]
            for start, score in zip(starts, scores[len(windows) :], strict=True)
        ]
    )


def saturation(model: LoadedModel, genome: DemoGenome, gene: Gene) -> Float64[np.ndarray, "4 L"]:
    """Return the effect of every SNV of a gene, rows A C G T (forward strand), nan at the ref."""
    positions = np.arange(gene.start, gene.end)
    ref = genome.codes[positions]
    kind = np.dtype([("position", np.int64), ("alt", np.uint8)])
    snvs = np.array(
        [(p, alt) for p, r in zip(positions, ref, strict=True) for alt in range(4) if alt != r],
        dtype=kind,
    )
    effects = np.full((4, len(positions)), np.nan)
    effects[snvs["alt"], snvs["position"] - gene.start] = network_effects_nats(model, genome, snvs)
    return effects


def short_gene(genome: DemoGenome, shortest_bp: int = 150, longest_bp: int = 240) -> Gene:
    """Return the first whole held-out gene of a length that a heat map can show."""
    for gene in genome.genes_of(genome.split.heldout):
        if not gene.partial and shortest_bp <= gene.end - gene.start <= longest_bp:
            return gene
    raise ValueError(f"no held-out gene has between {shortest_bp} and {longest_bp} bp")
