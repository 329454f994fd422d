"""The `.fai` (and, for bgzip, `.gzi`) index beside a FASTA file: read if current, else made.

An index is current if it is no older than the FASTA file and, for a plain file, its last record
ends where the file does. One that isn't is made again, which reads the whole file with the checks
of `read_fasta`, a line in memory at once.
"""

import os
from contextlib import ExitStack
from pathlib import Path

import pysam

from hyena_glt.errors import SequenceFileError
from hyena_glt.io.atomic import replacing_file
from hyena_glt.io.container import Container
from hyena_glt.io.fasta import record_lengths_bp


def indexed_lengths_bp(path: Path, container: Container) -> dict[str, int]:
    """Every record's length in bases, in the order of the file, from an index that is current.

    Raises SequenceFileError if the file can't be indexed, and StorageError if an index is to be
    made where none can be written.
    """
    fai, gzi = _beside(path, ".fai"), _beside(path, ".gzi")
    indexes = [fai] if container == "plain" else [fai, gzi]
    if not _is_current(path, indexes, container):
        _make(path, indexes)
    return {name: numbers[0] for name, numbers in _parse(fai).items()}


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _is_current(path: Path, indexes: list[Path], container: Container) -> bool:
    changed_ns = path.stat().st_mtime_ns
    if not all(index.is_file() and index.stat().st_mtime_ns >= changed_ns for index in indexes):
        return False
    try:
        entries = _parse(indexes[0])
    except (OSError, ValueError):
        return False
    return bool(entries) and (container == "bgzip" or _ends_with(path, list(entries.values())[-1]))


def _parse(fai: Path) -> dict[str, tuple[int, int, int, int]]:
    """For each name: length, offset of its first base, bases in a line, bytes in a line."""
    entries = {}
    for line in fai.read_text("ascii").splitlines():
        name, *numbers = line.split("\t")
        length_bp, offset, line_bp, line_bytes = map(int, numbers)
        entries[name] = (length_bp, offset, line_bp, line_bytes)
    return entries


def _ends_with(path: Path, entry: tuple[int, int, int, int]) -> bool:
    """Whether nothing but white space follows the last base of the last record, and it is there."""
    length_bp, offset, line_bp, line_bytes = entry
    if min(length_bp, line_bp) < 1:
        return False
    full_lines, rest_bp = divmod(length_bp - 1, line_bp)
    last_base = offset + full_lines * line_bytes + rest_bp
    with path.open("rb") as file:
        if last_base >= os.fstat(file.fileno()).st_size:
            return False
        file.seek(last_base)
        return len(file.read(4096).rstrip()) == 1


def _make(path: Path, indexes: list[Path]) -> None:
    found = list(record_lengths_bp(path))
    with ExitStack() as stack:
        asides = [stack.enter_context(replacing_file(index)) for index in indexes]
        arguments = [str(path), "--fai-idx", str(asides[0])]
        if len(asides) == 2:
            arguments += ["--gzi-idx", str(asides[1])]
        # htslib writes its own account of a failure to stderr; ours says more.
        verbosity = pysam.set_verbosity(0)
        try:
            pysam.faidx(*arguments)
            indexed = [(name, numbers[0]) for name, numbers in _parse(asides[0]).items()]
        except pysam.utils.SamtoolsError:
            indexed = []
        finally:
            pysam.set_verbosity(verbosity)
        if indexed != found:
            raise SequenceFileError(
                f"{path}: found lines of unequal length in a record, expected all but the last to "
                "be equal, which random access needs; write the records of read_fasta to a new "
                "file with write_fasta"
            )
