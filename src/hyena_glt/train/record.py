"""What a run is, written down when it starts: so that a resumed run is the same run."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from hyena_glt.errors import CheckpointError, RecipeError, StorageError
from hyena_glt.io import replacing_file

_RECORD = "run.json"
_REPORT = "training.json"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The recipe, the data and the start of a run, as plain data."""

    recipe: dict[str, Any]
    data_sha256: dict[str, str]
    splits: dict[str, dict[str, list[list[Any]]]]  # of each genome of the recipe
    command: str
    initialised_from: str | None


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """What a run did."""

    checkpoint: str
    steps: int
    training_bases: int
    best_step: int
    validation_bits_per_base: float | None  # None: terminated before the first validation
    seconds: float
    stopped: Literal["finished", "early", "terminated"]
    renamed_contigs: dict[str, str] = field(default_factory=dict)  # a track's name: the genome's
    side_information: bool = False  # true: bits per base are conditional on a track

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)


def holds_run(out: Path) -> bool:
    """Whether a run was started in ``out``."""
    return (out / _RECORD).is_file()


def begin_record(out: Path, record: RunRecord) -> None:
    """Write the record of a new run. Raises RecipeError where ``out`` holds a run already."""
    for name in (_RECORD, "checkpoint", "resume"):
        if (out / name).exists():
            raise RecipeError(
                f"{out}: holds a run already ({name}); go on with --resume, or choose another --out"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{out}: can't be made ({error.strerror}); choose a folder that you may write to"
        ) from error
    _write(out / _RECORD, asdict(record))


def discard_record(out: Path) -> None:
    """Take back the record of a run that didn't come to its first step."""
    (out / _RECORD).unlink(missing_ok=True)


def resumed_record(out: Path, record: RunRecord) -> RunRecord:
    """Return the record of the run in ``out``, which must be the one that ``record`` describes.

    Raises CheckpointError where there is none or a damaged one, RecipeError where recipe, data or
    split are others.
    """
    if not holds_run(out):
        raise CheckpointError(f"{out}: holds no run to resume; start it without --resume")
    try:
        stored = RunRecord(**_read(out / _RECORD))
        differing = [key for key in record.recipe if stored.recipe.get(key) != record.recipe[key]]
    except (TypeError, AttributeError):
        raise CheckpointError(
            f"{out / _RECORD}: is damaged; start the run anew in another folder"
        ) from None
    if differing:
        raise RecipeError(
            f"{out}: the run there has another recipe, in {', '.join(differing)}; --resume needs "
            f"the same one ({_RECORD} in that folder holds it), or start in another folder"
        )
    if stored.data_sha256 != record.data_sha256 or stored.splits != record.splits:
        raise RecipeError(
            f"{out}: the run there was started on other data: {', '.join(record.data_sha256)} has "
            "changed since; put the file back, or start in another folder"
        )
    return stored


def write_report(out: Path, report: TrainingReport) -> None:
    """Write the report of a run that has ended."""
    _write(out / _REPORT, report.as_dict())


def read_report(out: Path) -> TrainingReport | None:
    """Return the report of the run in ``out`` if it has ended."""
    if not (out / _REPORT).is_file():
        return None
    return TrainingReport(**_read(out / _REPORT))


def _write(path: Path, content: dict[str, Any]) -> None:
    with replacing_file(path) as aside:
        aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise CheckpointError(f"{path}: is damaged; start the run anew in another folder") from None
    return content
