"""Open reading frames are told from closed ones, and prompts end in start codons."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hyena_glt.api import LoadedModel
from hyena_glt.checkpoint import Checkpoint
from hyena_glt.data import Region, Split
from hyena_glt.demo.genome import DemoGenome
from hyena_glt.evaluate import Gene, MarkovModel

SCRIPT = Path(__file__).parents[2] / "scripts" / "generated_orfs.py"
HELDOUT = "GGATGAAACCC" + "TTTGGGCATGG"  # the second half's other strand: CCATGCCCAAA


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script, with prompts of 5 bases and samples of 6."""
    spec = spec_from_file_location("generated_orfs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PROMPT_BP", 5)
    monkeypatch.setattr(module, "SAMPLE_BP", 6)
    return module


@pytest.fixture
def genome() -> DemoGenome:
    """Return a genome of which the bases 4 to 26 are held out, with a gene on each strand."""
    text = "ATGC" + HELDOUT + "ATGCCCTTTAAA"
    genes = [
        Gene("chr", 0, 4, "+", "before"),
        Gene("chr", 6, 15, "+", "plus"),
        Gene("chr", 15, 24, "-", "minus"),
        Gene("chr", 5, 14, "+", "another start codon"),
        Gene("chr", 6, 20, "+", "partial", partial=True),
    ]
    split = Split((Region("chr", 0, 4),), (Region("chr", 26, 38),), (Region("chr", 4, 26),))
    codes = np.array(["ACGT".index(base) for base in text], dtype=np.uint8)
    return DemoGenome("chr", text, codes, split, genes)


def markov(order: int) -> MarkovModel:
    codes = np.random.default_rng(3).choice(4, 400, p=[0.5, 0.2, 0.2, 0.1]).astype(np.uint8)
    return MarkovModel.fit([codes], order, 0.5)


@pytest.mark.parametrize(
    ("sequence", "stops"),
    [
        ("ATGAAATTT", False),
        ("ATGTAATTT", True),
        ("ATGTTTTAG", True),
        ("ATGTTTTGA", True),
        ("ATGATAATT", False),  # TAA in another frame
        ("ATGTTTTA", False),  # no whole codon
    ],
)
def test_a_stop_counts_in_the_frame_of_the_first_base(
    script: ModuleType, sequence: str, stops: bool
) -> None:
    assert script.has_in_frame_stop(sequence) is stops


def test_prompts_end_in_the_start_codons_of_heldout_genes(
    script: ModuleType, genome: DemoGenome
) -> None:
    of_genes, of_all = script.sites(genome)
    assert of_genes == [("GGATG", "AAACCC"), ("CCATG", "CCCAAA")]
    # CATGG's ATG has one base after it, and none is taken from beyond the held-out part.
    assert of_all == of_genes


def test_a_site_with_an_unknown_base_is_left_out(script: ModuleType) -> None:
    strand = "ATGCCCTTTATGNCCTTTATGAAAAAA"
    assert list(script.strand_sites(strand, [3, 12, 21])) == [
        ("ATG", "CCCTTT"),
        ("TTATG", "AAAAAA"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("prompt", "order"), [("ATGCA", 3), ("ATGCA", 0), ("AT", 4)])
def test_a_markov_sample_has_the_models_frequencies(
    script: ModuleType, prompt: str, order: int
) -> None:
    model = markov(order)
    drawn = script.markov_samples(model, [prompt] * 20_000, 2, np.random.default_rng(0))
    for first in "ACGT":
        for second in "ACGT":
            codes = np.array(["ACGT".index(base) for base in prompt + first + second], np.uint8)
            expected = 2 ** -float(model.surprisal_bits(codes)[-2:].sum())
            assert drawn.count(first + second) / len(drawn) == pytest.approx(expected, abs=0.015)


def test_short_and_long_prompts_go_on_side_by_side(script: ModuleType) -> None:
    """A row's context is its own: each is as likely as when all prompts are the same."""
    model, prompts = markov(3), ["A", "ATGCA"] * 10_000
    drawn = script.markov_samples(model, prompts, 1, np.random.default_rng(0))
    for row, prompt in enumerate(prompts[:2]):
        codes = np.array(["ACGT".index(base) for base in prompt + "A"], np.uint8)
        expected = 2 ** -float(model.surprisal_bits(codes)[-1])
        assert drawn[row::2].count("A") / 10_000 == pytest.approx(expected, abs=0.02)


def test_shares_have_wilsons_interval_and_what_shuffling_gives(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert script.wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert script.wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    monkeypatch.setattr(script, "SAMPLE_BP", 297)
    assert script.shuffled_share(["ACGT", "TGCA"]) == pytest.approx((61 / 64) ** 99)
    assert script.shuffled_share(["CCGG"]) == 1
    found = script.summary(["CCCGGG", "CCCTAA", "TGACCC", "ATAACC"])
    assert (found["sequences"], found["open_share"]) == (4, 0.5)


def test_the_report_is_of_as_many_samples_as_there_are_genes(
    script: ModuleType,
    genome: DemoGenome,
    checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(script, "chosen_markov", lambda _: markov(2))
    report = script.measure(LoadedModel(checkpoint), genome, 200)
    assert report["markov_order"] == 2
    sets = [found for found in report.values() if isinstance(found, dict)]
    assert [found["sequences"] for found in sets] == [2] * 6
    assert report["genome_after_the_same_gene_starts"]["open_share"] == 1
