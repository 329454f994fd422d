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
_CODING = ("CDS", "start_codon", "stop_codon")
_NAMES = ("gene_name", "gene", "Name", "ID", "gene_id")
_WHOLE = (("false",), ("00",))
# What features are named by in each format.
_GFF3_NAMES = ("Parent", "ID")
_GTF_NAMES = ("transcript_id", "gene_id", "gene_name")
_STOP_BP = 3


class Mark(NamedTuple):
    """One feature, without what no map needs."""

    kind: str
    start: int
    end: int
    strand: Strand
    phase: int | None  # bases before the first whole codon
    name: str
    own_id: str  # its ID, or else its place; lines of one ID are one feature
    transcripts: tuple[str, ...]  # that it is a part of; empty where the file names none
    partial: bool  # an end of it is missing
    line: int
    holds_stop: bool = True  # whether a coding sequence ends with its stop codon


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
    they are the ends of each transcript's coding sequence, unless it is partial; GFF3 counts the
    stop codon to it, GTF doesn't. Exon edges are those inside a transcript, whatever its feature
    is called: splice sites. Transcription starts are those of transcripts. Exons that name no
    transcript are held against features of kind transcript, mRNA and gene; without any they have
    no edges.
    """
    by_kind: dict[str, list[Mark]] = defaultdict(list)
    for mark in marks:
        if mark.strand in ("+", "-"):
            by_kind[mark.kind].append(mark)
    coding = _wholes(by_kind["CDS"])
    found = {
        "start codon": _edges(_wholes(by_kind["start_codon"]), last=False)
        or _edges(coding, last=False),
        "stop codon": _edges(_wholes(by_kind["stop_codon"]), last=False) or _stops(coding),
    }
    transcripts = [mark for kind in _TRANSCRIPTS for mark in by_kind[kind]]
    spliced = _by_transcript(mark for mark in by_kind["exon"] if mark.transcripts)
    unnamed = [mark for mark in by_kind["exon"] if not mark.transcripts]
    for kind, last in (("exon start", False), ("exon end", True)):
        found[kind] = set()
        for exons in spliced.values():
            found[kind] |= _edges(exons, last) - {_edge(_whole(exons), last)}
        if transcripts:
            outer = {_edge(mark, last) for mark in transcripts + by_kind["gene"]}
            found[kind] |= _edges(unnamed, last) - outer
    # A transcript of another kind (lnc_RNA) or without a line of its own starts with its exons.
    known = {name for mark in transcripts for name in (mark.own_id, *mark.transcripts)}
    others = [_whole(exons) for (name, _), exons in spliced.items() if name not in known]
    found["transcription start"] = _edges(transcripts + others, last=False)
    return [
        Landmark(kind, position, strand)
        for kind, edges in found.items()
        for position, strand in sorted(edges)
    ]


def _edge(mark: Mark, last: bool) -> tuple[int, Strand]:
    """Return where a feature ends (``last``) or starts, as its strand reads it."""
    return (mark.end if last == (mark.strand == "+") else mark.start, mark.strand)


def _edges(marks: Iterable[Mark], last: bool) -> set[tuple[int, Strand]]:
    """Return where features end or start; a partial one doesn't tell."""
    return {_edge(mark, last) for mark in marks if not mark.partial}


def _stops(coding: Iterable[Mark]) -> set[tuple[int, Strand]]:
    """Return where the stop codons of whole coding sequences start."""
    found = set()
    for mark in coding:
        end, strand = _edge(mark, last=True)
        inside_bp = _STOP_BP if mark.holds_stop else 0
        if not mark.partial:
            found.add((end - inside_bp if strand == "+" else end + inside_bp, strand))
    return found


def _by_transcript(marks: Iterable[Mark]) -> dict[tuple[str, Strand], list[Mark]]:
    """Return the parts of each transcript; a mark that is in several is a part of each."""
    parts: dict[tuple[str, Strand], list[Mark]] = defaultdict(list)
    for mark in marks:
        for name in mark.transcripts or (mark.own_id,):
            parts[name, mark.strand].append(mark)
    return parts


def _whole(parts: list[Mark]) -> Mark:
    """Return a mark from end to end of a transcript's parts; it is partial if one is."""
    start, end = min(mark.start for mark in parts), max(mark.end for mark in parts)
    return parts[0]._replace(start=start, end=end, partial=any(mark.partial for mark in parts))


def _wholes(marks: Iterable[Mark]) -> list[Mark]:
    return [_whole(parts) for parts in _by_transcript(marks).values()]


def _read(path: Path) -> Iterator[tuple[str, Mark]]:
    if ".bed" in path.suffixes:
        for interval in read_bed(path):
            start, end, name = interval.start, interval.end, interval.name
            strand = interval.strand
            yield (
                interval.contig,
                Mark(INTERVAL, start, end, strand, None, name, name, (), False, interval.line),
            )
        return
    for feature in read_features(path):
        yield feature.contig, _mark(feature)


def _mark(feature: Feature) -> Mark:
    attributes = feature.attributes
    place = f"{feature.contig}:{feature.start}-{feature.end}"
    name = next((attributes[key][0] for key in _NAMES if attributes.get(key)), place)
    # A transcript_id may stand on several transcripts of a GFF3 file; its IDs are those of one.
    named = (attributes.get(key, ()) for key in ("Parent", "transcript_id"))
    # NCBI's GTF has the transcript_id "" where there is none.
    transcripts = next((values for values in named if any(values)), ())
    kind = feature.kind
    if kind in _CODING and attributes.get("pseudo") == ("true",):
        kind = f"pseudogenic_{kind}"  # as the Sequence Ontology says: it isn't translated
    is_gtf = not any(key in attributes for key in _GFF3_NAMES) and any(
        key in attributes for key in _GTF_NAMES
    )
    return Mark(
        kind,
        feature.start,
        feature.end,
        feature.strand,
        feature.phase,
        name,
        attributes.get("ID", (place,))[0],
        transcripts,
        attributes.get("partial", ("false",)) not in _WHOLE,
        feature.line,
        holds_stop=not is_gtf,
    )
