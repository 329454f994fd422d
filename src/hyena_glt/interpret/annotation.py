"""The features that patches are held against: genes, codons, exons, from GFF, GTF or BED."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from hyena_glt.errors import SequenceFileError
from hyena_glt.io import Feature, read_bed, read_features
from hyena_glt.io.gff import Strand
from hyena_glt.io.record import same_contig

INTERVAL = "interval"  # the kind of what a BED file holds, which doesn't tell
_TRANSCRIPTS = ("transcript", "mRNA")
_NAMES = ("gene_name", "gene", "Name", "ID", "gene_id")
_WHOLE = (("false",), ("00",))


class Mark(NamedTuple):
    """One feature, without what no map needs."""

    kind: str
    start: int
    end: int
    strand: Strand
    phase: int | None  # bases before the first whole codon
    name: str
    transcript: str  # what it is a part of; its own name where it is part of nothing
    partial: bool  # an end of it is missing
    line: int


class Landmark(NamedTuple):
    """A place between two bases that a strand reads over."""

    kind: str
    position: int  # between bases position - 1 and position
    strand: Strand


class Annotation:
    """The features of a file that lie on some sequences, contig by contig.

    Contigs may differ from the sequences' names by a prefix `chr` (``renamed``); those that the
    sequences don't have are left out and listed (``elsewhere``), and so are features that run over
    their contig's end, as on a circle (``over_the_end``).

    Raises SequenceFileError as the readers of the formats do, at a feature that starts behind its
    contig's end, and where no feature lies on the sequences.
    """

    def __init__(self, path: Path, length_bp: Mapping[str, int]) -> None:
        self.path = path
        self.renamed: dict[str, str] = {}  # this file's name to the sequences'
        self.elsewhere: dict[str, str] = {}  # this file's name to why it is none of theirs
        self.over_the_end = 0
        self._length_bp = length_bp
        self._marks: dict[str, list[Mark]] = defaultdict(list)
        for name, mark in _read(path):
            self._take(name, mark)
        if not self._marks:
            reasons = [f"; {reason}" for reason in self.elsewhere.values()]
            raise SequenceFileError(
                f"{path}: found no feature on the sequences, expected the annotation of their "
                f"assembly{''.join(reasons[:1])}"
            )

    def on(self, contig: str) -> list[Mark]:
        """Return the features of a contig of the sequences, by their start."""
        return sorted(self._marks.get(contig, ()), key=lambda mark: (mark.start, mark.end))

    def _take(self, name: str, mark: Mark) -> None:
        contig = name if name in self._length_bp else self.renamed.get(name)
        if contig is None:
            if name in self.elsewhere:
                return
            try:
                contig = same_contig(self.path, self._length_bp, name)
            except SequenceFileError as error:
                self.elsewhere[name] = str(error)
                return
            self.renamed[name] = contig
        length_bp = self._length_bp[contig]
        if mark.start >= length_bp:
            raise SequenceFileError(
                f"{self.path}: line {mark.line}: found {mark.kind} at {name}:{mark.start}-"
                f"{mark.end} (0-based), behind the end of the record, which has {length_bp:,} bp; "
                "give the annotation of these sequences"
            )
        if mark.end > length_bp:
            self.over_the_end += 1
        else:
            self._marks[contig].append(mark)


def genes_of(marks: Iterable[Mark]) -> list[Mark]:
    """Return what to draw as genes: genes, or else coding sequences, or else all features."""
    marks = list(marks)
    for kind in ("gene", "CDS"):
        found = [mark for mark in marks if mark.kind == kind]
        if found:
            return found
    return marks


def landmarks_of(marks: Iterable[Mark]) -> list[Landmark]:
    """Return start and stop codons, exon edges and transcription starts, each place once.

    A start codon stands before its first base, a stop codon too. Where the file names no codons
    they are the ends of each transcript's coding sequence, unless it is partial. Exon edges are
    those inside transcripts: splice sites. Transcription starts are those of transcripts.
    """
    by_kind: dict[str, list[Mark]] = defaultdict(list)
    for mark in marks:
        if mark.strand in ("+", "-"):
            by_kind[mark.kind].append(mark)
    coding = list(_joined(by_kind["CDS"]))
    found = {
        "start codon": _edges(_joined(by_kind["start_codon"]), last=False)
        or _edges(coding, last=False),
        "stop codon": _edges(_joined(by_kind["stop_codon"]), last=False)
        or {
            (end - 3 if strand == "+" else end + 3, strand) for end, strand in _edges(coding, True)
        },
    }
    transcripts = [mark for kind in _TRANSCRIPTS for mark in by_kind[kind]]
    if transcripts:
        whole = transcripts + by_kind["gene"]
        outer = _edges(whole, last=False) | _edges(whole, last=True)
        found["exon start"] = _edges(by_kind["exon"], last=False) - outer
        found["exon end"] = _edges(by_kind["exon"], last=True) - outer
        found["transcription start"] = _edges(transcripts, last=False)
    return [
        Landmark(kind, position, strand)
        for kind, edges in found.items()
        for position, strand in sorted(edges)
    ]


def _edges(marks: Iterable[Mark], last: bool) -> set[tuple[int, Strand]]:
    """Return where features end (``last``) or start, as their strand reads them."""
    return {
        (mark.end if last == (mark.strand == "+") else mark.start, mark.strand)
        for mark in marks
        if not mark.partial
    }


def _joined(marks: Iterable[Mark]) -> Iterator[Mark]:
    """Yield one mark from end to end of each transcript; it is partial if a part is."""
    parts: dict[tuple[str, Strand], list[Mark]] = defaultdict(list)
    for mark in marks:
        parts[mark.transcript, mark.strand].append(mark)
    for group in parts.values():
        start, end = min(mark.start for mark in group), max(mark.end for mark in group)
        partial = any(mark.partial for mark in group)
        yield group[0]._replace(start=start, end=end, partial=partial)


def _read(path: Path) -> Iterator[tuple[str, Mark]]:
    if ".bed" in path.suffixes:
        for interval in read_bed(path):
            start, end, name = interval.start, interval.end, interval.name
            strand = interval.strand
            yield (
                interval.contig,
                Mark(INTERVAL, start, end, strand, None, name, name, False, interval.line),
            )
        return
    for feature in read_features(path):
        yield feature.contig, _mark(feature)


def _mark(feature: Feature) -> Mark:
    attributes = feature.attributes
    place = f"{feature.contig}:{feature.start}-{feature.end}"
    name = next((attributes[key][0] for key in _NAMES if attributes.get(key)), place)
    # GTF names the transcript; in GFF3 it is the parent, or lines of one ID are one feature.
    whole = next(
        (
            ",".join(attributes[key])
            for key in ("transcript_id", "Parent", "ID")
            if key in attributes
        ),
        place,
    )
    partial = attributes.get("partial", ("false",)) not in _WHOLE
    return Mark(
        feature.kind,
        feature.start,
        feature.end,
        feature.strand,
        feature.phase,
        name,
        whole,
        partial,
        feature.line,
    )
