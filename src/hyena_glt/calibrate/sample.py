"""Rows on which patches are measured: windows as training reads them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from hyena_glt.config import CausalObjectiveConfig, Recipe
from hyena_glt.data import Batch, Source, Window, collate, held_windows, training_windows
from hyena_glt.model import HyenaGLT
from hyena_glt.patch import Emission, Patcher
from hyena_glt.tokenize import PAD

SAMPLE_BP = 1_000_000


class Sample(NamedTuple):
    """Rows, and what rules read of them."""

    ids: Int[Tensor, "B L"]
    length: Int[Tensor, " B"]
    entropy: Int[Tensor, "B L"] | None
    track: Float[Tensor, "B L"] | None

    @property
    def bases(self) -> int:
        """Bases in the rows, BOS apart."""
        return int((self.length - 1).clamp(min=0).sum())


def sample_of(recipe: Recipe, sources: Sequence[Source], network: HyenaGLT, bp: int) -> Sample:
    """Return the first ``bp`` bases of the windows that training will read, or one pass of them.

    Windows that are unknown letters for the most part are left out, unless all are: a run of N has
    patches of its own, and a rule found on it would miss its mean wherever there is sequence.
    """
    there = sum(region.length_bp for source in sources for region in source.split.train)
    count = max(1, min(bp, there) // recipe.data.window_bp)
    windows = training_windows(sources, _unmasked(recipe), count)
    drawn = [windows[i] for i in range(count)]
    return _sample([w for w in drawn if _is_known(w)] or drawn, network)


def validation_sample(recipe: Recipe, sources: Sequence[Source], network: HyenaGLT) -> Sample:
    """Return the windows that training will validate on: no calibration has seen them."""
    return _sample(held_windows(sources, _unmasked(recipe)), network)


def emissions_of(patchers: Sequence[Patcher], sample: Sample) -> list[Emission]:
    """Return where each of ``patchers``, one inside another, closes patches of the sample."""
    emissions: list[Emission] = []
    for patcher in patchers:
        score: Tensor | None = {"entropy": sample.entropy, "track": sample.track}.get(patcher.reads)
        outer = emissions[-1] if emissions else None
        state = patcher.begin(len(sample.ids), sample.ids.device)
        emission, _ = patcher.emit(sample.ids, sample.length, state, outer, score)
        emissions.append(emission)
    return emissions


def mean_patch_bp(emission: Emission) -> float:
    """Return the mean length of the patches that close; infinite where none does."""
    index = torch.arange(emission.mask.shape[1], device=emission.mask.device)
    closed_bp = int(torch.where(emission.mask, index, 0).amax(1).sum())
    closes = int(emission.mask[:, 1:].sum())
    return closed_bp / closes if closes else float("inf")


def _is_known(window: Window) -> bool:
    """Whether at least half of a window's letters are those of the alphabet."""
    return bool((window.target >= 0).mean() >= 0.5)


def _unmasked(recipe: Recipe) -> Recipe:
    """``recipe`` for sequences as they are: a mask is not what patches are measured on."""
    return recipe.model_copy(update={"objective": CausalObjectiveConfig(kind="causal")})


def _sample(windows: list[Window], network: HyenaGLT) -> Sample:
    rows: list[Batch] = list(collate(windows).values())
    longest = max(batch.ids.shape[1] for batch in rows)

    def joined(tensors: list[Tensor], filler: int | float) -> Tensor:
        padded = [F.pad(tensor, (0, longest - tensor.shape[1]), value=filler) for tensor in tensors]
        return torch.cat(padded)

    ids = joined([batch.ids for batch in rows], PAD)
    tracks = [batch.track for batch in rows if batch.track is not None]
    entropy = None
    if network.entropy is not None:
        entropy = torch.cat([network.entropy_of(part) for part in ids.split(64)])
    return Sample(
        ids,
        torch.cat([batch.length for batch in rows]),
        entropy,
        joined(tracks, torch.nan) if tracks else None,
    )
