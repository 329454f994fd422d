"""Train, measure, report."""

import json
import resource
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hyena_glt import __version__
from hyena_glt.api import LoadedModel, load
from hyena_glt.config import load_recipe
from hyena_glt.demo.figures import (
    codon_position_means,
    heat_map,
    surprisal_track,
    training_curve,
)
from hyena_glt.demo.genome import DemoGenome, read_demo_genome
from hyena_glt.demo.likelihood import measure_heldout
from hyena_glt.demo.page import render_page
from hyena_glt.demo.samples import SAMPLE_BP, Samples, draw_samples
from hyena_glt.demo.variants import VariantEffects, measure_variants, saturation, short_gene
from hyena_glt.errors import CheckpointError
from hyena_glt.io import Record, replacing_file, write_fasta
from hyena_glt.train import TrainingReport, holds_run, train
from hyena_glt.train.run import Device

TRACK_BP = 6_000

Say = Callable[[str], None]


def demo_recipe_path() -> Path:
    """Return the recipe that the demo trains."""
    return Path(str(resources.files(__package__) / "recipes/demo.yaml"))


def run_demo(
    out: Path,
    *,
    device: Device = "cpu",
    progress: bool = False,
    say: Say = lambda text: None,
    overrides: tuple[str, ...] = (),
    command: str = "",
) -> dict[str, Any]:
    """Train the demo in ``out``, measure it, write report.json and report.html; return the report.

    A run that was stopped goes on where it was; one that is finished is measured again, not
    trained again. ``say`` hears what happens next. A run that is told to stop while it trains saves
    its state and returns ``{"stopped": "terminated", ...}``.
    """
    recipe = load_recipe(demo_recipe_path(), overrides)
    say(f"training {recipe.name} on {recipe.data.genome}, {recipe.train.bases / 1e6:.1f} Mb")
    start_s = time.monotonic()
    resume = holds_run(out)
    training = train(recipe, out, resume=resume, device=device, command=command, progress=progress)
    earlier_s = max(0.0, training.seconds - (time.monotonic() - start_s))
    if training.stopped == "terminated":
        return {"stopped": training.stopped, "training_steps": training.steps}
    model = load(out / "checkpoint", device)
    genome = read_demo_genome(recipe, out / "genome")
    if list(model.checkpoint.splits.values()) != [genome.split]:
        raise CheckpointError(
            f"{out}/checkpoint: was trained on other regions than this recipe's; what it would be "
            "measured on may be what it learned. Choose another --out"
        )
    say("reading the held-out part, beside Markov models")
    heldout = measure_heldout(model, genome)
    say("scoring variants of held-out genes on both strands")
    effects = measure_variants(model, genome, heldout)
    gene = short_gene(genome)
    map_nats = saturation(model, genome, gene)
    say("sampling")
    samples = draw_samples(model, genome)
    report = {
        "stopped": training.stopped,
        **_about(model, training, device),
        **heldout.table(),
        **_about_variants(effects),
        "heat_map_gene": gene.name,
        "heat_map_gene_bp": gene.end - gene.start,
        "heat_map_codon_position_nats": codon_position_means(map_nats, gene),
        **_about_samples(samples),
        "resumed": resume,
        "seconds_total": earlier_s + time.monotonic() - start_s,
        "peak_memory_bytes": peak_memory_bytes(),
    }
    figures = {
        "training_curve": training_curve(out / "metrics", report["markov_bits_per_base"]),
        "surprisal_track": surprisal_track(heldout, genome, *_track(genome)),
        "heat_map": heat_map(map_nats, gene, genome),
    }
    _write(out, genome, report, render_page(report, figures, samples))
    return report


def _about(model: LoadedModel, training: TrainingReport, device: str) -> dict[str, Any]:
    parameters = {name: p.numel() for name, p in model.network.named_parameters()}
    tables = parameters.pop("embed.table", 0)
    return {
        "command": model.checkpoint.provenance.command,
        "version": __version__,
        "device": device,
        "seed": model.recipe.seed,
        "threads": torch.get_num_threads(),
        "parameters": sum(parameters.values()),
        "table_parameters": tables,
        "training_bases": training.training_bases,
        "training_steps": training.steps,
        "validation_bits_per_base": training.validation_bits_per_base,
        "seconds_train": training.seconds,
    }


def _about_variants(effects: VariantEffects) -> dict[str, Any]:
    table = effects.table()
    consequences, counts = np.unique(effects.snvs["consequence"], return_counts=True)
    return {
        "auroc": table,
        "auroc_stop_vs_synonymous": table["auroc_stop_vs_synonymous"]["estimate"],
        "auroc_missense_vs_synonymous": table["auroc_missense_vs_synonymous"]["estimate"],
        "markov_auroc_stop_vs_synonymous": table["markov_auroc_stop_vs_synonymous"]["estimate"],
        "snvs": {
            **{str(name): int(n) for name, n in zip(consequences, counts, strict=True)},
            "genes": len(np.unique(effects.snvs["gene"])),
        },
    }


def _about_samples(samples: Samples) -> dict[str, Any]:
    return {
        "sample_bp": SAMPLE_BP,
        "samples_gc": samples.gc,
        "samples_period3": samples.period3,
        "genome_gc": samples.genome_gc,
        "genome_period3_percentiles_10_50_90": samples.genome_period3,
    }


def _track(genome: DemoGenome) -> tuple[int, int]:
    """Return a region in the middle of the held-out part."""
    (region,) = genome.split.heldout
    start = (region.start + region.end - TRACK_BP) // 2
    return start, start + TRACK_BP


def _write(out: Path, genome: DemoGenome, report: dict[str, Any], page: str) -> None:
    (region,) = genome.split.heldout
    name = f"{region.contig}:{region.start}-{region.end}"
    text = genome.text[region.start : region.end]
    write_fasta(out / "heldout.fa", [Record(name, "held out", text)])
    with replacing_file(out / "report.json") as aside:
        aside.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    with replacing_file(out / "report.html") as aside:
        aside.write_text(page, encoding="utf-8")


def peak_memory_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB
