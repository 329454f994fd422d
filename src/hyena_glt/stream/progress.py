"""A long job's output under way: what a kill leaves, and how the next run goes on from it.

Beside an output OUT stands the folder OUT.part while the job runs:

progress.safetensors  the last save: how many bytes of each file count, where the job stood, and
                      the tensors that it goes on with
files/                what has been written, often more than the last save counts

A save flushes the files and then replaces progress.safetensors, so that a kill at any time leaves
one whole save. The next run cuts the files to what it counts and goes on. When the output is in its
place, a last save says so before anything is removed.
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from torch import Tensor

from hyena_glt.errors import StateError, StorageError
from hyena_glt.io import check_output, fsync_path, replacing_file
from hyena_glt.stream.heap import return_free_memory
from hyena_glt.stream.saved import load_tensors, save_tensors

SAVE_S = 5.0  # between saves: the work that a kill may cost
_RECORD = "progress.safetensors"
_FILES = "files"
_NOTES = "notes"


class Notes(NamedTuple):
    """What a job goes on with."""

    leg: int  # strands read to their ends
    position: int  # of the next piece on the strand under way
    memory: dict[str, Any]  # what else the job remembers, of types that JSON has
    tensors: dict[str, Tensor]
    finished: bool = False  # all has been read
    placed: bool = False  # the output is in its place


class Progress:
    """The files of a job under way, and the notes that it goes on with; used inside `with`.

    ``about`` says what the output depends on, in words that a message can show: a run goes on only
    where all of it is as before. With ``resume`` notes that are there are gone on with; without,
    they are an error, so that no work is lost by mistake. Nothing there is a start either way.

    Raises StorageError where notes are there without ``resume``, belong to another input, model or
    setting, or are damaged, where another process writes there, and where OUT.part is something
    else.
    """

    def __init__(self, out: Path, about: Mapping[str, str], resume: bool) -> None:
        whole = Path(os.path.realpath(out))
        self.folder = whole.with_name(f"{whole.name}.part")
        self.files = self.folder / _FILES
        self._record = self.folder / _RECORD
        self._about = dict(about)
        self._resume = resume
        self._handles: dict[str, IO[bytes]] = {}
        self._sizes: dict[str, int] = {}
        self._discarded: list[str] = []
        self._saved_s = time.monotonic()
        self._has_begun = False
        self._lock: int | None = None
        self.notes: Notes | None = None  # None: from the start

    def __enter__(self) -> "Progress":
        self._make_folder()
        while not self._lock_folder():
            self._make_folder()
        try:
            for left in self.folder.glob(".*.part*"):
                left.unlink()  # of a save that was killed
            if self._record.exists():
                self._go_on()
            else:
                self._start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and self.notes is None and not self._has_begun:
            self._remove()  # a mistake in the input, say: there is nothing to go on from
        self._close()

    def append(self, name: str, data: bytes) -> None:
        """Write ``data`` to the end of the file ``name``."""
        self._opened(name).write(data)
        self._sizes[name] += len(data)

    def size_bytes(self, name: str) -> int:
        """Return how much the file ``name`` holds; 0 where there is none."""
        return self._sizes.get(name, 0)

    def read(self, name: str, start: int, count: int) -> bytes:
        """Return ``count`` bytes of the file ``name`` from ``start`` on.

        Raises StorageError where it doesn't hold them.
        """
        handle = self._opened(name)
        handle.seek(start)
        found = handle.read(count)
        if len(found) != count:
            raise self._damaged(self.files / name, f"it holds {start + len(found)} bytes or fewer")
        return found

    def discard(self, name: str) -> None:
        """Drop the file ``name``; it stays on disk until a save no longer counts it."""
        handle = self._handles.pop(name, None)
        if handle is not None:
            handle.close()
        self._sizes.pop(name, None)
        self._discarded.append(name)

    @property
    def is_finished(self) -> bool:
        """Whether an earlier run has read all."""
        return self.notes is not None and self.notes.finished

    @property
    def is_placed(self) -> bool:
        """Whether an earlier run has put the output in its place."""
        return self.notes is not None and self.notes.placed

    @property
    def is_due(self) -> bool:
        """Whether the last save is SAVE_S old."""
        return time.monotonic() - self._saved_s >= SAVE_S

    def save(self, notes: Notes) -> None:
        """Make what has been written and ``notes`` what the next run goes on from."""
        for handle in self._handles.values():
            handle.flush()
            os.fsync(handle.fileno())
        if not notes.placed:  # the folder itself may be the output
            fsync_path(self.files)
        plain = {"about": self._about, "files": self._sizes}
        plain |= {name: value for name, value in notes._asdict().items() if name != "tensors"}
        save_tensors(self._record, notes.tensors, {_NOTES: json.dumps(plain)})
        for name in self._discarded:
            (self.files / name).unlink(missing_ok=True)
        self._discarded.clear()
        return_free_memory()  # so that hours of pieces take what minutes do
        self._saved_s = time.monotonic()
        self._has_begun = self._has_begun or (notes.leg, notes.position) != (0, 0)

    def clear(self, memory: Mapping[str, Any]) -> None:
        """Remove OUT.part: the output is in its place.

        A run that goes on after a kill on the way finds ``memory``, and nothing to do.
        """
        self.save(Notes(0, 0, dict(memory), {}, finished=True, placed=True))
        self._remove()

    def _remove(self) -> None:
        self._close_files()
        shutil.rmtree(self.files, ignore_errors=True)
        self._record.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a file that isn't ours stays, and its folder
            self.folder.rmdir()
        self._close()

    def _opened(self, name: str) -> IO[bytes]:
        if name not in self._handles:
            try:
                # Read from anywhere, written at the end.
                self._handles[name] = (self.files / name).open("a+b")
            except OSError as error:
                raise self._damaged(self.files / name, str(error.strerror)) from error
            self._sizes.setdefault(name, 0)
        return self._handles[name]

    def _damaged(self, path: Path, why: str) -> StorageError:
        return StorageError(f"{path}: is damaged ({why}); remove {self.folder} to start again")

    def _start(self) -> None:
        inside = [path for path in self.folder.iterdir() if not path.name.startswith(".")]
        if [path for path in inside if path != self.files or any(path.iterdir())]:
            raise StorageError(
                f"{self.folder}: is in the way of the output under way, and holds no progress of "
                "one; move it away"
            )
        self.files.mkdir(exist_ok=True)
        self.save(Notes(0, 0, {}, {}))

    def _go_on(self) -> None:
        try:
            tensors, texts = load_tensors(self._record)
            plain = json.loads(texts[_NOTES])
            about, sizes = plain.pop("about"), plain.pop("files")
            notes = Notes(**plain, tensors=tensors)
        except (StateError, KeyError, TypeError, ValueError) as error:
            raise self._damaged(self._record, str(error)) from None
        if not self._resume:
            raise StorageError(
                f"{self.folder}: holds an unfinished run; go on with --resume, or remove it to "
                "start again"
            )
        for name in {**self._about, **about}:
            begun, now = about.get(name, "none"), self._about.get(name, "none")
            if begun != now:
                raise StorageError(
                    f"{self.folder}: was begun with another {name} ({begun}, now {now}); go on "
                    "with the same, or remove it to start again"
                )
        if not notes.finished:
            self._cut(sizes)
        self.notes, self._sizes = notes, sizes

    def _cut(self, sizes: Mapping[str, int]) -> None:
        """Cut the files to what the last save counts, and remove those that it doesn't know."""
        self.files.mkdir(exist_ok=True)
        for path in self.files.iterdir():
            if path.name not in sizes:
                path.unlink()
        for name, size in sizes.items():
            path = self.files / name
            found = path.stat().st_size if path.is_file() else 0
            if found < size:
                raise self._damaged(
                    path, f"it holds {found} bytes where the last save counted {size}"
                )
            if found > size:
                os.truncate(path, size)

    def _make_folder(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise StorageError(f"{self.folder}: is in the way of the output under way; remove it")
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"{self.folder}: can't be made ({error.strerror}); choose a folder that is there "
                "and that you may write to"
            ) from error

    def _lock_folder(self) -> bool:
        """Lock OUT.part; return whether it is there still, and no other process removed it."""
        try:
            self._lock = os.open(self.folder, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._close()
            raise StorageError(
                f"{self.folder}: another process writes there; wait for it, or choose another "
                "output"
            ) from None
        locked = os.fstat(self._lock)
        if self.folder.exists() and os.path.samestat(locked, self.folder.stat()):
            return True
        self._close()
        return False

    def _close_files(self) -> None:
        for handle in self._handles.values():
            handle.close()
        self._handles.clear()

    def _close(self) -> None:
        self._close_files()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def put_in_place(source: Path, out: Path) -> None:
    """Move a finished file or folder to ``out``, unless that has been done.

    A file may go to another disk. Raises StorageError if it can't be written there, or neither
    is there.
    """
    target = Path(os.path.realpath(out))
    if not source.exists():
        if not target.exists():
            raise StorageError(
                f"{source}: isn't there, nor is {out}; remove what is left of the run to start "
                "again"
            )
        return
    if source.is_file():
        check_output(out)
    try:
        os.replace(source, target)
        fsync_path(target.parent)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise StorageError(
                f"{out}: can't be written ({error.strerror}); clear the way, and go on with "
                "--resume"
            ) from error
        with replacing_file(target) as aside:
            shutil.copyfile(source, aside)
