"""What ``hyena-glt generate`` reads and writes."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import typer

from hyena_glt.errors import SequenceFileError, StorageError
from hyena_glt.generate import Sample
from hyena_glt.io import Record, TableWriter, check_output, read_sequences, write_fasta

COLUMNS = {"name": str, "position": int, "base": str, "logprob_nats": float}


def read_prompts(prompt: str, prompts: Path | None) -> list[Record]:
    """Return the prompt as a record called ``sample``, or the records of the file ``prompts``."""
    if prompts is None:
        return [Record("sample", "", prompt)]
    if prompt:
        raise typer.BadParameter("--prompt and --prompts can't both be given; use one of them")
    records = list(read_sequences(prompts))
    names = Counter(record.name for record in records)
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice is not None:
        raise SequenceFileError(
            f"{prompts}: found {names[twice]} records named {twice!r}, after which samples are "
            "called; rename them"
        )
    return records


def check_outputs(out: Path, logprobs: Path | None, prompts: Path | None) -> None:
    """Raise StorageError for outputs that are an input, each other, or of an unknown format."""
    check_output(out, prompts)
    if logprobs is None:
        return
    check_output(logprobs, prompts)
    if logprobs.absolute() == out.absolute():
        raise StorageError(f"{logprobs}: is --out too; choose another --logprobs")
    TableWriter(logprobs, COLUMNS)  # refuses a suffix; nothing is opened yet


def write_samples(
    names: Sequence[str],
    samples: Sequence[Sample],
    seed: int,
    out: Path,
    logprobs: Path | None,
    with_prompt: bool,
) -> None:
    """Write samples as FASTA, and to ``logprobs`` the ln p of each of their letters.

    Positions count from the sample's first letter, 0-based, the prompt left out.
    """
    with ExitStack() as files:
        if logprobs is not None:
            table = files.enter_context(TableWriter(logprobs, COLUMNS))
            for name, sample in zip(names, samples, strict=True):
                nats = sample.loglik_nats.tolist()
                for position, base in enumerate(sample.sequence):
                    row = (name, position, base, nats[position])
                    table.write(dict(zip(COLUMNS, row, strict=True)))
        pairs = zip(names, samples, strict=True)
        write_fasta(out, [_record(name, sample, seed, with_prompt) for name, sample in pairs])


def _record(name: str, sample: Sample, seed: int, with_prompt: bool) -> Record:
    mean_nats = sample.loglik_nats.mean()
    description = f"seed={seed} prompt_bp={len(sample.prompt)} mean_logprob_nats={mean_nats:.6g}"
    return Record(name, description, (sample.prompt if with_prompt else "") + sample.sequence)
