"""Sequences of a file, whether FASTA or FASTQ."""

import os
from collections.abc import Iterator
from pathlib import Path

from hyena_glt.io.container import container_of, read_lines
from hyena_glt.io.fasta import read_fasta
from hyena_glt.io.fastq import read_fastq
from hyena_glt.io.record import Record


def read_sequences(path: str | os.PathLike[str]) -> Iterator[Record]:
    """The records of a FASTA or FASTQ file, plain, gzip or bgzip, one at a time.

    The first character that is no white space tells which: `@` is FASTQ, whose qualities are left
    out. Letters as they stand.

    Raises SequenceFileError as `read_fasta` and `read_fastq` do.
    """
    path = Path(path)
    first = next((line for _, line in read_lines(path, container_of(path)) if line), b"")
    if not first.startswith(b"@"):
        return read_fasta(path)
    return (Record(read.name, read.description, read.sequence) for read in read_fastq(path))
