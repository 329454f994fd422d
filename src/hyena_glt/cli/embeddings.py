"""What ``hyena-glt embed`` writes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from hyena_glt.api import LoadedModel
from hyena_glt.cli.records import groups, open_records
from hyena_glt.embed import Layer, Pool, Probe, embed_stream
from hyena_glt.errors import StorageError
from hyena_glt.io import NpzWriter, Record, TableWriter, check_output
from hyena_glt.score import read_both_strands
from hyena_glt.tokenize import encode

Vectors = Float[np.ndarray, "_ D"]
Add = Callable[[str, int, Vectors], None]  # a sequence's name, the first vector's position, vectors


@dataclass
class Tally:
    """What has been embedded in all."""

    layer: Layer
    pool: Pool
    sequences: int = 0
    length_bp: int = 0
    renamed: Mapping[str, str] = field(
        default_factory=dict
    )  # contigs: the BED's name, the genome's
    skipped: list[str] = field(default_factory=list)  # what is wrong with intervals left out

    def count(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records, counted."""
        for record in records:
            self.sequences += 1
            self.length_bp += len(record.sequence)
            yield record

    def as_dict(self) -> dict[str, Any]:
        """Return the counts and what the numbers are."""
        return {
            "sequences": self.sequences,
            "length_bp": self.length_bp,
            "layer": self.layer.name,
            "width": self.layer.width,
            "pool": self.pool,
            "renamed_contigs": dict(self.renamed),
            "intervals_left_out": self.skipped,
        }

    def __str__(self) -> str:
        per = "base" if self.pool == "base" else "sequence"
        return (
            f"{self.sequences:,} sequences, {self.length_bp:,} bp, layer {self.layer.name} "
            f"({self.layer.width:,} numbers a {per})"
        )


def write_embeddings(
    model: LoadedModel,
    path: Path,
    bed: Path | None,
    out: Path,
    *,
    layer: str,
    pool: Pool,
    both_strands: bool | None,
    two_sided: bool | None = None,
    circular: Sequence[str] = (),
    skip_bad: bool = False,
) -> Tally:
    """Write the embeddings of the records of ``path``, or its intervals in ``bed``; count them.

    Sequences are read, embedded and written in groups, a base's vector in pieces; the file takes
    its place when it is whole. Raises what the model and the files raise, the file and the record
    named.
    """
    check_suffix(out)
    probe = Probe(model.network, layer, two_sided)
    alphabet = model.network.alphabet
    if read_both_strands(model.network, both_strands):
        alphabet.reverse_complement(encode(""))  # refuses a protein before any work
    check_output(out, path, bed)
    tally = Tally(probe.layer, pool)
    with (
        open_records(
            path, bed, alphabet, probe.check, circular, tally.skipped if skip_bad else None
        ) as (records, tally.renamed),
        FORMATS[out.suffix](out, probe.layer.width, pool == "base") as add,
    ):
        counted = tally.count(records)
        if pool == "base":
            _add_bases(add, model, counted, layer, both_strands, two_sided)
        else:
            _add_pooled(add, model, counted, layer, pool, both_strands, two_sided)
    return tally


def check_suffix(out: Path) -> None:
    """Raise StorageError unless the suffix of ``out`` is a format's."""
    if out.suffix not in FORMATS:
        raise StorageError(
            f"{out}: found the suffix {out.suffix!r}, expected {', '.join(FORMATS)}; rename the "
            "output"
        )


@contextmanager
def _open_parquet(out: Path, width: int, per_base: bool) -> Iterator[Add]:
    position = {"position": int} if per_base else {}
    columns: dict[str, type | str] = {"name": str, **position, "embedding": f"f4*{width}"}
    with TableWriter(out, columns) as table:

        def add(name: str, start: int, values: Vectors) -> None:
            for at, vector in enumerate(values, start):
                place = {"position": at} if per_base else {}
                table.write({"name": name, **place, "embedding": vector})

        yield add


@contextmanager
def _open_tsv(out: Path, width: int, per_base: bool) -> Iterator[Add]:
    position = {"position": int} if per_base else {}
    numbers = [f"e{i}" for i in range(width)]
    columns: dict[str, type | str] = {"name": str, **position, **dict.fromkeys(numbers, "f4")}
    with TableWriter(out, columns) as table:

        def add(name: str, start: int, values: Vectors) -> None:
            for at, vector in enumerate(values, start):
                place = {"position": at} if per_base else {}
                table.write({"name": name, **place, **dict(zip(numbers, vector, strict=True))})

        yield add


@contextmanager
def _open_npz(out: Path, width: int, per_base: bool) -> Iterator[Add]:
    """Sequence n's vectors are ``embeddings[offsets[n]:offsets[n + 1]]``, one each without."""
    rows = 0
    with NpzWriter(out) as arrays:

        def add(name: str, start: int, values: Vectors) -> None:
            nonlocal rows
            if start == 0:
                arrays.append("names", np.array([name]))
                if per_base:
                    arrays.append("offsets", np.array([rows]))
            arrays.append("embeddings", values.astype(np.float32, copy=False).reshape(-1, width))
            rows += len(values)

        yield add
        if per_base:
            arrays.append("offsets", np.array([rows]))


FORMATS = {".parquet": _open_parquet, ".npz": _open_npz, ".tsv": _open_tsv}


def _add_pooled(
    add: Add,
    model: LoadedModel,
    records: Iterable[Record],
    layer: str,
    pool: Literal["mean", "max", "last"],
    both_strands: bool | None,
    two_sided: bool | None,
) -> None:
    for group in groups(records):
        sequences = [record.sequence for record in group]
        vectors = model.embed(sequences, layer, pool, both_strands, two_sided)
        for record, vector in zip(group, vectors, strict=True):
            add(record.name, 0, vector[None])


def _add_bases(
    add: Add,
    model: LoadedModel,
    records: Iterable[Record],
    layer: str,
    both_strands: bool | None,
    two_sided: bool | None,
) -> None:
    names: dict[int, str] = {}  # of the sequences taken whose vectors aren't written yet

    def sequences() -> Iterator[str]:
        for number, record in enumerate(records):
            names[number] = record.name
            yield record.sequence

    pieces = embed_stream(model.network, sequences(), layer, both_strands, two_sided)
    for number, start, values in pieces:
        if start == 0:
            names.pop(number - 1, None)
        add(names[number], start, values)
