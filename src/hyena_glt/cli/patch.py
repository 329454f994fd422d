"""``hyena-glt patch``: where patches lie, what they fall on, and how surprising each base is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from hyena_glt.cli.options import Device, Json, Precision, Resume, Stream
from hyena_glt.cli.verbs import show_json

if TYPE_CHECKING:
    from hyena_glt.cli.patchers import Patched

MEAN_BP = 6.0
_DEFAULT = "map"


class MapByDefault(TyperGroup):
    """A group whose first word may be left out: then it is ``map``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return what the group doesn't read, with the verb in front of it."""
        if not args or args[0] not in self.commands:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


def draw(
    source: Annotated[
        str, typer.Argument(metavar="CKPT|RECIPE", help="A checkpoint, a YAML file, or: demo.")
    ],
    sequences: Annotated[
        Path, typer.Argument(metavar="FASTA", help="FASTA or FASTQ: plain, gzip or bgzip.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="The folder to write; it must not be there yet.")],
    kind: Annotated[
        Literal[
            "none", "fixed", "syncmer", "entropy", "entropy_jump", "entropy_dual", "budget", "bpe"
        ]
        | None,
        typer.Option(
            help="Another rule, drawn beside the model's own. Learned, track and delimiter patches "
            "need a recipe of their own."
        ),
    ] = None,
    mean_bp: Annotated[
        float | None,
        typer.Option(
            min=1, help=f"Mean patch of --kind; default: {MEAN_BP:g}.", show_default=False
        ),
    ] = None,
    annotation: Annotated[
        Path | None, typer.Option(help="Features of the sequences: GFF3, GTF or BED.")
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="CONTIG:START-END",
            help="What region.png shows, 0-based; default: the first 5 kb with genes.",
        ),
    ] = None,
    track: Annotated[
        Path | None,
        typer.Option(help="A score a base, for patches of kind track: bedGraph, bigWig or .npz."),
    ] = None,
    figures: Annotated[
        Literal["png", "svg"] | None,
        typer.Option(help="The pictures' format; default: png.", show_default=False),
    ] = None,
    stream: Stream = False,
    resume: Resume = False,
    device: Device = "cpu",
    precision: Precision = "fp32",
    as_json: Json = False,
) -> None:
    """Draw a model's patches along sequences, for a genome browser and as pictures.

    Writes patches.bed, entropy and surprisal as .bedgraph and .bw (where the
    model has them; a recipe has no surprisal), summary.json, and pictures of
    patch lengths, of a region, and with --annotation of means around codons,
    exons and transcription starts. Each record is read as a document of its
    own. 'hyena-glt patch calibrate' shows how patches hang on their threshold.

    With --stream whole chromosomes are read in constant memory, and a run that
    was killed goes on with --resume: patches.bed, .bedgraph and summary.json,
    without pictures.

    Example: hyena-glt patch runs/demo/checkpoint genome.fa --out runs/map
    """
    _check_mean(kind, mean_bp)
    from hyena_glt.api import check_device
    from hyena_glt.cli.patch_files import check_folder, write_maps
    from hyena_glt.cli.patch_summary import show_summary
    from hyena_glt.cli.patchers import open_scores, other_patches
    from hyena_glt.cli.streams import check_stream_asked

    given = {
        "--kind": kind,
        "--annotation": annotation,
        "--region": region,
        "--track": track,
        "--figures": figures,
    }
    refused = {name: value is not None for name, value in given.items()}
    check_stream_asked(stream, {"--resume": resume}, refused)
    check_device(device)
    if stream:
        _stream(_own(source, device, precision), sequences, out, resume, as_json)
        return
    check_folder(out)
    own = _own(source, device, precision)
    other = None if kind is None else other_patches(own, kind, mean_bp or MEAN_BP, device)
    summary = write_maps(
        own,
        other,
        sequences,
        out,
        annotation=annotation,
        region=region,
        track=open_scores(own, track),
        figures=figures or "png",
    )
    if as_json:
        show_json({"out": str(out), **summary})
    else:
        show_summary(out, summary)


def _check_mean(kind: str | None, mean_bp: float | None) -> None:
    """Refuse a mean patch that nothing would have."""
    if kind is None and mean_bp is not None:
        raise typer.BadParameter("--mean-bp is for another rule; give --kind too")
    if kind == "none" and mean_bp is not None:
        raise typer.BadParameter("--kind none has patches of 1 bp; leave --mean-bp out")


def _own(source: str, device: str, precision: Precision) -> "Patched":
    """Return the network of ``source``, which is asked in ``precision``."""
    from hyena_glt.cli.patchers import own_patches
    from hyena_glt.model import warn_of_slow_bf16

    if precision != "fp32" and not Path(source).is_dir():
        raise typer.BadParameter(
            f"--precision {precision} is of a surprisal, and a recipe has none; leave it out"
        )
    own = own_patches(source, device)
    warn_of_slow_bf16(precision, device)
    own.network.precision = precision
    return own


def _stream(own: "Patched", sequences: Path, out: Path, resume: bool, as_json: bool) -> None:
    from hyena_glt.cli.patch_stream import show_stream_summary, stream_maps

    summary = stream_maps(own, sequences, out, resume)
    if as_json:
        show_json({"out": str(out), **summary})
    else:
        show_stream_summary(out, summary)


def calibrate(
    source: Annotated[
        str, typer.Argument(metavar="CKPT|RECIPE", help="A checkpoint, a YAML file, or: demo.")
    ],
    *,
    mean_bp: Annotated[float, typer.Option(min=1, help="The mean patch wanted, in bases.")],
    kind: Annotated[
        Literal["entropy", "entropy_jump", "entropy_dual", "budget", "bpe"] | None,
        typer.Option(help="A rule; default: that of the model's first stage."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the threshold or budget that gives patches a mean length, and how much hangs on it.

    It is found on training regions and tried on the validation region. Nothing
    is written: 'train' calibrates a recipe by itself.

    Example: hyena-glt patch calibrate demo --kind budget --mean-bp 6
    """
    from hyena_glt.cli.calibration import calibrate_source, show_calibration

    found = calibrate_source(source, kind, mean_bp)
    if as_json:
        show_json(found)
    else:
        show_calibration(found)
