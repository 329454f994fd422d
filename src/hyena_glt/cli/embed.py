"""``hyena-glt embed``: vectors of sequences or of their bases."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hyena_glt.cli.options import (
    BothStrands,
    CheckpointFolder,
    Circular,
    Device,
    Json,
    Precision,
    Resume,
    SkipBad,
    Stream,
)
from hyena_glt.cli.verbs import check_intervals_asked, show_json, show_renamed, show_skipped

if TYPE_CHECKING:
    from hyena_glt.cli.embed_stream import StreamTally
    from hyena_glt.cli.embeddings import Tally


Sequences = Annotated[
    Path | None,
    typer.Argument(
        metavar="SEQUENCES",
        help="FASTA or FASTQ, or with --genome BED: plain, gzip or bgzip.",
        show_default=False,
    ),
]
InGenome = Annotated[
    Path | None,
    typer.Option(
        help="Embed the intervals of a BED file in this genome, FASTA (plain or bgzip; an "
        "index is written beside it) or 2bit; - reads the other strand."
    ),
]
Pooled = Annotated[
    Literal["mean", "max", "last", "base", "patch"],
    typer.Option(
        help="What to take over a sequence's bases; base: a vector a base; patch, with "
        "--stream: a vector a patch."
    ),
]
BinBp = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=10**12,  # more than any genome, and its multiples fit in 64 bits
        help="With --stream: the mean of every so many bases.",
    ),
]
TwoSided = Annotated[
    bool, typer.Option("--two-sided", help="Read both sides, with a model of direction both.")
]
ListLayers = Annotated[
    bool, typer.Option("--list-layers", help="Show the model's layers and do nothing else.")
]


def embed(
    checkpoint: CheckpointFolder,
    sequences: Sequences = None,
    *,
    out: Annotated[
        Path | None, typer.Option(help="The file to write: .parquet, .npz or .tsv.")
    ] = None,
    genome: InGenome = None,
    layer: Annotated[
        str, typer.Option(help="Where to look in; -1 is the last block of a part.")
    ] = "backbone.-1",
    pool: Pooled = "mean",
    bin_bp: BinBp = None,
    both_strands: BothStrands = None,
    two_sided: TwoSided = False,
    stream: Stream = False,
    resume: Resume = False,
    circular: Circular = None,
    skip_bad: SkipBad = False,
    list_layers: ListLayers = False,
    device: Device = "cpu",
    precision: Precision = "fp32",
    as_json: Json = False,
) -> None:
    """Embed sequences: a vector of each, or of each of its bases.

    A layer of patches gives a base the vector of the patch closed last; in a
    bidirectional model, of its own patch. Each record or interval is read as a
    document of its own. parquet: name, position (0-based, with --pool base) and
    embedding; tsv: name, position, e0, e1 and so on; npz: names, embeddings,
    and with --pool base offsets, n + 1 of them, between which a sequence's
    bases stand. Positions count from an interval's first base as its strand
    reads.

    With --stream whole chromosomes are read in constant memory, and a run that
    was killed goes on with --resume to the same file: name, start and end (of
    a bin or a patch) and the vector.

    Example: hyena-glt embed runs/demo/checkpoint genome.fa --out e.parquet
    """
    if list_layers:
        if sequences is not None or out is not None or genome is not None:
            raise typer.BadParameter("--list-layers reads and writes no file; leave the files out")
        if stream or resume or bin_bp is not None:
            raise typer.BadParameter(
                "--list-layers reads no sequence; leave out --stream, --resume and --bin-bp"
            )
        _show_layers(checkpoint, as_json)
        return
    if sequences is None:
        raise typer.BadParameter("SEQUENCES is missing: give a FASTA, FASTQ or BED file")
    if out is None:
        raise typer.BadParameter("--out is missing: give the file to write")
    from hyena_glt.api import load
    from hyena_glt.cli.embed_stream import check_pool, stream_embeddings
    from hyena_glt.cli.embeddings import check_suffix, write_embeddings
    from hyena_glt.cli.streams import check_stream_asked

    check_suffix(out)
    contigs = circular or []
    check_stream_asked(
        stream,
        {"--resume": resume, "--bin-bp": bin_bp is not None, "--pool patch": pool == "patch"},
        {"--genome": genome is not None, "--two-sided": two_sided},
    )
    check_intervals_asked(genome, contigs, skip_bad, "--genome")
    if stream:
        check_pool(pool, bin_bp, both_strands)
        done = stream_embeddings(
            load(checkpoint, device, precision),
            sequences,
            out,
            layer=layer,
            bin_bp=bin_bp,
            both_strands=both_strands,
            resume=resume,
        )
        _show(out, done, precision, as_json)
        return
    assert pool != "patch"  # only with --stream
    path, bed = (sequences, None) if genome is None else (genome, sequences)
    tally = write_embeddings(
        load(checkpoint, device, precision),
        path,
        bed,
        out,
        layer=layer,
        pool=pool,
        both_strands=both_strands,
        two_sided=two_sided or None,
        circular=contigs,
        skip_bad=skip_bad,
    )
    _show(out, tally, precision, as_json)
    if not as_json:
        show_renamed(tally.renamed)
        show_skipped(tally.skipped)


def _show(out: Path, tally: "Tally | StreamTally", precision: Precision, as_json: bool) -> None:
    if as_json:
        show_json({"out": str(out), "precision": precision, **tally.as_dict()})
    else:
        typer.echo(f"{out}: {tally}")


def _show_layers(checkpoint: Path, as_json: bool) -> None:
    from hyena_glt.api import load

    layers = [
        (layer.name, layer.width, f"patch of stage {layer.rate}" if layer.rate else "base")
        for layer in load(checkpoint).layers()
    ]
    if as_json:
        show_json(
            {"layers": [{"name": name, "width": width, "per": per} for name, width, per in layers]}
        )
        return
    longest = max(len(name) for name, _, _ in layers)
    for name, width, per in layers:
        typer.echo(f"{name:<{longest}}  {width:>6,} numbers a {per}")
