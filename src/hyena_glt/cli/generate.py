"""``hyena-glt generate``: sequences that a model writes."""

from pathlib import Path
from typing import Annotated

import typer

from hyena_glt.cli.options import CheckpointFolder, Device, Json
from hyena_glt.cli.verbs import show_json


def generate(
    checkpoint: CheckpointFolder,
    *,
    out: Annotated[Path, typer.Option(help="The FASTA file to write; .gz is bgzip.")],
    length_bp: Annotated[int, typer.Option(min=1, help="Letters of a sample.")],
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
    as_json: Json = False,
) -> None:
    """Sample sequences, letter by letter, each from the model's own prediction.

    Records are called NAME_1, NAME_2, ... after their prompt's record, or
    sample_1, ... ; the description holds the seed, the prompt's length and the
    mean log-probability of a letter under the model (nats), whatever the
    temperature. The i-th sample draws from a random stream of (seed, i).

    Example: hyena-glt generate CKPT --prompt ATG --length-bp 300 -n 4 --out g.fa
    """
    from hyena_glt.api import load
    from hyena_glt.cli.samples import check_outputs, read_prompts, write_samples
    from hyena_glt.errors import SequenceError

    check_outputs(out, logprobs, prompts)
    named = read_prompts(prompt, prompts)
    model = load(checkpoint, device)
    try:
        samples = model.generate(
            [record.sequence for record in named],
            length_bp=length_bp,
            count=count,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
        )
    except SequenceError as error:
        raise SequenceError(f"{prompts or '--prompt'}: {error}") from None
    names = [f"{record.name}_{i + 1}" for record in named for i in range(count)]
    write_samples(names, samples, seed, out, logprobs, with_prompt)
    written = {"out": str(out), "samples": len(samples), "length_bp": length_bp, "seed": seed}
    if as_json:
        show_json(written | ({} if logprobs is None else {"logprobs": str(logprobs)}))
    else:
        typer.echo(f"{out}: {len(samples):,} samples of {length_bp:,} letters, seed {seed}")
