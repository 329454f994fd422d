"""The facade: load a checkpoint and ask it."""

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal, get_args, overload

import numpy as np
import torch
from jaxtyping import Float, Float64

from hyena_glt.calibrate import repatched
from hyena_glt.checkpoint import Checkpoint, build_network, load_checkpoint
from hyena_glt.config import Precision, Recipe
from hyena_glt.embed import Layer, Pool, embed_sequences, layers_of
from hyena_glt.errors import DeviceError, KernelError, SequenceError
from hyena_glt.generate import ROWS, Sample, sample
from hyena_glt.io import Reference, Variant
from hyena_glt.model import HyenaGLT, compile_readings, warn_of_slow_bf16
from hyena_glt.score import (
    WINDOW_BP,
    Effect,
    SequenceScore,
    Substitution,
    Tally,
    Tracks,
    effects_of,
    score_sequences,
    score_substitutions,
    surprisal_bits,
    write_effects,
)
from hyena_glt.stream import PIECE_BP


class LoadedModel:
    """A trained model, ready to be asked. Made by :func:`load`."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "cpu",
        precision: Precision = "fp32",
        compile: bool = False,
    ) -> None:
        self.checkpoint = checkpoint
        self.network: HyenaGLT = build_network(checkpoint).to(device)
        self.network.precision = precision
        # Whether calls whose shape comes again and again are compiled.
        self.compiled = compile and compile_readings(self.network, device, PIECE_BP)

    @property
    def recipe(self) -> Recipe:
        """The recipe that the model was trained with."""
        return self.checkpoint.recipe

    @property
    def precision(self) -> Precision:
        """The precision of the network's matrix products, whatever it was trained in."""
        return self.network.precision

    def score(
        self,
        sequences: Sequence[str],
        both_strands: bool | None = None,
        tracks: Tracks | None = None,
    ) -> list[SequenceScore]:
        """Return each sequence's log-likelihood (nats), scored bases and bits per base.

        >>> model.score(["ACGTNACGT"])[0].scored_bp  # doctest: +SKIP
        8

        A model whose patches read a track needs ``tracks``, float32 arrays of a score a base; what
        it says is conditional on them. Raises SequenceError for one string instead of a list, and
        for a letter that the modality doesn't have; PatcherError where tracks are missing.
        """
        _check_list(sequences)
        return score_sequences(self.network, sequences, both_strands, tracks)

    def surprisal_bits(
        self,
        sequences: Sequence[str],
        both_strands: bool | None = None,
        tracks: Tracks | None = None,
    ) -> list[Float64[np.ndarray, " L"]]:
        """Return -log2 p of every base of each sequence, nan where there is no letter (N).

        Raises SequenceError as :meth:`score` does.
        """
        _check_list(sequences)
        return surprisal_bits(self.network, sequences, both_strands, tracks)

    def repatched(self, *overrides: str) -> "LoadedModel":
        """Return this model under another rule, its weights as they are.

        >>> model.repatched("model.stages.0.patch={kind: syncmer}")  # doctest: +SKIP

        A rule whose number is to be found finds it on the model's own training regions, whose files
        must be there. Raises CalibrationError where patches of the new kind can't take the place of
        the old ones.
        """
        device = str(next(self.network.parameters()).device)
        checkpoint = repatched(self.checkpoint, overrides)
        return LoadedModel(checkpoint, device, self.precision, self.compiled)

    def score_substitutions(
        self, window: str, substitutions: Sequence[Substitution], both_strands: bool | None = None
    ) -> Float64[np.ndarray, " S"]:
        """Return log-likelihood(changed window) - log-likelihood(window), in nats."""
        return score_substitutions(self.network, window, substitutions, both_strands)

    def layers(self) -> list[Layer]:
        """Return the places that :meth:`embed` can look at, in the order of the forward pass."""
        return layers_of(self.network)

    @overload
    def embed(
        self,
        sequences: Sequence[str],
        layer: str = ...,
        pool: Literal["mean", "max", "last"] = ...,
        both_strands: bool | None = ...,
        two_sided: bool | None = ...,
    ) -> Float[np.ndarray, "N D"]: ...

    @overload
    def embed(
        self,
        sequences: Sequence[str],
        layer: str = ...,
        *,
        pool: Literal["base"],
        both_strands: bool | None = ...,
        two_sided: bool | None = ...,
    ) -> list[Float[np.ndarray, "_ D"]]: ...

    def embed(
        self,
        sequences: Sequence[str],
        layer: str = "backbone.-1",
        pool: Pool = "mean",
        both_strands: bool | None = None,
        two_sided: bool | None = None,
    ) -> Float[np.ndarray, "N D"] | list[Float[np.ndarray, "_ D"]]:
        """Return the sequences' vectors at a layer: (N, D), or a list of (L, D) for ``base``.

        >>> model.embed(["ACGTNACGT", "GGC"]).shape  # doctest: +SKIP
        (2, 160)

        What is read and raised is as ``hyena_glt.embed.embed_sequences`` says; SequenceError for
        one string instead of a list too.
        """
        _check_list(sequences)
        return embed_sequences(
            self.network,
            sequences,
            layer,
            pool=pool,
            both_strands=both_strands,
            two_sided=two_sided,
        )

    def generate(
        self,
        prompt: str | Sequence[str] = "",
        *,
        length_bp: int,
        count: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        forbid: Sequence[str] = (),
        start: str = "",
        stop_codon: bool = False,
        max_homopolymer_bp: int | None = None,
        rows: int = ROWS,
    ) -> list[Sample]:
        """Return ``count`` sampled continuations of each prompt, prompt by prompt.

        A sample holds its prompt, the letters that followed, the ln p of each under the model, and
        whether a stop codon ended it. It begins with ``start``, never completes a motif of
        ``forbid`` nor a longer run of one letter than ``max_homopolymer_bp``, and ends with its
        first stop codon in frame where ``stop_codon`` says so. ``rows`` samples are drawn side by
        side; how many changes none of them. More in
        ``hyena_glt.generate.sample_stream``, which yields samples one by one.
        Raises SamplingError for a setting out of its range or without effect, SequenceError for a
        prompt that can't be read, DirectionError for a bidirectional model.
        """
        return sample(
            self.network,
            [prompt] if isinstance(prompt, str) else prompt,
            length_bp,
            count=count,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            forbid=forbid,
            start=start,
            stop_codon=stop_codon,
            max_homopolymer_bp=max_homopolymer_bp,
            rows=rows,
        )


