"""The page: its verdict is what the held-out blocks say, and what was not run is shown."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patching.page import page_text, verdict
from patching.plan import BEST_DYNAMIC, BOUNDARIES, PHASES, Cell, all_cells

PLAN: dict[str, Any] = {
    "phases": PHASES,
    "block_bp": 8192,
    "boundaries": BOUNDARIES,
    "decision": {"least_gain_bits": 0.005, "by": "as the plan says"},
    "choice": {"by": "lowest bits"},
    "cells": [cell.name for cell in all_cells()],
    "arms": {
        f"screen/{genome}/bpe_masked": {"of_reference": 0.999}
        for genome in PHASES["screen"]["genomes"]
    },
}


def cell(rule: str, bits: float) -> dict[str, Any]:
    return {
        "rule": "budget" if rule == BEST_DYNAMIC else rule,
        "bases": 8_000_000,
        "validation_bits_per_base": bits,
        "curve": [[4_000_000, bits + 0.1], [8_000_000, bits]],
        "bases_per_second": 10_000,
        "forward_flops_per_base": 1_195_168,
        "parameters": 2_097_428,
        "table_parameters": 11_184_128,
        "mean_patch_bp": [6.0],
        "overflow_share": 0.0,
        "deletion_agreement_near": None,
        "deletion_agreement_far": 0.5,
        "bf16_agreement": 1.0,
        "heldout_bits": (bits + np.linspace(-0.1, 0.1, 64)).tolist(),
        "machine": {"processor": "abacus"},
    }


def confirmed(gains: dict[str, float]) -> dict[str, dict[str, Any]]:
    """The confirmation with a gain of the dynamic rule on each genome; learned loses a little."""
    done = {}
    for genome, gain in gains.items():
        for seed in PHASES["confirm"]["seeds"]:
            noise = 1e-4 * seed
            for rule, bits in (("fixed_6", 1.9), (BEST_DYNAMIC, 1.9 - gain), ("learned", 1.901)):
                bits += noise if rule == "learned" else 0
                done[Cell("confirm", genome, rule, seed).name] = cell(rule, bits)
    return done


def test_before_the_confirmation_the_default_stays() -> None:
    page = page_text(PLAN, {}, {})
    first = "# The confirmation has not been run to its end: the default stays `fixed`\n"
    assert page.startswith(first)
    assert "| `entropy_jump` | 0 | not run | not run | not run |" in page
    done = confirmed({"ecoli_k12": 0.1, "human_chr20": 0.1})
    del done["confirm/human_chr20/best_dynamic/13"]
    assert "not been run to its end" in verdict(PLAN, done)


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ((0.02, 0.02), "`budget` beats `fixed` of 6 by more than 0.005"),
        ((0.02, 0.004), "outside the interval on every genome (`budget` does on ecoli_k12)"),
        ((0.004, 0.004), "The default stays `fixed`: no dynamic rule beats `fixed` of 6"),
    ],
)
def test_the_verdict_needs_the_whole_interval_on_every_genome(
    gains: tuple[float, float], expected: str
) -> None:
    done = confirmed(dict(zip(("ecoli_k12", "human_chr20"), gains, strict=True)))
    assert expected in verdict(PLAN, done)


def test_a_slower_rule_is_read_where_the_reference_had_ended() -> None:
    done = confirmed({"ecoli_k12": 0.02, "human_chr20": 0.02})
    speeds = {"fixed_6": {"speed_of_reference": 1.0}, "budget": {"speed_of_reference": 0.5}}
    page = page_text(PLAN, done, {"confirm": speeds})
    (row,) = (
        line
        for line in page.split("### Confirmation: ecoli_k12")[1].splitlines()[:8]
        if line.startswith("| `budget`")
    )
    # At half its bases, as its speed lets it.
    expected = ["1.8800", "-0.0200 (-0.0200 to -0.0200)", "1.9800", "1.8800"]
    assert row == f"| `budget` | 3 | {' | '.join(expected)} | -0.0200 [-0.0200, -0.0200] |"


@pytest.mark.slow
def test_without_arguments_the_state_is_printed() -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "patchers.py"
    done = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout).keys() >= {"plan"}


def screened(bits: dict[str, tuple[float, float]]) -> dict[str, dict[str, Any]]:
    """The whole screen: of each rule, the bits of its two seeds on either genome."""
    return {
        one.name: cell(one.rule, bits.get(one.rule, (1.9, 1.9))[one.seed - 1])
        for one in all_cells()
        if one.phase == "screen"
    }


def test_the_screen_says_whether_its_choice_is_more_than_chance() -> None:
    page = page_text(PLAN, screened({"budget": (1.89, 1.9), "syncmer": (1.901, 1.91)}), {})
    assert "goes on is `budget`: over genomes and seeds `budget` has 1.89500" in page
    assert "differ by 0.01050 bits per base at most, two seeds of one rule by 0.00475" in page
    assert "more than the chance of a seed" in page
    page = page_text(PLAN, screened({"budget": (1.89, 1.9), "syncmer": (1.89, 1.90)}), {})
    assert "which of them goes on is chance" in page


def test_flops_that_are_not_the_references_are_marked() -> None:
    done = screened({})
    for seed in (1, 2):
        done[f"screen/human_chr20/entropy/{seed}"]["forward_flops_per_base"] *= 0.92
    page = page_text(PLAN, done, {})
    assert "| `entropy` | not run | 0.920† | 1,099.6 |" in page
    assert "| `entropy` | not run | 1.000 | 1,195.2 |" in page
    assert "| `bpe_masked` | not run | 0.999 |" in page
