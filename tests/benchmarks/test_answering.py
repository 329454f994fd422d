"""The plan of our own results names what there is, and its page says what is not run."""

import json
from pathlib import Path
from typing import Any

import pytest
from answering.genes import gene_suite, pieces_between, reading_frame
from answering.page import page_text
from answering.plan import (
    FRESH,
    FRESH_EXACT_K,
    GOALS,
    NOT_DNA,
    PLAN_PATH,
    PRETRAINED,
    RECIPES,
    SETS,
    STARTS,
    Cell,
    all_cells,
    batch_for,
    epochs_for,
    fresh_model,
    make_plan,
    patience_for,
    rate_for,
)
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.config import DatasetConfig, ModelConfig, load_recipe
from hyena_glt.data.examples import open_dataset, prepare_dataset
from hyena_glt.model import HyenaGLT
from hyena_glt.model.account import count_parameters
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


@pytest.mark.parametrize(
    ("bases", "epochs"), [(100, 200), (1_500_000, 2), (3_300_000, 1), (90_000_000, 1)]
)
def test_a_run_reads_its_bases_in_whole_epochs(bases: int, epochs: int) -> None:
    assert epochs_for(bases, "gue") == epochs


def test_genes_are_read_longer_by_a_network_of_their_own() -> None:
    assert [epochs_for(bases, "genes") for bases in (3_600_000, 10_000_000)] == [3, 1]
    model = load_recipe(ROOT / RECIPES[FRESH]).model.model_dump(mode="json")
    genes = fresh_model(model, "genes", 3)
    (before,), (after,) = model["stages"], genes["stages"]
    patch = {"kind": "fixed", "size_bp": 3}
    assert before["patch"]["size_bp"] == 6
    assert after == before | {"patch": patch, "pooling": "aligned"}
    assert genes["mixers"]["M"] == model["mixers"]["M"] | {"width": 192, "group_size": 8}
    assert genes["embed"] == model["embed"]
    assert fresh_model(model, "gue", 1) == model
    rare = fresh_model(model, "gue", 5)
    assert rare == model | {"embed": model["embed"] | {"exact_k": FRESH_EXACT_K}}
    count = count_parameters(HyenaGLT(ModelConfig.model_validate(genes), "dna"))
    assert (
        597_880 < count.total <= 4_000_000
    )  # more than FRESH has, and the most that the goal allows


def test_a_set_that_is_read_often_moves_slower() -> None:
    assert [rate_for(n) for n in (1, 4, 20, 200)] == [0.002, 0.001, 0.000447, 0.000447]


def test_a_batch_of_labelled_bases_is_of_so_many() -> None:
    found = [batch_for(bases, 1000) for bases in (1_000_000, 2_000_000, 100_000, 9_000_000)]
    assert found == [4, 2, 32, 1]


def test_a_set_of_a_few_rows_is_waited_for_longer() -> None:
    assert [patience_for(n) for n in (1, 20, 24, 25, 200)] == [4, 4, 4, 5, 40]


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
    rows = [line for line in text.splitlines() if line.startswith(("| `", "| brca1"))]
    assert {row.split("`")[1] for row in rows} >= {
        name for names in SETS.values() for name in names
    }
    assert all("not run" in row for row in rows)
    rna = [row for row in rows if row.startswith(("| `nrc_rfam`", "| `mpsa`"))]
    # Two floors and a fresh network; and beside the two pretrained ones, what they are less.
    assert [(row.count("not run"), row.count("none")) for row in rna] == [(3, 3)] * 2
    (peaks,) = (row for row in rows if row.startswith("| `tf_peaks`"))
    assert (peaks.count("not run"), peaks.count("none")) == (5, 1)


def test_a_pretrained_network_answers_dna_alone() -> None:
    names = [cell.name for cell in all_cells()]
    assert [name for name in names if name.endswith("mpsa")] == [
        "other/floors/mpsa",
        "other/scratch/mpsa",
    ]
    assert [name for name in names if name.endswith("tf_peaks")] == [
        "other/floors/tf_peaks",
        "other/scratch/tf_peaks",
        "other/bidirectional/tf_peaks",
    ]
    assert {f"{cell.kind}/{cell.what}" for cell in all_cells() if cell.start == "causal"} == {
        *(name for name in GOALS if not name.startswith("genes/")),
        "pretrain/",
        "zero_shot/brca1",
    }
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
        "validation": {"mcc": mcc + 0.1},
        "leaked_rows": 2,
        "without_leaked": {"mcc": mcc - 0.1},
        "strata": {name: {"mcc": value} for name, value in strata.items()},
    }


def row_of(text: str, begins: str) -> str:
    (row,) = [line for line in text.splitlines() if line.startswith(begins)]
    return row


