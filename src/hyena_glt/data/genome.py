"""A genome held as a memory-map: 2-bit as it comes, FASTA as one byte a base."""

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from hyena_glt.errors import SequenceFileError
from hyena_glt.io import TwoBitGenome, read_fasta, replacing_file
from hyena_glt.tokenize import Alphabet, encode

BUILTIN = "builtin:"
_TWOBIT_SIGNATURES = (b"\x1a\x41\x27\x43", b"\x43\x27\x41\x1a")


@runtime_checkable
class Genome(Protocol):
    """Contigs by name; coordinates are 0-based and half-open."""

    @property
    def names(self) -> tuple[str, ...]:
        """The contigs, in the file's order."""

    def length_bp(self, name: str) -> int:
        """Return the length of a contig."""

    def fetch_bytes(self, name: str, start: int, end: int) -> UInt8[np.ndarray, " L"]:
        """Return the ids (ASCII codes) of an interval, case and IUPAC codes kept."""


class ByteGenome:
    """A FASTA unpacked to one byte a base, read through a memory-map."""

    def __init__(self, path: Path) -> None:
        self.path = path
        index = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        self._spans: dict[str, tuple[int, int]] = {
            name: (start, length) for name, start, length in index["contigs"]
        }
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r")

    @property
    def names(self) -> tuple[str, ...]:
        """The contigs, in the file's order."""
        return tuple(self._spans)

    def length_bp(self, name: str) -> int:
        """Return the length of a contig."""
        return self._span(name)[1]

    def fetch_bytes(self, name: str, start: int, end: int) -> UInt8[np.ndarray, " L"]:
        """Return the ids of an interval, as a copy."""
        origin, length = self._span(name)
        if not 0 <= start <= end <= length:
            raise SequenceFileError(
                f"{name}:{start}-{end} runs over the contig, which has {length} bp"
            )
        return np.array(self._bytes[origin + start : origin + end])

    def _span(self, name: str) -> tuple[int, int]:
        if name not in self._spans:
            raise SequenceFileError(f"no contig {name!r}; there are {', '.join(self._spans)}")
        return self._spans[name]


def open_genome(source: str, letters: Alphabet, cache: Path) -> tuple[Genome, str]:
    """Return (the genome, sha256 of its file).

    ``source`` is a path, or ``builtin:ecoli_dh1`` for the genome that the package brings. A FASTA
    is unpacked into ``cache`` once; the copy is made anew when the file's checksum changes. Raises
    SequenceFileError, and SequenceError for a letter that the modality of ``letters`` doesn't have.
    """
    path = builtin_path(source) if source.startswith(BUILTIN) else Path(source).expanduser()
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "no such file"
        raise SequenceFileError(f"{path}: {kind}; expected a FASTA or .2bit genome")
    checksum = file_sha256(path)
    with path.open("rb") as file:
        is_twobit = file.read(4) in _TWOBIT_SIGNATURES
    if is_twobit:
        if letters.modality == "protein":
            raise SequenceFileError(f"{path}: a .2bit file holds DNA; use a FASTA for proteins")
        return TwoBitGenome(path), checksum
    return _unpacked(path, letters, checksum, cache), checksum


def builtin_path(source: str) -> Path:
    """Return the file of a genome that the package brings."""
    name = source.removeprefix(BUILTIN)
    path = Path(str(resources.files("hyena_glt") / "demo" / "data" / f"{name}.2bit"))
    if not path.is_file():
        raise SequenceFileError(f"{source}: no such genome; the package brings builtin:ecoli_dh1")
    return path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpacked(path: Path, letters: Alphabet, checksum: str, cache: Path) -> ByteGenome:
    target = cache / f"{letters.modality}-{checksum[:16]}.bytes"
    if not (target.is_file() and target.with_suffix(".json").is_file()):
        cache.mkdir(parents=True, exist_ok=True)
        contigs, start = [], 0
        with replacing_file(target) as aside, aside.open("wb") as file:
            for record in read_fasta(path):
                ids = encode(record.sequence)
                letters.validate(ids, f"{path}, record {record.name}")
                file.write(ids.tobytes())
                contigs.append((record.name, start, len(ids)))
                start += len(ids)
        # The index comes last: where it stands, the bytes are whole.
        with replacing_file(target.with_suffix(".json")) as aside:
            aside.write_text(json.dumps({"sha256": checksum, "contigs": contigs}))
    return ByteGenome(target)
