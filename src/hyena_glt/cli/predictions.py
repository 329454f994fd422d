"""What ``hyena-glt predict`` writes."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from hyena_glt.config.examples import RecordsSourceConfig, TableSourceConfig
from hyena_glt.config.tasks import BasesTaskConfig, SignalTaskConfig
from hyena_glt.data.examples import guess_dataset
from hyena_glt.data.examples.guess import is_table
from hyena_glt.errors import RecipeError
from hyena_glt.finetune.predict import Predictor, predict
from hyena_glt.io import TableWriter
from hyena_glt.io.examples import Example, open_examples


def write_predictions(
    checkpoints: Sequence[Path],
    paths: Sequence[str],
    out: Path,
    *,
    both_strands: bool,
    sequence: str,
    name: str | None,
    genome: str | None,
    device: str,
) -> int:
    """Write a table of the answers to the sequences at ``paths``; return how many there were."""
    predictor = Predictor(checkpoints, device)
    columns: dict[str, type | str] = {"name": str}
    per_base = isinstance(predictor.task, BasesTaskConfig)
    if per_base or isinstance(predictor.task, SignalTaskConfig):
        columns["position" if per_base else "bin"] = int
    taken = set(columns) & set(predictor.names)
    if taken:
        raise RecipeError(f"the answers {sorted(taken)} are called as a column of the table")
    columns |= dict.fromkeys(predictor.names, float)
    written = 0
    examples = _examples(paths, predictor, sequence, name, genome)
    with TableWriter(out, columns) as table:
        for prediction in predict(predictor, examples, both_strands=both_strands):
            written += 1
            rows = prediction.values
            if len(columns) == len(predictor.names) + 1:
                values = dict(zip(predictor.names, rows.tolist(), strict=True))
                table.write({"name": prediction.example.name, **values})
                continue
            key = "position" if per_base else "bin"
            for number, row in enumerate(rows.tolist()):
                values = dict(zip(predictor.names, row, strict=True))
                table.write({"name": prediction.example.name, key: number, **values})
    return written


def _examples(
    paths: Sequence[str],
    predictor: Predictor,
    sequence: str,
    name: str | None,
    genome: str | None,
) -> Iterator[Example]:
    """Give the sequences at ``paths``, labels aside."""
    modality = predictor.alphabet.modality
    has_table = any(is_table(Path(path)) or Path(path).is_dir() for path in paths)
    config = guess_dataset(
        paths,
        modality=modality,
        kind="none" if has_table else "class",
        sequence=sequence,
        genome=genome,
    )
    sources = []
    for source in config.sources:
        if isinstance(source, TableSourceConfig) and name is not None:
            source = source.model_copy(update={"name": name})
        elif name is not None and isinstance(source, RecordsSourceConfig):
            raise RecipeError(f"{source.path}: --name is for tables; records have names")
        sources.append(open_examples(source))
    return chain.from_iterable(sources)
