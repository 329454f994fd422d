"""``hyena-glt score saturation``: the effect of every SNV of some regions."""

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
    SkipBad,
    StrideBp,
    TailTolerance,
    WindowBp,
)
from hyena_glt.cli.verbs import command_line


def saturation(
    checkpoint: CheckpointFolder,
    *,
    genome: Genome,
    bed: Annotated[Path, typer.Option(help="The regions; their strand doesn't matter.")],
    out: Annotated[
        Path,
        typer.Option(
            help="The file to write: .vcf, .vcf.gz (bgzip, indexed), .tsv or .parquet (a row an "
            "ALT)."
        ),
    ],
    heat_map: Annotated[
        Path | None,
        typer.Option(
            "--heatmap", help="A picture too, .png or .svg, of regions of 2,000 bp or less in all."
        ),
    ] = None,
    window_bp: WindowBp = 1500,
    stride_bp: StrideBp = None,
    tail_tolerance: TailTolerance = 0.0,
    both_strands: BothStrands = None,
    circular: Circular = None,
    skip_bad: SkipBad = False,
    device: Device = "cpu",
    precision: Precision = "fp32",
    compile: Compile = False,
    as_json: Json = False,
) -> None:
    """Score every single-nucleotide variant of the regions of a BED file.

    A record a position, with the three other bases as its ALTs, and the fields
    of 'score vcf'. Around a base that is no A C G T nothing is scored, and
    GLT_REASON says so. In the heat map rows are new bases, columns positions;
    red is worse than the reference base, which has a dot.

    Example: hyena-glt score saturation CKPT --genome g.fa --bed r.bed --out s.tsv
    """
    from hyena_glt.api import load
    from hyena_glt.cli.variants import Progress, show_tally
    from hyena_glt.io import Reference, Variant, read_bed
    from hyena_glt.score import Effect, check_out, on_genome, saturation_variants, write_effects

    check_out(out, genome, bed)
    skipped: list[str] = []
    with Reference(genome, circular or ()) as reference, Progress(wanted=not as_json) as progress:
        regions = on_genome(reference, read_bed(bed), bed, skipped if skip_bad else None)
        picture = None
        if heat_map is not None:
            from hyena_glt.score.heat_map import HeatMap

            picture = HeatMap(heat_map, regions)

        def on_record(variant: Variant, effects: tuple[Effect, ...]) -> None:
            progress.add(variant, effects)
            if picture is not None:
                picture.add(variant, effects)

        tally = write_effects(
            load(checkpoint, device, precision, compile).network,
            reference,
            saturation_variants(reference, regions),
            out,
            window_bp=window_bp,
            stride_bp=stride_bp,
            tail_tolerance_nats=tail_tolerance,
            both_strands=both_strands,
            about={"command": command_line(), "checkpoint": checkpoint},
            on_record=on_record,
        )
    if picture is not None:
        picture.draw()
    show_tally(tally, out, as_json, heat_map, skipped)
