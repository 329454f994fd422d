from collections import Counter

import numpy as np
import pytest

from hyena_glt.errors import HyenaGLTError
from hyena_glt.evaluate.coding import CONSEQUENCES, coding_snvs
from hyena_glt.evaluate.genes import Gene
from hyena_glt.evaluate.kmers import reverse_complement
from hyena_glt.evaluate.sampling import sample_snvs


def dna(letters: str) -> np.ndarray:
    return np.array(["ACGTN".index(letter) for letter in letters], dtype=np.uint8)


CODING = "ATG" + "TGGCTAGGACAA" * 4 + "TAA"  # W L G Q: every consequence in every gene


def contig_of_genes(number: int) -> tuple[np.ndarray, list[Gene]]:
    """Genes on alternating strands, ten bases apart."""
    step = len(CODING) + 10
    sequence = np.tile(dna(CODING + "ACACACACAC"), number)
    genes = []
    for index in range(number):
        start, end = index * step, index * step + len(CODING)
        strand = "+"
        if index % 2:
            sequence[start:end] = reverse_complement(dna(CODING))
            strand = "-"
        genes.append(Gene("chr", start, end, "-" if strand == "-" else "+", f"g{index}"))
    return sequence, genes


def test_each_class_has_its_number_spread_evenly_over_the_genes() -> None:
    sequence, genes = contig_of_genes(12)
    sample = sample_snvs(sequence, genes, per_class=30, min_genes=12, seed=0)
    for consequence in CONSEQUENCES:
        of_class = sample[sample["consequence"] == consequence]
        assert len(of_class) == 30
        per_gene = Counter(of_class["gene"].tolist())
        assert sorted(per_gene.values()) == [2] * 6 + [3] * 6
    assert len(np.unique(sample)) == len(sample)
    assert (np.diff(sample["position"]) >= 0).all()


def test_every_sampled_snv_is_one_of_its_gene() -> None:
    sequence, genes = contig_of_genes(4)
    for snv in sample_snvs(sequence, genes, per_class=20, min_genes=2, seed=1):
        index = int(snv["gene"])
        assert snv in coding_snvs(sequence, genes[index], index)


def test_the_seed_decides_the_sample() -> None:
    sequence, genes = contig_of_genes(6)
    first = sample_snvs(sequence, genes, per_class=10, min_genes=5, seed=3)
    np.testing.assert_array_equal(first, sample_snvs(sequence, genes, 10, 5, 3))
    assert not np.array_equal(first, sample_snvs(sequence, genes, 10, 5, 4))


def test_a_class_with_fewer_snvs_gives_all_of_them() -> None:
    sequence, genes = contig_of_genes(1)
    sample = sample_snvs(sequence, genes, per_class=10_000, min_genes=1, seed=0)
    every = coding_snvs(sequence, genes[0])
    assert len(sample) == len(every)


def test_bases_of_two_genes_and_partial_genes_are_left_out() -> None:
    sequence, genes = contig_of_genes(3)
    covered = Gene("chr", genes[1].start + 3, genes[1].end, "-", "overlap", partial=True)
    sample = sample_snvs(sequence, [*genes, covered], per_class=10_000, min_genes=1, seed=0)
    assert set(sample["gene"].tolist()) == {0, 2}


def test_too_few_genes_is_an_error_that_names_what_is_short() -> None:
    sequence, genes = contig_of_genes(3)
    with pytest.raises(
        HyenaGLTError, match="synonymous SNVs were found in 3 of 3 genes; expected 5"
    ):
        sample_snvs(sequence, genes, per_class=10, min_genes=5, seed=0)
    with pytest.raises(HyenaGLTError, match="found in 0 of 0 genes"):
        sample_snvs(sequence, [], per_class=10, min_genes=0, seed=0)
    with pytest.raises(HyenaGLTError, match="10 SNVs a class can't come from 40 genes"):
        sample_snvs(sequence, genes, per_class=10, min_genes=40, seed=0)


def test_neighbours_mask_what_they_share_with_a_gene_and_give_no_snv() -> None:
    sequence, genes = contig_of_genes(3)
    partial = Gene("chr", genes[1].start, genes[1].start + 30, "-", "cut", partial=True)
    whole = Gene("chr", genes[2].start + 30, genes[2].end, "-", "other")
    picked = [genes[0], genes[1], genes[2]]
    neighbours = [*genes, partial, whole]  # the picked ones among them count once
    sample = sample_snvs(
        sequence, picked, per_class=10_000, min_genes=1, seed=0, neighbours=neighbours
    )
    every = np.concatenate([coding_snvs(sequence, gene, i) for i, gene in enumerate(picked)])
    position = every["position"]
    shared = (position >= partial.start) & (position < partial.end)
    shared |= (position >= whole.start) & (position < whole.end)
    assert sorted(sample.tolist()) == sorted(every[~shared].tolist())
