"""Sources to a prepared dataset: letters checked, poor examples dropped, every row in a part.

The work can be cut off at any point and resumed: each shard is written whole or not at all, and
progress.json says which shards there are. What comes out doesn't depend on it, nor on how many
processes work.
"""

import hashlib
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from jaxtyping import Int64, UInt8, UInt64
from pydantic import ValidationError

from hyena_glt.config.base import Config
from hyena_glt.config.examples import (
    DatasetConfig,
    ExamplesConfig,
    FoldsSplitConfig,
    Part,
    RandomSplitConfig,
    RecordsSourceConfig,
    SignalSourceConfig,
)
from hyena_glt.data.examples.dataset import (
    FORMAT_VERSION,
    MANIFEST,
    PARTS_FILE,
    Leak,
    Manifest,
    PartCounts,
    Shard,
    base_classes,
    read_batch,
    read_manifest,
)
from hyena_glt.data.examples.leaks import Compared, leaks_of, warnings_of
from hyena_glt.data.examples.quality import DUPLICATE, check_letters, reasons, why_dropped
from hyena_glt.data.examples.shard import batch_of, sorted_classes
from hyena_glt.data.examples.sketch import cluster_names
from hyena_glt.data.examples.split import PARTS, assign_parts, check_columns
from hyena_glt.data.genome import BUILTIN, builtin_path, file_sha256
from hyena_glt.errors import RecipeError, SequenceError, SequenceFileError, StorageError
from hyena_glt.io import replacing_file
from hyena_glt.io.examples import (
    BaseClasses,
    Example,
    ExamplesSource,
    Schema,
    Target,
    open_examples,
)
from hyena_glt.tokenize import alphabet

_CHUNK_ROWS = 1 << 16
# Letters and labels, which for tracks are many times the letters.
_CHUNK_BYTES = 64_000_000
_PROGRESS = "progress.json"


class _Done(Config):
    """A shard that is written, and what became of the examples that it was to hold."""

    shard: Shard
    read: int
    dropped: dict[str, int]


class _Progress(Config):
    """What a preparation that was cut off has done, and for what."""

    format_version: Literal[1] = FORMAT_VERSION
    config: DatasetConfig
    sources: dict[str, str]
    done: dict[int, _Done]


class _Chunk(NamedTuple):
    """The examples of one shard, by columns, which pickle several times faster than rows."""

    columns: tuple[tuple[Any, ...], ...]
    repeated: bytes  # 1 where an equal example came before

    def examples(self) -> list[Example]:
        return [Example._make(cells) for cells in zip(*self.columns, strict=True)]


# Of each row a hash of its sequence, and the first row that it is linked to.
_Likeness = tuple[UInt64[np.ndarray, " R"], Int64[np.ndarray, " R"]]


class _Job(NamedTuple):
    """What all shards have in common."""

    config: DatasetConfig
    schema: Schema
    out: Path


