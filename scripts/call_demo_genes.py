"""Call the genes of the demo genome: what ships as `hyena_glt/demo/data/ecoli_dh1.genes.gff3.gz`.

    python scripts/call_demo_genes.py E.Coli_DH1.fasta.gz

The FASTA is Debian's ragout-examples package. pyrodigal is GPL-3 and stays a development
dependency: the package ships its calls, never its code.
"""

import argparse
import gzip
import sys
from importlib.metadata import version
from pathlib import Path

from hyena_glt.errors import HyenaGLTError, SequenceFileError
from hyena_glt.evaluate.genes import TRANSLATION_TABLE, call_genes, write_genes

CONTIG = "NC_017625.1"
TARGET = Path(__file__).parents[1] / "src/hyena_glt/demo/data/ecoli_dh1.genes.gff3.gz"


def read_one_contig(path: Path) -> str:
    """Return the letters of a gzipped FASTA of one record, upper case."""
    try:
        with gzip.open(path, "rt") as lines:
            first, *rest = [line.strip() for line in lines]
    except (OSError, EOFError, ValueError) as error:
        raise SequenceFileError(f"{path} can't be read as gzipped FASTA: {error}") from error
    if not first.startswith(">") or any(line.startswith(">") for line in rest):
        raise SequenceFileError(f"{path}: expected one FASTA record, the chromosome of E. coli DH1")
    return "".join(rest).upper()


def main() -> None:
    """Read the chromosome named on the command line and write the calls."""
    parser = argparse.ArgumentParser(description="Call the genes of the demo genome.")
    parser.add_argument("fasta", type=Path, help="gzipped FASTA of the E. coli DH1 chromosome")
    parser.add_argument("--out", type=Path, default=TARGET, help=f"default: {TARGET}")
    arguments = parser.parse_args()
    try:
        sequence = read_one_contig(arguments.fasta)
        genes = call_genes(sequence, CONTIG)
    except HyenaGLTError as error:
        sys.exit(str(error))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    pyrodigal_version = version("pyrodigal")
    comments = [
        f"Escherichia coli DH1 chromosome, {CONTIG}, {len(sequence)} bp",
        f"pyrodigal {pyrodigal_version}, single-genome mode, translation table {TRANSLATION_TABLE}",
        "made by scripts/call_demo_genes.py",
    ]
    write_genes(arguments.out, genes, f"pyrodigal_v{pyrodigal_version}", comments)
    print(f"{len(genes)} genes -> {arguments.out}")


if __name__ == "__main__":
    main()
