"""Checkpoints of a run: the network to use, and the state to resume from.

OUT/checkpoint/            the best network by validation
OUT/resume/step-00000100/  all that the run needs to go on; the newest two are kept
"""

import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins import CheckpointIO

from hyena_glt.checkpoint import load_tree, replacing_folder, save_tree
from hyena_glt.checkpoint.folder import check_manifest, write_manifest
from hyena_glt.errors import CheckpointError

KEPT = 2


class FolderIO(CheckpointIO):
    """Lightning's training state as JSON and safetensors, written aside and renamed."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write the folder ``path``."""
        with replacing_folder(Path(path)) as aside:
            save_tree(checkpoint, aside / "state")
            write_manifest(aside)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Return the state in the folder ``path``, its checksums verified."""
        check_manifest(Path(path))
        state: dict[str, Any] = load_tree(Path(path) / "state")
        return state

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the folder ``path``."""
        shutil.rmtree(path)


def resume_folder(out: Path, step: int) -> Path:
    """Return where the state after ``step`` steps is kept."""
    return out / "resume" / f"step-{step:08d}"


def newest_resume_folder(out: Path) -> Path | None:
    """Return the newest whole state, None where the run was killed before its first.

    A damaged state is passed over for the one before it: the run replays to the same bits from any.
    Raises CheckpointError where all are damaged.
    """
    folders = _resume_folders(out)
    for folder in reversed(folders):
        try:
            check_manifest(folder)
        except CheckpointError:
            continue
        return folder
    if not folders:
        return None
    raise CheckpointError(
        f"{out}/resume: all {len(folders)} training states are damaged; start the run anew in "
        "another folder, with --init-from this one's checkpoint if you like"
    )


def prune_resume_folders(out: Path) -> None:
    """Delete all but the newest states, and what a kill left half-written."""
    for folder in _resume_folders(out)[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)
    for partial in (out / "resume").glob(".step-*"):
        shutil.rmtree(partial, ignore_errors=True)


def _resume_folders(out: Path) -> list[Path]:
    return sorted(path for path in (out / "resume").glob("step-*") if path.is_dir())