def test_what_is_pretrained_shows_its_parameters_besides_tables() -> None:
    found = {"validation_bits_per_base": 1.9, "training_bases": 30_000_000, "training_s": 90.0}
    done = {"pretrain/causal": {**found, "parameters": 600_000, "table_parameters": 5_000_000}}
    row = row_of(page_text(make_plan(), done), "| `causal` | 1.9")
    assert row == "| `causal` | 1.9000 | 30,000,000 | 90.0000 | 600,000 |"


def test_a_set_shows_its_starts_and_what_pretraining_gives() -> None:
    about: dict[str, Any] = {"metric": "mcc", "not_run": []}
    refused = [{"contender": "onehot", "seed": 0, "reason": "of several lengths"}]
    kmer = [cell("kmer", seed, 0.4, missense=0.3) for seed in range(2)]
    done: dict[str, Any] = {
        "gue/floors/tf/0": {"metric": "mcc", "not_run": refused, "cells": kmer},
        "gue/scratch/tf/0": {**about, "cells": [cell("ours", 0, 0.5), cell("ours", 1, 0.75)]},
        "gue/bidirectional/tf/0": {**about, "cells": [cell("ours", 0, 0.75), cell("ours", 1, 1.0)]},
    }
    text = page_text(make_plan(), done)
    # Of two seeds Student's t is 12.7: .125 * 12.7 to either side.
    ours = "| 0.625 [-0.963, 2.213] (2) | not run | 0.875 [-0.713, 2.463] (2) |"
    assert row_of(text, "| `tf/0` | mcc |") == f"| `tf/0` | mcc | 0.400 | none {ours} 0.250 |"
    assert row_of(text, "| missense |").startswith("| missense | 0.300 | none | not defined |")
    assert "- `gue/floors/tf/0`, onehot, seed 0: of several lengths" in text
    assert row_of(text, "| `tf/0` | 2 |").startswith("| `tf/0` | 2 | mcc | 0.300 | none | 0.525")


def test_goals_are_reached_or_missed_by_the_start_that_validation_chose() -> None:
    about: dict[str, Any] = {"metric": "mcc", "not_run": []}
    better = [cell("ours", seed, 0.69 + 0.001 * seed) for seed in range(3)]
    worse = [{**cell("ours", 0, 0.9), "validation": {"mcc": 0.1}}]
    floors = {**about, "cells": [cell("kmer", seed, 0.62) for seed in range(3)]}
    done = {
        "gue/floors/tf/0": floors,
        "gue/scratch/tf/0": {**about, "cells": better},
        "gue/causal/tf/0": {**about, "cells": worse},
        "gue/bidirectional/tf/0": {**about, "cells": worse},
        "gue/floors/tf/1": floors,
        "gue/scratch/tf/1": {**about, "cells": [cell("ours", 0, 0.7)]},
        "gue/floors/tf/2": floors,
        **{f"gue/{start}/tf/2": {**about, "cells": worse} for start in STARTS[1:]},
    }
    text = page_text(make_plan(), done)
    assert row_of(text, "| `gue/tf/0` |") == (
        "| `gue/tf/0` | mcc | 0.647 | 0.691 [0.689, 0.693] (3) `scratch` | yes | 0.670 | yes |"
    )
    # Two starts are left: nothing is reached or missed yet.
    assert row_of(text, "| `gue/tf/1` |") == (
        "| `gue/tf/1` | mcc | 0.692 | 0.700 (1) `scratch` so far | not run | 0.711 | not run |"
    )
    assert row_of(text, "| `gue/tf/2` |") == (
        "| `gue/tf/2` | mcc | 0.584 | 0.900 (1) `scratch` | not surely | 0.615 | yes |"
    )
    assert row_of(text, "| `other/mpsa` |") == (
        "| `other/mpsa` | pearson | 0.436 | not run | not run |  |  |"
    )
    missed = {name: {**about, "cells": [cell("ours", 0, 0.6)]} for name in done if "tf/2" in name}
    row = row_of(
        page_text(make_plan(), {**done, **missed, "gue/floors/tf/2": floors}), "| `gue/tf/2` |"
    )
    assert row.endswith("| no | 0.615 | **missed** |")


def test_without_leaked_rows_a_fold_that_has_none_counts_whole() -> None:
    clean = {**cell("ours", 1, 0.9), "leaked_rows": 0, "without_leaked": None}
    leaky = {**cell("ours", 0, 0.9), "leaked_rows": 3, "without_leaked": {"mcc": 0.5}}
    done = {"gue/scratch/tf/0": {"metric": "mcc", "not_run": [], "cells": [leaky, clean]}}
    assert "| 0.700 [" in row_of(page_text(make_plan(), done), "| `tf/0` | 3 |")


