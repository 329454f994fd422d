"""The facade: load a checkpoint and ask it."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from hyena_glt.checkpoint import Checkpoint, build_network, load_checkpoint
from hyena_glt.config import Recipe
from hyena_glt.errors import DeviceError, SequenceError
from hyena_glt.generate import sample
from hyena_glt.model import HyenaGLT
from hyena_glt.score import (
    SequenceScore,
    Substitution,
    score_sequences,
    score_substitutions,
    surprisal_bits,
)


class LoadedModel:
    """A trained model, ready to be asked. Made by :func:`load`."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.checkpoint = checkpoint
        self.network: HyenaGLT = build_network(checkpoint).to(device)

    @property
    def recipe(self) -> Recipe:
        """The recipe that the model was trained with."""
        return self.checkpoint.recipe

    def score(self, sequences: Sequence[str], both_strands: bool = False) -> list[SequenceScore]:
        """Return each sequence's log-likelihood (nats), scored bases and bits per base.

        >>> model.score(["ACGTNACGT"])[0].scored_bp  # doctest: +SKIP
        8

        Raises SequenceError for one string instead of a list, and for a letter that the modality
        doesn't have.
        """
        _check_list(sequences)
        return score_sequences(self.network, sequences, both_strands)

    def surprisal_bits(
        self, sequences: Sequence[str], both_strands: bool = False
    ) -> list[Float64[np.ndarray, " L"]]:
        """Return -log2 p of every base of each sequence, nan where there is no letter (N).

        Raises SequenceError as :meth:`score` does.
        """
        _check_list(sequences)
        return surprisal_bits(self.network, sequences, both_strands)

    def score_substitutions(
        self, window: str, substitutions: Sequence[Substitution], both_strands: bool = False
    ) -> Float64[np.ndarray, " S"]:
        """Return log-likelihood(changed window) - log-likelihood(window), in nats."""
        return score_substitutions(self.network, window, substitutions, both_strands)

    def generate(
        self,
        prompt: str = "",
        *,
        length_bp: int,
        count: int = 1,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> list[str]:
        """Return ``count`` sampled continuations of ``prompt``, without the prompt."""
        generator = torch.Generator().manual_seed(seed)
        return sample(self.network, prompt, length_bp, count, generator, temperature)


def load(path: str | Path, device: str = "cpu") -> LoadedModel:
    """Return the model in the checkpoint folder ``path``.

    Raises CheckpointError for a folder that is no checkpoint or a damaged one, DeviceError for a
    device that isn't there.
    """
    check_device(device)
    return LoadedModel(load_checkpoint(Path(path)), device)


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


def _check_list(sequences: Sequence[str]) -> None:
    """Raise SequenceError for one string, which is a sequence of strings of one letter too."""
    if isinstance(sequences, str):
        raise SequenceError(
            f"found one string, {sequences[:20]!r}; give a list of sequences, such as ['ACGT']"
        )