def load(
    path: str | Path,
    device: str = "cpu",
    precision: Precision = "fp32",
    compile: bool = False,
) -> LoadedModel:
    """Return the model in the checkpoint folder ``path``.

    With ``precision`` bf16 all that it is asked runs matrix products in bf16, with weights, states,
    sums and logits in fp32: faster where the processor has units for it, and nearly the same
    numbers.

    With ``compile`` calls whose shape comes again and again are compiled: pieces of sequences of
    8,192 bp or more, windows of one length, variants. The numbers are the same to rounding. A shape
    takes a minute or more once, so that it pays in long runs; ``embed`` and ``generate`` run as
    without. Where it can't be done or would cost more than it saves, a RuntimeWarning says so and
    the model's ``compiled`` is false.

    A processor without units for bf16 takes tens of times as long for it as for fp32, and a
    RuntimeWarning says so.

    Raises CheckpointError for a folder that is no checkpoint or a damaged one, DeviceError for a
    device that isn't there, KernelError for a precision that there isn't.
    """
    check_device(device)
    check_precision(precision)
    warn_of_slow_bf16(precision, device)
    return LoadedModel(load_checkpoint(Path(path)), device, precision, compile)


@overload
def score_variants(
    model: LoadedModel,
    *,
    genome: str | Path | Reference,
    variants: str | Path | Iterable[Variant],
    out: None = None,
    window_bp: int = WINDOW_BP,
    stride_bp: int | None = None,
    tail_tolerance_nats: float = 0.0,
    both_strands: bool | None = None,
    circular: Collection[str] = (),
    skip_bad: bool = False,
) -> list[tuple[Variant, tuple[Effect, ...]]]: ...


