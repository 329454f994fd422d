"""The demo's genome, its genes and its parts."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hyena_glt.config import Recipe
from hyena_glt.data import Region, Split, open_sources
from hyena_glt.evaluate import Gene, genes_within, read_genes
from hyena_glt.tokenize import alphabet, decode


@dataclass(frozen=True)
class DemoGenome:
    """One contig in three parts, each as text and as base codes (0..3, 4 for anything else)."""

    contig: str
    text: str
    codes: UInt8[np.ndarray, " L"]
    split: Split
    genes: list[Gene]

    def part(self, regions: tuple[Region, ...]) -> UInt8[np.ndarray, " L"]:
        """Return the base codes of a part that is one region."""
        (region,) = regions
        return self.codes[region.start : region.end]

    def genes_of(self, regions: tuple[Region, ...]) -> list[Gene]:
        """Return the whole genes of a part that is one region, in contig coordinates."""
        (region,) = regions
        return genes_within(self.genes, region.contig, region.start, region.end)


def read_demo_genome(recipe: Recipe, cache: Path) -> DemoGenome:
    """Return the genome that ``recipe`` trains on, cut as it says."""
    (source,) = open_sources(recipe, cache)
    genome, dna = source.genome, alphabet(recipe.modality)
    (contig,) = genome.names
    ids = genome.fetch_bytes(contig, 0, genome.length_bp(contig))
    letters = dna.letter_index(ids)
    return DemoGenome(
        contig=contig,
        text=decode(ids),
        codes=np.where(letters >= 0, letters, 4).astype(np.uint8),
        split=source.split,
        genes=read_genes(Path(str(resources.files(__package__) / "data/ecoli_dh1.genes.gff3.gz"))),
    )
