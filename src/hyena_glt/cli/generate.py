"""``hyena-glt generate``: sequences that a model writes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hyena_glt.cli.options import CheckpointFolder, Device, Json
from hyena_glt.cli.verbs import show_json

if TYPE_CHECKING:
    from hyena_glt.cli.samples import SampleWriter

GrowingFasta = Annotated[
    Path,
    typer.Option(
        help="The FASTA file to write; .gz is bgzip. It grows in OUT.part, which stays if the run "
        "is stopped. -: standard output, and the summary on standard error."
    ),
]
Rows = Annotated[
    int, typer.Option(min=1, help="Samples drawn side by side; how many changes none of them.")
]
SamplingPrecision = Annotated[
    Literal["fp32", "bf16"],
    typer.Option(
        help="Of matrix products; bf16 is faster with dozens of samples or a prompt of thousands "
        "of bases, and slower with one sample."
    ),
]


def generate(
    checkpoint: CheckpointFolder,
    *,
    out: GrowingFasta,
    length_bp: Annotated[int, typer.Option(min=1, help="Letters of a sample, at most.")],
    prompt: Annotated[
        str, typer.Option(help="What the samples go on from; default: nothing.")
    ] = "",
    prompts: Annotated[
        Path | None, typer.Option(metavar="FASTA", help="Go on from each of these instead.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Samples of each prompt.")] = 1,
    temperature: Annotated[
        float, typer.Option(help="Below 1: likelier letters; above 1: more alike.")
    ] = 1.0,
    top_k: Annotated[
        int | None, typer.Option(help="Draw among the k likeliest letters alone.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw among the fewest letters whose probability is p.")
    ] = None,
    start: Annotated[str, typer.Option(help="What every sample begins with.")] = "",
    forbid: Annotated[
        list[str] | None,
        typer.Option(metavar="MOTIF", help="Never write this; may be repeated."),
    ] = None,
    max_homopolymer_bp: Annotated[
        int | None, typer.Option(min=1, help="The longest run of one letter.")
    ] = None,
    stop_codon: Annotated[
        bool,
        typer.Option("--stop-codon", help="End at a stop codon in frame: TAA, TAG or TGA."),
    ] = False,
    rows: Rows = 64,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same samples.")] = 0,
    with_prompt: Annotated[
        bool, typer.Option("--with-prompt", help="Write the prompt before each sample.")
    ] = False,
    logprobs: Annotated[
        Path | None,
        typer.Option(
            metavar="TSV", help="Write a row a letter too: name, position, base, logprob_nats."
        ),
    ] = None,
    device: Device = "cpu",
    precision: SamplingPrecision = "fp32",
    as_json: Json = False,
) -> None:
    """Sample sequences, letter by letter, each from the model's own prediction.

    Records are called NAME_1, NAME_2, ... after their prompt's record, or
    sample_1, ... ; the description holds the seed, the prompt's length, the
    mean log-probability of a letter under the model (nats), whatever the
    temperature, and a precision other than fp32. The i-th sample draws from a
    random stream of (seed, i).

    Samples are written as they come, any number of them in the memory of --rows.
    The frame of --stop-codon is that of the sample's first letter, --start included;
    --forbid and --max-homopolymer-bp count the prompt's last letters too.

    Example: hyena-glt generate CKPT --prompt ATG --length-bp 300 -n 4 --out g.fa
    """
    from hyena_glt.api import load
    from hyena_glt.cli.samples import STDOUT, SampleWriter, check_outputs, read_prompts
    from hyena_glt.errors import SequenceError
    from hyena_glt.generate import sample_stream

    if as_json and out == STDOUT:
        raise typer.BadParameter("--json prints on standard output, as --out - does; use one")
    check_outputs(out, logprobs, prompts)
    named = read_prompts(prompt, prompts)
    model = load(checkpoint, device, precision)
    try:
        samples = sample_stream(
            model.network,
            [record.sequence for record in named],
            length_bp,
            count=count,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            forbid=forbid or (),
            start=start,
            stop_codon=stop_codon,
            max_homopolymer_bp=max_homopolymer_bp,
            rows=rows,
        )
    except SequenceError as error:
        raise SequenceError(f"{prompts or '--prompt'}: {error}") from None
    names = (f"{record.name}_{i + 1}" for record in named for i in range(count))
    writer = SampleWriter(seed, precision, with_prompt, stop_codon, out, logprobs)
    writer.write(zip(names, samples, strict=True))
    if as_json:
        _show_json(writer, length_bp)
        return
    ends = f", {writer.at_stop_codon:,} of them ended by a stop codon" if stop_codon else ""
    most = "up to " if stop_codon else ""
    written = f"{writer.count:,} samples of {most}{length_bp:,} letters{ends}, seed {seed}"
    typer.echo(f"{out}: {written}", err=out == STDOUT)


def _show_json(writer: "SampleWriter", length_bp: int) -> None:
    written = {
        "out": str(writer.out),
        "samples": writer.count,
        "length_bp": length_bp,
        "seed": writer.seed,
        "precision": writer.precision,
    }
    if writer.stop_codon:
        written["at_stop_codon"] = writer.at_stop_codon
    if writer.logprobs is not None:
        written["logprobs"] = str(writer.logprobs)
    show_json(written)
