"""``hyena-glt rank``: sequences and pairs by what a pretrained model finds likely."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hyena_glt.cli.data import SequenceColumn
from hyena_glt.cli.options import BothStrands, CheckpointFolder, Device, Json, Precision
from hyena_glt.cli.verbs import show_json

if TYPE_CHECKING:
    from hyena_glt.config.examples import ExamplesConfig
    from hyena_glt.finetune.overlap import Overlap
    from hyena_glt.io.examples import ExamplesSource, Label, Schema
    from hyena_glt.tokenize import Modality

Kind = Literal["class", "multilabel", "values", "none"]


def rank(
    checkpoint: CheckpointFolder,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Tables (CSV, TSV, JSONL, Parquet), FASTA, FASTQ or BED; CLASS=PATH where a file "
            "is all of one class; VCF; a folder, or one YAML, as of 'data prepare'.",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(help="The table to write: .tsv or .parquet.")],
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of a table's label, or INFO key of a VCF's; several with values. Without "
            "one these have no labels.",
        ),
    ] = None,
    kind: Annotated[
        Kind, typer.Option(help="What a label is; none: leave out those that files have.")
    ] = "class",
    sequence: SequenceColumn = "sequence",
    alternative: Annotated[
        str | None, typer.Option(help="Column of a second sequence, to compare with the first.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Column of names; rows are numbered without one.")
    ] = None,
    genome: Annotated[
        str | None, typer.Option(help="FASTA or 2bit that intervals or variants are of.")
    ] = None,
    window_bp: Annotated[
        int,
        typer.Option(
            min=1,
            help="Of variants: bases of the window around REF, moved inwards at a contig's ends.",
        ),
    ] = 1500,
    both_strands: BothStrands = None,
    negate: Annotated[
        bool,
        typer.Option(
            "--negate", help="Figures of minus the score: labels that unlikely sequences have."
        ),
    ] = False,
    allow_overlap: Annotated[
        bool,
        typer.Option(
            "--allow-overlap",
            help="Go on, with a warning, where labelled examples lie in regions of pretraining.",
        ),
    ] = False,
    replicates: Annotated[int, typer.Option(min=10, help="Bootstrap samples.")] = 1000,
    device: Device = "cpu",
    precision: Precision = "fp32",
    as_json: Json = False,
) -> None:
    """Rank sequences, pairs or variants by a pretrained model; nothing is trained.

    score_nats is the mean log-likelihood a base. Of a pair, two columns or a
    variant of a VCF, it is that of the alternative less that of the reference,
    in nats over whole sequences; a bidirectional model compares the changed
    bases of pairs of one length alone. Where there are labels they are in the
    table too, and AUROC and AUPRC of each class against the rest, or Spearman's
    correlation with each number, are printed with 95 % bootstrap intervals.
    Labelled intervals and variants where the model was trained are refused.

    Example: hyena-glt rank runs/demo/checkpoint new.fa --out ranks.tsv
    """
    from hyena_glt.api import load
    from hyena_glt.finetune.overlap import check_ranked_overlap
    from hyena_glt.finetune.zero_shot import ranking_metrics

    if label and kind == "none":
        raise typer.BadParameter("--label has no effect with --kind none; leave one of them out")
    if not label and kind in ("multilabel", "values"):
        raise typer.BadParameter(f"--kind {kind} says what a label is; name its column: --label")
    model = load(checkpoint, device, precision)
    columns = {"sequence": sequence, "alternative": alternative, "name": name}
    if any(_is_vcf(path) for path in paths):
        sources = _of_variants(paths, label, kind, columns, genome, window_bp)
    else:
        sources = _of_examples(paths, label, kind, columns, genome, model.recipe.modality)
    schema = _joined([source.schema for _, source in sources], kind)
    # Before anything is scored: labels that can't be ranked by are found out at once.
    ranking_metrics([], schema)
    overlap = None
    if schema.target != "none":
        overlap = check_ranked_overlap(
            model.checkpoint, str(checkpoint), sources, allow=allow_overlap
        )
    ranked = _write(model.network, sources, schema, out, both_strands)
    found = ranking_metrics(ranked, schema, negate=negate, replicates=replicates)
    _show(ranked, found, schema, overlap, str(checkpoint), out, as_json)


def _show(
    ranked: list[Any],
    found: dict[str, Any],
    schema: "Schema",
    overlap: "Overlap | None",
    network: str,
    out: Path,
    as_json: bool,
) -> None:
    """Print the figures, and what pretraining may have seen."""
    scored = sum(one.score_nats is not None for one in ranked)
    if as_json:
        metrics = {key: _as_data(interval) for key, interval in found.items()}
        about: dict[str, object] = {
            "examples": len(ranked),
            "scored": scored,
            "pairs": schema.pairs,
        }
        about |= {} if overlap is None else {"pretraining_overlap": overlap._asdict()}
        show_json({"out": str(out), **about, "labels": schema.target, "metrics": metrics})
        return
    if overlap is not None and overlap.genomes:
        mark = "warning" if overlap.overlapping else "note"
        typer.echo(f"{mark}: {overlap.says(network)}", err=True)
    for key, one in found.items():
        shown = (_shown(number) for number in (one.value, one.low, one.high))
        typer.echo("{}: {} [{}, {}]".format(key, *shown))
    unscored = f", {len(ranked) - scored:,} of them without a score" if scored < len(ranked) else ""
    typer.echo(f"{out}: {len(ranked):,} {'pairs' if schema.pairs else 'sequences'}{unscored}")


def _is_vcf(path: str) -> bool:
    return path.lower().endswith((".vcf", ".vcf.gz", ".vcf.bgz"))


def _of_variants(
    paths: Sequence[str],
    label: Sequence[str] | None,
    kind: Kind,
    columns: dict[str, str | None],
    genome: str | None,
    window_bp: int,
) -> "list[tuple[ExamplesConfig, ExamplesSource]]":
    """Return the variants of VCF files as pairs of windows, with their settings."""
    from hyena_glt.config.examples import VariantsSourceConfig
    from hyena_glt.errors import RecipeError
    from hyena_glt.io.examples import open_examples

    if not all(_is_vcf(path) for path in paths):
        raise RecipeError("found VCF files among others; rank them on their own")
    if genome is None:
        raise RecipeError(f"{paths[0]}: holds variants; name the genome they are of: --genome")
    if columns != {"sequence": "sequence", "alternative": None, "name": None}:
        raise RecipeError("--sequence, --alternative and --name have no effect: no path is a table")
    if label and (len(label) != 1 or kind == "multilabel"):
        raise RecipeError(
            "a variant's label is one key of INFO, a class or a number; give one --label, and "
            "--kind class or values"
        )
    configs = [
        VariantsSourceConfig(
            kind="variants",
            path=path,
            genome=genome,
            label="values" if kind == "values" else "class" if label else "none",
            info=label[0] if label else None,
            window_bp=window_bp,
        )
        for path in paths
    ]
    return [(config, open_examples(config)) for config in configs]


def _of_examples(
    paths: Sequence[str],
    label: Sequence[str] | None,
    kind: Kind,
    columns: dict[str, str | None],
    genome: str | None,
    modality: "Modality",
) -> "list[tuple[ExamplesConfig, ExamplesSource]]":
    """Return the sources of ``paths``, as 'predict' reads them, with labels and settings."""
    from hyena_glt.cli.predictions import open_sources
    from hyena_glt.config.examples import ClassLabelConfig, MultiLabelConfig, ValuesLabelConfig
    from hyena_glt.errors import RecipeError

    labels: ClassLabelConfig | MultiLabelConfig | ValuesLabelConfig | None = None
    if label:
        if kind == "values":
            labels = ValuesLabelConfig(kind="values", columns=tuple(label))
        elif kind == "multilabel" and len(label) > 1:
            labels = MultiLabelConfig(kind="multilabel", columns=tuple(label))
        elif len(label) > 1:
            raise RecipeError(f"a class stands in one column; found {len(label)} with --label")
        elif kind == "multilabel":
            labels = MultiLabelConfig(kind="multilabel", column=label[0])
        else:
            labels = ClassLabelConfig(kind="class", column=label[0])
    return open_sources(
        paths,
        modality,
        label=labels,
        sequence=columns["sequence"] or "sequence",
        alternative=columns["alternative"],
        name=columns["name"],
        genome=genome,
        labelled=kind != "none",
    )


def _joined(schemas: "Sequence[Schema]", kind: Kind) -> "Schema":
    """Return what all sources have in common; RecipeError where they differ."""
    from hyena_glt.errors import RecipeError

    if kind == "none":
        schemas = [schema._replace(target="none", names=()) for schema in schemas]
    for schema in schemas:
        if schema != schemas[0]:
            about = [
                f"{'pairs' if one.pairs else 'sequences'} with labels of kind {one.target}"
                + (f" ({', '.join(one.names)})" if one.names else "")
                for one in (schemas[0], schema)
            ]
            raise RecipeError(
                f"found {about[0]} in one file and {about[1]} in another; rank them on their own, "
                "or leave the labels out with --kind none"
            )
    return schemas[0]


def _write(
    network: Any,
    sources: "Sequence[tuple[ExamplesConfig, ExamplesSource]]",
    schema: "Schema",
    out: Path,
    both_strands: bool | None,
) -> list[Any]:
    """Write a row an example as it is scored; return all of them, without their letters.

    Where there are several sources, whose names may repeat, each row says its file.
    """
    from hyena_glt.data.examples.prepare import source_title
    from hyena_glt.errors import RecipeError
    from hyena_glt.finetune.zero_shot import rank as ranked_of
    from hyena_glt.io import TableWriter

    several = len(sources) > 1
    columns: dict[str, type | str] = {
        **({"file": str} if several else {}),
        "name": str,
        "score_nats": float,
        "scored_bp": int,
        "reason": str,
    }
    if schema.target in ("class", "multilabel"):
        columns["label"] = str
    taken = sorted(set(columns) & set(schema.names))
    if taken:
        raise RecipeError(f"the labels {taken} are called as a column of the table; rename them")
    columns |= dict.fromkeys(schema.names, float)
    kept = []
    with TableWriter(out, columns) as table:
        ranked = (
            (config, one)
            for config, source in sources
            for one in ranked_of(network, source, both_strands=both_strands)
        )
        for config, one in ranked:
            row: dict[str, object] = {
                **({"file": source_title(config)} if several else {}),
                "name": one.example.name,
                "score_nats": one.score_nats,
                "scored_bp": one.scored_bp,
                "reason": one.reason,
            }
            table.write(row | _label_cells(one.example.label, schema))
            without = one.example._replace(sequence=b"", alternative=None)
            kept.append(one._replace(example=without))
    return kept


def _label_cells(label: "Label", schema: "Schema") -> dict[str, object]:
    if schema.target == "none":
        return {}
    if isinstance(label, str):
        return {"label": label}
    if isinstance(label, tuple):
        return {"label": ";".join(map(str, label))}
    assert label is not None
    return dict(zip(schema.names, (float(number) for number in label), strict=True))


def _as_data(interval: Any) -> dict[str, float | None]:
    """Return an interval as JSON holds it: None for what isn't defined."""
    import math

    found = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {key: number if math.isfinite(number) else None for key, number in found.items()}


def _shown(number: float) -> str:
    return "NA" if number != number else f"{number:.4g}"
