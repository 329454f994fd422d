"""GenBank flat files, read by Biopython: sequences with their features."""

import gzip
import os
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyena_glt.errors import MissingExtraError, SequenceFileError
from hyena_glt.io.container import container_of
from hyena_glt.io.gff import Feature, Strand

_STRANDS: dict[int | None, Strand] = {1: "+", -1: "-", 0: "?", None: "."}

_PHASES = {("1",): 0, ("2",): 1, ("3",): 2}


@dataclass(frozen=True, slots=True)
class GenbankRecord:
    """One record: its accession with version, its sequence in upper case, and its features."""

    name: str
    description: str
    sequence: str
    circular: bool
    features: tuple[Feature, ...]


def read_genbank(path: str | os.PathLike[str]) -> Iterator[GenbankRecord]:
    """The records of a plain, gzip or bgzip GenBank file, one at a time.

    A feature's attributes are its qualifiers, and `partial` is `("true",)` where an end lies
    beyond what is known (`<1..90`). One joined from several stretches has them as `parts`, in the
    order of the product, and spans them all: one over the origin of a circle spans the circle.

    Raises MissingExtraError without Biopython. Raises SequenceFileError: at once if the file is
    missing, a folder, empty or cut-off bgzip; at the record where it happens if it is no GenBank,
    cut off, without its sequence, or a feature lies on another record.
    """
    try:
        from Bio import SeqIO
    except ImportError as error:
        raise MissingExtraError(
            "reading GenBank needs Biopython, which isn't installed: "
            "pip install 'hyena-glt[genbank]'"
        ) from error
    path = Path(path)
    return _records(path, container_of(path) != "plain", SeqIO)


def _records(path: Path, compressed: bool, reader: Any) -> Iterator[GenbankRecord]:
    count = 0
    opened = gzip.open if compressed else open
    with opened(path, "rt", encoding="utf-8", errors="surrogateescape") as file:
        records = reader.parse(file, "genbank")
        while True:
            where = f"{path}: record {count + 1}"
            try:
                with warnings.catch_warnings():
                    # A sequence of another length than its LOCUS line says was cut off.
                    warnings.filterwarnings("error", message="Expected sequence length")
                    record = next(records, None)
            except (EOFError, zlib.error, OSError, ValueError, AssertionError, Warning) as error:
                raise SequenceFileError(
                    f"{where}: found no whole GenBank record ({error}); fetch the file again"
                ) from error
            if record is None:
                break
            yield _record(where, record)
            count += 1
    if not count:
        raise SequenceFileError(
            f"{path}: found no LOCUS line in it; give a GenBank file, plain, gzip or bgzip"
        )


def _record(where: str, record: Any) -> GenbankRecord:
    from Bio.Seq import UndefinedSequenceError

    try:
        sequence = str(record.seq)
    except UndefinedSequenceError as error:
        raise SequenceFileError(
            f"{where} ({record.id}): found no sequence in it; fetch it as 'GenBank (full)'"
        ) from error
    return GenbankRecord(
        name=record.id,
        description=record.description,
        sequence=sequence,
        circular=record.annotations.get("topology") == "circular",
        features=tuple(_feature(where, record.id, feature) for feature in record.features),
    )


def _feature(where: str, contig: str, feature: Any) -> Feature:
    if feature.location is None:
        raise SequenceFileError(
            f"{where} ({contig}): found a {feature.type} whose location can't be read; correct it"
        )
    parts = [
        (int(part.start), int(part.end), _STRANDS[part.strand]) for part in feature.location.parts
    ]
    if any(part.ref is not None for part in feature.location.parts):
        raise SequenceFileError(
            f"{where} ({contig}): found the {feature.type} at {feature.location}, part of which "
            "lies on another record; remove the feature"
        )
    attributes = {key: tuple(values) for key, values in feature.qualifiers.items()}
    if any(
        type(edge).__name__ != "ExactPosition"
        for part in feature.location.parts
        for edge in (part.start, part.end)
    ):
        attributes["partial"] = ("true",)
    strands = {strand for _, _, strand in parts}
    return Feature(
        contig=contig,
        start=min(start for start, _, _ in parts),
        end=max(end for _, end, _ in parts),
        kind=feature.type,
        strand=strands.pop() if len(strands) == 1 else "?",
        phase=_PHASES.get(attributes.get("codon_start", ())),
        attributes=attributes,
        line=0,
        parts=tuple(parts) if len(parts) > 1 else (),
    )
