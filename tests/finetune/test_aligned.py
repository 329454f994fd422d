"""Sequences cut around something: what stands at a place is learned, and other lengths refused."""

from pathlib import Path

import numpy as np
import pytest

from hyena_glt.config import finetune_recipe_from
from hyena_glt.config.finetune import FinetuneRecipe
from hyena_glt.data.examples import guess_dataset, prepare_dataset
from hyena_glt.errors import RecipeError, SequenceError
from hyena_glt.finetune import Predictor, finetune, predict
from hyena_glt.io.examples import Example

MODEL = {
    "direction": "bidirectional",
    "embed": {"exact_k": [2]},
    "stages": [
        {"width": 16, "mlp_width": 16, "encoder": "S", "patch": {"kind": "none"}, "decoder": "S"}
    ],
    "backbone": {"width": 16, "mlp_width": 16, "layout": "S"},
}


def recipe(folder: Path, pooling: dict[str, object], epochs: int) -> FinetuneRecipe:
    data = {
        "name": "aligned",
        "seed": 1,
        "dataset": str(folder),
        "model": MODEL,
        "task": {"kind": "classification", "pooling": pooling},
        "train": {"epochs": epochs, "batch_examples": 32, "lr": 3e-3, "head_lr": 0.03},
    }
    data["train"] |= {"metric": "auroc"}  # type: ignore[operator]
    return finetune_recipe_from(data, "test")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 30 bp, the 13th says the class; as many A and C stand in either."""
    folder = tmp_path_factory.mktemp("aligned")
    rng = np.random.default_rng(0)
    rows = ["".join(row) for row in rng.choice(list("ACGT"), (900, 30))]
    lines = [f"{row},{'yes' if row[12] in 'AC' else 'no'}" for row in rows]
    (folder / "all.csv").write_text("\n".join(["sequence,label", *lines, ""]))
    prepare_dataset(guess_dataset([str(folder / "all.csv")]), folder / "dataset")
    return folder / "dataset"


@pytest.mark.slow
def test_what_stands_at_a_place_is_learned(dataset: Path, tmp_path: Path) -> None:
    aligned = {"kind": "aligned", "length_bp": 30}
    report = finetune(recipe(dataset, aligned, 8), tmp_path / "aligned")
    assert report.validation["auroc"] > 0.99
    mean = finetune(recipe(dataset, {"kind": "mean"}, 8), tmp_path / "mean")
    assert mean.validation["auroc"] < 0.8


@pytest.mark.slow
def test_longer_sequences_are_refused_before_training_and_named(
    dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=r"length_bp=29: .*all.csv.* has 30 bp; set it to"):
        finetune(recipe(dataset, {"kind": "aligned", "length_bp": 29}, 1), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    report = finetune(recipe(dataset, {"kind": "aligned", "length_bp": 30}, 1), tmp_path / "run")
    predictor = Predictor([Path(str(report.checkpoint))])
    examples = [Example("a", b"ACGT" * n, None, f"row {n}") for n in (7, 8)]
    found = predict(predictor, examples, batch_examples=1)
    assert next(found).values.shape == (2,)
    with pytest.raises(SequenceError, match=r"row 8: found 32 bp, .* for 30 places"):
        next(found)
