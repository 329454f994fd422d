"""Published files that no source reads as they are, each to one plain table.

A table has the columns that its adapter says, tabs between. Nothing is drawn at
random: which rows are kept, where an adapter keeps some, depends on their names alone.
"""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from hyena_glt.config.suites import Adapter
from hyena_glt.errors import SequenceFileError
from hyena_glt.io import replacing_file
from hyena_glt.io.sequences import read_sequences

WINDOW_BP = 201  # around a variant, which is in the middle
_GENES_ONE_IN = 10  # genes of exon-intron-exon units that are kept
_MOST_CUT_BP = 30
_LEAST_BARCODES = 10
_BLOCK_BP = 20
_PART_OF = {"train": "train", "valid": "test"}


class Adapted(NamedTuple):
    """What an adapter makes: columns, and rows of as many cells."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[str, ...]]


def write_adapted(name: Adapter, files: Mapping[str, Path], out: Path) -> None:
    """Write the table that adapter ``name`` makes of ``files`` (by its name for each) to ``out``.

    Raises SequenceFileError, with the line, where a file isn't what it is published as; KeyError
    for a file that the suite doesn't name.
    """
    columns, rows = _ADAPTERS[name](files)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(out) as aside, aside.open("w", encoding="utf-8") as table:
        table.write("\t".join(columns) + "\n")
        table.writelines("\t".join(row) + "\n" for row in rows)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Give each line of a text file, plain or gzip, without its end, and where it is."""
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            for number, line in enumerate(file, 1):
                yield f"{path} line {number}", line.rstrip("\r\n")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise SequenceFileError(f"{path}: can't be read ({error}); fetch it again") from None


def _table(
    path: Path, columns: tuple[str, ...], separator: str = "\t"
) -> Iterator[tuple[str, dict[str, str]]]:
    """Give each row of a table with a header, by ``columns``, and where it is."""
    lines = _lines(path)
    where, header = next(lines, (str(path), ""))
    names = next(csv.reader([header], delimiter=separator), [])
    for column in columns:
        if column not in names:
            raise SequenceFileError(
                f"{where}: has no column {column!r}; expected the file as it is published"
            )
    for where, line in lines:
        cells = next(csv.reader([line], delimiter=separator), [])
        if len(cells) != len(names):
            raise SequenceFileError(
                f"{where}: found {len(cells)} cells, expected {len(names)}; fetch the file again"
            )
        row = dict(zip(names, (cell.strip() for cell in cells), strict=True))
        yield where, {column: row[column] for column in columns}


def _share_of(name: str) -> int:
    """Return a number from 0 to 2**32 - 1 that depends on ``name`` alone."""
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "little")


def _exon_intron_exon(files: Mapping[str, Path]) -> Adapted:
    """50 bases of exon, an intron, 50 of exon: one gene in ten, exons cut at both ends.

    In a whole unit the intron begins at base 50; cut by 0 to 30 bases at either end it doesn't, so
    that its place must be read off the letters. Classes: E exon, D and A the first and the last two
    bases of an intron (donor, acceptor), I between.
    """

    def rows() -> Iterator[tuple[str, ...]]:
        for where, line in _lines(files["units"]):
            cells = line.split()
            if not cells:
                continue
            if len(cells) != 5:
                raise SequenceFileError(
                    f"{where}: found {len(cells)} cells, expected exon, intron, exon, count, gene"
                )
            before, intron, after, _, gene = cells
            if _share_of(gene) % _GENES_ONE_IN:
                continue
            sequence = before + intron + after
            inside = "DD" + "I" * (len(intron) - 4) + "AA"
            label = "E" * len(before) + inside + "E" * len(after)
            place = _share_of(sequence)
            first = place % (_MOST_CUT_BP + 1)
            last = len(sequence) - place // 64 % (_MOST_CUT_BP + 1)
            yield sequence[first:last], label[first:last], gene

    return Adapted(("sequence", "label", "group"), rows())


def _uci_splice(files: Mapping[str, Path]) -> Adapted:
    """60 bases around a donor (EI), an acceptor (IE) or neither (N)."""
    columns = ("label", "instance_name", "sequence")
    rows = (
        (row["sequence"], row["label"], row["instance_name"])
        for _, row in _table(files["table"], columns, ",")
    )
    return Adapted(("sequence", "label", "name"), rows)


def _uci_promoters(files: Mapping[str, Path]) -> Adapted:
    """57 bases of E. coli, a promoter (+) or none (-)."""

    def rows() -> Iterator[tuple[str, ...]]:
        for where, line in _lines(files["table"]):
            cells = [cell.strip() for cell in line.split(",")]
            if len(cells) != 3 or cells[0] not in ("+", "-"):
                raise SequenceFileError(f"{where}: expected + or -, a name and a sequence")
            yield cells[2], {"+": "promoter", "-": "other"}[cells[0]], cells[1]

    return Adapted(("sequence", "label", "name"), rows())


def _dream_yeast(files: Mapping[str, Path]) -> Adapted:
    """Random promoters: sequence and expression without a header, and a table of test ones."""

    def rows() -> Iterator[tuple[str, ...]]:
        for where, line in _lines(files["train"]):
            cells = line.split("\t")
            if len(cells) != 2:
                raise SequenceFileError(f"{where}: expected a sequence and its expression")
            yield cells[0], cells[1], "train"
        for _, row in _table(files["test"], ("sequence", "expression")):
            yield row["sequence"], row["expression"], "test"

    return Adapted(("sequence", "expression", "split"), rows())


