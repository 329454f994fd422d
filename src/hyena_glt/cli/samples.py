"""What ``hyena-glt generate`` reads and writes."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import typer

from hyena_glt.config import Precision
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
    if os.path.realpath(logprobs) == os.path.realpath(out):
        raise StorageError(f"{logprobs}: is --out too; choose another --logprobs")
    TableWriter(logprobs, COLUMNS)  # refuses a suffix; nothing is opened yet


class SampleWriter:
    """Writes samples as they come: FASTA, and to ``logprobs`` the ln p of each of their letters.

    Positions count from the sample's first letter, 0-based, the prompt left out. The names of all
    samples differ.
    """

    def __init__(
        self,
        seed: int,
        precision: Precision,
        with_prompt: bool,
        stop_codon: bool,
        out: Path,
        logprobs: Path | None,
    ) -> None:
        self.seed, self.precision = seed, precision
        self.with_prompt, self.stop_codon = with_prompt, stop_codon
        self.out, self.logprobs = out, logprobs
        self.count = 0
        self.at_stop_codon = 0

    def write(self, samples: Iterable[tuple[str, Sample]]) -> None:
        """Write all of ``samples``, (name, sample), one at a time, and count them."""
        with ExitStack() as files:
            table = None
            if self.logprobs is not None:
                table = files.enter_context(TableWriter(self.logprobs, COLUMNS))
            write_fasta(self.out, self._records(samples, table), names_differ=True)

    def _records(
        self, samples: Iterable[tuple[str, Sample]], table: TableWriter | None
    ) -> Iterator[Record]:
        for name, sample in samples:
            if table is not None:
                nats = sample.loglik_nats.tolist()
                for position, base in enumerate(sample.sequence):
                    row = (name, position, base, nats[position])
                    table.write(dict(zip(COLUMNS, row, strict=True)))
            self.count += 1
            self.at_stop_codon += sample.at_stop_codon
            description = self._description(sample)
            yield Record(
                name, description, (sample.prompt if self.with_prompt else "") + sample.sequence
            )

    def _description(self, sample: Sample) -> str:
        parts = [
            f"seed={self.seed}",
            f"prompt_bp={len(sample.prompt)}",
            f"mean_logprob_nats={sample.loglik_nats.mean():.6g}",
        ]
        if self.precision != "fp32":
            parts.append(f"precision={self.precision}")
        if self.stop_codon:
            parts.append(f"end={'stop_codon' if sample.at_stop_codon else 'length'}")
        return " ".join(parts)
