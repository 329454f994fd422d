"""``hyena-glt data``: labelled sequences, looked at and made ready before anything trains."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hyena_glt.cli.options import Json
from hyena_glt.cli.verbs import show_json

if TYPE_CHECKING:
    from hyena_glt.config import DatasetConfig

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="Tables (CSV, TSV, JSONL, Parquet), FASTA, FASTQ or BED; CLASS=PATH where a file is "
        "all of one class; a folder of GUE, Genomic Benchmarks or Hugging Face; or one YAML.",
    ),
]
Modality = Annotated[
    Literal["dna", "rna", "protein"], typer.Option(help="What the letters stand for.")
]
LabelColumns = Annotated[
    list[str],
    typer.Option("--label", metavar="COLUMN", help="Column of the label; several with values."),
]
LabelKind = Annotated[
    Literal["class", "multilabel", "values", "bases", "none"],
    typer.Option("--kind", help="What a label is; bases: one symbol for each base."),
]
SequenceColumn = Annotated[str, typer.Option("--sequence", help="Column of the sequence.")]
SplitColumn = Annotated[
    str | None, typer.Option("--split-column", help="Column of train, validation or test.")
]
GroupColumn = Annotated[
    str | None,
    typer.Option("--group", help="Column of what stays on one side of a split, a gene say."),
]
ContigColumn = Annotated[str | None, typer.Option("--contig", help="Column of the chromosome.")]
OfGenome = Annotated[
    str | None, typer.Option("--genome", help="FASTA or 2bit that intervals are of.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Another setting of the dataset, such as quality.max_n_share=0.1 or "
        "split.by=similarity; 'hyena-glt schema data' names all.",
    ),
]


class Described:
    """The paths and options that say what a dataset is made of, as they were given."""

    def __init__(
        self,
        paths: Paths,
        *,
        modality: Modality = "dna",
        label: LabelColumns = ["label"],  # noqa: B006, typer copies it
        kind: LabelKind = "class",
        sequence: SequenceColumn = "sequence",
        split_column: SplitColumn = None,
        group: GroupColumn = None,
        contig: ContigColumn = None,
        genome: OfGenome = None,
    ) -> None:
        self.paths = paths
        self._said: dict[str, Any] = {
            "modality": modality,
            "columns": label,
            "kind": kind,
            "sequence": sequence,
            "split": split_column,
            "group": group,
            "contig": contig,
            "genome": genome,
        }

    def config(self, settings: list[str] | None = None) -> "DatasetConfig":
        """Return the dataset that they describe, with other ``settings``."""
        from hyena_glt.config import with_dataset_overrides
        from hyena_glt.data.examples import guess_dataset

        return with_dataset_overrides(guess_dataset(self.paths, **self._said), settings or ())


def described(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options of `Described` before its own; it takes the object first."""
    shared = list(signature(Described).parameters.values())
    own = list(signature(verb).parameters.values())[1:]

    @wraps(verb)
    def asked(**given: Any) -> None:
        said = {option.name: given.pop(option.name) for option in shared}
        verb(Described(said.pop("paths"), **said), **given)

    # What typer reads: arguments, then options.
    options = [option.replace(kind=Parameter.KEYWORD_ONLY) for option in (*shared[1:], *own)]
    asked.__annotations__ = {option.name: option.annotation for option in (shared[0], *options)}
    vars(asked)["__signature__"] = Signature([shared[0], *options])
    return asked


@described
def inspect(
    dataset: Described,
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="A folder to write report.json and pictures to; it mustn't be there."),
    ] = None,
    similar: Annotated[
        bool, typer.Option("--similar/--no-similar", help="Look for near-duplicates.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Show what labelled sequences hold, before anything trains on them.

    Lengths, classes, GC and unknown letters of each part; sequences that come
    twice or with two labels; sequences of one part that stand in another, the
    same or nearly (half of their k-mers shared, on either strand); classes that
    train lacks; chromosomes that parts share. A folder that 'data prepare'
    wrote is shown with the split that it made.

    Example: hyena-glt data inspect train.csv test.csv --out runs/look
    """
    from hyena_glt.cli.dataset_summary import show_inspection, write_inspection
    from hyena_glt.cli.patch_files import check_folder
    from hyena_glt.data.examples import inspect_dataset, inspect_sources, is_dataset

    if out is not None:
        check_folder(out)
    paths = [Path(path) for path in dataset.paths]
    if len(paths) == 1 and is_dataset(paths[0]):
        found = inspect_dataset(paths[0], similar=similar)
    else:
        found = inspect_sources(dataset.config(), similar=similar)
    if out is not None:
        write_inspection(out, found)
    if as_json:
        show_json(found.report)
    else:
        show_inspection(found.report, out)


@described
def prepare(
    dataset: Described,
    *,
    out: Annotated[Path, typer.Option(help="The dataset's folder; it mustn't be there yet.")],
    settings: Settings = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that check and write.")] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run that was killed stopped.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make labelled sequences ready: checked, split, and written to be read at random.

    The folder holds shards that are memory-mapped, which part of the split each
    example belongs to, and manifest.json: all settings, classes sorted by name,
    counts, what was dropped and why, and checksums of files read and written.
    Files that don't say their part are split at random, a tenth each for
    validation and test; --set split.by=similarity keeps near-duplicates on one
    side, split.by=group what --group names. Sequences of one part that stand in
    another, the same or nearly, are warned of.

    Example: hyena-glt data prepare train.csv test.csv --out runs/promoters
    """
    from hyena_glt.cli.dataset_summary import preparing, show_manifest
    from hyena_glt.data.examples import prepare_dataset

    config = dataset.config(settings)
    with preparing(silent=as_json) as progress:
        try:
            manifest = prepare_dataset(
                config, out, workers=workers, resume=resume, progress=progress
            )
        except KeyboardInterrupt:
            typer.echo(f"{out}: stopped; go on with the same command and --resume", err=True)
            raise
    for warning in manifest.warnings:
        typer.echo(f"Warning: {warning}", err=True)
    if as_json:
        show_json({"out": str(out), **manifest.model_dump(mode="json")})
    else:
        show_manifest(out, manifest)
