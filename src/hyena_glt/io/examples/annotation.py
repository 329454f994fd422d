"""A genome in windows, each base labelled by the features that cover it."""

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from hyena_glt.config.examples import AnnotationSourceConfig
from hyena_glt.errors import RecipeError, SequenceFileError
from hyena_glt.io.examples.example import BaseClasses, Example, Schema
from hyena_glt.io.examples.genome import chosen_contigs, open_genome, tiles
from hyena_glt.io.gff import Feature, read_features

BACKGROUND = "background"

_CODON_BP = 3
_MOST_CLASSES = 256  # a code is a byte
_SHOWN = 20  # types in a message


class _Stretches(NamedTuple):
    """Bases of a contig that one class covers, in the order of the file.

    Every base from each start on or, where codons have classes, every third.
    """

    starts: "array[int]"
    ends: "array[int]"
    codes: "array[int]"


class AnnotationSource:
    """The windows that tile each contig from its first base, with a class for each base.

    The last window of a contig is as long as what is left of it. Classes are `background`, then
    those of `features` in their order, each as `coding+` and `coding-` where `stranded`, these as
    `coding1+`, `coding2+`, `coding3+` and so on where `codons`; the code of a class is its place
    there, and where several cover a base the lowest has it. The three of a codon count as one, so
    that of two features of a strand the one that comes first in the file has it. Contigs come
    in the order of the genome, or of `contigs`; one without features is all background, and
    features on others than `contigs` are passed over. An example is named `contig:start-end`,
    0-based and half-open.

    On a contig that the file marks `Is_circular=true`, a feature may go on over the origin; windows
    don't. Features are held in memory, 17 bytes each, and one contig's classes, a byte a base.

    Raises, at once: SequenceFileError if a file is missing or wrong; if no feature is of one of
    the types in `features`, naming those that there are, or none is on `contigs`; and naming the
    line, if a feature is on a contig that the genome doesn't have, beyond its end, or has no
    strand where `stranded` or no phase where `codons`. RecipeError if a class is called
    `background`, there are more than 256, or `contigs` is empty or repeats one.
    """

    schema: Schema
    notes: tuple[str, ...] = ()

    def __init__(self, config: AnnotationSourceConfig) -> None:
        self.schema = Schema("bases")
        self._config = config
        self._path = Path(config.path)
        self._genome = open_genome(config.genome)
        self._contigs = chosen_contigs(self._genome, config.contigs)
        self._classes = _classes(config)
        self._step = _CODON_BP if config.codons else 1
        self._stretches: dict[str, _Stretches] = {}
        self._read()

    def __iter__(self) -> Iterator[Example]:
        """The examples; raises SequenceFileError if the genome changed since."""
        for contig in self._contigs:
            codes = self._painted(contig)
            for window in tiles(self._genome, contig, self._config.window_bp):
                label = BaseClasses(codes[window.start : window.end].tobytes(), self._classes)
                where = f"{self._path}: {window.name}"
                yield Example(
                    window.name, window.sequence, label, where, self._config.part, contig=contig
                )

    def _painted(self, contig: str) -> UInt8[np.ndarray, " L"]:
        """The code of each base of a contig."""
        painted = np.zeros(self._genome.length_bp(contig), dtype=np.uint8)
        if contig in self._stretches:
            stretches = self._stretches[contig]
            starts, ends, codes = map(np.array, stretches)
            step = self._step
            # What is painted last stays: the lowest code, or of whole codons the first of them.
            order = np.argsort((codes.astype(np.int64) - 1) // step, kind="stable")[::-1]
            columns = (column[order].tolist() for column in (starts, ends, codes))
            for start, end, code in zip(*columns, strict=True):
                painted[start:end:step] = code
        return painted

    def _read(self) -> None:
        kinds: set[str] = set()
        circular: set[str] = set()
        over_origin: dict[str, Feature] = {}
        contigs: dict[str, str | None] = {}
        for feature in read_features(self._path):
            kinds.add(feature.kind)
            if feature.attributes.get("Is_circular") == ("true",):
                circular.add(feature.contig)
            if feature.kind not in self._config.features:
                continue
            if feature.contig not in contigs:
                contigs[feature.contig] = self._contig(feature)
            contig = contigs[feature.contig]
            if contig is not None and self._add(contig, feature):
                over_origin.setdefault(feature.contig, feature)
        # A contig may be marked after the features that go round it.
        for name, feature in over_origin.items():
            if name not in circular:
                raise self._beyond(feature)
        self._check_found(kinds)

    def _contig(self, feature: Feature) -> str | None:
        """The genome's name for a feature's contig, None if it isn't one of those chosen."""
        try:
            contig = self._genome.resolve(feature.contig)
        except SequenceFileError as error:
            # The genome needn't have a contig that nobody asks for.
            if self._config.contigs is not None:
                return None
            raise SequenceFileError(
                f"{self._path}: line {feature.line}: {error}, or name those to take in contigs"
            ) from None
        return contig if contig in self._contigs else None

    def _add(self, contig: str, feature: Feature) -> bool:
        """Keep what a feature covers; True if it goes on over the contig's origin."""
        name = self._config.features[feature.kind]
        if self._config.stranded:
            if feature.strand not in ("+", "-"):
                raise SequenceFileError(
                    f"{self._path}: line {feature.line}: found a {feature.kind} with the strand "
                    f"{feature.strand!r}, expected '+' or '-'; correct the line, or set "
                    "stranded=false"
                )
            name += feature.strand
        length_bp = self._genome.length_bp(contig)
        if feature.start >= length_bp or feature.end - feature.start > length_bp:
            raise self._beyond(feature)
        turned_bp = max(0, feature.end - length_bp)
        before_bp = feature.end - turned_bp - feature.start  # of the origin
        for offset, code in self._codes(feature, name):
            self._keep(contig, feature.start + offset, feature.end - turned_bp, code)
            if turned_bp:
                self._keep(contig, (offset - before_bp) % self._step, turned_bp, code)
        return turned_bp > 0

    def _codes(self, feature: Feature, name: str) -> Iterator[tuple[int, int]]:
        """Give the class of a feature's bases as (bases from its start on, code)."""
        if not self._config.codons:
            yield 0, self._classes.index(name)
            return
        if feature.phase is None:
            raise SequenceFileError(
                f"{self._path}: line {feature.line}: found a {feature.kind} without a phase, "
                "expected 0, 1 or 2 in the eighth column; correct the line, or set codons=false"
            )
        for offset in range(_CODON_BP):
            read_bp = offset  # from the end that is read first
            if feature.strand == "-":
                read_bp = feature.end - feature.start - 1 - offset
            place = (read_bp - feature.phase) % _CODON_BP + 1
            yield offset, self._classes.index(f"{name[:-1]}{place}{feature.strand}")

    def _keep(self, contig: str, start: int, end: int, code: int) -> None:
        if contig not in self._stretches:
            self._stretches[contig] = _Stretches(array("q"), array("q"), array("B"))
        starts, ends, codes = self._stretches[contig]
        starts.append(start)
        ends.append(end)
        codes.append(code)

    def _beyond(self, feature: Feature) -> SequenceFileError:
        contig = self._genome.resolve(feature.contig)
        return SequenceFileError(
            f"{self._path}: line {feature.line}: found a {feature.kind} at {contig} "
            f"{feature.start + 1} to {feature.end}, expected it inside the contig's "
            f"{self._genome.length_bp(contig)} bp in {self._genome.path}; check that both "
            "are of one assembly, or mark the contig Is_circular=true"
        )

    def _check_found(self, kinds: set[str]) -> None:
        missing = [kind for kind in self._config.features if kind not in kinds]
        if missing:
            there = ", ".join(map(repr, sorted(kinds)[:_SHOWN])) or "none"
            more = f" and {len(kinds) - _SHOWN} more" if len(kinds) > _SHOWN else ""
            raise SequenceFileError(
                f"{self._path}: found no feature of the type {missing[0]!r}, expected one of those "
                f"that there are: {there}{more}; correct features"
            )
        if not self._stretches:
            raise SequenceFileError(
                f"{self._path}: found no feature of {', '.join(self._config.features)} on the "
                f"contigs {', '.join(self._contigs)}, expected at least one; check their names"
            )


def _classes(config: AnnotationSourceConfig) -> tuple[str, ...]:
    names = list(dict.fromkeys(config.features.values()))
    if BACKGROUND in names:
        raise RecipeError(
            f"features: found the class {BACKGROUND!r}, which is that of bases in no feature; "
            "leave such features out, or call their class something else"
        )
    if config.stranded:
        places = range(1, _CODON_BP + 1) if config.codons else [""]
        names = [f"{name}{place}{strand}" for name in names for strand in "+-" for place in places]
    if len(names) >= _MOST_CLASSES:
        raise RecipeError(
            f"features: found {len(names) + 1} classes with {BACKGROUND!r}, expected at most "
            f"{_MOST_CLASSES}; let several types of feature be one class"
        )
    return (BACKGROUND, *names)
