"""What ``hyena-glt predict`` reads and writes."""

from collections.abc import Sequence
from pathlib import Path

from hyena_glt.config.examples import (
    ExamplesConfig,
    LabelConfig,
    NoLabelConfig,
    TableSourceConfig,
)
from hyena_glt.config.tasks import BasesTaskConfig, PairTaskConfig, SignalTaskConfig
from hyena_glt.data.examples import guess_dataset
from hyena_glt.data.examples.prepare import source_title
from hyena_glt.errors import RecipeError
from hyena_glt.finetune.predict import Predictor, predict
from hyena_glt.io import TableWriter
from hyena_glt.io.examples import ExamplesSource, open_examples
from hyena_glt.tokenize import Modality


def write_predictions(
    checkpoints: Sequence[Path],
    paths: Sequence[str],
    out: Path,
    *,
    both_strands: bool,
    sequence: str,
    alternative: str | None,
    name: str | None,
    genome: str | None,
    device: str,
) -> int:
    """Write a table of the answers to the sequences at ``paths``; return how many there were.

    Where there are several sources, whose names may repeat, each row says its file.
    """
    predictor = Predictor(checkpoints, device)
    if alternative is not None and not isinstance(predictor.task, PairTaskConfig):
        raise RecipeError(
            f"--alternative has no effect: {checkpoints[0]} answers for one sequence each"
        )
    modality = predictor.alphabet.modality
    sources = open_sources(
        paths, modality, sequence=sequence, alternative=alternative, name=name, genome=genome
    )
    several = len(sources) > 1
    columns: dict[str, type | str] = {"file": str, "name": str} if several else {"name": str}
    key = None
    if isinstance(predictor.task, BasesTaskConfig | SignalTaskConfig):
        key = "position" if isinstance(predictor.task, BasesTaskConfig) else "bin"
        columns[key] = int
    taken = set(columns) & set(predictor.names)
    if taken:
        raise RecipeError(
            f"the answers {sorted(taken)} are called as a column of the table"
            + ("; predict each file by itself" if taken == {"file"} else "")
        )
    columns |= dict.fromkeys(predictor.names, float)
    written = 0
    with TableWriter(out, columns) as table:
        for config, source in sources:
            said = {"file": source_title(config)} if several else {}
            for example, values in predict(predictor, source, both_strands=both_strands):
                written += 1
                told = {**said, "name": example.name}
                rows = values.tolist() if key else [values.tolist()]
                for number, row in enumerate(rows):
                    place = {key: number} if key else {}
                    table.write({**told, **place, **dict(zip(predictor.names, row, strict=True))})
    return written


def open_sources(
    paths: Sequence[str],
    modality: Modality,
    *,
    label: LabelConfig | None = None,
    sequence: str = "sequence",
    alternative: str | None = None,
    name: str | None = None,
    genome: str | None = None,
    labelled: bool = False,
) -> list[tuple[ExamplesConfig, ExamplesSource]]:
    """Return the sources that ``paths`` name, with their configs; a table has ``label``, if any.

    Of other files labels are read where ``labelled`` asks for them.

    One YAML says itself what its sources hold. Raises RecipeError for columns where no path is a
    table, for a YAML of another modality, and where paths don't say enough; SequenceFileError for
    a file that isn't what it should be.
    """
    is_yaml = len(paths) == 1 and Path(paths[0]).suffix.lower() in (".yaml", ".yml")
    config = guess_dataset(
        paths,
        modality="dna" if is_yaml else modality,
        sequence=sequence,
        genome=genome,
        labelled=labelled,
    )
    if config.modality != modality:
        raise RecipeError(f"{paths[0]}: holds {config.modality}, and the model is of {modality}")
    asked = {"label": label, "alternative": alternative, "name": name}
    asked = {key: value for key, value in asked.items() if value is not None}
    are_tables = [isinstance(source, TableSourceConfig) for source in config.sources]
    if asked and (is_yaml or not all(are_tables)):
        where = paths[0] if is_yaml else config.sources[are_tables.index(False)].kind
        given = ", ".join(f"--{key}" for key in asked)
        raise RecipeError(f"{given}: for tables alone; found {where}, which says it itself")
    columns = {"label": NoLabelConfig(kind="none"), **asked}
    configs = [
        source.model_copy(update=columns) if is_table and not is_yaml else source
        for source, is_table in zip(config.sources, are_tables, strict=True)
    ]
    return [(source, open_examples(source)) for source in configs]
