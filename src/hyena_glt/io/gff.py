"""GFF3 and GTF: features of a genome, read a line at a time."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast
from urllib.parse import unquote

from hyena_glt.errors import SequenceFileError
from hyena_glt.io.container import container_of, read_lines

Strand = Literal["+", "-", ".", "?"]
_Syntax = Literal["GFF3", "GTF"]

# GTF: a key, then a value in quotes or without, then a semicolon or the end.
_GTF_PAIR = re.compile(r'\s*([^\s;="]+)\s+(?:"([^"]*)"|([^\s;"]+))\s*(?:;|$)')
_GFF3_START = re.compile(r'\s*[^\s="]+=')


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: `[start, end)` of a contig, 0-based, whatever its strand.

    `chr1 . CDS 5 9 . - 0 ID=a;Parent=b,c` is `Feature("chr1", 4, 9, "CDS", "-", 0, {"ID": ("a",),
    "Parent": ("b", "c")}, line)`. On a circular contig `end` may lie past the contig's length.
    """

    contig: str
    start: int
    end: int
    kind: str  # the third column: gene, CDS, exon
    strand: Strand  # "." has none; "?" has one that isn't known, or parts on both
    phase: int | None  # bases before the first whole codon
    attributes: Mapping[str, tuple[str, ...]]
    line: int  # in the file, from 1; 0 where it has no line of its own
    # Where it is joined from several stretches, each with its strand, in the order of the product.
    parts: tuple[tuple[int, int, Strand], ...] = ()


def read_features(path: str | os.PathLike[str]) -> Iterator[Feature]:
    """The features of a plain, gzip or bgzip GFF3 or GTF file, one at a time, one a line.

    `##gff-version` tells which it is, or else the first attributes. In GFF3, `%09` and the like
    are unescaped and `##FASTA` ends the features. Comments and blank lines are passed over.

    Raises SequenceFileError: at once if the file is missing, a folder, empty or cut-off bgzip; at
    the line where it happens if it hasn't nine columns, a start or end that is no whole number
    from 1, start after end, another strand than `+ - . ?`, another phase than `0 1 2 .`, or
    attributes of another syntax. A file without features gives none.
    """
    path = Path(path)
    return _features(path, read_lines(path, container_of(path)))


def circular_contigs(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The contigs that a GFF3 file marks `Is_circular=true`, in its order; errors as above."""
    found = {
        feature.contig: None
        for feature in read_features(path)
        if feature.attributes.get("Is_circular") == ("true",)
    }
    return tuple(found)


def _features(path: Path, lines: Iterator[tuple[int, bytes]]) -> Iterator[Feature]:
    syntax: _Syntax | None = None
    for number, raw in lines:
        line = raw.decode("utf-8", "surrogateescape")
        if line.startswith("##gff-version"):
            syntax = "GFF3" if line.split()[1:2] and line.split()[1][:1] == "3" else "GTF"
        # A sequence may follow without the directive, which the format allows.
        if line == "##FASTA" or line.startswith(">"):
            return
        if not line or line.startswith(("#", "track ", "browser ")):
            continue
        columns = line.split("\t")
        try:
            if len(columns) == 8:
                columns.append("")
            if len(columns) != 9:
                raise ValueError(f"found {len(columns)} tab-separated columns, expected 9")
            if syntax is None and columns[8] not in ("", "."):
                syntax = "GFF3" if _GFF3_START.match(columns[8]) else "GTF"
            feature = _feature(columns, number, syntax)
        except ValueError as problem:
            raise SequenceFileError(f"{path}: line {number}: {problem}") from None
        yield feature


def _feature(columns: list[str], number: int, syntax: _Syntax | None) -> Feature:
    """The feature in nine columns; ValueError with the problem if they hold none."""
    contig, _, kind, first, last, _, strand, phase, pairs = columns
    start, end = _position(first, "start") - 1, _position(last, "end")
    if not contig or not kind:
        raise ValueError("found an empty column, expected a contig and the kind of feature")
    if start >= end:
        raise ValueError(f"found start {first} after end {last}, expected start <= end")
    if strand not in ("+", "-", ".", "?"):
        raise ValueError(f"found the strand {strand!r}, expected '+', '-', '.' or '?'")
    if phase not in ("0", "1", "2", "."):
        raise ValueError(f"found the phase {phase!r}, expected 0, 1, 2 or '.'")
    attributes = {} if pairs in ("", ".") else _gtf(pairs) if syntax == "GTF" else _gff3(pairs)
    if syntax == "GFF3":
        contig, kind = _unescaped(contig), _unescaped(kind)
    return Feature(
        contig,
        start,
        end,
        kind,
        cast(Strand, strand),
        None if phase == "." else int(phase),
        {key: tuple(values) for key, values in attributes.items()},
        number,
    )


def _position(text: str, column: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ValueError(f"found the {column} {text!r}, expected a whole number from 1")
    return int(text)


def _gff3(text: str) -> dict[str, list[str]]:
    attributes: dict[str, list[str]] = {}
    for pair in filter(None, map(str.strip, text.split(";"))):
        key, equals, values = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"found the attribute {pair[:40]!r}, expected key=value (GFF3)")
        # Commas are split before they are unescaped: an escaped one belongs to its value.
        attributes.setdefault(_unescaped(key), []).extend(map(_unescaped, values.split(",")))
    return attributes


def _gtf(text: str) -> dict[str, list[str]]:
    attributes: dict[str, list[str]] = {}
    text = text.strip()
    place = 0
    while place < len(text):
        pair = _GTF_PAIR.match(text, place)
        if pair is None:
            raise ValueError(
                f'found the attributes {text[place : place + 40]!r}, expected key "value"; (GTF)'
            )
        value = pair[2] if pair[2] is not None else pair[3]
        attributes.setdefault(pair[1], []).append(value)
        place = pair.end()
    return attributes


def _unescaped(text: str) -> str:
    return unquote(text, errors="surrogateescape") if "%" in text else text