def prepare_dataset(
    config: DatasetConfig,
    out: Path,
    *,
    workers: int = 1,
    resume: bool = False,
    progress: Callable[[int], None] | None = None,
    open_source: Callable[[ExamplesConfig], ExamplesSource] = open_examples,
) -> Manifest:
    """Write the dataset of ``config`` into the folder ``out``; return what it holds.

    ``workers`` processes check and write shards while this one reads. After each shard ``progress``
    is told how many examples are done. With ``resume``, what an earlier call with the same config
    and sources left in ``out`` is kept. After an error in sources or settings ``out`` is empty.

    The manifest counts the sequences of one part that stand in another, the same or nearly, and
    warns of them.

    Raises RecipeError for sources of different kinds, a resume with another config, and a class
    that only validation or test has; SequenceFileError for a source that can't be read, has changed
    since, or leaves nothing; SequenceError for a letter that the modality doesn't have;
    StorageError where ``out`` holds something, or can't be written.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}, expected 1 or more")
    sources = [open_source(source) for source in config.sources]
    job = _Job(config, shared_schema(config, sources), out)
    checksums = {
        str(path): file_sha256(path) for source in config.sources for path in source_files(source)
    }
    if resume and (out / MANIFEST).is_file():
        manifest = read_manifest(out)
        _check_same(out, config, checksums, manifest.config, manifest.sources)
        (out / _PROGRESS).unlink(missing_ok=True)
        return manifest
    state = _resumed(job, checksums) if resume and _holds_files(out) else _begun(job, checksums)
    examples_done = 0
    try:
        for index, done in _shards(job, sources, workers, state):
            if index not in state.done:
                state.done[index] = done
                _save(out / _PROGRESS, state)
            examples_done += done.read
            if progress is not None:
                progress(examples_done)
        notes = [note for source in sources for note in source.notes]
        in_order = [state.done[index] for index in sorted(state.done)]
        manifest = _finished(job, checksums, in_order, notes)
    except (RecipeError, SequenceError, SequenceFileError):
        # Sources or settings have to change, and then nothing of this can be resumed.
        _emptied(out)
        raise
    _save(out / MANIFEST, manifest)
    (out / _PROGRESS).unlink()
    return manifest


def shared_schema(config: DatasetConfig, sources: Sequence[ExamplesSource]) -> Schema:
    """Return what all examples have in common; ``sources`` are those of ``config``, opened.

    Raises RecipeError, naming both, where a source has another schema than the first.
    """
    first = sources[0].schema
    for index, source in enumerate(sources):
        for field in Schema._fields:
            expected, found = getattr(first, field), getattr(source.schema, field)
            if found != expected:
                first_title, title = (source_title(config.sources[i]) for i in (0, index))
                raise RecipeError(
                    f"sources.{index} ({title}): found {field} {found!r}, expected {expected!r}, "
                    f"as sources.0 ({first_title}) has; prepare two datasets"
                )
    return first


def source_files(config: ExamplesConfig) -> list[Path]:
    """Return the files that a source is read from; of a folder all in it.

    Raises SequenceFileError for one that isn't there.
    """
    named = _paths_of(config)
    if isinstance(config, RecordsSourceConfig) and config.table is not None:
        named.append(config.table.path)
    genome: str | None = getattr(config, "genome", None)
    if genome is not None:
        named.append(genome)
    files = []
    for name in named:
        path = builtin_path(name) if name.startswith(BUILTIN) else Path(name).expanduser()
        if not path.exists():
            raise SequenceFileError(f"{path}: no such file; check the path in the recipe")
        files += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return files


def source_title(config: ExamplesConfig) -> str:
    """Return what a source is read from; of tracks all their files."""
    return ", ".join(_paths_of(config))


def _paths_of(config: ExamplesConfig) -> list[str]:
    return [*config.paths.values()] if isinstance(config, SignalSourceConfig) else [config.path]


def _holds_files(out: Path) -> bool:
    return out.is_dir() and any(out.iterdir())


def _begun(job: _Job, checksums: dict[str, str]) -> _Progress:
    if job.out.exists() and not job.out.is_dir():
        raise StorageError(f"{job.out}: is a file, expected a folder; choose another place")
    if _holds_files(job.out):
        raise StorageError(
            f"{job.out}: holds files, expected a new folder; resume, if a preparation was cut off "
            "there, or choose another place"
        )
    try:
        job.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{job.out}: can't be made ({error.strerror}); choose another place"
        ) from None
    state = _Progress(config=job.config, sources=checksums, done={})
    _save(job.out / _PROGRESS, state)
    return state


def _resumed(job: _Job, checksums: dict[str, str]) -> _Progress:
    """What is done, as far as it is whole; leaves no trace of files that were half written."""
    path = job.out / _PROGRESS
    halves = set(job.out.glob(".*.part.*"))
    is_begun = path.is_file()
    if not is_begun and set(job.out.iterdir()) - halves:
        raise StorageError(
            f"{job.out}: holds files but no {_PROGRESS}, so no preparation was cut off there; "
            "choose another place"
        )
    for half in halves:
        half.unlink()
    if not is_begun:
        return _begun(job, checksums)
    try:
        state = _Progress.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, ValueError):
        raise SequenceFileError(
            f"{path}: is damaged or of another version of hyena-glt; remove {job.out} and start "
            "again"
        ) from None
    _check_same(job.out, job.config, checksums, state.config, state.sources)
    whole = {index: done for index, done in state.done.items() if _is_whole(job.out, done.shard)}
    return state.model_copy(update={"done": whole})


def _emptied(out: Path) -> None:
    """Remove what a preparation wrote, so that the next can be begun there."""
    for file in (out / _PROGRESS, out / PARTS_FILE, *out.glob("shard-*.arrow")):
        file.unlink(missing_ok=True)


def _is_whole(out: Path, shard: Shard) -> bool:
    file = out / shard.file
    return file.is_file() and file_sha256(file) == shard.sha256


def _check_same(
    out: Path,
    config: DatasetConfig,
    checksums: dict[str, str],
    old_config: DatasetConfig,
    old_checksums: dict[str, str],
) -> None:
    changed = [
        name
        for name in DatasetConfig.model_fields
        if getattr(config, name) != getattr(old_config, name)
    ]
    if changed:
        raise RecipeError(
            f"{out}: was begun with other settings of {', '.join(changed)}; resume with the same, "
            "or choose another place"
        )
    for path in checksums.keys() | old_checksums.keys():
        if checksums.get(path) != old_checksums.get(path):
            raise SequenceFileError(
                f"{path}: has changed since {out} was begun; choose another place and start again"
            )


def _save(path: Path, content: Config) -> None:
    with replacing_file(path) as aside:
        aside.write_text(content.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _shards(
    job: _Job, sources: list[ExamplesSource], workers: int, state: _Progress
) -> Iterator[tuple[int, _Done]]:
    """Each shard in its order, those that are done among them."""
    chunks = enumerate(_chunks(sources, job.config.quality.duplicates == "drop"))
    if workers == 1:
        for index, chunk in chunks:
            yield index, state.done.get(index) or _write_shard(job, index, chunk)
        return
    # Spawned: a fork would copy what the caller's threads hold.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, initializer=_end_with_parent)
    under_way: deque[tuple[int, _Done | Future[_Done]]] = deque()
    try:
        for index, chunk in chunks:
            # As many as there are workers: a chunk that only waits would take memory.
            if len(under_way) == workers:
                yield _awaited(*under_way.popleft())
            done = state.done.get(index)
            if done is None:
                # A worker is begun here and inherits the mask: Ctrl-C stops this process alone,
                # which stops its workers.
                before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
                try:
                    under_way.append((index, pool.submit(_write_shard, job, index, chunk)))
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
            else:
                under_way.append((index, done))
        while under_way:
            yield _awaited(*under_way.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """End this worker when the process that began it is killed, which couldn't tell it so."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _awaited(index: int, done: "_Done | Future[_Done]") -> tuple[int, _Done]:
    return index, done.result() if isinstance(done, Future) else done


