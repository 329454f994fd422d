"""A prepared dataset: a folder of shards that are read where they lie, by memory-map.

manifest.json        what the dataset is, and the SHA-256 of every other file; written last
parts.npy            which part of the split each row belongs to, one byte a row
shard-00000.arrow    up to 65,536 examples, an Arrow IPC file of one batch
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from pydantic import ValidationError

from hyena_glt.config.base import Config
from hyena_glt.config.examples import DatasetConfig, Part
from hyena_glt.data.examples.split import PARTS
from hyena_glt.data.genome import file_sha256
from hyena_glt.errors import SequenceFileError
from hyena_glt.io.examples.example import Target

FORMAT_VERSION: Final = 1
MANIFEST = "manifest.json"
PARTS_FILE = "parts.npy"
BACKGROUND = "background"


class PartCounts(Config):
    """What a part of the split holds."""

    rows: int
    bases: int
    classes: dict[str, int]  # examples of each class; of "bases", bases of each class


class Leak(Config):
    """How many sequences of a part stand in another, too."""

    part: Part  # whose sequences are counted
    other: Part
    identical: int
    similar: int  # identical, or linked by half of their k-mers and more


class Shard(Config):
    """A file of examples."""

    file: str
    rows: int
    bases: int
    sha256: str


class Manifest(Config):
    """What a prepared dataset is, and what it was made from."""

    format_version: int = FORMAT_VERSION
    hyena_glt: str  # the version that wrote it
    config: DatasetConfig
    target: Target
    classes: tuple[str, ...]  # of code 0, 1, ...: sorted by name; of "bases" background first
    names: tuple[str, ...]  # of numbers or tracks
    bin_bp: int
    pairs: bool
    rows: int
    bases: int
    parts: dict[Part, PartCounts]
    dropped: dict[str, int]  # how many for each reason
    leaks: tuple[Leak, ...] = ()  # of all pairs of parts that hold something
    warnings: tuple[str, ...] = ()  # of leaks, and of how sources were read
    shards: tuple[Shard, ...]
    parts_sha256: str
    sources: dict[str, str]  # path of each file read, and its SHA-256


# A class; classes as 0 and 1; numbers; a class for each base; numbers for each bin and track.
RowTarget = (
    None
    | int
    | UInt8[np.ndarray, " C"]
    | Float32[np.ndarray, " C"]
    | UInt8[np.ndarray, " L"]
    | Float32[np.ndarray, "T C"]
)


class Row(NamedTuple):
    """One example. Arrays are views of the file and can't be written to."""

    name: str
    sequence: UInt8[np.ndarray, " L"]  # letters as ASCII codes, case kept
    target: RowTarget
    alternative: UInt8[np.ndarray, " A"] | None
    where: str
    contig: str | None