@pytest.mark.parametrize(
    ("contig", "exons", "strand", "pieces"),
    [
        ("CCATGAAATAGCC", [(0, 13)], "+", [(2, 11)]),
        ("GGCTATTTCATGG", [(0, 13)], "-", [(2, 11)]),
        ("CCATGAAATAGCC", [(0, 13)], "-", []),
        ("CCATGAAATACCC", [(0, 13)], "+", []),  # no stop
        ("CCATGAAATAGCC", [(3, 13)], "+", []),  # no start
        # Cut in codons on the other strand: exons are given in any order.
        ("GCTAGGTTTTCATG", [(9, 14), (0, 5)], "-", []),
        ("GCTAGGTTTTTCATG", [(8, 15), (0, 4)], "-", [(1, 4), (8, 14)]),
        # The longest of several; an inner ATG is no frame of its own.
        ("ATGTAACATGATGCCCTAG", [(0, 19)], "+", [(7, 19)]),
    ],
)
def test_a_gene_codes_by_its_longest_frame(
    contig: str, exons: list[tuple[int, int]], strand: str, pieces: list[tuple[int, int]]
) -> None:
    assert reading_frame(exons, strand, contig) == pieces


@pytest.mark.slow
@given(
    st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=5),
)
def test_pieces_hold_every_base_that_is_not_left_out(
    ends: list[int], widths: list[tuple[int, int]]
) -> None:
    start, end = ends
    left_out = [(first, first + width) for first, width in widths]
    pieces = pieces_between(start, end, left_out)
    hidden = {base for first, last in left_out for base in range(first, last)}
    kept = [base for first, last in pieces for base in range(first, last)]
    assert kept == [base for base in range(start, end) if base not in hidden]
    assert all(first < last for first, last in pieces)


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
        "c\tx\tpseudogene\t15081\t15200\t.\t-\t.\tID=f\n"
        # Its own remnant has no coding sequence, an insertion in it has; 50 bp between two are few.
        "c\tx\tCDS\t40001\t40100\t.\t+\t.\tID=p;pseudo=true\n"
        "c\tx\tpseudogene\t40001\t41000\t.\t+\t.\tID=h\n"
        "c\tx\tCDS\t40301\t40450\t.\t+\t0\tID=i\n"
        "c\tx\tpseudogene\t41051\t41200\t.\t+\t.\tID=j\n"
        "c\tx\tpseudogene\t319901\t320400\t.\t-\t.\tID=g\n"
        "c\tx\tCDS\t359901\t360070\t.\t-\t0\tID=c\n"
        "c\tx\tCDS\t330001\t330009\t.\t-\t0\tID=d\n"
    )
    # Spliced, ATGAAA CCCCCCTAA codes; unspliced it is ATG AAA GTA TAA, which is shorter.
    gene = "TTATGAAAGTATAACCCCAGCCCCCCTAATT"
    name = "Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz"
    (data / "yeast_r64" / name).write_text(f">I\n{gene}\n>Mito\nACGT\n")
    coding = 'gene_type "protein_coding";'
    (data / "yeast_r64/sacCer3_ares_v15.gtf.gz").write_text(
        f'chrI\tx\texon\t1\t31\t.\t+\t.\tgene_id "a_2"; {coding} transcript_id "a_2";\n'
        f'chrI\tx\texon\t1\t8\t.\t+\t.\tgene_id "a"; {coding} transcript_id "a";\n'
        f'chrI\tx\texon\t21\t31\t.\t+\t.\tgene_id "a"; {coding} transcript_id "a";\n'
        'chrI\tx\texon\t1\t28\t.\t+\t.\tgene_id "b"; gene_type "ncRNA"; transcript_id "b";\n'
        f'chrM\tx\texon\t1\t4\t.\t+\t.\tgene_id "c"; {coding} transcript_id "c";\n'
    )
    suite = gene_suite(data, tmp_path / "work")
    assert (tmp_path / "work" / "yeast.gff3").read_text().splitlines()[1:] == [
        "I\tcut\tCDS\t3\t8\t.\t+\t0\t.",
        "I\tcut\tCDS\t21\t29\t.\t+\t0\t.",
    ]
    each = suite.sets[0]
    config = DatasetConfig(modality="dna", sources=each.sources, split=each.split)
    prepare_dataset(config, tmp_path / "set")
    parts = open_dataset(tmp_path / "set").manifest.parts
    assert {name: about.bases for name, about in parts.items()} == {
        "train": 300_000 - 100 - 850 - 50 - 150,
        "validation": 30_000 - 400,
        "test": 40_000,
    }
    assert {name: tuple(about.classes.values()) for name, about in parts.items()} == {
        # Background, each place in the codon on plus and on minus. Of the pseudogene at 15081 to
        # 15200, 20 bp are a gene's too.
        "train": (300_000 - 1150 - 280, 60, 34, 60, 33, 60, 33),
        "validation": (30_000 - 400 - 9, 0, 3, 0, 3, 0, 3),
        "test": (40_000 - 70, 0, 24, 0, 23, 0, 23),
    }
    assert "train.0\tcut\tCDS\t1\t30\t.\t+\t2\t." in (
        (tmp_path / "work" / "ecoli.gff3").read_text().splitlines()
    )
