"""The list of runs, written down before the first one.

An arm is a network to train: a rule at the size of a phase, for a genome. Every arm's backbone is
as wide as makes its forward FLOPs a base those of ``fixed_6``, counted with the mean patch that the
rule is calibrated to, or that training windows were measured to have. A cell is an arm, or the arm
that the screen chooses, with a seed.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hyena_glt.config import ModelConfig
from hyena_glt.model import HyenaGLT
from hyena_glt.model.account import count_flops, count_parameters

RESULTS = Path(__file__).parents[1] / "results"
PLAN_PATH = RESULTS / "patchers.plan.json"

REFERENCE = "fixed_6"
BEST_DYNAMIC = "best_dynamic"
# Rules among which the screen chooses one to confirm, beside ``learned``, which always is.
CANDIDATES = ("syncmer", "entropy", "entropy_jump", "budget")
LEAST_GAIN_BITS = 0.005
MOST_FLOPS_OFF = 0.03
EXACT_K = (2, 3, 4, 5, 6, 7, 8)
WIDTH_STEP = 4  # of backbones, and channels that share a filter
WIDEST = 768


class Rule(NamedTuple):
    """Where patches close, stage by stage, and what else an arm of it needs."""

    patches: tuple[Mapping[str, Any], ...]
    entropy: bool = False  # reads a k-mer entropy model
    masked: bool = False  # bidirectional, for the masked objective
    tables: bool = True  # k-mer tables in the embedding


RULES = {
    "none": Rule(({"kind": "none"},)),
    "fixed_3": Rule(({"kind": "fixed", "size_bp": 3},)),
    "fixed_6": Rule(({"kind": "fixed", "size_bp": 6},)),
    "fixed_8": Rule(({"kind": "fixed", "size_bp": 8},)),
    "syncmer": Rule(({"kind": "syncmer"},)),
    "entropy": Rule(({"kind": "entropy", "mean_bp": 6.0},), entropy=True),
    "entropy_jump": Rule(({"kind": "entropy_jump", "mean_bp": 6.0},), entropy=True),
    "budget": Rule(({"kind": "budget", "mean_bp": 6.0},), entropy=True),
    "learned": Rule(({"kind": "learned", "mean_bp": 6.0},)),
    "two_stage": Rule(({"kind": "fixed", "size_bp": 3}, {"kind": "fixed", "size_bp": 6})),
    "fixed_6_masked": Rule(({"kind": "fixed", "size_bp": 6},), masked=True),
    # The vocabulary of DNABERT-2 (arXiv 2306.15006), as good as used up by the mean of each genome.
    "bpe_masked": Rule(({"kind": "bpe", "vocabulary": 4096},), masked=True),
    "fixed_6_no_tables": Rule(({"kind": "fixed", "size_bp": 6},), tables=False),
}
# Masked rules are compared with each other: bits of a masked base are another thing.
REFERENCE_OF = {"bpe_masked": "fixed_6_masked"}
MASKED_OBJECTIVE = {"kind": "masked", "fraction": 0.15, "span_bp": 6}

GENOMES: dict[str, dict[str, Any]] = {
    "ecoli_k12": {
        "file": "ecoli_k12/GCF_000005845.2_ASM584v2_genomic.fna.gz",
        "sha256": "254606e2722f64ca0906dfc1d41bceac41be72c335627c23f831b007939c8a48",
        "split": {"by": "fraction", "validation": 0.1, "heldout": 0.1, "guard_bp": 10_000},
        # Its last tenth, as the split cuts it; every whole block is read.
        "heldout": ["NC_000913.3", 4_177_487, 4_641_652],
        "heldout_blocks": 56,
        "bpe_mean_bp": 5.0,
        # Of training windows, by the rule alone. A masked base is a token by itself, and so is N.
        "measured_mean_bp": {"syncmer": 5.92, "bpe_masked": 2.95},
    },
    "human_chr20": {
        "file": "human_chr20_grch37/chr20_1-50000000.fa.gz",
        "sha256": "7a9a3c3924be94f4e0cc2544e63de64c26c379e5372f613fec3048e1aef6686e",
        # Held out to the contig's end, so that nothing behind 48 Mb trains; read up to 48 Mb.
        "split": {
            "by": "region",
            "validation": ["20:40000000-42000000"],
            "heldout": ["20:42010000-50000000"],
            "guard_bp": 10_000,
        },
        "heldout": ["20", 42_010_000, 48_000_000],
        "heldout_blocks": 64,
        "bpe_mean_bp": 3.7,
        "measured_mean_bp": {"syncmer": 5.87, "bpe_masked": 2.50},
    },
}
BLOCK_BP = 8_192  # of held-out sequence that a difference is paired over
# Validation windows in which patches are counted and disturbed.
BOUNDARIES = {"windows": 16, "window_bp": 8_192, "deleted_base": 2_000, "near_bp": [50, 1_000]}

PHASES: dict[str, dict[str, Any]] = {
    "screen": {
        "genomes": ["ecoli_k12", "human_chr20"],
        "rules": [
            *("fixed_6", "none", "fixed_3", "fixed_8", "syncmer", "entropy", "entropy_jump"),
            *("budget", "learned", "two_stage", "fixed_6_masked", "bpe_masked"),
        ],
        "seeds": [1, 2],
        "device": "cpu",
        "shape": {"stage_width": 96, "backbone_width": 160, "layout": "SML"},
        "train": {
            "bases": 4_000_000,
            "batch_windows": 8,
            "validate_every_steps": 82,
            "validation_bases": 200_000,
        },
    },
    "confirm": {
        "genomes": ["ecoli_k12", "human_chr20"],
        "rules": ["fixed_6", BEST_DYNAMIC, "learned", "fixed_6_no_tables"],
        "seeds": [11, 12, 13],
        "device": "cpu",
        "shape": {"stage_width": 128, "backbone_width": 240, "layout": "SML"},
        "train": {
            "bases": 8_000_000,
            "batch_windows": 8,
            "validate_every_steps": 122,
            "validation_bases": 200_000,
        },
    },
    "gpu": {
        "genomes": ["human_chr20"],
        "rules": ["fixed_6", BEST_DYNAMIC, "learned"],
        "seeds": [21, 22, 23],
        "device": "cuda",
        "shape": {"stage_width": 320, "backbone_width": 544, "layout": "2*SML"},
        "train": {
            "bases": 500_000_000,
            "batch_windows": 128,
            "validate_every_steps": 477,
            "validation_bases": 500_000,
        },
    },
}


class Cell(NamedTuple):
    """One run."""

    phase: str
    genome: str
    rule: str
    seed: int

    @property
    def name(self) -> str:
        """Its name in files and on the command line."""
        return f"{self.phase}/{self.genome}/{self.rule}/{self.seed}"

    @classmethod
    def named(cls, name: str) -> "Cell":
        """Return the cell of that name."""
        phase, genome, rule, seed = name.split("/")
        return cls(phase, genome, rule, int(seed))


def all_cells() -> list[Cell]:
    """Return every cell, in the order of running: each seed of a phase goes over all arms."""
    return [
        Cell(phase, genome, rule, seed)
        for phase, about in PHASES.items()
        for seed in about["seeds"]
        for genome in about["genomes"]
        for rule in about["rules"]
    ]


def make_plan() -> dict[str, Any]:
    """Return the plan as plain data; it depends on this file, and on what networks cost, alone."""
    arms = {
        f"{phase}/{genome}/{rule}": _arm(phase, genome, rule)
        for phase, about in PHASES.items()
        for genome in about["genomes"]
        for rule in _rules_of(about["rules"])
    }
    plan = {
        "genomes": GENOMES,
        "block_bp": BLOCK_BP,
        "boundaries": BOUNDARIES,
        "masked_objective": MASKED_OBJECTIVE,
        "phases": PHASES,
        "choice": {
            "of": CANDIDATES,
            "by": "lowest validation bits per base in the screen, over genomes and seeds",
        },
        "decision": {
            "reference": REFERENCE,
            "least_gain_bits": LEAST_GAIN_BITS,
            "by": "a rule becomes the default where, on the held-out blocks of every genome of "
            "confirm, the whole 95 % interval of its gain is above least_gain_bits",
        },
        "arms": arms,
        "cells": [cell.name for cell in all_cells()],
    }
    as_data: dict[str, Any] = json.loads(json.dumps(plan))
    return as_data


def plan_text(plan: Mapping[str, Any]) -> str:
    """Return the plan as the file holds it."""
    return json.dumps(plan, indent=1) + "\n"


def plan_sha256(plan: Mapping[str, Any]) -> str:
    """Return the checksum that results are kept under."""
    return hashlib.sha256(plan_text(plan).encode()).hexdigest()


def model_section(shape: Mapping[str, Any], rule: Rule, width: int) -> dict[str, Any]:
    """Return the recipe's model section with a backbone of ``width``."""
    stage = {"width": shape["stage_width"], "mlp_width": shape["stage_width"]}
    # Inner stages have short filters: patches are their positions.
    layouts = ["M"] + ["S"] * (len(rule.patches) - 1)
    stages = [
        {**stage, "encoder": letter, "patch": dict(patch), "decoder": letter}
        for letter, patch in zip(layouts, rule.patches, strict=True)
    ]
    section: dict[str, Any] = {
        "direction": "bidirectional" if rule.masked else "causal",
        "embed": {"exact_k": list(EXACT_K) if rule.tables else []},
        "stages": stages,
        "backbone": {"width": width, "mlp_width": 2 * width, "layout": shape["layout"]},
        "mixers": {"M": {"width": 192, "group_size": WIDTH_STEP}},
    }
    if rule.entropy:
        section["entropy"] = {"kind": "kmer", "k": 10}
    return section


