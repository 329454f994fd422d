"""The plan of our own results names what there is, and its page says what is not run."""

import json
from pathlib import Path
from typing import Any

import pytest
from answering.genes import gene_suite
from answering.page import page_text
from answering.plan import (
    NOT_DNA,
    PLAN_PATH,
    PRETRAINED,
    SETS,
    STARTS,
    TUNING,
    Cell,
    all_cells,
    epochs_for,
    make_plan,
)

from hyena_glt.config import DatasetConfig, load_recipe
from hyena_glt.data.examples import open_dataset, prepare_dataset
from hyena_glt.suites import load_suite

ROOT = Path(__file__).parents[2]


def test_the_plan_written_down_is_what_the_code_plans() -> None:
    assert json.loads(PLAN_PATH.read_text()) == make_plan()


def test_a_cell_is_known_by_its_name() -> None:
    cells = all_cells()
    assert [Cell.of(cell.name) for cell in cells] == cells
    assert len({cell.name for cell in cells}) == len(cells)
    assert Cell.of("gue/causal/tf/0") == ("gue", "causal", "tf/0")
    assert Cell.of("pretrain/causal") == ("pretrain", "causal", "")


@pytest.mark.parametrize("suite", sorted(SETS.keys() - {"genes"}))
def test_every_set_of_the_plan_is_in_its_suite(suite: str) -> None:
    assert set(SETS[suite]) <= {each.name for each in load_suite(suite).sets}


def test_every_start_but_the_floors_is_tuned() -> None:
    assert {"floors", *TUNING} == set(STARTS)


@pytest.mark.parametrize(
    ("bases", "epochs"), [(100, 20), (1_500_000, 2), (3_300_000, 1), (90_000_000, 1)]
)
def test_a_run_reads_its_bases_in_whole_epochs(bases: int, epochs: int) -> None:
    assert epochs_for(bases) == epochs


@pytest.mark.parametrize("name", PRETRAINED)
def test_recipes_of_pretraining_keep_off_what_is_reserved(name: str) -> None:
    recipe = load_recipe(ROOT / "recipes" / "pretraining" / f"{name}.yaml")
    reserved = recipe.data.reserved
    assert reserved is not None
    assert (ROOT / reserved.bed).is_file()
    assert (reserved.margin_bp, reserved.exclude) == (5000, True)
    assert recipe.model.direction == name


def test_a_page_without_results_says_not_run() -> None:
    plan = make_plan()
    text = page_text(plan, {})
    assert f"0 of {len(plan['cells'])} cells are done" in text
    rows = [line for line in text.splitlines() if line.startswith("| `") or "missense" in line]
    sets = sum(map(len, SETS.values()))
    assert len(rows) == 2 + sets + 2
    assert all("not run" in row for row in rows)
    rna = [row for row in rows if "none" in row]
    assert [row.split("`")[1] for row in rna] == ["nrc_rfam", "mpsa"]
    assert all(row.count("not run") == 3 for row in rna)  # two floors and a fresh network


def test_a_pretrained_network_answers_dna_alone() -> None:
    names = [cell.name for cell in all_cells()]
    assert [name for name in names if name.endswith("mpsa")] == [
        "other/floors/mpsa",
        "other/scratch/mpsa",
    ]
    asked = {f"{suite}/{name}" for suite in SETS for name in SETS[suite]}
    dna = {
        f"{suite}/{each.name}"
        for suite in SETS.keys() - {"genes"}
        for each in load_suite(suite).sets
        if each.modality == "dna"
    }
    assert set(NOT_DNA) == {name for name in asked - dna if not name.startswith("genes/")}


def cell(contender: str, seed: int, mcc: float, **strata: float) -> dict[str, Any]:
    return {
        "contender": contender,
        "seed": seed,
        "metrics": {"mcc": mcc},
        "strata": {name: {"mcc": value} for name, value in strata.items()},
    }


