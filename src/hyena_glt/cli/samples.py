"""What ``hyena-glt generate`` reads and writes."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pysam
import typer

from hyena_glt.config import Precision
from hyena_glt.errors import SequenceFileError, StorageError
from hyena_glt.generate import Sample
from hyena_glt.io import Record, TableWriter, check_output, fsync_path, read_sequences
from hyena_glt.stream import put_in_place

COLUMNS = {"name": str, "position": int, "base": str, "logprob_nats": float}
STDOUT = Path("-")
_LINE_BP = 60  # letters of a line of FASTA
_FLUSH_S = 1.0  # between flushes: the samples that a kill may cost


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
    """Raise StorageError for outputs that are an input, each other, or of an unknown format.

    And where samples of a run that was stopped stand in OUT.part.
    """
    if out != STDOUT:
        check_output(out, prompts)
        part = _part_of(out)
        if part.exists():
            raise StorageError(
                f"{part}: holds the samples of a run that was stopped or still goes on; move it "
                "away if they are wanted, or remove it"
            )
    if logprobs is None:
        return
    check_output(logprobs, prompts)
    if os.path.realpath(logprobs) == os.path.realpath(out):
        raise StorageError(f"{logprobs}: is --out too; choose another --logprobs")
    TableWriter(logprobs, COLUMNS)  # refuses a suffix; nothing is opened yet


class SampleWriter:
    """Writes samples as they come: FASTA, and to ``logprobs`` the ln p of each of their letters.

    FASTA grows in OUT.part, which takes its place at the end and stays where the run is stopped;
    ``out`` ``-`` is the standard output. Positions count from the sample's first letter, 0-based,
    the prompt left out. The names of all samples differ.
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
            append = files.enter_context(_growing(self.out))
            for name, sample in samples:
                if table is not None:
                    nats = sample.loglik_nats.tolist()
                    for position, base in enumerate(sample.sequence):
                        row = (name, position, base, nats[position])
                        table.write(dict(zip(COLUMNS, row, strict=True)))
                self.count += 1
                self.at_stop_codon += sample.at_stop_codon
                letters = (sample.prompt if self.with_prompt else "") + sample.sequence
                lines = (letters[i : i + _LINE_BP] for i in range(0, len(letters), _LINE_BP))
                append("\n".join((f">{name} {self._description(sample)}", *lines, "")))

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


@contextmanager
def _growing(out: Path) -> Iterator[Callable[[str], None]]:
    """Give what appends text to OUT.part, which becomes ``out``; bgzip where that ends in .gz.

    What was appended can be read there a second later, of bgzip whole blocks alone. A run that
    fails with nothing written leaves nothing.
    """
    if out == STDOUT:
        yield partial(typer.echo, nl=False)
        return
    part = _part_of(out)
    flushed_s: float | None = None
    with pysam.BGZFile(str(part), "wb", None) if out.suffix == ".gz" else part.open("xb") as file:

        def append(text: str) -> None:
            nonlocal flushed_s
            file.write(text.encode("ascii"))
            if flushed_s is None or time.monotonic() - flushed_s >= _FLUSH_S:
                file.flush()
                flushed_s = time.monotonic()

        try:
            yield append
        except BaseException:
            if flushed_s is None:
                part.unlink()
            raise
    fsync_path(part)
    put_in_place(part, out)


def _part_of(out: Path) -> Path:
    """Where an output grows: beside the file that ``out`` is or links to."""
    whole = Path(os.path.realpath(out))
    return whole.with_name(f"{whole.name}.part")
