"""The list of runs, written down before the first one.

A cell is a network to pretrain, a set to answer from one start (its seeds together), or variants
scored by a pretrained network that saw no label. Names tell the three apart by their first part.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from answering.genes import MIN_BP, WINDOW_BP
from hyena_glt.suites.contenders import Contender

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PLAN_PATH = RESULTS / "tasks.plan.json"

PRETRAINED = ("causal", "bidirectional")
RECIPES = {name: f"recipes/pretraining/{name}.yaml" for name in PRETRAINED}
# A fresh network has the shape of the one named here. Floors read the same rows, pretrained or not.
FRESH = "bidirectional"
FLOORS: tuple[Contender, ...] = ("kmer", "onehot")
STARTS = ("floors", "scratch", *PRETRAINED)
SEEDS = 3  # of a set that is split into folds a seed is a fold, and all of them are run
# A run of fine-tuning reads so many bases of training, in whole epochs, and some three minutes on
# one core; a set that is read less than once in them is read once.
BASES_A_RUN = 3_000_000
MOST_EPOCHS = 200  # of a set of a few kilobases, which at 20 hadn't begun to learn (validation)
# By the validation parts of gue/tf/0 (one epoch) and other/uci_splice (20), one seed each. Of rates
# 3e-4 to 3e-3 a set that is read once wants high ones, one that is read often low ones, fresh as
# pretrained. Tables of long k-mers help the first (MCC .60 and .58, without .55 and .55) and learn
# the second by heart (accuracy .77, without .97 and .96): where a set is read OFTEN those of
# pretraining stay as they are, and a fresh network has tables of short k-mers alone.
RATE_OF_ONE_EPOCH, HEAD_RATE = 2e-3, 4e-3
OFTEN = 5  # epochs
# Epochs of a few dozen rows are two steps each: at 4 without a better one, a run ended before the
# network had begun to learn (loss of chance on validation).
LEAST_PATIENCE, PATIENCE_OF_EPOCHS = 4, 5
STAYS = ("embed",)
FRESH_EXACT_K = (2, 3, 4)
# Each base of a window is a target, so that a batch needs fewer windows and a run has more steps:
# on the validation part of genes/ecoli_heldout_tenth, one seed, AUROC of background was .899 with
# 32 kb, .910 with 8 kb, .916 with 4 kb and genes on both strands.
BASES_A_BATCH = 4096  # where bases are labelled
# Genes are asked of by place in the codon, which says what a frame is: on the validation part of
# genes/ecoli_heldout_tenth, one seed, AUROC of background after one epoch was .978, and .947 where
# a strand's coding bases were one class. Patches are of a codon's length, and pooled so that places
# are told apart (.947; .935 by mean and maximum behind more filters, of 6 bases); read three times.
BASES_A_RUN_OF_SUITE = {"genes": 11_000_000}
FRESH_STAGE_OF_SUITE: dict[str, dict[str, Any]] = {
    "genes": {"patch": {"kind": "fixed", "size_bp": 3}, "pooling": "aligned"}
}
FRESH_MEDIUM_OF_SUITE = {"genes": {"width": 192, "group_size": 8}}
TUNING_OF_SUITE = {"genes": {"augment.reverse_complement": 0.5}}
GENES = (
    f"a class for each place in the codon, ours by both strands, windows of {WINDOW_BP} bp, no "
    f"pseudogenes of E. coli, contigs of {MIN_BP} bp and more"
)
# Suites of hyena-glt, and their sets whose files the data folder has. coding_ecoli, whose test
# windows lie all over the genome, is not among them: genes has the held-out tenth instead.
SETS: dict[str, tuple[str, ...]] = {
    "gue": (
        *("prom_core_all", "prom_core_notata", "prom_core_tata", "prom_300_tata"),
        *("tf/0", "tf/1", "tf/2", "mouse/0", "mouse/2"),
    ),
    "genomic_benchmarks": ("human_enhancers_cohn_chr20X",),
    "mpra": ("dream_yeast", "deepstarr", "lentimpra", "saturation_promoters"),
    "variant_effects": ("brca1_loss_of_function", "brca1_function_score"),
    "annotation": (
        *("splicing_arabidopsis", "splicing_worm", "coding_arabidopsis_1pct"),
        *("coding_worm_1pct", "coding_fly_1pct"),
    ),
    "other": (
        *("uci_splice", "uci_promoters", "cnnprom_ecoli", "cnnprom_bacillus"),
        *("cnnprom_arabidopsis_tata", "cnnprom_arabidopsis_non_tata", "cnnprom_mouse_tata"),
        *("tf_peaks", "nrc_rfam", "mpsa"),
    ),
    "genes": ("ecoli_heldout_tenth", "yeast_chrXV"),
}
# Whose test sequences were read in pretraining, without labels: said beside their results.
SEEN_UNLABELLED = ("other/cnnprom_ecoli",)
# Of RNA: the pretrained networks read DNA.
NOT_DNA = ("other/nrc_rfam", "other/mpsa")
# Measured elsewhere, with counts of 3-mers to 5-mers (uci_splice, mpsa: letters at their places)
# and logistic or ridge regression.
ELSEWHERE: dict[str, dict[str, float]] = {
    "gue/prom_core_all": {"mcc": 0.587},
    "gue/prom_core_notata": {"mcc": 0.621},
    "gue/prom_core_tata": {"mcc": 0.491},
    "gue/prom_300_tata": {"mcc": 0.443},
    "gue/tf/0": {"mcc": 0.647},
    "gue/tf/1": {"mcc": 0.692},
    "gue/tf/2": {"mcc": 0.584},
    "gue/mouse/0": {"mcc": 0.506},
    "gue/mouse/2": {"mcc": 0.750},
    "genomic_benchmarks/human_enhancers_cohn_chr20X": {"mcc": 0.447},
    "mpra/dream_yeast": {"pearson": 0.730},
    "mpra/deepstarr": {
        "pearson/Dev_log2_enrichment": 0.320,
        "pearson/Hk_log2_enrichment": 0.389,
    },
    "mpra/lentimpra": {"pearson": 0.403},
    "other/tf_peaks": {"mcc": 0.804},
    "other/cnnprom_ecoli": {"mcc": 0.693},
    "other/cnnprom_bacillus": {"mcc": 0.586},
    "other/uci_splice": {"accuracy": 0.957},
    "other/mpsa": {"pearson": 0.436},
}
# What was asked of the best start, before the first run.
GOALS: dict[str, dict[str, float]] = {
    "gue/prom_core_all": {"mcc": 0.66},
    "gue/tf/0": {"mcc": 0.670},
    "gue/tf/1": {"mcc": 0.711},
    "gue/tf/2": {"mcc": 0.615},
    "other/uci_splice": {"accuracy": 0.965},
    # Background against both strands' coding bases.
    "genes/ecoli_heldout_tenth": {"auroc/background": 0.98},
}
ZERO_SHOT = ("brca1",)
ZERO_SHOT_WINDOW_BP = 2048  # that of pretraining


class Cell(NamedTuple):
    """``pretrain/START``, ``zero_shot/START/VARIANTS`` or ``SUITE/START/SET``."""

    kind: str  # pretrain, zero_shot, or a suite
    start: str
    what: str  # a set or variants; of pretraining nothing

    @property
    def name(self) -> str:
        """The cell's name."""
        return "/".join(part for part in self if part)

    @classmethod
    def of(cls, name: str) -> "Cell":
        """Return the cell of that name."""
        kind, start, *what = name.split("/", 2)
        return cls(kind, start, "".join(what))


