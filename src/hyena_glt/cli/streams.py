"""What verbs with ``--stream`` share: what their output depends on, and what they refuse."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
import typer

from hyena_glt import __version__
from hyena_glt.data import file_sha256
from hyena_glt.errors import PatcherError
from hyena_glt.io import Reference, check_output
from hyena_glt.model import HyenaGLT
from hyena_glt.stream import PIECE_BP, Progress, network_sha256

_SHOWN = 12  # hexadecimal digits of a checksum


@contextmanager
def open_stream(
    command: str,
    network: HyenaGLT,
    path: Path,
    out: Path,
    resume: bool,
    settings: Mapping[str, object],
    *,
    parents: bool = False,
    has_track: bool = False,
) -> Iterator[tuple[Reference, Progress]]:
    """Open the genome ``path`` for random access, and the output under way; both close at the end.

    A run goes on only with the same ``command``, model, precision, file, ``settings``, device and
    versions. With ``parents`` the folders above ``out`` are made, once the genome is open. Raises
    SequenceFileError for a file that has no random access; StorageError as Progress does;
    PatcherError for a network whose patches read a track where the command ``has_track`` not.
    """
    if network.side_information and not has_track:
        raise PatcherError(
            "the model's patches close where a track says, and this command has none with "
            "--stream; 'score fasta' takes one with --track, other commands leave out --stream"
        )
    with Reference(path) as genome:
        about = {
            "command": command,
            "model": network_sha256(network)[:_SHOWN],
            "precision": network.precision,
            "input file": file_sha256(path)[:_SHOWN],
            "device": str(next(network.parameters()).device),
            "version of hyena-glt": __version__,
            "version of PyTorch": torch.__version__,
            "piece length": str(PIECE_BP),
            **{name.replace("_", "-"): str(value) for name, value in settings.items()},
        }
        if parents:
            out.parent.mkdir(parents=True, exist_ok=True)
        with Progress(out, about, resume) as progress:
            yield genome, progress


def check_stream_output(out: Path, path: Path, track: Path | None = None) -> None:
    """Raise StorageError for an ``out`` that can't be written, or is an input or its index."""
    check_output(out, path, f"{path}.fai", f"{path}.gzi", track)


def check_stream_asked(
    stream: bool, needing: Mapping[str, bool], refusing: Mapping[str, bool]
) -> None:
    """Raise BadParameter for options set without ``--stream`` that need it, or with it that don't.

    Both map an option to whether it is set.
    """
    wrong = [name for name, is_set in (refusing if stream else needing).items() if is_set]
    if wrong and stream:
        raise typer.BadParameter(
            f"--stream reads whole contigs of a FASTA or 2bit file; leave out {', '.join(wrong)}"
        )
    if wrong:
        raise typer.BadParameter(f"{', '.join(wrong)}: only with --stream; add it")