def _chunks(sources: list[ExamplesSource], marks_duplicates: bool) -> Iterator[_Chunk]:
    """Runs of examples, cut at the same places each time; one may span two sources."""
    seen: set[bytes] = set()
    examples: list[Example] = []
    repeated = bytearray()
    size = 0
    for source in sources:
        for example in source:
            examples.append(example)
            if marks_duplicates:
                digest = _digest(example)
                repeated.append(digest in seen)
                seen.add(digest)
            size += _bytes_of(example)
            if len(examples) == _CHUNK_ROWS or size >= _CHUNK_BYTES:
                yield _chunk(examples, repeated)
                examples, repeated, size = [], bytearray(), 0
    if examples:
        yield _chunk(examples, repeated)


def _chunk(examples: list[Example], repeated: bytearray) -> _Chunk:
    columns = tuple(zip(*examples, strict=True))
    return _Chunk(columns, bytes(repeated) or bytes(len(examples)))


def _bytes_of(example: Example) -> int:
    size = len(example.sequence) + len(example.alternative or b"")
    if isinstance(example.label, BaseClasses):
        size += len(example.label.codes)
    elif isinstance(example.label, np.ndarray):
        size += example.label.nbytes
    return size


def _digest(example: Example) -> bytes:
    """64 bits of the letters, case aside, and of the label."""
    pieces = [example.sequence.upper(), (example.alternative or b"").upper()]
    label = example.label
    if isinstance(label, BaseClasses):
        # Codes may count other classes in another example: compared as the sorted names.
        used = sorted(set(label.codes), key=label.classes.__getitem__)
        codes = bytes.maketrans(bytes(used), bytes(range(len(used))))
        pieces += [label.codes.translate(codes), *(label.classes[c].encode() for c in used)]
    elif isinstance(label, np.ndarray):
        pieces.append(label.tobytes())
    elif label is not None:
        names = [label] if isinstance(label, str) else sorted(set(label))
        pieces += [name.encode("utf-8", "surrogateescape") for name in names]
    lengths = ",".join(str(len(piece)) for piece in pieces)
    return hashlib.blake2b(b"".join([lengths.encode(), *pieces]), digest_size=8).digest()