def all_cells() -> list[Cell]:
    """Return every cell, in the order of running: what others begin with comes first."""
    cells = [Cell("pretrain", start, "") for start in PRETRAINED]
    cells += [Cell("zero_shot", start, what) for what in ZERO_SHOT for start in PRETRAINED]
    cells += [
        Cell(suite, start, name)
        for suite, names in SETS.items()
        for name in names
        for start in starts_of(suite, name)
    ]
    return cells


def starts_of(suite: str, name: str) -> tuple[str, ...]:
    """Return what a set is answered from: a fresh network and, of DNA, the pretrained ones.

    The causal one answers what has a goal alone: all sets from all starts wouldn't fit into eight
    hours of two cores. That of genes is set to a network that reads both sides.
    """
    key = f"{suite}/{name}"
    if key in NOT_DNA:
        return tuple(start for start in STARTS if start not in PRETRAINED)
    if key in GOALS and suite != "genes":
        return STARTS
    return tuple(start for start in STARTS if start != "causal")


def make_plan() -> dict[str, Any]:
    """Return what decides the results, as plain data."""
    recipes = {name: (ROOT / path).read_text(encoding="utf-8") for name, path in RECIPES.items()}
    bed = ROOT / "recipes" / "pretraining" / "evaluation.bed"
    plan = {
        "recipes": recipes,
        "evaluation_bed_sha256": hashlib.sha256(bed.read_bytes()).hexdigest(),
        "fresh": FRESH,
        "floors": FLOORS,
        "seeds": SEEDS,
        "bases_a_run": BASES_A_RUN,
        "most_epochs": MOST_EPOCHS,
        "rate_of_one_epoch": RATE_OF_ONE_EPOCH,
        "head_rate": HEAD_RATE,
        "often": OFTEN,
        "patience": f"{LEAST_PATIENCE} or epochs / {PATIENCE_OF_EPOCHS}",
        "stays": STAYS,
        "fresh_exact_k": FRESH_EXACT_K,
        "bases_a_batch": BASES_A_BATCH,
        "bases_a_run_of_suite": BASES_A_RUN_OF_SUITE,
        "fresh_stage_of_suite": FRESH_STAGE_OF_SUITE,
        "fresh_medium_of_suite": FRESH_MEDIUM_OF_SUITE,
        "tuning_of_suite": TUNING_OF_SUITE,
        "genes": GENES,
        "goals": GOALS,
        "seen_unlabelled": SEEN_UNLABELLED,
        "zero_shot_window_bp": ZERO_SHOT_WINDOW_BP,
        "cells": [cell.name for cell in all_cells()],
    }
    as_data: dict[str, Any] = json.loads(json.dumps(plan))
    return as_data