class Dataset:
    """A prepared dataset; `open_dataset` gives it. Pickled as its path, for workers that read."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.starts = (0, *accumulate(shard.rows for shard in manifest.shards))
        self._shards: list[_ShardReader | None] = [None] * len(manifest.shards)

    def part(self, part: Part) -> "Rows":
        """Return the rows of a part of the split, in the order of the sources."""
        parts = np.load(self.folder / PARTS_FILE, mmap_mode="r")
        return Rows(self, part, np.flatnonzero(parts == PARTS.index(part)).astype(np.int64))

    def shard(self, index: int) -> "_ShardReader":
        """Return a shard, opened at the first call."""
        shard = self._shards[index]
        if shard is None:
            path = self.folder / self.manifest.shards[index].file
            shard = self._shards[index] = _ShardReader(path, self.manifest)
        return shard

    def __reduce__(self) -> tuple[Callable[..., "Dataset"], tuple[Path, bool]]:
        return open_dataset, (self.folder, False)


class Rows:
    """The rows of one part, by number from 0."""

    def __init__(self, dataset: Dataset, part: Part, indices: Int64[np.ndarray, " R"]) -> None:
        self._dataset = dataset
        self._part = part
        self._indices = indices  # of rows in the whole dataset
        self._quick_indices = indices.data  # a memoryview gives Python's numbers, many times faster
        self._starts = dataset.starts

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Row:
        row = self._quick_indices[index]
        shard = bisect_right(self._starts, row) - 1
        return self._dataset.shard(shard).row(row - self._starts[shard])

    def __iter__(self) -> Iterator[Row]:
        return (self[index] for index in range(len(self)))

    def lengths(self) -> Int64[np.ndarray, " R"]:
        """Return the bases of each row's sequence."""
        return self._gathered(lambda shard: shard.lengths())

    def labels(self) -> Int64[np.ndarray, " R"]:
        """Return the class code of each row; ValueError unless the target is "class"."""
        if self._dataset.manifest.target != "class":
            raise ValueError(f"the target is {self._dataset.manifest.target!r}, expected 'class'")
        return self._gathered(lambda shard: shard.class_codes())

    def groups(self) -> list[str | None]:
        """Return what each row mustn't be parted from, as its source has it; None where nothing."""
        places = self._indices.tolist()
        shards = (bisect_right(self._starts, place) - 1 for place in places)
        return [
            self._dataset.shard(shard).group(place - self._starts[shard])
            for place, shard in zip(places, shards, strict=True)
        ]

    def _gathered(self, read: "Callable[[_ShardReader], np.ndarray]") -> Int64[np.ndarray, " R"]:
        shards = range(len(self._dataset.manifest.shards))
        of_all = [read(self._dataset.shard(index)) for index in shards]
        return np.asarray(np.concatenate([np.empty(0, np.int64), *of_all])[self._indices])

    def __reduce__(self) -> tuple[Callable[..., "Rows"], tuple[Dataset, Part]]:
        return Dataset.part, (self._dataset, self._part)


def open_dataset(folder: Path, check: bool = True) -> Dataset:
    """Return the dataset in ``folder``; with ``check`` every file's checksum is compared.

    Raises SequenceFileError for a folder that holds none, a damaged one, or another format version.
    """
    manifest = read_manifest(folder)
    sums = {PARTS_FILE: manifest.parts_sha256}
    sums |= {shard.file: shard.sha256 for shard in manifest.shards}
    for name, expected in sums.items():
        file = folder / name
        if not file.is_file():
            raise SequenceFileError(f"{file}: is missing; prepare the dataset again")
        if check and file_sha256(file) != expected:
            raise SequenceFileError(
                f"{file}: is damaged, its SHA-256 isn't the one in {MANIFEST}; prepare the dataset "
                "again"
            )
    return Dataset(folder, manifest)


def read_manifest(folder: Path) -> Manifest:
    """Return what the dataset in ``folder`` is, without a look at its other files.

    Raises SequenceFileError as `open_dataset` does.
    """
    path = folder / MANIFEST
    if not path.is_file():
        state = f"has no {MANIFEST}" if folder.is_dir() else "no such folder"
        raise SequenceFileError(
            f"{folder}: {state}; expected a prepared dataset. One whose preparation was cut off "
            "can be resumed"
        )
    damaged = SequenceFileError(f"{path}: is damaged; prepare the dataset again")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content["format_version"]
    except (ValueError, KeyError, TypeError):
        raise damaged from None
    if found != FORMAT_VERSION:
        raise SequenceFileError(
            f"{folder}: has format_version {found}, this version of hyena-glt reads "
            f"{FORMAT_VERSION}; prepare the dataset again"
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError:
        raise damaged from None


def read_batch(path: Path) -> Any:
    """Return the one record batch of a shard, its columns views of the file."""
    import pyarrow

    try:
        # Views keep the map alive; the file itself is closed, or many shards would be too many.
        with pyarrow.memory_map(str(path)) as file, pyarrow.ipc.open_file(file) as reader:
            return reader.get_batch(0)
    except (pyarrow.ArrowInvalid, IndexError):
        raise SequenceFileError(f"{path}: is damaged; prepare the dataset again") from None


def base_classes(batch: Any) -> tuple[str, ...]:
    """Return what the codes of a shard's "bases" mean."""
    return tuple(json.loads(batch.schema.metadata[b"classes"]))


class _Cells:
    """A column of text or bytes: where each cell lies in one buffer."""

    def __init__(self, column: Any, offset_bytes: int) -> None:
        valid, offsets, data = column.buffers()
        self._valid = None if valid is None else memoryview(valid)  # a bit for each cell
        # A memoryview gives Python's own numbers, several times faster than NumPy gives its.
        self.offsets = memoryview(offsets).cast("q" if offset_bytes == 8 else "i")
        self.data = memoryview(b"" if data is None else data)
        self.ids = np.frombuffer(self.data, np.uint8)

    def text_or_none(self, row: int) -> str | None:
        if self._valid is not None and not self._valid[row >> 3] >> (row & 7) & 1:
            return None
        return self.text(row)

    def text(self, row: int) -> str:
        return str(self.data[self.offsets[row] : self.offsets[row + 1]], "utf-8")

    def array(self, row: int) -> UInt8[np.ndarray, " L"]:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]


