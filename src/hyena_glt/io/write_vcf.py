"""VCF, written with INFO fields of ours and otherwise byte for byte as it was read."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import pysam

from hyena_glt.errors import StorageError
from hyena_glt.io.atomic import replacing_file
from hyena_glt.io.vcf import Variant, VcfRecord

_INFO_COLUMN = 7
_NO_VALUE = re.compile(r"[;\s]")


@dataclass(frozen=True, slots=True)
class InfoField:
    """One `##INFO` line. `number` is a count, or `A` for one value an ALT, `R`, `G` or `.`."""

    name: str
    number: str
    type: Literal["Integer", "Float", "Flag", "Character", "String"]
    description: str

    @property
    def header_line(self) -> str:
        """The line that declares the field."""
        description = self.description.replace("\\", "\\\\").replace('"', '\\"')
        return (
            f"##INFO=<ID={self.name},Number={self.number},Type={self.type},"
            f'Description="{description}">'
        )


class VcfWriter:
    """A VCF file under way, whole at the end of `with` or not there at all.

    `header` is that of a `VcfReader`. Lines that declare a field of `info` are replaced, and
    so are lines of the same key as one of `comments`; what is new is put before `#CHROM`.

    A path in `.vcf.gz` is written as bgzip, with a `.tbi` index beside it where one can be: each
    contig in one stretch, positions ascending and under 512 Mbp. `indexed` says after the end
    whether there is one; that of an earlier file is removed where there isn't.

    Raises StorageError at another suffix, and if the file can't be written.
    """

    indexed: bool = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: Sequence[str],
        info: Sequence[InfoField],
        comments: Sequence[str] = (),
    ) -> None:
        self.path = Path(path)
        if not self.path.name.endswith((".vcf", ".vcf.gz")):
            raise StorageError(
                f"{path}: found the suffix {self.path.suffix!r}, expected .vcf or .vcf.gz (bgzip, "
                "indexed); rename the output"
            )
        self._header = _with_fields(header, info, comments)
        self._names = frozenset(field.name for field in info)
        self._order = _Order()
        self._files = self._open()
        # A pysam.BGZFile, which has no type information, or a binary file.
        self._stream: Any = None

    def write(self, record: VcfRecord, info: Mapping[str, str]) -> None:
        """Write a record with these INFO values; an empty value writes the name alone, as a flag.

        Entries of every declared field are taken out of the record first, so a value that isn't
        given is absent and not an earlier run's. The values of one field are joined by commas.

        Raises ValueError at a field that isn't declared, or a value with white space or `;`.
        """
        for name, value in info.items():
            if name not in self._names or _NO_VALUE.search(value):
                raise ValueError(f"INFO {name}={value!r} isn't declared, or holds a space or ';'")
        self._order.add(record.variant)
        self._put(_with_info(record.text, self._names, info))

    def __enter__(self) -> "VcfWriter":
        self._files.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, trace)

    @contextmanager
    def _open(self) -> Iterator[None]:
        compressed = self.path.name.endswith(".gz")
        index = self.path.with_name(self.path.name + ".tbi")
        # The file takes its place before its index does: an older index is taken for a stale one.
        with ExitStack() as after, replacing_file(self.path) as aside:
            with (
                pysam.BGZFile(str(aside), "wb", None) if compressed else aside.open("wb") as stream
            ):
                self._stream = stream
                for line in self._header:
                    self._put(line)
                yield
            if compressed and self._order.is_sorted:
                self.indexed = _index(aside, index, after)
        if compressed and not self.indexed:
            index.unlink(missing_ok=True)

    def _put(self, text: str) -> None:
        self._stream.write(f"{text}\n".encode("utf-8", "surrogateescape"))


class _Order:
    """Whether records came in an order that tabix can index."""

    def __init__(self) -> None:
        self.is_sorted = True
        self._contig: str | None = None
        self._start = -1
        self._seen: set[str] = set()

    def add(self, variant: Variant) -> None:
        if variant.contig != self._contig:
            self.is_sorted &= variant.contig not in self._seen
            self._seen.add(variant.contig)
            self._contig, self._start = variant.contig, -1
        self.is_sorted &= self._start <= variant.start
        self._start = variant.start


def _index(aside: Path, index: Path, after: ExitStack) -> bool:
    """Make `index`, to take its place when `after` ends; False if tabix can't index the file."""
    # htslib warns on stderr of a position 0, which VCF allows, and of what a .tbi can't hold.
    verbosity = pysam.set_verbosity(0)
    try:
        with ExitStack() as stack:
            index_aside = stack.enter_context(replacing_file(index))
            pysam.tabix_index(str(aside), preset="vcf", force=True, index=str(index_aside))
            after.enter_context(stack.pop_all())
    except StorageError:
        return False
    finally:
        pysam.set_verbosity(verbosity)
    return True


def _with_fields(
    header: Sequence[str], info: Sequence[InfoField], comments: Sequence[str]
) -> list[str]:
    *lines, columns = header
    # A Windows file stays one.
    end = "\r" if columns.endswith("\r") else ""
    waiting = {field.name: field.header_line + end for field in info}
    declared = tuple(waiting)
    kept = []
    for line in lines:
        name = _declared(line)
        if name not in declared:
            kept.append(line)
        elif name in waiting:
            kept.append(waiting.pop(name))
    kept += waiting.values()
    # An earlier run's comments would say that they made these numbers.
    keys = tuple(comment.partition("=")[0] + "=" for comment in comments)
    kept = [line for line in kept if not keys or not line.startswith(keys)]
    kept += [" ".join(comment.splitlines()) + end for comment in comments]
    return [*kept, columns]


def _declared(line: str) -> str:
    """The name of the field that an `##INFO` line declares, "" for other lines."""
    found = re.match(r'##INFO=<(?:[^"]*,)?ID=([^,>]*)', line)
    return found[1] if found else ""


def _with_info(text: str, names: frozenset[str], info: Mapping[str, str]) -> str:
    """The line with these INFO values in the place of whatever entries of `names` it held."""
    columns = text.split("\t", _INFO_COLUMN + 1)
    column = columns[_INFO_COLUMN]
    end = "\r" if column.endswith("\r") else ""
    entries = column.removesuffix("\r").split(";")
    kept = ";".join(entry for entry in entries if entry.partition("=")[0] not in names)
    given = ";".join(f"{name}={value}" if value else name for name, value in info.items())
    if kept in ("", ".") or not given:
        joined = given or kept or "."
    else:
        joined = f"{kept.removesuffix(';')};{given}"
    columns[_INFO_COLUMN] = joined + end
    return "\t".join(columns)