@overload
def score_variants(
    model: LoadedModel,
    *,
    genome: str | Path | Reference,
    variants: str | Path | Iterable[Variant],
    out: str | Path,
    window_bp: int = WINDOW_BP,
    stride_bp: int | None = None,
    tail_tolerance_nats: float = 0.0,
    both_strands: bool | None = None,
    circular: Collection[str] = (),
    skip_bad: bool = False,
) -> Tally: ...


def score_variants(
    model: LoadedModel,
    *,
    genome: str | Path | Reference,
    variants: str | Path | Iterable[Variant],
    out: str | Path | None = None,
    window_bp: int = WINDOW_BP,
    stride_bp: int | None = None,
    tail_tolerance_nats: float = 0.0,
    both_strands: bool | None = None,
    circular: Collection[str] = (),
    skip_bad: bool = False,
) -> list[tuple[Variant, tuple[Effect, ...]]] | Tally:
    """Return each variant with the effects of its ALTs, or write them to ``out`` and count them.

    ``variants`` is a VCF file or variants made in Python; ``genome`` a FASTA file (plain or bgzip),
    a 2bit file or an open Reference; ``circular`` names the contigs of a file that are circles.
    ``out`` ends in .vcf, .vcf.gz, .tsv or .parquet. Windows, strands, tolerance and effects are
    as ``hyena_glt.score.score_variants`` says, ``out`` as ``hyena_glt.score.annotate`` does.

    Raises SequenceFileError at a record that isn't of this genome; with ``skip_bad`` its effects
    have a reason instead. Raises StorageError if ``out`` can't be written or is an input.
    """
    if isinstance(genome, Reference):
        if circular:
            raise ValueError("circular is for the path of a genome; an open Reference has its own")
        opened: AbstractContextManager[Reference] = nullcontext(genome)
    else:
        opened = Reference(genome, circular)
    with opened as reference:
        if out is not None:
            return write_effects(
                model.network,
                reference,
                variants,
                Path(out),
                window_bp=window_bp,
                stride_bp=stride_bp,
                tail_tolerance_nats=tail_tolerance_nats,
                both_strands=both_strands,
                skip_bad=skip_bad,
            )
        return list(
            effects_of(
                model.network,
                reference,
                variants,
                window_bp=window_bp,
                stride_bp=stride_bp,
                tail_tolerance_nats=tail_tolerance_nats,
                both_strands=both_strands,
                skip_bad=skip_bad,
            )
        )


def check_device(device: str) -> None:
    """Raise DeviceError unless ``device`` (cpu, cuda, cuda:N or mps) is there."""
    match = re.fullmatch(r"(cpu|mps|cuda)(?:(?<=cuda):(0|[1-9][0-9]*))?", device)
    if match is None:
        raise DeviceError(f"device {device!r}: expected cpu, cuda, cuda:N or mps")
    kind, number = match.groups()
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError(f"device {device}: this PyTorch sees no CUDA GPU; use --device cpu")
        count = torch.cuda.device_count()
        if number is not None and int(number) >= count:
            raise DeviceError(
                f"device {device}: this PyTorch sees {count} CUDA GPU(s); use cuda:0 to "
                f"cuda:{count - 1}"
            )
    elif kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"device {device}: this machine has no Apple GPU; use --device cpu")


def check_precision(precision: str) -> None:
    """Raise KernelError unless ``precision`` is fp32 or bf16."""
    if precision not in get_args(Precision):
        raise KernelError(f"precision {precision!r}: expected {' or '.join(get_args(Precision))}")


def _check_list(sequences: Sequence[str]) -> None:
    """Raise SequenceError for one string, which is a sequence of strings of one letter too."""
    if isinstance(sequences, str):
        raise SequenceError(
            f"found one string, {sequences[:20]!r}; give a list of sequences, such as ['ACGT']"
        )