class _ShardReader:
    """The rows of one shard."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._batch = read_batch(path)
        self._name = _Cells(self._batch.column("name"), 4)
        self._where = _Cells(self._batch.column("where"), 4)
        self._contig = _Cells(self._batch.column("contig"), 4)
        self._group = _Cells(self._batch.column("group"), 4)
        self._sequence = _Cells(self._batch.column("sequence"), 8)
        self._alternative = _Cells(self._batch.column("alternative"), 8) if manifest.pairs else None
        self._classes = manifest.classes
        self._target = _TARGETS[manifest.target](self._batch, manifest)

    def row(self, row: int) -> Row:
        alternative = None if self._alternative is None else self._alternative.array(row)
        return Row(
            self._name.text(row),
            self._sequence.array(row),
            self._target(row),
            alternative,
            self._where.text(row),
            self._contig.text_or_none(row),
        )

    def group(self, row: int) -> str | None:
        return self._group.text_or_none(row)

    def lengths(self) -> Int64[np.ndarray, " R"]:
        return np.diff(np.frombuffer(self._sequence.offsets, np.int64))

    def class_codes(self) -> Int64[np.ndarray, " R"]:
        import pyarrow
        from pyarrow import compute

        classes = pyarrow.array(self._classes, pyarrow.string())
        codes = compute.index_in(self._batch.column("label"), value_set=classes)
        return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.int64)


def _no_target(batch: Any, manifest: Manifest) -> Callable[[int], None]:
    return lambda row: None


def _class(batch: Any, manifest: Manifest) -> Callable[[int], int]:
    codes = {name: code for code, name in enumerate(manifest.classes)}
    labels = _Cells(batch.column("label"), 4)
    return lambda row: codes[labels.text(row)]


def _multilabel(batch: Any, manifest: Manifest) -> Callable[[int], np.ndarray]:
    codes = {name: code for code, name in enumerate(manifest.classes)}
    column = batch.column("label")
    ends = memoryview(column.buffers()[1]).cast("i")
    labels = _Cells(column.values, 4)

    def target(row: int) -> np.ndarray:
        vector = np.zeros(len(codes), np.uint8)
        for label in range(ends[row], ends[row + 1]):
            vector[codes[labels.text(label)]] = 1
        return vector

    return target


def _values(batch: Any, manifest: Manifest) -> Callable[[int], np.ndarray]:
    numbers = batch.column("label").values.to_numpy().reshape(-1, len(manifest.names))
    return lambda row: numbers[row]


def _bases(batch: Any, manifest: Manifest) -> Callable[[int], np.ndarray]:
    cells = _Cells(batch.column("label"), 8)
    table = np.array([manifest.classes.index(name) for name in base_classes(batch)], np.uint8)
    if np.array_equal(table, np.arange(len(table))):
        return cells.array
    return lambda row: table[cells.array(row)]


def _signal(batch: Any, manifest: Manifest) -> Callable[[int], np.ndarray]:
    column = batch.column("label")
    ends = memoryview(column.buffers()[1]).cast("q")
    numbers = column.values.to_numpy()
    tracks = len(manifest.names)
    return lambda row: numbers[ends[row] : ends[row + 1]].reshape(-1, tracks)


_TARGETS: dict[Target, Callable[[Any, Manifest], Callable[[int], Any]]] = {
    "none": _no_target,
    "class": _class,
    "multilabel": _multilabel,
    "values": _values,
    "bases": _bases,
    "signal": _signal,
}
