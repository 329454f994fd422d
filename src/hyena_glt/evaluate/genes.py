"""Protein-coding genes of a prokaryote: called with pyrodigal, kept as GFF3."""

import gzip
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from hyena_glt.errors import MissingExtraError, SequenceError, SequenceFileError
from hyena_glt.io import Feature, read_features, replacing_file

TRANSLATION_TABLE: Final = 11
# Prodigal learns its gene model from the sequence itself and takes no less.
_LEAST_TRAINING_BP = 20_000


@dataclass(frozen=True)
class Gene:
    """A coding sequence, start codon to stop codon, on one unspliced stretch of a contig.

    `start` and `end` are 0-based half-open on the forward strand, whatever the gene's strand. A
    partial gene runs over an edge of the contig or into a gap, so an end of it is missing.

    Raises `ValueError` unless 0 <= start < end.
    """

    contig: str
    start: int
    end: int
    strand: Literal["+", "-"]
    name: str
    partial: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(
                f"gene {self.name} spans {self.start} to {self.end}: empty or negative"
            )


def read_genes(path: str | Path) -> list[Gene]:
    """Return the CDS features of a GFF3 file, plain or gzipped, in the order of the file.

    The name is the ID attribute. GFF3 counts from 1 and includes the end; 1 to 9 there is
    `start=0, end=9` here.

    Raises `SequenceFileError`, naming the file and the line, if the file is missing or damaged, a
    line isn't GFF3, or one ID stands on two lines (spliced genes are not read).
    """
    genes: dict[str, Gene] = {}
    for feature in read_features(path):
        if feature.kind != "CDS":
            continue
        try:
            gene = _gene(feature)
            if gene.name in genes:
                raise ValueError(
                    f"a second CDS with ID {gene.name}; expected one line a gene: split or drop "
                    "spliced genes"
                )
        except ValueError as error:
            raise SequenceFileError(f"{path}: line {feature.line}: {error}") from error
        genes[gene.name] = gene
    return list(genes.values())


def write_genes(
    path: str | Path, genes: Iterable[Gene], source: str, comments: Sequence[str] = ()
) -> None:
    """Write genes as gzipped GFF3, byte for byte the same for the same genes.

    `source` fills the second column (the program that called them); each comment becomes a `#` line
    at the top. Raises `StorageError` if the file can't be written; an old one is kept then.
    """
    lines = ["##gff-version 3", *(f"# {comment}" for comment in comments)]
    for gene in genes:
        span = f"{gene.start + 1}\t{gene.end}\t.\t{gene.strand}\t0"
        attributes = f"ID={gene.name};partial={'true' if gene.partial else 'false'}"
        lines.append(f"{gene.contig}\t{source}\tCDS\t{span}\t{attributes}")
    compressed = io.BytesIO()
    # No file name and no time in the gzip header, so that the bytes depend on the genes alone.
    with gzip.GzipFile("", "wb", compresslevel=9, fileobj=compressed, mtime=0) as stream:
        stream.write(("\n".join(lines) + "\n").encode())
    with replacing_file(path) as aside:
        aside.write_bytes(compressed.getvalue())


def call_genes(sequence_text: str, contig: str) -> list[Gene]:
    """Return the genes that pyrodigal finds in one contig, in the order of their start.

    Prodigal's single-genome mode (Hyatt et al. 2010, BMC Bioinformatics 11:119): its gene model is
    learned from this sequence, translation table 11. Genes are named `{contig}_{number}` from 1.

    Raises `MissingExtraError` without pyrodigal, and `SequenceError` under 20,000 bases.
    """
    try:
        import pyrodigal
    except ImportError as error:
        raise MissingExtraError(
            "calling genes needs pyrodigal, which isn't installed (GPL-3, so not shipped with "
            "hyena-glt): pip install 'hyena-glt[dev]'"
        ) from error
    if len(sequence_text) < _LEAST_TRAINING_BP:
        raise SequenceError(
            f"{contig} has {len(sequence_text)} bases; expected {_LEAST_TRAINING_BP} or more to "
            "learn a gene model from: call genes on the whole genome"
        )
    finder = pyrodigal.GeneFinder(meta=False)
    finder.train(sequence_text, translation_table=TRANSLATION_TABLE)
    return [
        Gene(
            contig=contig,
            start=call.begin - 1,
            end=call.end,
            strand="+" if call.strand == 1 else "-",
            name=f"{contig}_{number}",
            partial=bool(call.partial_begin or call.partial_end),
        )
        for number, call in enumerate(finder.find_genes(sequence_text), start=1)
    ]


def genes_within(genes: Iterable[Gene], contig: str, start: int, end: int) -> list[Gene]:
    """Return the genes that lie whole in `[start, end)` of a contig, coordinates unchanged."""
    return [
        gene for gene in genes if gene.contig == contig and start <= gene.start and gene.end <= end
    ]


def _gene(feature: Feature) -> Gene:
    """The gene of a CDS; `ValueError` with the problem if it is none."""
    if feature.strand not in ("+", "-"):
        raise ValueError(f"found a CDS on strand {feature.strand!r}, not + or -")
    if "ID" not in feature.attributes:
        raise ValueError("found a CDS without an ID")
    return Gene(
        contig=feature.contig,
        start=feature.start,
        end=feature.end,
        strand=feature.strand,
        name=",".join(feature.attributes["ID"]),
        partial=feature.attributes.get("partial", ("false",)) not in (("false",), ("00",)),
    )
