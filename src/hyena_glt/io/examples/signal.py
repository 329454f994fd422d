"""A genome in windows, with numbers from tracks for each bin of bases."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from hyena_glt.config.examples import SignalSourceConfig
from hyena_glt.errors import SequenceFileError
from hyena_glt.io.container import container_of, read_lines
from hyena_glt.io.examples.example import Example, Schema
from hyena_glt.io.examples.genome import GenomeWindow, chosen_contigs, open_genome, tiles
from hyena_glt.io.track import Track, open_track

# How files begin in which NaN is the way to hold no score: bigWig of both byte orders, .npz.
_BINARY = (b"\x26\xfc\x8f\x88", b"\x88\x8f\xfc\x26", b"PK\x03\x04")


class SignalSource:
    """The windows that tile each contig from its first base, with a row of numbers for each bin.

    A label has shape (bins, tracks), tracks in the order of `paths`. A number is the mean of those
    bases of the bin that have a score; it is NaN where none has, which says that there is no
    target. Lines of a bedGraph whose score is `nan` give none; `notes` counts them. The last window
    of a contig is as long as what is left of it, and its last bin is the mean of the bases that
    there are. Contigs come in the order of the genome, or of `contigs`. An example is named
    `contig:start-end`, 0-based and half-open.

    Raises, at once: SequenceFileError if a file is missing or wrong, or if a track lacks a contig,
    or knows it with another length; RecipeError if `contigs` is empty or repeats one. While it is
    read: SequenceFileError at a score that isn't finite, naming the track and the place.
    """

    schema: Schema
    notes: tuple[str, ...] = ()

    def __init__(self, config: SignalSourceConfig) -> None:
        self.schema = Schema("signal", tuple(config.paths), config.bin_bp)
        self._config = config
        self._genome = open_genome(config.genome)
        self._contigs = chosen_contigs(self._genome, config.contigs)
        self._tracks = tuple(map(open_track, config.paths.values()))
        length_bp = {contig: self._genome.length_bp(contig) for contig in self._contigs}
        for track in self._tracks:
            _check_contigs(track, length_bp)
        found = [_note_of_nan(track.path) for track in self._tracks]
        self.notes = tuple(note for note in found if note)

    def __iter__(self) -> Iterator[Example]:
        """The examples; raises SequenceFileError at the first that is wrong."""
        for contig in self._contigs:
            for window in tiles(self._genome, contig, self._config.window_bp):
                columns = [self._means(track, window) for track in self._tracks]
                label = np.stack(columns, axis=1)
                where = f"{self._config.genome}: {window.name}"
                yield Example(
                    window.name, window.sequence, label, where, self._config.part, contig=contig
                )

    def _means(self, track: Track, window: GenomeWindow) -> Float32[np.ndarray, " T"]:
        scores = track.fetch(track.resolve(window.contig), window.start, window.end)
        if self._config.missing == "zero":
            scores = np.nan_to_num(scores)
        return _bin_means(scores, self._config.bin_bp)


def _check_contigs(track: Track, length_bp: dict[str, int]) -> None:
    """Pass over a track that has all of these contigs, with their lengths."""
    for contig in length_bp:
        try:
            track.resolve(contig)
        except SequenceFileError as error:
            # A bedGraph has no line of a contig without scores.
            raise SequenceFileError(f"{error} Or name those to take in contigs") from None
    track.check_lengths(length_bp)


def _note_of_nan(path: Path) -> str:
    """What to say of a bedGraph's lines whose score is nan; empty if there are none."""
    with path.open("rb") as file:
        if file.read(4) in _BINARY:
            return ""
    count, first = 0, 0
    for number, line in read_lines(path, container_of(path)):
        if line[-3:].lower() == b"nan" and _is_nan(line.split()):
            count, first = count + 1, first or number
    if not count:
        return ""
    return (
        f"{path}: the score of {count:,} lines is nan (the first is line {first}); their bases "
        "have no score, as if the lines weren't there"
    )


def _is_nan(columns: list[bytes]) -> bool:
    return len(columns) == 4 and columns[1].isdigit() and columns[3].lstrip(b"+-").lower() == b"nan"


def _bin_means(scores: Float32[np.ndarray, " L"], bin_bp: int) -> Float32[np.ndarray, " T"]:
    """The mean of the scores in each bin but NaN; the last bin may be short of bases.

    >>> _bin_means(np.array([1, 3, np.nan, 5, np.nan, np.nan, 7], np.float32), 2).tolist()
    [2.0, 5.0, nan, 7.0]
    """
    bins = -(-len(scores) // bin_bp)
    rows = np.full((bins, bin_bp), np.nan)
    rows.flat[: len(scores)] = scores
    known = ~np.isnan(rows)
    counts = known.sum(axis=1)
    sums = np.where(known, rows, 0).sum(axis=1)
    means = np.full(bins, np.nan, dtype=np.float64)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means.astype(np.float32)
