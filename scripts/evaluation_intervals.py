"""Which intervals of the pretraining genomes are evaluated on: the BED that recipes reserve.

    python scripts/evaluation_intervals.py [--data FOLDER] [--out FILE]

Two kinds of lines, merged where they touch. Whole regions: the last 10 Mb of the human file, chrXV
of yeast, the last tenth of E. coli and of the worm's chrX. And every sequence that a benchmark
evaluates on, found in the genomes: most tables have no coordinates, or those of another assembly,
so that sequences are looked up, both strands, by words of 32 bases. A place counts where most of a
sequence's words stand at their distances, which single-base differences between assemblies pass.
In short sequences they would not, so that one below 150 bp counts as well where it stands with
another base at one place in 20 at most, found by shorter words, one of which must then stand there.
Of a genome the places with the fewest count: a piece of a repeat has thousands that are near.

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

Prints how many sequences of each set were looked up and how many were found, as JSON. The data
folder is $HYENA_GLT_DATA or ../shared/data; FILE is recipes/pretraining/evaluation.bed.
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
from numpy.lib.stride_tricks import sliding_window_view

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
SHORT_BP = 150  # sequences below are compared base by base where a seed stands
SEED_BP = 13
DIFFERING = 0.05  # of a short sequence's bases, at most
VERIFIED_ROWS = 50_000  # compared at once
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


class Seeds(NamedTuple):
    """Words of the short sequences, sorted by code; one entry of each of the first three a word."""

    code: UInt64[np.ndarray, " W"]
    row: Int64[np.ndarray, " W"]  # of the arrays below
    offset: Int64[np.ndarray, " W"]
    number: Int64[np.ndarray, " R"]  # as Words counts sequences
    lengths: Int64[np.ndarray, " R"]
    bases: UInt8[np.ndarray, " R P"]


def codes_of(bases: UInt8[np.ndarray, " L"]) -> UInt8[np.ndarray, " L"]:
    """Return 0 to 3 for A C G T (U), and 4 for every other letter."""
    codes: UInt8[np.ndarray, " L"] = _CODES[bases]
    return codes


def words_of(
    codes: UInt8[np.ndarray, " L"], word_bp: int = WORD_BP
) -> tuple[UInt64[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Return the code of the word at each position, and whether all its letters are bases."""
    others = np.concatenate([[0], (codes > 3).cumsum(dtype=np.int64)])
    return _packed(codes, word_bp), others[word_bp:] == others[:-word_bp]


def _packed(codes: UInt8[np.ndarray, " L"], word_bp: int) -> UInt64[np.ndarray, " N"]:
    """Return the words two bits a base, each of two half as long."""
    if word_bp == 1:
        return (codes & 3).astype(np.uint64)
    half_bp = word_bp // 2
    half = _packed(codes, half_bp)
    word = (half[:-half_bp] << np.uint64(2 * half_bp)) | half[half_bp:]
    if word_bp % 2:
        word = (word[:-1] << np.uint64(2)) | (codes[word_bp - 1 :] & 3).astype(np.uint64)
    return np.asarray(word)


def _strands(letters: bytes) -> tuple[UInt8[np.ndarray, " L"], UInt8[np.ndarray, " L"]]:
    """Return the codes of a sequence and of its reverse complement."""
    forward = codes_of(np.frombuffer(letters, dtype=np.uint8))
    return forward, np.where(forward < 4, 3 - forward, 4)[::-1].astype(np.uint8)


def index_words(sequences: Iterable[bytes]) -> Words:
    """Return the words of sequences and of their reverse complements, end to end.

    A sequence shorter than a word, or without a word of bases alone, has none.
    """
    code, sequence, offset = [], [], []
    lengths: list[int] = []
    needed: list[int] = []
    for letters in sequences:
        for codes in _strands(letters):
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
    found = _sorted(code, sequence, offset)
    return Words(*found, np.array(lengths), np.array(needed))


