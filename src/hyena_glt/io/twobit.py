"""UCSC 2bit, https://genome.ucsc.edu/FAQ/FAQformat.html#format7: a genome in a quarter of a byte
a base, any interval of which is read without the rest.

Bases stand four to a byte, the first in the highest bits; runs of N and of lower case stand apart.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt32

from hyena_glt.errors import SequenceFileError
from hyena_glt.io.container import container_of
from hyena_glt.io.record import check_interval, checked_length_bp

SIGNATURE = 0x1A412743
BASES = b"TCAG"

_LOWER_CASE = 0x20
# Four letters for each value of a byte, as one 32-bit word so that a look-up moves all four.
_LETTERS = np.array(
    [[BASES[value >> shift & 3] for shift in (6, 4, 2, 0)] for value in range(256)], dtype=np.uint8
)
_WORDS = _LETTERS.view(np.uint32).reshape(256)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Intervals of a record that don't overlap, in order."""

    starts: UInt32[np.ndarray, " runs"]
    ends: UInt32[np.ndarray, " runs"]

    def inside(self, start: int, end: int) -> list[slice]:
        """The parts of the runs within `[start, end)`, counted from `start`."""
        first = np.searchsorted(self.ends, np.uint32(start), side="right")
        stop = np.searchsorted(self.starts, np.uint32(end), side="left")
        return [
            slice(max(run_start, start) - start, min(run_end, end) - start)
            for run_start, run_end in zip(
                self.starts[first:stop].tolist(), self.ends[first:stop].tolist(), strict=True
            )
        ]


@dataclass(frozen=True, slots=True)
class _Packed:
    """One record: its length, its runs of N and of lower case, and four bases a byte."""

    length_bp: int
    unknown: _Runs
    soft_masked: _Runs
    bases: UInt8[np.ndarray, " quads"]


class TwoBitGenome:
    """A 2bit file of either byte order, mapped into memory, open for random access.

    It can be pickled and used after a fork and from several threads.

    Raises SequenceFileError if the file is missing, no 2bit file of version 0, cut off or damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # Absolute, so that a copy works in a process with another working folder.
        self._path = Path(path).absolute()
        container_of(self._path)
        self._content = np.memmap(self._path, dtype=np.uint8, mode="r").view(np.ndarray)
        self._word = self._word_type()
        self._records = {
            name: self._packed(name, offset) for name, offset in self._offsets().items()
        }
        self._length_bp = {name: packed.length_bp for name, packed in self._records.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The records' names, in the order of the file."""
        return tuple(self._records)

    def length_bp(self, name: str) -> int:
        """The length of a record in bases; SequenceFileError, with names like it, if none is."""
        return checked_length_bp(self._path, self._length_bp, name)

    def fetch_bytes(self, name: str, start: int, end: int) -> UInt8[np.ndarray, " L"]:
        """The letters of `[start, end)`, 0-based, as ASCII codes in a new array.

        Unknown bases are N, soft-masked ones lower case: of `ACgtN`, `[2, 5)` is `b"gtN"`.

        Raises SequenceFileError if there is no such record or the interval isn't inside it.
        """
        check_interval(self._path, self._length_bp, name, start, end)
        packed = self._records[name]
        first = start // 4
        words = _WORDS[packed.bases[first : -(-end // 4)]]
        letters: UInt8[np.ndarray, " L"] = words.view(np.uint8)
        letters = letters[start - 4 * first : end - 4 * first]
        for run in packed.unknown.inside(start, end):
            letters[run] = ord("N")
        for run in packed.soft_masked.inside(start, end):
            letters[run] |= _LOWER_CASE
        return letters

    def fetch(self, name: str, start: int, end: int) -> str:
        """The letters of `[start, end)` as text; errors as `fetch_bytes`."""
        return str(self.fetch_bytes(name, start, end).data, "ascii")

    def __reduce__(self) -> tuple[type["TwoBitGenome"], tuple[Path]]:
        return type(self), (self._path,)

    def _word_type(self) -> np.dtype[np.uint32]:
        for order in "<>":
            word: np.dtype[np.uint32] = np.dtype(f"{order}u4")
            if self._content.size >= 16 and self._content[:4].view(word)[0] == SIGNATURE:
                return word
        raise SequenceFileError(
            f"{self._path}: found no 2bit signature in its first bytes "
            f"({self._content[:4].tobytes()!r}), expected {SIGNATURE:#x} in either byte order; "
            "give a 2bit file, unzipped, or read FASTA with IndexedFasta"
        )

    def _offsets(self) -> dict[str, int]:
        version, count, reserved = self._words("header", 4, 3)
        if version != 0 or reserved != 0:
            raise SequenceFileError(
                f"{self._path}: found 2bit version {version} (reserved word {reserved}), expected "
                "0; make the file again with faToTwoBit, without -long"
            )
        offsets: dict[str, int] = {}
        place = 16
        for _ in range(count):
            # Past the end, the length is taken for 0 and the offset word reports the cut.
            size = int(self._content[place]) if place < self._content.size else 0
            raw = self._content[place + 1 : place + 1 + size].tobytes()
            (offset,) = self._words("index", place + 1 + size, 1)
            name = raw.decode("ascii", "replace")
            if not name.isascii() or not name.isprintable() or not name or name in offsets:
                raise self._damaged(f"the name {raw!r}, which is empty, repeated or not ASCII")
            offsets[name] = int(offset)
            place += 1 + size + 4
        return offsets

    def _packed(self, name: str, offset: int) -> _Packed:
        length_bp = int(self._words(name, offset, 1)[0])
        unknown, offset = self._runs(name, offset + 4, length_bp)
        soft_masked, offset = self._runs(name, offset, length_bp)
        (reserved,) = self._words(name, offset, 1)
        bases = self._content[offset + 4 : offset + 4 + -(-length_bp // 4)]
        if reserved != 0 or bases.size != -(-length_bp // 4):
            raise self._damaged(
                f"record {name!r} with reserved word {reserved} and {bases.size} bytes for "
                f"{length_bp} bases"
            )
        return _Packed(length_bp, unknown, soft_masked, bases)

    def _runs(self, name: str, offset: int, length_bp: int) -> tuple[_Runs, int]:
        count = int(self._words(name, offset, 1)[0])
        words = self._words(name, offset + 4, 2 * count).astype(np.int64)
        starts, ends = words[:count], words[:count] + words[count:]
        bounds = np.concatenate([starts[:1], ends[-1:]])
        if (starts[1:] < ends[:-1]).any() or (bounds > length_bp).any():
            raise self._damaged(f"record {name!r} with runs that overlap or reach past its end")
        return _Runs(starts.astype(np.uint32), ends.astype(np.uint32)), offset + 4 + 8 * count

    def _words(self, where: str, offset: int, count: int) -> UInt32[np.ndarray, " count"]:
        raw = self._content[offset : offset + 4 * count]
        if raw.size != 4 * count:
            raise self._damaged(f"the end of the file inside {where!r}")
        return raw.view(self._word).astype(np.uint32)

    def _damaged(self, found: str) -> SequenceFileError:
        return SequenceFileError(
            f"{self._path}: found {found}; the file is cut off or damaged: fetch or make it again"
        )
