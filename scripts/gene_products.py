"""Make the proteins and the coding RNA of E. coli DH1, for recipes/protein.yaml and rna.yaml.

    python scripts/gene_products.py

Genome and called genes are those that the package brings. Partial genes are left out. A protein
has no stop, and its first letter is M whatever the start codon; an RNA is the coding part of the
transcript, start codon to stop codon, with U.
"""

import argparse
import sys
from collections.abc import Iterator
from importlib import resources
from itertools import product
from pathlib import Path

from hyena_glt.errors import HyenaGLTError, SequenceError
from hyena_glt.evaluate import Gene, read_genes
from hyena_glt.evaluate.coding import TABLE_11
from hyena_glt.io import Record, TwoBitGenome, write_fasta
from hyena_glt.tokenize import alphabet, decode, encode

DATA = Path(str(resources.files("hyena_glt") / "demo" / "data"))
AMINO_ACIDS = dict(zip(map("".join, product("ACGT", repeat=3)), TABLE_11, strict=True))


def coding_sequence(genome: TwoBitGenome, gene: Gene) -> str:
    """Return the gene's bases in its own direction, upper case."""
    ids = encode(genome.fetch(gene.contig, gene.start, gene.end).upper())
    return decode(ids if gene.strand == "+" else alphabet("dna").reverse_complement(ids))


def protein(coding: str, name: str) -> str:
    """Return what ``coding`` is translated to, X for a codon with N.

    Raises SequenceError unless it is whole codons, the last of them alone a stop.
    """
    if len(coding) % 3:
        raise SequenceError(f"gene {name}: {len(coding)} bases are no whole number of codons")
    codons = (coding[at : at + 3] for at in range(0, len(coding), 3))
    acids = "".join(AMINO_ACIDS.get(codon, "X") for codon in codons)
    if acids.find("*") != len(acids) - 1:
        stops = [number for number, acid in enumerate(acids) if acid == "*"]
        raise SequenceError(
            f"gene {name}: stops at codons {stops} of {len(acids)} (0-based), expected one at the "
            "end; use the genes that were called on this genome"
        )
    return "M" + acids[1:-1]


def products(genes: list[Gene]) -> Iterator[tuple[Record, Record]]:
    """Yield (protein, RNA) of every whole gene."""
    genome = TwoBitGenome(DATA / "ecoli_dh1.2bit")
    for gene in genes:
        if gene.partial:
            continue
        coding = coding_sequence(genome, gene)
        where = f"{gene.contig}:{gene.start}-{gene.end} ({gene.strand})"
        yield (
            Record(gene.name, where, protein(coding, gene.name)),
            Record(gene.name, where, coding.replace("T", "U")),
        )


def main() -> None:
    """Write both files and say how much is in them."""
    parser = argparse.ArgumentParser(description="Make the proteins and the RNA of E. coli DH1.")
    parser.add_argument("--out", type=Path, default=Path("runs/products"), help="a folder")
    out: Path = parser.parse_args().out
    try:
        made = list(products(read_genes(DATA / "ecoli_dh1.genes.gff3.gz")))
        out.mkdir(parents=True, exist_ok=True)
        for name, records in zip(("proteins", "mrna"), zip(*made, strict=True), strict=True):
            path = out / f"ecoli_dh1_{name}.fa"
            write_fasta(path, records)
            print(
                f"{len(records)} records, {sum(len(r.sequence) for r in records)} letters: {path}"
            )
    except (HyenaGLTError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