def _write_shard(job: _Job, index: int, chunk: _Chunk) -> _Done:
    """Check the letters of a chunk, drop what is poor, and write the rest."""
    import pyarrow

    letters = alphabet(job.config.modality)
    examples = chunk.examples()
    wheres = [example.where for example in examples]
    check_letters([example.sequence for example in examples], wheres, letters)
    if job.schema.pairs:
        alternatives = [example.second() for example in examples]
        check_letters(alternatives, [f"{where}, alternative" for where in wheres], letters)
    kept: list[Example] = []
    dropped: Counter[str] = Counter()
    for example, is_repeated in zip(examples, chunk.repeated, strict=True):
        reason = why_dropped(example.sequence, job.config.quality, letters)
        if reason is None and job.schema.pairs:
            reason = why_dropped(example.second(), job.config.quality, letters)
        if reason is None and is_repeated:
            reason = DUPLICATE
        if reason is None:
            kept.append(example)
        else:
            dropped[reason] += 1
    batch = batch_of(kept, job.schema)
    path = job.out / f"shard-{index:05d}.arrow"
    with (
        replacing_file(path) as aside,
        pyarrow.OSFile(str(aside), "wb") as file,
        pyarrow.ipc.new_file(file, batch.schema) as writer,
    ):
        writer.write_batch(batch)
    shard = Shard(
        file=path.name,
        rows=len(kept),
        bases=sum(len(example.sequence) for example in kept),
        sha256=file_sha256(path),
    )
    return _Done(shard=shard, read=len(examples), dropped=dict(dropped))


def _finished(
    job: _Job, checksums: dict[str, str], done: list[_Done], notes: Sequence[str]
) -> Manifest:
    """Put each row into a part, count, and return what goes into the manifest."""
    shards = tuple(each.shard for each in done)
    dropped = sum((Counter(each.dropped) for each in done), Counter[str]())
    in_order = {r: dropped[r] for r in reasons(alphabet(job.config.modality)) if dropped[r]}
    rows = sum(shard.rows for shard in shards)
    if rows == 0:
        found = ", ".join(f"{count} {reason}" for reason, count in in_order.items())
        raise SequenceFileError(
            f"{source_title(job.config.sources[0])}: no example is left "
            f"({found or 'there is none'}); check the sources and quality"
        )
    parts, leaks = _parts(job, shards)
    with replacing_file(job.out / PARTS_FILE) as aside, aside.open("wb") as file:
        np.save(file, parts)
    counts, classes = _counted(job, shards, parts)
    check_columns(job.config.sources, classes)
    return Manifest(
        hyena_glt=version("hyena-glt"),
        config=job.config,
        target=job.schema.target,
        classes=classes,
        names=job.schema.names,
        bin_bp=job.schema.bin_bp,
        pairs=job.schema.pairs,
        rows=rows,
        bases=sum(shard.bases for shard in shards),
        parts=dict(zip(PARTS, counts, strict=True)),
        dropped=in_order,
        leaks=leaks,
        warnings=(*warnings_of(leaks), *notes),
        shards=shards,
        parts_sha256=file_sha256(job.out / PARTS_FILE),
        sources=checksums,
    )


def _parts(job: _Job, shards: Sequence[Shard]) -> tuple[UInt8[np.ndarray, " R"], tuple[Leak, ...]]:
    """The part of each row, and what leaks between parts."""
    split = job.config.split
    columns: dict[str, list[str | None]] = {"part": [], "group": [], "contig": []}
    for shard in shards:
        batch = read_batch(job.out / shard.file)
        for name, cells in columns.items():
            # One object for each different text, not for each row.
            encoded = batch.column(name).dictionary_encode()
            texts = [*encoded.dictionary.to_pylist(), None]
            cells += [texts[code] for code in encoded.indices.fill_null(-1).to_pylist()]
    keep = split.by if isinstance(split, RandomSplitConfig) else None
    keep = split.keep if isinstance(split, FoldsSplitConfig) else keep
    compared = _compared(job, shards) if keep == "similarity" else None
    cluster = None if compared is None else cluster_names(compared[1], compared[0])
    given = cast(list[Part | None], columns["part"])
    seed = job.config.seed
    parts = assign_parts(split, seed, given, columns["group"], columns["contig"], cluster)
    if len(np.unique(parts)) == 1:
        return parts, ()
    return parts, leaks_of(parts, *(compared or _compared(job, shards)))


