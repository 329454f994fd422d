"""A seeded sample of coding SNVs, spread over genes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, Shaped, UInt8

from hyena_glt.errors import HyenaGLTError
from hyena_glt.evaluate.coding import CODING_SNV, CONSEQUENCES, coding_snvs
from hyena_glt.evaluate.genes import Gene


def sample_snvs(
    sequence: UInt8[np.ndarray, " L"],
    genes: Sequence[Gene],
    per_class: int,
    min_genes: int,
    seed: int,
    *,
    neighbours: Sequence[Gene] = (),
) -> Shaped[np.ndarray, " N"]:
    """Return up to `per_class` SNVs of each consequence, as `CODING_SNV` records.

    Each class is spread as evenly over the genes as their SNVs allow: one from every gene before a
    second from any, at random within a gene, and over a random choice of genes where there are more
    of them than SNVs wanted. Left out are partial genes and bases that two genes cover, where one
    change has two consequences. `neighbours` are the genes of the contig, partial ones too, from
    which `genes` are picked: no SNV is drawn from them, but what they cover counts; a gene in both
    counts once. All genes lie on `sequence`; the field `gene` numbers `genes`. Records are sorted
    by position, and the same seed gives the same sample.

    Raises `HyenaGLTError`, naming the class and the numbers, where a class has SNVs in fewer than
    `min_genes` genes or `per_class` is below `min_genes`; and what `coding_snvs` raises.
    """
    if per_class < min_genes:
        raise HyenaGLTError(
            f"{per_class} SNVs a class can't come from {min_genes} genes; "
            f"raise per_class to {min_genes} or lower min_genes"
        )
    once = _covered_once([*genes, *(set(neighbours) - set(genes))], len(sequence))
    parts = [
        coding_snvs(sequence, gene, index) for index, gene in enumerate(genes) if not gene.partial
    ]
    snvs = np.concatenate(parts) if parts else np.empty(0, dtype=CODING_SNV)
    snvs = snvs[once[snvs["position"]]]
    rng = np.random.default_rng(seed)
    chosen = []
    for consequence in CONSEQUENCES:
        candidates = snvs[snvs["consequence"] == consequence]
        found_genes = len(np.unique(candidates["gene"]))
        if found_genes < min_genes or found_genes == 0:
            raise HyenaGLTError(
                f"{consequence} SNVs were found in {found_genes} of {len(genes)} genes; expected "
                f"{max(min_genes, 1)} or more: give a longer region with its genes, or lower "
                "min_genes"
            )
        chosen.append(candidates[_evenly(candidates["gene"], per_class, rng)])
    sample = np.concatenate(chosen)
    return sample[np.lexsort((sample["alt"], sample["position"]))]


def _covered_once(genes: Sequence[Gene], length_bp: int) -> Bool[np.ndarray, " length_bp"]:
    spans = np.array([(gene.start, gene.end) for gene in genes], dtype=np.int64).reshape(-1, 2)
    spans = np.minimum(spans, length_bp)
    edges = np.zeros(length_bp + 1, dtype=np.int64)
    np.add.at(edges, spans[:, 0], 1)
    np.add.at(edges, spans[:, 1], -1)
    return np.asarray(np.cumsum(edges[:-1]) == 1)


def _evenly(
    gene: Int64[np.ndarray, " N"], wanted: int, rng: np.random.Generator
) -> Int64[np.ndarray, " M"]:
    """Indices of up to `wanted` items: every gene's first, then every gene's second, and so on."""
    shuffled = rng.permutation(len(gene))
    by_gene = shuffled[np.argsort(gene[shuffled], kind="stable")]
    _, first, size = np.unique(gene[by_gene], return_index=True, return_counts=True)
    round_number = np.arange(len(gene)) - np.repeat(first, size)
    turn = np.repeat(rng.permutation(len(first)), size)
    return np.asarray(by_gene[np.lexsort((turn, round_number))[:wanted]])