def rate_for(epochs: int) -> float:
    """Return the rate of a run that reads its set so many times; from 20 on it is one."""
    return round(RATE_OF_ONE_EPOCH / math.sqrt(min(epochs, 20)), 6)


def epochs_for(training_bases: int, suite: str) -> int:
    """Return in how many epochs a run reads what one of its suite does, from 1 to MOST_EPOCHS."""
    bases_a_run = BASES_A_RUN_OF_SUITE.get(suite, BASES_A_RUN)
    return max(1, min(MOST_EPOCHS, round(bases_a_run / max(1, training_bases))))


def fresh_model(model: dict[str, Any], suite: str, epochs: int) -> dict[str, Any]:
    """Return the config of a suite's fresh network, from that of FRESH."""
    (stage,), mixers = model["stages"], model["mixers"]
    medium = {**mixers["M"], **FRESH_MEDIUM_OF_SUITE.get(suite, {})}
    changed = {
        **model,
        "stages": [{**stage, **FRESH_STAGE_OF_SUITE.get(suite, {})}],
        "mixers": {**mixers, "M": medium},
    }
    if epochs >= OFTEN:
        changed["embed"] = {**model["embed"], "exact_k": FRESH_EXACT_K}
    return changed


def patience_for(epochs: int) -> int:
    """Return after how many epochs without a better one a run ends: a share, or the least."""
    return max(LEAST_PATIENCE, epochs // PATIENCE_OF_EPOCHS)


def batch_for(bases: int, rows: int) -> int:
    """Return how many windows of so many ``rows`` are a batch, where bases are labelled."""
    return max(1, min(32, BASES_A_BATCH * rows // max(1, bases)))
