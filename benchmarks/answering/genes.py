"""Coding sequence, a class for each place in the codon and strand, on parts of genomes.

E. coli is one contig: its parts, those of a split by fraction, are cut apart into contigs of a
genome of their own, 10 kb between parts. Pseudogenes are neither coding nor background, which many
look like still: but for genes that lie within them they are left out, and contigs end there; so is
what is shorter than MIN_BP between two of them. Of yeast chrXIV validates and chrXV tests; its
annotation has exons alone, UTRs and unspliced forms of spliced genes among them, so that a gene's
coding bases are those of the longest open reading frame of its transcripts, spliced.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from hyena_glt.config.suites import SuiteConfig
from hyena_glt.io import Record, read_fasta, replacing_file, write_fasta
from hyena_glt.io.gff import Feature, read_features

ECOLI = "ecoli_k12/GCF_000005845.2_ASM584v2_genomic"
YEAST = "yeast_r64/Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz"
YEAST_GENES = "yeast_r64/sacCer3_ares_v15.gtf.gz"
FILES = (f"{ECOLI}.fna.gz", f"{ECOLI}.gff.gz", YEAST, YEAST_GENES)
GUARD_BP = 10_000
MIN_BP = 100  # where bases are labelled a contig may be a training step of its own
WINDOW_BP = 4000
Pieces = list[tuple[int, int]]  # [start, end), 0-based
_PARTNER = str.maketrans("ACGT", "TGCA")
_START = re.compile("(?=ATG)")
_FRAME = re.compile("ATG(?:(?!TAA|TAG|TGA)[ACGT]{3})*(?:TAA|TAG|TGA)")
_FURTHER = re.compile(r"_\d+$")  # of a gene's second transcript and on
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


def pieces_between(start: int, end: int, left_out: Iterable[tuple[int, int]]) -> Pieces:
    """Return what stays of [start, end) without ``left_out``, from left to right."""
    pieces: Pieces = []
    for first, last in sorted(left_out):
        if start < min(first, end):
            pieces.append((start, min(first, end)))
        start = max(start, last)
    return [*pieces, (start, end)] if start < end else pieces


def gene_suite(data: Path, work: Path) -> SuiteConfig:
    """Return the suite ``genes``; its files are written below ``work``.

    Raises SequenceFileError where the genomes aren't in ``data``.
    """
    work.mkdir(parents=True, exist_ok=True)
    names = _write_ecoli(data, work)
    _write_gff(work / "yeast.gff3", list(_yeast_coding(data)))
    windows = {
        **{"kind": "annotation", "features": {"CDS": "coding"}, "codons": True},
        "window_bp": WINDOW_BP,
    }
    rest = {
        **{"task": {"kind": "bases"}, "metrics": ["auroc/background", "mcc", "f1"]},
        "both_strands": True,
    }
    sets = [
        {
            "name": "ecoli_heldout_tenth",
            "sources": [
                {**windows, "path": str(work / "ecoli.gff3"), "genome": str(work / "ecoli.fa")}
            ],
            "split": {"by": "chromosome", **{part: names[part] for part in ("validation", "test")}},
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


def _write_ecoli(data: Path, work: Path) -> dict[str, list[str]]:
    """Write E. coli's contigs and their genes below ``work``; return each part's contigs."""
    (genome,) = read_fasta(data / f"{ECOLI}.fna.gz")
    features = list(read_features(data / f"{ECOLI}.gff.gz"))
    # What is left of a pseudogene's own coding sequence has the attribute; an insertion's has not.
    genes = [each for each in features if each.kind == "CDS" and "pseudo" not in each.attributes]
    coding = [(each.start, each.end) for each in genes]
    left_out: Pieces = []
    for each in features:
        if each.kind == "pseudogene":
            left_out += pieces_between(each.start, each.end, coding)
    contigs: dict[str, tuple[int, int]] = {}
    names: dict[str, list[str]] = {}
    for part, (start, end) in ecoli_parts(len(genome.sequence)).items():
        own = {
            f"{part}.{number}": piece
            for number, piece in enumerate(pieces_between(start, end, left_out))
            if piece[1] - piece[0] >= MIN_BP
        }
        contigs |= own
        names[part] = list(own)
    with replacing_file(work / "ecoli.fa") as aside:
        write_fasta(
            aside,
            [Record(name, "", genome.sequence[slice(*piece)]) for name, piece in contigs.items()],
        )
    _write_gff(work / "ecoli.gff3", [line for each in genes for line in _cut(each, contigs)])
    return names


def reading_frame(exons: Pieces, strand: str, contig: str) -> Pieces:
    """Return the pieces of the longest ATG-to-stop frame of spliced exons, stop included.

    Exons and pieces are [start, end) on the contig, from left to right; empty where there is no
    frame.
    """
    places = [place for start, end in sorted(exons) for place in range(start, end)]
    letters = "".join(contig[start:end] for start, end in sorted(exons)).upper()
    if strand == "-":
        places.reverse()
        letters = letters.translate(_PARTNER)[::-1]
    longest, searched = (0, 0), [0, 0, 0]
    for begin in _START.finditer(letters):
        first = begin.start()
        if first < searched[first % 3]:
            continue  # inside a longer frame, or behind a start that has no stop
        frame = _FRAME.match(letters, first)
        searched[first % 3] = len(letters) if frame is None else frame.end()
        if frame is not None:
            longest = max(longest, frame.span(), key=lambda span: span[1] - span[0])
    pieces: Pieces = []
    for place in sorted(places[longest[0] : longest[1]]):
        if pieces and pieces[-1][1] == place:
            pieces[-1] = (pieces[-1][0], place + 1)
        else:
            pieces.append((place, place + 1))
    return pieces


def _yeast_coding(data: Path) -> Iterator[str]:
    """Give the coding pieces of every nuclear gene that codes for a protein."""
    contigs = {record.name: record.sequence for record in read_fasta(data / YEAST)}
    transcripts: dict[tuple[str, str, str], Pieces] = {}
    for feature in read_features(data / YEAST_GENES):
        if feature.attributes.get("gene_type") != ("protein_coding",) or feature.contig == "chrM":
            continue
        (transcript,) = feature.attributes["transcript_id"]
        key = (feature.contig.removeprefix("chr"), feature.strand, transcript)
        transcripts.setdefault(key, []).append((feature.start, feature.end))
    genes: dict[tuple[str, str, str], Pieces] = {}
    for (contig, strand, transcript), exons in transcripts.items():
        pieces = reading_frame(exons, strand, contigs[contig])
        gene = (contig, strand, _FURTHER.sub("", transcript))
        if _bases(pieces) > _bases(genes.get(gene, [])):
            genes[gene] = pieces
    for (contig, strand, _), pieces in genes.items():
        read_bp = 0
        for start, end in pieces if strand == "+" else reversed(pieces):
            yield _line(contig, start, end, strand, -read_bp % 3)
            read_bp += end - start


def _bases(pieces: Iterable[tuple[int, int]]) -> int:
    return sum(end - start for start, end in pieces)


def _cut(feature: Feature, contigs: dict[str, tuple[int, int]]) -> Iterable[str]:
    """Give the feature on each contig that it reaches into, cut at the contig's ends."""
    assert feature.phase is not None, "a coding sequence has a phase"
    for name, (first, last) in contigs.items():
        start, end = max(feature.start, first), min(feature.end, last)
        if start < end:
            lost_bp = start - feature.start if feature.strand == "+" else feature.end - end
            phase = (feature.phase - lost_bp) % 3
            yield _line(name, start - first, end - first, feature.strand, phase)


def _line(contig: str, start: int, end: int, strand: str, phase: int) -> str:
    return f"{contig}\tcut\tCDS\t{start + 1}\t{end}\t.\t{strand}\t{phase}\t."


def _write_gff(path: Path, lines: Iterable[str]) -> None:
    with replacing_file(path) as aside:
        aside.write_text("\n".join(["##gff-version 3", *lines]) + "\n", encoding="ascii")
