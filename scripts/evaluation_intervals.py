"""Which intervals of the pretraining genomes are evaluated on: the BED that recipes reserve.

    python scripts/evaluation_intervals.py [--data FOLDER] [--out FILE]

Two kinds of lines, merged where they touch. Whole regions: the last 10 Mb of the human file, chrXV
of yeast, the last tenth of E. coli and of the worm's chrX. And every sequence that a benchmark
evaluates on, found in the genomes: most tables have no coordinates, or those of another assembly,
so that sequences are looked up, both strands, by words of 32 bases. A place counts where most of a
sequence's words stand at their distances, which single-base differences between assemblies pass.

Looked up are the parts that a benchmark's authors test or validate on, whole sets that come without
parts, and of eie_splicing what the suite `annotation` tests on. Not listed, and why:

- cnnprom and the suites' coding_ecoli: thousands of promoters and genes all over E. coli; with a
  margin of 5 kb they are most of the genome. A model that read it without labels has seen their
  test sequences: say so beside such a result, or test in the last tenth alone.
- tf_peaks: its test part is on chr8 and chr9, which are not in the pretraining genomes.
- gue/mouse, deepstarr, dm3_upstream, Arabidopsis, Bacillus, brca1_sge, human_chr22_1M and the
  enhancers on chrX: of other genomes or chromosomes.
- dream_yeast, mavenn_mpra: made sequences, which stand in no genome; proteins have no DNA.
- GUE's other tasks: their sequences are not in the folder, so that nothing is known of where they
  lie. Histone marks of yeast cover that genome: results on them need a model of other pretraining.

Prints how many sequences of each set were found, as JSON. The data folder is $HYENA_GLT_DATA or
../shared/data; FILE is recipes/pretraining/evaluation.bed.
"""

import argparse
import csv
import gzip
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64

from hyena_glt.errors import HyenaGLTError, SequenceFileError
from hyena_glt.io import read_fasta, replacing_file
from hyena_glt.suites import load_suite
from hyena_glt.suites.datasets import prepared

ROOT = Path(__file__).parents[1]
OUT = ROOT / "recipes" / "pretraining" / "evaluation.bed"
ECOLI = "ecoli_k12/GCF_000005845.2_ASM584v2_genomic.fna.gz"
YEAST = "yeast_r64/Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz"
HUMAN = "human_chr20_grch37/chr20_1-50000000.fa.gz"
WORM = "celegans_chrX_ce2/ce2chrX.fa.gz"
GENOMES = (ECOLI, YEAST, HUMAN, WORM)

WORD_BP = 32  # what a 64-bit code holds
CHUNK_BP = 4_000_000
TILE_BP = 1000  # long sequences are looked up in pieces
# Tables with sequences: file, its columns of sequences, and a column whose value picks rows.
TABLES = (
    *(
        (f"gue/{task}/{part}.csv.gz", "sequence", None)
        for task in (
            *(f"prom/prom_{kind}" for kind in ("300_all", "300_notata", "300_tata")),
            *(f"prom/prom_core_{kind}" for kind in ("all", "notata", "tata")),
            *(f"tf/{number}" for number in (0, 1, 2)),
        )
        for part in ("dev", "test")
    ),
    ("genomic_benchmarks/human_enhancers_cohn_chr20X/test.tsv.gz", "sequence", None),
    ("lentimpra_sample/train_valid.tsv.gz", "seq", ("split", "valid")),
    ("uci/splice.csv.gz", "sequence", None),
)
UCI_PROMOTERS = "uci/promoters.data"  # rows of label, name and sequence, without a header
WORM_UNITS = ("annotation", "splicing_worm")  # suite and set
FASTAS = (
    "mpra_satmut/element_refs_grch38.fa",
    "nrc_rfam/dataset_Rfam_6320_13classes.fasta.gz",
    "genome_1pct/celegans_1pct.fa.gz",
)
_CODES = np.full(256, 4, dtype=np.uint8)
for _letters, _code in (("Aa", 0), ("Cc", 1), ("Gg", 2), ("TtUu", 3)):
    for _letter in _letters:
        _CODES[ord(_letter)] = _code


class Place(NamedTuple):
    """An interval of a genome, 0-based and half-open."""

    genome: str
    contig: str
    start: int
    end: int


class Words(NamedTuple):
    """The words of all sequences looked up, sorted by code; one entry of each array a word."""

    code: UInt64[np.ndarray, " W"]
    sequence: Int64[np.ndarray, " W"]  # 2n + 1 is the other strand of sequence 2n
    offset: Int64[np.ndarray, " W"]
    lengths: Int64[np.ndarray, " S"]
    needed: Int64[np.ndarray, " S"]  # words that make a place, of each sequence