def _rules_of(names: list[str]) -> list[str]:
    """The rules that cells may need: for the screen's choice, each that it may choose."""
    return [rule for name in names for rule in (CANDIDATES if name == BEST_DYNAMIC else (name,))]


def _arm(phase: str, genome: str, name: str) -> dict[str, Any]:
    """Return the arm's network, cost and size. Raises ValueError where FLOPs don't meet."""
    shape, rule = PHASES[phase]["shape"], RULES[name]
    if name == "bpe_masked":
        (patch,) = rule.patches
        rule = rule._replace(patches=({**patch, "mean_bp": GENOMES[genome]["bpe_mean_bp"]},))
    wanted, _ = _cost(phase, REFERENCE, None, shape["backbone_width"])
    mean_bp = GENOMES[genome]["measured_mean_bp"].get(name)
    width = _matching_width(phase, name, mean_bp, wanted)
    flops, parameters = _cost(phase, name, mean_bp, width)
    if abs(flops / wanted - 1) > MOST_FLOPS_OFF:
        raise ValueError(
            f"{phase}/{genome}/{name}: a backbone of width {width} costs {flops:.0f} FLOPs a base, "
            f"{flops / wanted:.3f} of {REFERENCE}'s; expected {MOST_FLOPS_OFF:.0%} or nearer"
        )
    rows = sum(4**k for k in EXACT_K) if rule.tables else 0
    return {
        "model": model_section(shape, rule, width),
        "forward_flops_per_base": round(flops),
        "of_reference": round(flops / wanted, 4),
        "parameters": parameters,
        "table_parameters": rows * shape["stage_width"],
    }


def _matching_width(phase: str, name: str, mean_bp: float | None, wanted: float) -> int:
    """The multiple of WIDTH_STEP whose cost is nearest to ``wanted``; costs rise with the width."""
    low, high = 1, WIDEST // WIDTH_STEP
    while low < high:
        middle = (low + high) // 2
        if _cost(phase, name, mean_bp, middle * WIDTH_STEP)[0] < wanted:
            low = middle + 1
        else:
            high = middle
    near = (width * WIDTH_STEP for width in (low - 1, low) if width)
    return min(near, key=lambda width: abs(_cost(phase, name, mean_bp, width)[0] - wanted))


@cache
def _cost(phase: str, name: str, mean_bp: float | None, width: int) -> tuple[float, int]:
    """Return (forward FLOPs a base, parameters) of an arm; tables are neither and left out."""
    rule = RULES[name]._replace(tables=False)
    section = model_section(PHASES[phase]["shape"], rule, width)
    with torch.random.fork_rng(devices=[]):
        network = HyenaGLT(ModelConfig.model_validate(section), "dna")
    flops = count_flops(network, None if mean_bp is None else [mean_bp])
    return flops.forward, count_parameters(network).total
