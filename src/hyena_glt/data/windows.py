"""Windows of a genome, each a pure function of its index: a stream that resumes anywhere."""

from functools import lru_cache
from typing import Literal, NamedTuple, Protocol, get_args, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from torch.utils.data import Dataset

from hyena_glt.config import DataConfig
from hyena_glt.data.genome import Genome
from hyena_glt.data.splits import Region
from hyena_glt.io import Track
from hyena_glt.tokenize import Alphabet

Kind = Literal["causal", "masked"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# A draw's random numbers come from (seed, purpose, index), so that none depends on another:
# 0 a pass's order, 1 a window's strand, 2 its kind and mask, 3 the records of a split, 4 which
# genome of a mixture, 5 the seed of each of them.


class Window(NamedTuple):
    """Bases to predict and what each prediction weighs.

    In a causal window every letter is predicted from those before it. In a masked one ``ids`` hold
    MASK at the hidden bases, which alone have targets, and are predicted from both sides.
    """

    ids: UInt8[np.ndarray, " L"]
    target: Int64[np.ndarray, " L"]  # index of the letter; -1 where there is none (N, not hidden)
    weight: Float32[np.ndarray, " L"]
    kind: Kind = "causal"
    track: Float32[np.ndarray, " L"] | None = None  # a score a base, NaN where there is none


@runtime_checkable
class Windows(Protocol):
    """So many windows, each a pure function of its index."""

    def __len__(self) -> int:
        """How many."""
        ...

    def __getitem__(self, index: int, /) -> Window:
        """Return a window."""
        ...


def make_window(
    ids: UInt8[np.ndarray, " L"],
    alphabet: Alphabet,
    soft_mask_weight: float,
    track: Float32[np.ndarray, " L"] | None = None,
) -> Window:
    """Return the causal window of ``ids``: N weighs 0, a soft-masked base ``soft_mask_weight``."""
    target = alphabet.letter_index(ids).astype(np.int64)
    weight = np.where(alphabet.is_soft_masked(ids), soft_mask_weight, 1.0)
    weight = np.where(target >= 0, weight, 0.0).astype(np.float32)
    return Window(ids, target, weight, track=track)


class TrainingWindows(Dataset[Window]):
    """``count`` windows of the training regions; item i depends on (seed, i) alone.

    Each pass over the regions tiles them at another random phase and takes the tiles in another
    random order, so that every base is read about once a pass. Tiles at a region's ends are moved
    inside it; a region shorter than a window is a shorter window.
    """

    def __init__(
        self,
        genome: Genome,
        regions: tuple[Region, ...],
        alphabet: Alphabet,
        config: DataConfig,
        count: int,
        seed: int,
        track: Track | None = None,
    ) -> None:
        self._genome = genome
        self._track = track
        self._regions = regions
        self._alphabet = alphabet
        self._config = config
        self._count = count
        self._seed = seed
        tiles = [-(-region.length_bp // config.window_bp) + 1 for region in regions]
        # A region within one window has one tile: every phase would give the same.
        short = [region.length_bp <= config.window_bp for region in regions]
        self._tiles = np.array([1 if s else t for t, s in zip(tiles, short, strict=True)])
        self._ends = self._tiles.cumsum()
        self._order = lru_cache(maxsize=2)(self._order_of_pass)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Window:
        region, start, reverse = self.place(index)
        end = min(start + self._config.window_bp, region.end)
        place = Region(region.contig, start, end)
        return _read(self._genome, self._track, place, reverse, self._alphabet, self._config)

    def place(self, index: int) -> tuple[Region, int, bool]:
        """Return (region, first base, whether it is read from the other strand) of a window."""
        number, within = divmod(index, int(self._ends[-1]))
        phases, order = self._order(number)
        tile = int(order[within])
        which = int(np.searchsorted(self._ends, tile, side="right"))
        region = self._regions[which]
        step = tile - int(self._ends[which] - self._tiles[which])
        window_bp = self._config.window_bp
        start = region.start - window_bp + int(phases[which]) + step * window_bp
        start = max(region.start, min(start, region.end - window_bp))
        rng = np.random.default_rng((self._seed, 1, index))
        return region, start, self._config.reverse_complement and bool(rng.integers(2))

    def _order_of_pass(
        self, number: int
    ) -> tuple[Int64[np.ndarray, " R"], Int64[np.ndarray, " T"]]:
        rng = np.random.default_rng((self._seed, 0, number))
        phases = rng.integers(1, self._config.window_bp + 1, size=len(self._regions))
        return phases, rng.permutation(int(self._ends[-1]))


def validation_windows(
    genome: Genome,
    regions: tuple[Region, ...],
    alphabet: Alphabet,
    config: DataConfig,
    bases: int,
    track: Track | None = None,
) -> list[Window]:
    """Return windows spread evenly over ``regions``, ``bases`` in all or what there is.

    Every second one is read from the other strand where training reads both.
    """
    tiles = [
        Region(region.contig, start, min(start + config.window_bp, region.end))
        for region in regions
        for start in range(region.start, region.end, config.window_bp)
    ]
    wanted = max(1, min(len(tiles), bases // config.window_bp))
    picked = np.linspace(0, len(tiles) - 1, wanted).round().astype(int)
    return [
        _read(
            genome, track, tiles[i], config.reverse_complement and number % 2 == 1, alphabet, config
        )
        for number, i in enumerate(picked.tolist())
    ]


def _read(
    genome: Genome,
    track: Track | None,
    place: Region,
    reverse: bool,
    alphabet: Alphabet,
    config: DataConfig,
) -> Window:
    """Return the causal window of ``place``, from the other strand where ``reverse``."""
    ids = genome.fetch_bytes(*place)
    scores = None
    if track is not None:
        scores = track.fetch(track.resolve(place.contig), place.start, place.end)
    if reverse:
        ids = alphabet.reverse_complement(ids)
        scores = None if scores is None else scores[::-1].copy()
    return make_window(ids, alphabet, config.soft_mask_weight, scores)