def codes_of(bases: UInt8[np.ndarray, " L"]) -> UInt8[np.ndarray, " L"]:
    """Return 0 to 3 for A C G T (U), and 4 for every other letter."""
    codes: UInt8[np.ndarray, " L"] = _CODES[bases]
    return codes


def words_of(
    codes: UInt8[np.ndarray, " L"],
) -> tuple[UInt64[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Return the code of the word at each position, and whether all its letters are bases."""
    word = (codes & 3).astype(np.uint64)
    width = 1
    while width < WORD_BP:
        word = (word[:-width] << np.uint64(2 * width)) | word[width:]
        width *= 2
    others = np.concatenate([[0], (codes > 3).cumsum(dtype=np.int64)])
    return word, others[WORD_BP:] == others[:-WORD_BP]


def index_words(sequences: Iterable[bytes]) -> Words:
    """Return the words of sequences and of their reverse complements, end to end.

    A sequence shorter than a word, or without a word of bases alone, has none.
    """
    code, sequence, offset = [], [], []
    lengths: list[int] = []
    needed: list[int] = []
    for letters in sequences:
        forward = codes_of(np.frombuffer(letters, dtype=np.uint8))
        backward = np.where(forward < 4, 3 - forward, 4)[::-1].astype(np.uint8)
        for codes in (forward, backward):
            starts = np.empty(0, dtype=np.int64)
            if len(codes) >= WORD_BP:
                last = len(codes) - WORD_BP
                starts = np.unique(np.append(np.arange(0, last + 1, WORD_BP), last))
                words, whole = words_of(codes)
                starts = starts[whole[starts]]
                code.append(words[starts])
                sequence.append(np.full(len(starts), len(lengths)))
                offset.append(starts)
            lengths.append(len(codes))
            needed.append(len(starts) // 2 + 1)
    joined = np.concatenate(code)
    order = np.argsort(joined, kind="stable")
    return Words(
        joined[order],
        np.concatenate(sequence)[order],
        np.concatenate(offset)[order],
        np.array(lengths),
        np.array(needed),
    )


def find(words: Words, bases: UInt8[np.ndarray, " L"]) -> Iterator[tuple[int, int, int]]:
    """Yield (sequence, start, end) of each place in a contig, as :class:`Words` counts sequences.

    A place whose sequence runs over the contig's ends is cut there.
    """
    positions, hits = [], []
    # Most words of a genome stand in no sequence: their leading bits say so.
    known = np.zeros(1 << 24, dtype=bool)
    known[words.code >> np.uint64(40)] = True
    for first in range(0, len(bases), CHUNK_BP):
        piece = codes_of(bases[first : first + CHUNK_BP + WORD_BP - 1])
        if len(piece) < WORD_BP:
            continue
        found, whole = words_of(piece)
        at = np.flatnonzero(whole & known[found >> np.uint64(40)])
        low = np.searchsorted(words.code, found[at], "left")
        high = np.searchsorted(words.code, found[at], "right")
        count = high - low
        within = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count)
        hits.append(np.repeat(low, count) + within)
        positions.append(np.repeat(at + first, count))
    if not hits:
        return
    hit, position = np.concatenate(hits), np.concatenate(positions)
    # A word that stands twice in a sequence counts once at each place.
    pairs = np.stack([words.sequence[hit], position - words.offset[hit]], axis=1)
    places, counts = np.unique(pairs, axis=0, return_counts=True)
    enough = counts >= words.needed[places[:, 0]]
    for number, start in places[enough].tolist():
        end = start + int(words.lengths[number])
        yield number, max(0, start), min(end, len(bases))


def regions_reserved(genome: str, contig: str, length_bp: int) -> Iterator[tuple[int, int]]:
    """Yield what is held out whole of a contig."""
    if genome == HUMAN:
        yield 40_000_000, length_bp
    elif genome == YEAST and contig == "XV":
        yield 0, length_bp
    elif genome in (ECOLI, WORM):
        yield length_bp - round(0.1 * length_bp), length_bp


def merged(places: Iterable[Place]) -> list[Place]:
    """Return the places in order, those that overlap or touch as one."""
    joined: list[Place] = []
    for place in sorted(places):
        last = joined[-1] if joined else None
        if last is not None and last[:2] == place[:2] and place.start <= last.end:
            joined[-1] = last._replace(end=max(last.end, place.end))
        else:
            joined.append(place)
    return joined


def table_sequences(path: Path, column: str, rows: tuple[str, str] | None) -> Iterator[bytes]:
    """Yield a table's sequences; raises SequenceFileError where it isn't such a table."""
    delimiter = "," if ".csv" in path.name else "\t"
    try:
        with gzip.open(path, "rt", newline="") as file:
            for row in csv.DictReader(file, delimiter=delimiter):
                if rows is None or row[rows[0]] == rows[1]:
                    yield row[column].strip().encode("ascii")
    except (OSError, EOFError, KeyError, ValueError) as error:
        raise SequenceFileError(
            f"{path}: can't be read as a table with the column {column!r} ({error!r}); fetch it "
            "again, or name its folder with --data or in HYENA_GLT_DATA"
        ) from error


def fasta_sequences(path: Path) -> Iterator[bytes]:
    """Yield a FASTA's sequences, long ones in tiles."""
    for record in read_fasta(path):
        letters = record.sequence.encode("ascii")
        for start in range(0, len(letters), TILE_BP):
            yield letters[start : start + TILE_BP]


def uci_promoters(path: Path) -> Iterator[bytes]:
    """Yield the sequences of the UCI table of promoters of E. coli."""
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            if line.strip():
                yield line.split(",")[2].strip().encode("ascii")
    except (OSError, IndexError, ValueError) as error:
        raise SequenceFileError(
            f"{path}: can't be read as lines of label, name and sequence ({error!r}); fetch it "
            "again, or name its folder with --data or in HYENA_GLT_DATA"
        ) from error


def tested_units(suite: str, name: str, data: Path) -> Iterator[bytes]:
    """Yield the sequences that a suite's set tests on, as `hyena-glt benchmark` splits it."""
    (each,) = (each for each in load_suite(suite).sets if each.name == name)
    with tempfile.TemporaryDirectory() as work:
        for row in prepared(each, 0, data, Path(work)).part("test"):
            yield row.sequence.tobytes()


def all_sequences(data: Path) -> tuple[list[bytes], list[str]]:
    """Return each sequence to look up once, and the file where it stood first."""
    origin: dict[bytes, str] = {}
    for name, column, rows in TABLES:
        for letters in table_sequences(data / name, column, rows):
            origin.setdefault(letters.upper(), name)
    for name in FASTAS:
        for letters in fasta_sequences(data / name):
            origin.setdefault(letters.upper(), name)
    for letters in uci_promoters(data / UCI_PROMOTERS):
        origin.setdefault(letters.upper(), UCI_PROMOTERS)
    for letters in tested_units(*WORM_UNITS, data):
        origin.setdefault(letters.upper(), "/".join(WORM_UNITS))
    return list(origin), list(origin.values())


def intervals(data: Path) -> tuple[list[Place], dict[str, dict[str, int]]]:
    """Return all places, merged, and how many sequences of each set were found in each genome."""
    sequences, origin = all_sequences(data)
    words = index_words(sequences)
    places: list[Place] = []
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for genome in GENOMES:
        name = Path(genome).name
        seen: set[int] = set()
        for record in read_fasta(data / genome):
            bases = np.frombuffer(record.sequence.encode("ascii"), dtype=np.uint8)
            whole = regions_reserved(genome, record.name, len(bases))
            places += [Place(name, record.name, start, end) for start, end in whole]
            for number, start, end in find(words, bases):
                places.append(Place(name, record.name, start, end))
                seen.add(number // 2)
        for number in seen:
            found[origin[number]][name] += 1
    return merged(places), {name: dict(of) for name, of in sorted(found.items())}


def write_bed(path: Path, places: Iterable[Place]) -> None:
    """Write the BED; its fourth column is the genome's file."""
    lines = [
        "# What models are evaluated on, in the genomes of recipes/pretraining: no window of",
        "# pretraining comes within 5 kb. Contig, start, end, file of the genome.",
        "# Written by scripts/evaluation_intervals.py; it says what is listed and what can't be.",
    ]
    lines += [f"{p.contig}\t{p.start}\t{p.end}\t{p.genome}" for p in places]
    with replacing_file(path) as aside:
        aside.write_text("\n".join(lines) + "\n", encoding="ascii")


def main() -> int:
    """Write the BED and print what was found."""
    parser = argparse.ArgumentParser(description="Write the BED of evaluation intervals.")
    data = os.environ.get("HYENA_GLT_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    places, found = intervals(arguments.data)
    write_bed(arguments.out, places)
    bases: dict[str, int] = defaultdict(int)
    for place in places:
        bases[place.genome] += place.end - place.start
    print(json.dumps({"intervals": len(places), "bases": bases, "found": found}, indent=1))
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except HyenaGLTError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
