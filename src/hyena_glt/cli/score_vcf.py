"""``hyena-glt score vcf``: a VCF file with the effect of every variant."""

from pathlib import Path
from typing import Annotated

import typer

from hyena_glt.cli.options import (
    BothStrands,
    CheckpointFolder,
    Circular,
    Compile,
    Device,
    Genome,
    Json,
    Precision,
    StrideBp,
    TailTolerance,
    WindowBp,
)
from hyena_glt.cli.verbs import command_line


def vcf(
    checkpoint: CheckpointFolder,
    variants: Annotated[Path, typer.Argument(metavar="VCF", help="Plain, gzip or bgzip.")],
    *,
    genome: Genome,
    out: Annotated[
        Path,
        typer.Option(
            help="The file to write: .vcf, .vcf.gz (bgzip, indexed), .tsv or .parquet (a row an "
            "ALT)."
        ),
    ],
    window_bp: WindowBp = 1500,
    stride_bp: StrideBp = None,
    tail_tolerance: TailTolerance = 0.0,
    both_strands: BothStrands = None,
    circular: Circular = None,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            help="Leave records that aren't of this genome unscored, and list them in "
            "OUT.bad.tsv, instead of stopping at the first.",
        ),
    ] = False,
    device: Device = "cpu",
    precision: Precision = "fp32",
    compile: Compile = False,
    as_json: Json = False,
) -> None:
    """Score variants: how much less likely a window is with ALT than with REF.

    GLT_DLL is log-likelihood(window with ALT) - log-likelihood(window with
    REF) in nats, below 0 where the model finds ALT worse. GLT_DLL_FLANK is the
    same over the bases that both windows share; use it for indels, because a
    longer window is less likely by its length alone. GLT_SCORED_BP counts the
    bases of the window with ALT, GLT_REASON says why an ALT has no score. With
    --tail-tolerance GLT_CUT_BP counts those of them that weren't read. In a VCF
    they stand in INFO, with 9 significant digits, and all else is kept; in a
    table they are exact. A bidirectional model compares the changed bases
    alone, and no indels.

    Example: hyena-glt score vcf CKPT in.vcf.gz --genome hg38.fa --out out.vcf.gz
    """
    from hyena_glt.api import load
    from hyena_glt.cli.variants import Progress, show_tally
    from hyena_glt.io import Reference
    from hyena_glt.score import write_effects

    model = load(checkpoint, device, precision, compile)
    with Reference(genome, circular or ()) as reference, Progress(wanted=not as_json) as progress:
        tally = write_effects(
            model.network,
            reference,
            variants,
            out,
            window_bp=window_bp,
            stride_bp=stride_bp,
            tail_tolerance_nats=tail_tolerance,
            both_strands=both_strands,
            skip_bad=skip_bad,
            about={"command": command_line(), "checkpoint": checkpoint},
            on_record=progress.add,
        )
    show_tally(tally, out, as_json)