def _held_out(files: Mapping[str, Path]) -> Adapted:
    """A table whose parts are train and valid, with no test: valid is read once, as test is."""
    path = files["table"]
    first = next(_lines(path), (str(path), ""))[1].split("\t")
    known = {name.lower(): name for name in first}
    sequence = known.get("sequence") or known.get("seq") or "sequence"
    values = [name for name in first if name.endswith("_log2_enrichment") or name == "mean_value"]
    wanted = (sequence, *values, "split")

    def rows() -> Iterator[tuple[str, ...]]:
        for where, row in _table(path, wanted):
            part = _PART_OF.get(row["split"])
            if part is None:
                raise SequenceFileError(
                    f"{where}: found split {row['split']!r}, expected train or valid"
                )
            yield row[sequence], *(row[name] for name in values), part

    return Adapted(("sequence", *values, "split"), rows())


def _peaks(files: Mapping[str, Path]) -> Adapted:
    """FASTA of one class each, with chr:start-end as names."""

    def rows() -> Iterator[tuple[str, ...]]:
        for label, path in files.items():
            for record in read_sequences(path):
                yield record.sequence, label, record.name, record.name.partition(":")[0]

    return Adapted(("sequence", "label", "name", "contig"), rows())


def _saturation_mpra(files: Mapping[str, Path]) -> Adapted:
    """Single-base variants of promoters with their effects, 10 barcodes or more.

    Both alleles in a window of 201 bp, shorter at an element's ends; grouped by blocks of 20 bp.
    """
    elements: dict[str, tuple[int, str]] = {}
    for record in read_sequences(files["references"]):
        place = record.description.split()[1]
        start = int(place.partition(":")[2].partition("-")[0])
        elements[record.name] = start, record.sequence
    columns = ("Pos", "Ref", "Alt", "Barcodes", "Coefficient", "Element")

    def rows() -> Iterator[tuple[str, ...]]:
        for where, row in _table(files["variants"], columns):
            if int(row["Barcodes"]) < _LEAST_BARCODES:
                continue
            start, letters = elements[row["Element"]]
            at = int(row["Pos"]) - start
            alleles = _alleles(where, letters, at, row["Ref"], row["Alt"])
            region = row["Element"].partition("-")[0].partition(".")[0]
            name = f"{row['Element']}:{row['Pos']}{row['Ref']}>{row['Alt']}"
            yield *alleles, row["Coefficient"], name, f"{region}:{at // _BLOCK_BP}"

    return Adapted(("sequence", "alternative", "effect", "name", "group"), rows())


def _brca1_classes(files: Mapping[str, Path]) -> Adapted:
    """Variants of BRCA1 that lose its function (LOF) or keep it (FUNC), without those between."""
    found = _brca1_sge(files)
    return Adapted(found.columns, (row for row in found.rows if row[2] != "INT"))


def _brca1_sge(files: Mapping[str, Path]) -> Adapted:
    """Variants of BRCA1 by what they do in cells: LOF, INT (between) or FUNC, and the score.

    Both alleles in a window of 201 bp of the plus strand; grouped by the exon's experiment. Names
    begin with the consequence.
    """
    (record,) = read_sequences(files["reference"])
    start = int(record.name.partition(":")[2].partition("-")[0])
    columns = (
        *("pos_hg19", "ref", "alt", "consequence"),
        *("function_score", "func_class", "experiment"),
    )

    def rows() -> Iterator[tuple[str, ...]]:
        for where, row in _table(files["variants"], columns):
            at = int(row["pos_hg19"]) - start
            alleles = _alleles(where, record.sequence, at, row["ref"], row["alt"])
            name = f"{row['consequence']}:{row['pos_hg19']}{row['ref']}>{row['alt']}"
            label = row["func_class"]
            yield *alleles, label, row["function_score"], name, row["experiment"]

    return Adapted(("sequence", "alternative", "label", "score", "name", "group"), rows())


def _alleles(where: str, letters: str, at: int, ref: str, alt: str) -> tuple[str, str]:
    """Return the window with the reference and with the alternative."""
    found = letters[at : at + 1].upper()
    if at < 0 or found != ref:
        raise SequenceFileError(
            f"{where}: the reference has {found or 'no base'!r} there, the variant says {ref!r}; "
            "expected both of one assembly"
        )
    first = max(0, at - WINDOW_BP // 2)
    window = letters[first : at + WINDOW_BP // 2 + 1].upper()
    return window, window[: at - first] + alt + window[at - first + 1 :]


_ADAPTERS: dict[Adapter, Callable[[Mapping[str, Path]], Adapted]] = {
    "brca1_classes": _brca1_classes,
    "brca1_sge": _brca1_sge,
    "dream_yeast": _dream_yeast,
    "exon_intron_exon": _exon_intron_exon,
    "held_out": _held_out,
    "peaks": _peaks,
    "saturation_mpra": _saturation_mpra,
    "uci_promoters": _uci_promoters,
    "uci_splice": _uci_splice,
}
