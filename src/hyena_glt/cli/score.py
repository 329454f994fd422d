"""``hyena-glt score``: likelihoods of sequences, written as a table."""

from pathlib import Path
from typing import Annotated

import typer

from hyena_glt.cli.options import (
    BothStrands,
    CheckpointFolder,
    Circular,
    Compile,
    Device,
    Json,
    Precision,
    Resume,
    SkipBad,
    Stream,
)
from hyena_glt.cli.verbs import check_intervals_asked, show_json, show_renamed, show_skipped


def fasta(
    checkpoint: CheckpointFolder,
    sequences: Annotated[
        Path, typer.Argument(metavar="FASTA", help="FASTA or FASTQ: plain, gzip or bgzip.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="The table to write, tab-separated with a header.")],
    per_base: Annotated[
        bool,
        typer.Option(
            "--per-base", help="A row a base: name, position (0-based), base, surprisal_bits."
        ),
    ] = False,
    bed: Annotated[
        Path | None,
        typer.Option(
            help="Score these intervals instead of whole records; - reads the other strand. "
            "An index (.fai, of bgzip .gzi too) is written beside the FASTA."
        ),
    ] = None,
    track: Annotated[
        Path | None,
        typer.Option(
            help="A score a base of each record (bedGraph, bigWig, .npz), for a model whose "
            "patches read one; likelihoods are then conditional on it, and called so."
        ),
    ] = None,
    both_strands: BothStrands = None,
    stream: Stream = False,
    resume: Resume = False,
    track_out: Annotated[
        Path | None,
        typer.Option(help="With --stream: the surprisal of each base too, a .bedgraph."),
    ] = None,
    circular: Circular = None,
    skip_bad: SkipBad = False,
    device: Device = "cpu",
    precision: Precision = "fp32",
    compile: Compile = False,
    as_json: Json = False,
) -> None:
    """Score the sequences of a FASTA or FASTQ file: log-likelihood and bits per base of each.

    Columns: name, length_bp, scored_bp, loglik_nats, bits_per_base. A base
    that is no letter of the modality (N) is in no number, and NA stands where
    nothing could be scored. Each record or interval is read as a document of
    its own. With --bed a name is the fourth column, or contig:start-end, and
    positions count from the interval's first base as its strand reads.

    With --stream whole chromosomes are read in constant memory, and a run that
    was killed goes on with --resume to the same file.

    Example: hyena-glt score fasta runs/demo/checkpoint genome.fa --out t.tsv
    """
    from hyena_glt.api import load
    from hyena_glt.cli.score_stream import stream_scores
    from hyena_glt.cli.streams import check_stream_asked
    from hyena_glt.cli.tables import write_scores

    contigs = circular or []
    check_stream_asked(
        stream,
        {"--resume": resume, "--track-out": track_out is not None},
        {"--bed": bed is not None},
    )
    check_intervals_asked(bed, contigs, skip_bad, "--bed")
    if track is not None and bed is not None:
        raise typer.BadParameter("--track is for whole records; leave out --bed")
    model = load(checkpoint, device, precision, compile)
    if stream:
        tally = stream_scores(
            model,
            sequences,
            out,
            per_base=per_base,
            both_strands=both_strands,
            track=track,
            track_out=track_out,
            resume=resume,
        )
    else:
        tally = write_scores(
            model, sequences, out, bed, per_base, both_strands, contigs, skip_bad, track
        )
    if as_json:
        show_json({"out": str(out), "precision": model.precision, **tally.as_dict()})
    else:
        typer.echo(f"{out}: {tally}")
        show_renamed(tally.renamed)
        show_skipped(tally.skipped)
