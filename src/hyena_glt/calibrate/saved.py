"""What was prepared for a run, kept in its folder, so that a resumed run goes on with the same.

OUT/patching/calibration.json     the recipe made whole, what was found, and what it was found on
OUT/patching/entropy.safetensors  the entropy model
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from hyena_glt.calibrate.prepare import Prepared, prepare
from hyena_glt.calibrate.search import Calibration
from hyena_glt.checkpoint import replacing_folder
from hyena_glt.checkpoint.folder import check_manifest, write_manifest
from hyena_glt.config import Recipe
from hyena_glt.data import Source, splits_of

_FOLDER = "patching"


def prepare_in(out: Path, recipe: Recipe, sources: Sequence[Source]) -> Prepared:
    """Return what :func:`prepare` does; found once for a recipe and its data, and kept in ``out``.

    Raises CheckpointError where what stands there is damaged.
    """
    folder = out / _FOLDER
    splits = {name: split.as_data() for name, split in splits_of(sources).items()}
    asked = {
        "recipe": recipe.model_dump(mode="json"),
        "data_sha256": {source.name: source.sha256 for source in sources},
        "splits": splits,
    }
    if folder.is_dir():
        check_manifest(folder)
        content = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
        if content["asked"] == asked:
            return Prepared(
                Recipe.model_validate(content["recipe"]),
                load_file(folder / "entropy.safetensors"),
                tuple(_calibration(found) for found in content["calibrations"]),
            )
    prepared = prepare(recipe, sources)
    if not prepared.entropy and not prepared.calibrations:
        return prepared
    content = {
        "asked": asked,
        "recipe": prepared.recipe.model_dump(mode="json"),
        "calibrations": [asdict(calibration) for calibration in prepared.calibrations],
    }
    with replacing_folder(folder) as aside:
        save_file(prepared.entropy, aside / "entropy.safetensors")
        (aside / "calibration.json").write_text(
            json.dumps(content, indent=2) + "\n", encoding="utf-8"
        )
        write_manifest(aside)
    return prepared


def _calibration(found: dict[str, Any]) -> Calibration:
    pairs = tuple((value, mean_bp) for value, mean_bp in found["sensitivity"])
    return Calibration(**{**found, "sensitivity": pairs})
