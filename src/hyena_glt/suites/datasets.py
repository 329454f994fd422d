"""A set's files to a prepared dataset, once for each way that it is split."""

import json
from hashlib import sha256
from pathlib import Path

from hyena_glt.config.examples import (
    DatasetConfig,
    ExamplesSplitConfig,
    FileSplitConfig,
    FoldsSplitConfig,
)
from hyena_glt.config.suites import SetConfig
from hyena_glt.data import file_sha256
from hyena_glt.data.examples import Dataset, open_dataset, prepare_dataset
from hyena_glt.data.examples.prepare import source_files
from hyena_glt.suites.adapters import write_adapted
from hyena_glt.suites.library import found_path, placed

_SPLIT_SEED = 0


def prepared(each: SetConfig, seed: int, data: Path, out: Path) -> Dataset:
    """Return the dataset of a set for a seed, written below ``out`` unless it is there already.

    Where validation is drawn from train each seed draws its own; where folds are asked for each
    seed has its own fold; all other splits are the same for every seed, the test part among them.

    Raises as `prepare_dataset` and `write_adapted` do.
    """
    adapted = out / "sources" / f"{each.name.replace('/', '-')}.tsv"
    if each.adapter is not None:
        files = {name: found_path(data, path) for name, path in each.adapter.files.items()}
        write_adapted(each.adapter.name, files, adapted)
    split, split_seed = _of_seed(each.split, seed)
    config = DatasetConfig(
        modality=each.modality,
        sources=tuple(placed(source, data, adapted) for source in each.sources),
        split=split,
        quality=each.quality,
        seed=split_seed,
    )
    folder = out / "datasets" / f"{each.name.replace('/', '-')}-{_digest(config)}"
    prepare_dataset(config, folder, resume=True)
    return open_dataset(folder, check=False)


def _of_seed(split: ExamplesSplitConfig, seed: int) -> tuple[ExamplesSplitConfig, int]:
    """Return the split of a run's seed, and the seed that it is drawn with."""
    if isinstance(split, FoldsSplitConfig):
        return split.model_copy(update={"fold": (split.fold + seed) % split.folds}), _SPLIT_SEED
    if isinstance(split, FileSplitConfig) and split.validation:
        return split, seed
    return split, _SPLIT_SEED


def _digest(config: DatasetConfig) -> str:
    """Return what names a dataset: its settings and the content of its files."""
    sums = [file_sha256(path) for source in config.sources for path in source_files(source)]
    text = json.dumps([config.model_dump(mode="json"), sums], sort_keys=True)
    return sha256(text.encode()).hexdigest()[:12]
