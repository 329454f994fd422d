"""Coding sequence, a class for each base and strand, on parts of genomes that nothing else reads.

E. coli is one contig: its parts, those of a split by fraction, are cut apart into three contigs of
a genome of their own, 10 kb between them. Of yeast chrXIV validates and chrXV tests.
"""

from collections.abc import Iterable
from pathlib import Path

from hyena_glt.config.suites import SuiteConfig
from hyena_glt.io import Record, read_fasta, replacing_file, write_fasta
from hyena_glt.io.gff import Feature, read_features

ECOLI = "ecoli_k12/GCF_000005845.2_ASM584v2_genomic"
YEAST = "yeast_r64/Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz"
YEAST_GENES = "yeast_r64/sacCer3_ares_v15.gtf.gz"
GUARD_BP = 10_000
WINDOW_BP = 1000
NUCLEAR = (
    *("I", "II", "III", "IV", "V", "VI", "VII", "VIII"),
    *("IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI"),
)


def ecoli_parts(length_bp: int) -> dict[str, tuple[int, int]]:
    """Return start and end of each part, as `split: {by: fraction}` cuts them."""
    test = length_bp - round(0.1 * length_bp)
    validation = test - round(0.1 * length_bp)
    return {
        "train": (GUARD_BP, validation - GUARD_BP),
        "validation": (validation, test - GUARD_BP),
        "test": (test, length_bp),
    }


def gene_suite(data: Path, work: Path) -> SuiteConfig:
    """Return the suite ``genes``; its files are written below ``work``.

    Raises SequenceFileError where the genomes aren't in ``data``.
    """
    work.mkdir(parents=True, exist_ok=True)
    (genome,) = read_fasta(data / f"{ECOLI}.fna.gz")
    parts = ecoli_parts(len(genome.sequence))
    with replacing_file(work / "ecoli.fa") as aside:
        write_fasta(
            aside,
            [Record(name, "", genome.sequence[start:end]) for name, (start, end) in parts.items()],
        )
    lines: list[str] = []
    for feature in read_features(data / f"{ECOLI}.gff.gz"):
        if feature.kind == "CDS":
            lines += _cut(feature, parts)
    _write_gff(work / "ecoli.gff3", lines)
    coding = [
        _line(feature.contig.removeprefix("chr"), feature.start, feature.end, feature.strand)
        for feature in read_features(data / YEAST_GENES)
        if feature.attributes.get("gene_type") == ("protein_coding",) and feature.contig != "chrM"
    ]
    _write_gff(work / "yeast.gff3", coding)
    windows = {"kind": "annotation", "features": {"CDS": "coding"}, "window_bp": WINDOW_BP}
    rest = {"task": {"kind": "bases"}, "metrics": ["f1", "mcc", "accuracy"]}
    sets = [
        {
            "name": "ecoli_heldout_tenth",
            "sources": [
                {**windows, "path": str(work / "ecoli.gff3"), "genome": str(work / "ecoli.fa")}
            ],
            "split": {"by": "chromosome", "validation": ["validation"], "test": ["test"]},
            **rest,
        },
        {
            "name": "yeast_chrXV",
            "sources": [
                {
                    **windows,
                    "path": str(work / "yeast.gff3"),
                    "genome": str(data / YEAST),
                    "contigs": NUCLEAR,
                }
            ],
            "split": {"by": "chromosome", "validation": ["XIV"], "test": ["XV"]},
            **rest,
        },
    ]
    return SuiteConfig.model_validate({"name": "genes", "sets": sets})


def _cut(feature: Feature, parts: dict[str, tuple[int, int]]) -> Iterable[str]:
    """Give the feature on each part that it reaches into, cut at the part's ends."""
    for name, (first, last) in parts.items():
        start, end = max(feature.start, first), min(feature.end, last)
        if start < end:
            yield _line(name, start - first, end - first, feature.strand)


def _line(contig: str, start: int, end: int, strand: str) -> str:
    return f"{contig}\tcut\tCDS\t{start + 1}\t{end}\t.\t{strand}\t.\t."


def _write_gff(path: Path, lines: Iterable[str]) -> None:
    with replacing_file(path) as aside:
        aside.write_text("\n".join(["##gff-version 3", *lines]) + "\n", encoding="ascii")
