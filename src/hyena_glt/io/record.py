"""A named sequence, and the names and intervals that a file of them answers to."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hyena_glt.errors import SequenceError, SequenceFileError

# Letters in either case, then gap, stop and any-gap, which alignments and proteins use.
SEQUENCE_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-*."

_MITOCHONDRION = frozenset({"m", "mt"})


@dataclass(frozen=True, slots=True)
class Record:
    """One sequence of a file: `>chr1 first` over `ACgt` is `Record("chr1", "first", "ACgt")`."""

    name: str
    description: str
    sequence: str


def checked_records(records: Iterable[Record], names_differ: bool = False) -> Iterator[Record]:
    """The same records, each checked to be one that a file can hold and give back unchanged.

    With `names_differ` the caller answers for names, and none is remembered.

    Raises SequenceError at a name that is empty, repeated or has a space in it, at a description
    of several lines, at an empty sequence, at a character no sequence has, and if there is no
    record at all.
    """
    seen: set[str] = set()
    found = False
    for record in records:
        found = True
        problem = _problem(record, seen)
        if problem:
            raise SequenceError(f"record {record.name!r} can't be written: {problem}")
        if not names_differ:
            seen.add(record.name)
        yield record
    if not found:
        raise SequenceError("found no record to write, expected at least one; check the source")


def check_interval(
    path: Path, length_bp: Mapping[str, int], name: str, start: int, end: int
) -> None:
    """Pass over an interval `[start, end)` that lies inside the record called `name`.

    Raises SequenceFileError if there is no such record, or the interval isn't inside it.
    """
    length = checked_length_bp(path, length_bp, name)
    if not 0 <= start <= end <= length:
        raise SequenceFileError(
            f"{path}: found the interval {name}:{start}-{end}, expected "
            f"0 <= start <= end <= {length} (0-based, end not included); clip it to the record"
        )


def checked_length_bp(path: Path, length_bp: Mapping[str, int], name: str) -> int:
    """The length of the record called `name`; SequenceFileError, with names like it, if none is."""
    if name not in length_bp:
        raise _unknown(path, length_bp, name)
    return length_bp[name]


def same_contig(path: Path, names: Collection[str], contig: str) -> str:
    """The one of `names` that another file calls `contig`.

    The same name, or else the one that differs by a prefix `chr` alone: `1` is `chr1`, and `MT` is
    `chrM`.

    Raises SequenceFileError if there is none, with names like it, or more than one.
    """
    if contig in names:
        return contig
    same = [name for name in names if _bare(name) == _bare(contig)]
    if len(same) > 1:
        raise SequenceFileError(
            f"{path}: found {' and '.join(map(repr, same))}, either of which may be "
            f"{contig!r}; rename it in the other file"
        )
    if not same:
        raise _unknown(path, names, contig)
    return same[0]


def _bare(name: str) -> str:
    """A contig's name without a prefix `chr`; all names of the mitochondrion are one."""
    bare = name[3:] if name[:3].lower() == "chr" else name
    return "mt" if bare.lower() in _MITOCHONDRION else bare


def _unknown(path: Path, names: Collection[str], name: str) -> SequenceFileError:
    # Assemblies differ in the prefix more than in anything else, and "1" is not close to "chr1".
    near = [other for other in (f"chr{name}", name.removeprefix("chr")) if other in names]
    near = near or difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "check the assembly"
    return SequenceFileError(
        f"{path}: found no record {name!r} among its {len(names)} records; {hint}"
    )


def _problem(record: Record, seen: set[str]) -> str | None:
    name, description, sequence = record.name, record.description, record.sequence
    if not name or not name.isascii() or not name.isprintable() or " " in name:
        return "its name is not one printable ASCII word; rename it"
    if name in seen:
        return "an earlier record has the same name; rename one of them"
    if not description.isascii() or not description.replace("\t", " ").isprintable():
        return "its description is not one line of printable ASCII; shorten or clean it"
    if description != description.strip():
        return "its description starts or ends with a space, which would be lost; strip it"
    if not sequence:
        return "its sequence is empty; leave it out"
    wrong = first_wrong_character(sequence.encode("ascii", "replace"))
    if wrong is not None:
        return (
            f"found {sequence[wrong]!r} at position {wrong} (0-based), expected letters, '-', '*' "
            "or '.'; remove it"
        )
    return None


def first_wrong_character(sequence: bytes) -> int | None:
    """The 0-based position of the first byte that no sequence has, or None if there is none."""
    wrong = sequence.translate(None, SEQUENCE_CHARACTERS)
    return sequence.index(wrong[0]) if wrong else None
