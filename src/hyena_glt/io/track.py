"""A score a base, whatever its file, with the names that other files call contigs by."""

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from hyena_glt.errors import SequenceFileError
from hyena_glt.io.bedgraph import BedGraph
from hyena_glt.io.bigwig import BigWig
from hyena_glt.io.container import container_of
from hyena_glt.io.record import check_interval, checked_length_bp, same_contig

_BIGWIG = 0x888FFC26
_ZIP, _NPY = b"PK\x03\x04", b"\x93NUM"


@runtime_checkable
class Scores(Protocol):
    """What a track reads from: each kind of file has its own."""

    length_bp: dict[str, int]  # of each contig: its length, or how far its scores reach
    has_lengths: bool  # which of them

    def fetch(self, contig: str, start: int, end: int) -> Float32[np.ndarray, " L"]:
        """The scores of an interval that is on the contig, NaN where the file has none."""

    def close(self) -> None:
        """Close the file."""


class Track:
    """A score a base of a genome: conservation, accessibility, surprisal.

    `open_track` makes it. It can be pickled and used after a fork, each process opening the file
    for itself; threads need one each.
    """

    path: Path
    names: tuple[str, ...]  # the contigs that the file has
    renamed: dict[str, str]  # what `resolve` took for what: another file's name to the track's

    def __init__(self, path: str | os.PathLike[str], scores: Scores) -> None:
        # Absolute, so that a copy works in a process with another working folder.
        self.path = Path(path).absolute()
        self._scores = scores
        self.names = tuple(scores.length_bp)
        self.renamed = {}

    def resolve(self, contig: str) -> str:
        """The track's name for a contig that another file calls `contig`, noted in `renamed`.

        The same name, or else the one that differs by a prefix `chr` alone: `1` is `chr1`, and
        `MT` is `chrM`.

        Raises SequenceFileError if there is none, with names like it, or more than one.
        """
        if contig in self._scores.length_bp:
            return contig
        if contig not in self.renamed:
            self.renamed[contig] = same_contig(self.path, self._scores.length_bp, contig)
        return self.renamed[contig]

    def check_lengths(self, length_bp: Mapping[str, int]) -> None:
        """Pass over a genome's contigs, names and lengths, that the track has and fits.

        Raises SequenceFileError if it lacks one, knows it with another length, or has a score
        beyond its end.
        """
        for contig, wanted_bp in length_bp.items():
            found_bp = self._scores.length_bp[self.resolve(contig)]
            if found_bp > wanted_bp or (self._scores.has_lengths and found_bp != wanted_bp):
                has = "" if self._scores.has_lengths else "scores up to "
                raise SequenceFileError(
                    f"{self.path}: found {has}{found_bp} bp of {self.resolve(contig)!r}, expected "
                    f"{wanted_bp} as in the genome; use a track of the same assembly"
                )

    def fetch(self, contig: str, start: int, end: int) -> Float32[np.ndarray, " L"]:
        """The scores of `[start, end)` of one of `names`, 0-based, NaN where the file has none.

        Raises SequenceFileError if there is no such contig, at a score that isn't finite, and if
        the interval isn't on the contig; a bedGraph doesn't know where a contig ends, so that what
        lies beyond is NaN.
        """
        limit_bp = checked_length_bp(self.path, self._scores.length_bp, contig)
        if not self._scores.has_lengths:
            limit_bp = max(limit_bp, end)
        check_interval(self.path, {contig: limit_bp}, contig, start, end)
        scores = self._scores.fetch(contig, start, end)
        infinite = np.isinf(scores)
        if infinite.any():
            raise SequenceFileError(
                f"{self.path}: found an infinite score at {contig}:{start + infinite.argmax()} "
                "(0-based), expected a number of float32; write no score there instead"
            )
        return scores

    def close(self) -> None:
        """Close the file; a later `fetch` from bigWig is a ValueError."""
        self._scores.close()

    def __enter__(self) -> "Track":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return open_track, (self.path,)


def open_track(path: str | os.PathLike[str]) -> Track:
    """The track in a bigWig, a bedGraph (plain, gzip, bgzip) or an `.npz` file, told by content.

    A bigWig is read an interval at a time; the others are held in memory. An `.npz` file has one
    array of floats a contig, with as many as it has bases, NaN where there is none.

    Raises SequenceFileError if the file is missing, none of these, or damaged.
    """
    path = Path(path).absolute()
    container_of(path)
    with path.open("rb") as file:
        head = file.read(4)
    if head in (_BIGWIG.to_bytes(4, "little"), _BIGWIG.to_bytes(4, "big")):
        return Track(path, BigWig(path))
    if head == _ZIP:
        return Track(path, _Arrays(path))
    if head == _NPY:
        raise SequenceFileError(
            f"{path}: found an .npy file, which names no contig; write an .npz: "
            "np.savez(path, chr1=scores)"
        )
    return Track(path, BedGraph(path))


class _Arrays:
    """The arrays of an `.npz` file, in memory."""

    has_lengths = True

    def __init__(self, path: Path) -> None:
        self._arrays: dict[str, np.ndarray] = {}
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                for name in archive.files:
                    self._arrays[name] = _as_scores(archive[name])
        except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise SequenceFileError(
                f"{path}: can't be read as arrays ({error}); write it with np.savez, one array of "
                "floats a contig"
            ) from error
        self.length_bp = {name: len(array) for name, array in self._arrays.items()}

    def fetch(self, contig: str, start: int, end: int) -> Float32[np.ndarray, " L"]:
        """The scores of `[start, end)`, as a copy."""
        return self._arrays[contig][start:end].copy()

    def close(self) -> None:
        """Nothing is left open."""


def _as_scores(array: object) -> Float32[np.ndarray, " L"]:
    if not isinstance(array, np.ndarray):
        raise ValueError("found a member that is no array")
    if array.dtype.kind != "f" or array.ndim != 1:
        raise ValueError(f"found {array.dtype} of shape {array.shape}, expected floats (L,)")
    with np.errstate(over="ignore"):  # infinite then, which `Track.fetch` refuses
        return array.astype(np.float32)