def _compared(job: _Job, shards: Sequence[Shard]) -> _Likeness:
    """A hash of each row, and the first row that it is linked to."""
    compared = Compared(alphabet(job.config.modality), pairs=job.schema.pairs)
    columns = ["sequence", "alternative"] if job.schema.pairs else ["sequence"]
    for shard in shards:
        batch = read_batch(job.out / shard.file)
        compared.add(*(batch.column(name).to_pylist() for name in columns))
    hashes, linked = compared.result()
    assert linked is not None, "similar ones are asked for"
    return hashes, linked


def _counted(
    job: _Job, shards: Sequence[Shard], parts: UInt8[np.ndarray, " R"]
) -> tuple[list[PartCounts], tuple[str, ...]]:
    """What each part holds, and all classes that there are."""
    target = job.schema.target
    rows, bases = np.bincount(parts, minlength=len(PARTS)), np.zeros(len(PARTS), np.int64)
    classes: dict[str, np.ndarray] = {}
    firsts: dict[str, str] = {}
    start = 0
    for shard in shards:
        batch = read_batch(job.out / shard.file)
        of_shard = parts[start : start + shard.rows]
        start += shard.rows
        lengths = np.diff(_ends(batch.column("sequence")))
        np.add.at(bases, of_shard, lengths)
        for name, (counts, row) in _class_counts(batch, of_shard, target).items():
            classes[name] = classes.get(name, 0) + counts
            if name not in firsts and row is not None:
                firsts[name] = batch.column("where")[row].as_py()
    for name, counts in sorted(classes.items()):
        if counts.any() and not counts[0]:
            part = PARTS[int(np.argmax(counts > 0))]
            raise RecipeError(
                f"class {name!r}: found in {part} (first in {firsts[name]}) and not in train, "
                "expected each class in train; change the split, or remove its examples"
            )
    names = sorted_classes(set(classes)) if target == "bases" else tuple(sorted(classes))
    return [
        PartCounts(
            rows=int(rows[part]),
            bases=int(bases[part]),
            classes={name: int(classes[name][part]) for name in names},
        )
        for part in range(len(PARTS))
    ], names


def _class_counts(
    batch: Any, parts: UInt8[np.ndarray, " r"], target: Target
) -> dict[str, tuple[np.ndarray, int | None]]:
    """For each class of a shard, how many each part has and the first row of it."""
    if target not in ("class", "multilabel", "bases"):
        return {}
    label = batch.column("label")
    rows = np.arange(len(parts))
    if target == "bases":
        names: Sequence[str] = base_classes(batch)
        ends = _ends(label)
        ids = np.frombuffer(label.buffers()[2] or b"", np.uint8)
        tables = [
            np.bincount(ids[ends[row] : ends[row + 1]], minlength=len(names))
            for row in rows.tolist()
        ]
        table = np.stack(tables) if tables else np.zeros((0, len(names)), np.int64)
        rows, codes = np.nonzero(table)
        amounts = table[rows, codes]
    else:
        if target == "multilabel":
            rows = np.repeat(rows, np.diff(label.offsets.to_numpy()))
            label = label.values
        encoded = label.dictionary_encode()
        names, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
        amounts = np.ones(len(codes), np.int64)
    counts = np.zeros((len(names), len(PARTS)), np.int64)
    np.add.at(counts, (codes, parts[rows]), amounts)
    first: dict[int, int] = {}
    for code, at in zip(*np.unique(codes, return_index=True), strict=True):
        first[int(code)] = int(rows[at])
    return {name: (counts[code], first.get(code)) for code, name in enumerate(names)}


def _ends(column: Any) -> Int64[np.ndarray, " n"]:
    return np.frombuffer(column.buffers()[1], np.int64)