def index_seeds(sequences: Iterable[bytes]) -> Seeds:
    """Return the seeds of short sequences and of their reverse complements.

    There is one more of them than bases may differ, and none shares a base with another, so that
    one is whole at every place that counts; sequences below 26 bp may lack that.
    """
    code, row, offset, padded = [], [], [], []
    numbers: list[int] = []
    lengths: list[int] = []
    for pair, letters in enumerate(sequences):
        if not SEED_BP <= len(letters) < SHORT_BP:
            continue
        for strand, codes in enumerate(_strands(letters)):
            words, whole = words_of(codes, SEED_BP)
            pieces = int(DIFFERING * len(codes)) + 1
            starts = np.unique(np.linspace(0, len(codes) - SEED_BP, pieces).astype(np.int64))
            starts = starts[whole[starts]]
            code.append(words[starts])
            row.append(np.full(len(starts), len(numbers)))
            offset.append(starts)
            numbers.append(2 * pair + strand)
            lengths.append(len(codes))
            # 5 and 6 stand in no genome: another letter differs from all, and so does what pads.
            unlike = np.where(codes < 4, codes, 5).astype(np.uint8)
            padded.append(np.pad(unlike, (0, SHORT_BP - len(codes)), constant_values=6))
    bases = np.stack(padded) if padded else np.empty((0, SHORT_BP), dtype=np.uint8)
    found = _sorted(code, row, offset)
    return Seeds(*found, np.array(numbers, np.int64), np.array(lengths, np.int64), bases)


def _sorted(
    code: list[UInt64[np.ndarray, " _"]],
    sequence: list[Int64[np.ndarray, " _"]],
    offset: list[Int64[np.ndarray, " _"]],
) -> tuple[UInt64[np.ndarray, " W"], Int64[np.ndarray, " W"], Int64[np.ndarray, " W"]]:
    """Return the words in the order of their codes."""
    joined = np.concatenate([np.empty(0, np.uint64), *code])
    order = np.argsort(joined, kind="stable")
    rows, offsets = (np.concatenate([np.empty(0, np.int64), *each]) for each in (sequence, offset))
    return joined[order], rows[order], offsets[order]


def _hits(
    code: UInt64[np.ndarray, " W"], word_bp: int, bases: UInt8[np.ndarray, " L"]
) -> Iterator[tuple[Int64[np.ndarray, " H"], Int64[np.ndarray, " H"]]]:
    """Yield, chunk by chunk of a contig, (which of the sorted words stands there, where)."""
    # Most words of a genome stand in no sequence: their leading bits say so.
    shift = np.uint64(2 * word_bp - 24)
    known = np.zeros(1 << 24, dtype=bool)
    known[code >> shift] = True
    for first in range(0, len(bases), CHUNK_BP):
        piece = codes_of(bases[first : first + CHUNK_BP + word_bp - 1])
        if len(piece) < word_bp:
            continue
        found, whole = words_of(piece, word_bp)
        at = np.flatnonzero(whole & known[found >> shift])
        low = np.searchsorted(code, found[at], "left")
        count = np.searchsorted(code, found[at], "right") - low
        within = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count)
        yield np.repeat(low, count) + within, np.repeat(at + first, count)


def find(words: Words, bases: UInt8[np.ndarray, " L"]) -> Iterator[tuple[int, int, int]]:
    """Yield (sequence, start, end) of each place in a contig, as :class:`Words` counts sequences.

    A place whose sequence runs over the contig's ends is cut there.
    """
    found = list(_hits(words.code, WORD_BP, bases))
    if not found:
        return
    hit, position = (np.concatenate(each) for each in zip(*found, strict=True))
    # A word that stands twice in a sequence counts once at each place.
    pairs = np.stack([words.sequence[hit], position - words.offset[hit]], axis=1)
    places, counts = np.unique(pairs, axis=0, return_counts=True)
    enough = counts >= words.needed[places[:, 0]]
    for number, start in places[enough].tolist():
        end = start + int(words.lengths[number])
        yield number, max(0, start), min(end, len(bases))