def test_differences_are_of_seeds_that_both_have() -> None:
    about: dict[str, Any] = {"metric": "mcc", "not_run": []}
    done = {
        "gue/scratch/tf/0": {**about, "cells": [cell("ours", 0, 0.5), cell("ours", 1, 0.7)]},
        "gue/causal/tf/0": {**about, "cells": [cell("ours", 1, 0.8), cell("ours", 2, 0.1)]},
        "gue/floors/tf/0": {**about, "cells": [cell("kmer", 0, 0.4, missense=0.3)]},
        "gue/bidirectional/tf/0": {
            **about,
            "cells": [],
            "not_run": [{"contender": "ours", "seed": 0, "reason": "it is a model of rna"}],
        },
    }
    text = page_text(make_plan(), done)
    (row,) = [line for line in text.splitlines() if line.startswith("| `tf/0` |")]
    assert row == (
        "| `tf/0` | mcc | 0.400 [0.400, 0.400] | not run | 0.600 [0.500, 0.700] "
        "| 0.450 [0.100, 0.800] | not run | +0.100 [+0.100, +0.100] | not run |"
    )
    assert "- `gue/bidirectional/tf/0`, ours, seed 0: it is a model of rna" in text
    assert "| missense | 0.300 [0.300, 0.300] | not run |" in text


def test_genes_are_cut_at_the_ends_of_parts(tmp_path: Path) -> None:
    """A contig of 400 kb: train ends 10 kb before 320 kb, test begins at 360 kb."""
    data = tmp_path / "data"
    for name in ("ecoli_k12", "yeast_r64"):
        (data / name).mkdir(parents=True)
    (data / "ecoli_k12/GCF_000005845.2_ASM584v2_genomic.fna.gz").write_text(
        f">c\n{'ACGTTGCA' * 50_000}\n"
    )
    (data / "ecoli_k12/GCF_000005845.2_ASM584v2_genomic.gff.gz").write_text(
        "##gff-version 3\n"
        "c\tx\tCDS\t9901\t10030\t.\t+\t0\tID=a\n"
        "c\tx\tCDS\t15001\t15100\t.\t-\t0\tID=e\n"
        "c\tx\tgene\t20001\t20100\t.\t+\t.\tID=b\n"
        "c\tx\tCDS\t359901\t360070\t.\t-\t0\tID=c\n"
        "c\tx\tCDS\t330001\t330009\t.\t-\t0\tID=d\n"
    )
    (data / "yeast_r64/sacCer3_ares_v15.gtf.gz").write_text(
        'chrI\tx\texon\t11\t20\t.\t+\t.\tgene_id "a"; gene_type "protein_coding";\n'
        'chrI\tx\texon\t31\t40\t.\t+\t.\tgene_id "b"; gene_type "ncRNA";\n'
        'chrM\tx\texon\t31\t40\t.\t+\t.\tgene_id "c"; gene_type "protein_coding";\n'
    )
    suite = gene_suite(data, tmp_path / "work")
    assert (tmp_path / "work" / "yeast.gff3").read_text().splitlines()[1:] == [
        "I\tcut\tCDS\t11\t20\t.\t+\t.\t."
    ]
    each = suite.sets[0]
    config = DatasetConfig(modality="dna", sources=each.sources, split=each.split)
    prepare_dataset(config, tmp_path / "set")
    parts = open_dataset(tmp_path / "set").manifest.parts
    assert {name: about.bases for name, about in parts.items()} == {
        "train": 300_000,
        "validation": 30_000,
        "test": 40_000,
    }
    assert {name: about.classes for name, about in parts.items()} == {
        "train": {"background": 300_000 - 130, "coding+": 30, "coding-": 100},
        "validation": {"background": 30_000 - 9, "coding+": 0, "coding-": 9},
        "test": {"background": 40_000 - 70, "coding+": 0, "coding-": 70},
    }