def find_short(seeds: Seeds, bases: UInt8[np.ndarray, " L"]) -> Iterator[tuple[int, int, int, int]]:
    """Yield what :func:`find` does and how many bases differ, of short sequences that nearly stand.

    Bases beyond the contig's ends differ.
    """
    edge = np.full(SHORT_BP, 4, dtype=np.uint8)
    windows = sliding_window_view(np.concatenate([edge, codes_of(bases), edge]), SHORT_BP)
    allowed = (DIFFERING * seeds.lengths).astype(np.int64)
    told: set[tuple[int, int]] = set()  # seeds of one place may stand in two chunks
    for hit, position in _hits(seeds.code, SEED_BP, bases):
        places = []
        for first in range(0, len(hit), VERIFIED_ROWS):
            some = hit[first : first + VERIFIED_ROWS]
            row = seeds.row[some]
            start = position[first : first + VERIFIED_ROWS] - seeds.offset[some]
            unlike = np.count_nonzero(windows[start + SHORT_BP] != seeds.bases[row], axis=1)
            unlike -= SHORT_BP - seeds.lengths[row]
            kept = unlike <= allowed[row]
            places.append(np.stack([row[kept], start[kept], unlike[kept]], axis=1))
        if places:
            for row, start, unlike in np.unique(np.concatenate(places), axis=0).tolist():
                if (row, start) in told:
                    continue
                told.add((row, start))
                end = start + int(seeds.lengths[row])
                yield int(seeds.number[row]), max(0, start), min(end, len(bases)), unlike


def regions_reserved(genome: str, contig: str, length_bp: int) -> Iterator[tuple[int, int]]:
    """Yield what is held out whole of a contig."""
    if genome == HUMAN:
        yield 40_000_000, length_bp
    elif genome == YEAST and contig == "XV":
        yield 0, length_bp
    elif genome in (ECOLI, WORM):
        yield length_bp - round(0.1 * length_bp), length_bp


def nearest(near: Iterable[list[tuple[int, Place]]]) -> Iterator[Place]:
    """Yield of each sequence's places, with how many bases differ, those with the fewest."""
    for places in near:
        fewest = min(unlike for unlike, _ in places)
        yield from (place for unlike, place in places if unlike == fewest)


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


def all_sequences(data: Path) -> dict[bytes, set[str]]:
    """Return each sequence to look up once, and the files where it stands."""
    sets: dict[bytes, set[str]] = defaultdict(set)

    def add(name: str, sequences: Iterable[bytes]) -> None:
        for letters in sequences:
            sets[letters.upper()].add(name)

    for name, column, rows in TABLES:
        add(name, table_sequences(data / name, column, rows))
    for name in FASTAS:
        add(name, fasta_sequences(data / name))
    add(UCI_PROMOTERS, uci_promoters(data / UCI_PROMOTERS))
    add("/".join(WORM_UNITS), tested_units(*WORM_UNITS, data))
    return dict(sets)


def intervals(data: Path) -> tuple[list[Place], dict[str, dict[str, int]]]:
    """Return all places, merged, and of each set how many sequences were looked up and found.

    ``found`` counts those in any genome, and each genome's file those in it; a sequence that
    stands in several sets counts in each.
    """
    sets = all_sequences(data)
    sequences = list(sets)
    words, seeds = index_words(sequences), index_seeds(sequences)
    places: list[Place] = []
    seen: dict[str, set[int]] = {Path(genome).name: set() for genome in GENOMES}
    for genome in GENOMES:
        name = Path(genome).name
        near: dict[int, list[tuple[int, Place]]] = {}
        for record in read_fasta(data / genome):
            bases = np.frombuffer(record.sequence.encode("ascii"), dtype=np.uint8)
            whole = regions_reserved(genome, record.name, len(bases))
            places += [Place(name, record.name, start, end) for start, end in whole]
            for number, start, end in find(words, bases):
                places.append(Place(name, record.name, start, end))
                seen[name].add(number // 2)
            for number, start, end, unlike in find_short(seeds, bases):
                place = Place(name, record.name, start, end)
                near.setdefault(number // 2, []).append((unlike, place))
        places += nearest(near.values())
        seen[name] |= set(near)
    seen = {"found": set().union(*seen.values()), **seen}
    counts: dict[str, dict[str, int]] = {}
    for number, names in enumerate(sets.values()):
        for name in sorted(names):
            of = counts.setdefault(name, {"looked_up": 0, "found": 0})
            of["looked_up"] += 1
            for where, numbers in seen.items():
                if number in numbers:
                    of[where] = of.get(where, 0) + 1
    return merged(places), dict(sorted(counts.items()))


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
    places, sets = intervals(arguments.data)
    write_bed(arguments.out, places)
    bases: dict[str, int] = defaultdict(int)
    for place in places:
        bases[place.genome] += place.end - place.start
    print(json.dumps({"intervals": len(places), "bases": bases, "sets": sets}, indent=1))
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except HyenaGLTError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
