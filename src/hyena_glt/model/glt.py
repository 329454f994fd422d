"""Hyena-GLT: single nucleotides in and out, patches inside.

ids -> embed -> local encoder -> patcher: emit -> pool -> backbone
    -> read the last closed patch at every position -> local decoder -> next base
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hyena_glt.config import ModelConfig
from hyena_glt.model.embed import Embed
from hyena_glt.model.heads import NextBaseHead
from hyena_glt.model.hierarchy import Hierarchy, HierarchyState
from hyena_glt.nn import Span
from hyena_glt.patch import Emission, Patcher, PatcherState, build_patcher
from hyena_glt.tokenize import BOS, Modality, alphabet


class ModelState(NamedTuple):
    """All that the model remembers of each row: bounded, whatever was read."""

    letters: Int[Tensor, "B past"]
    patchers: tuple[PatcherState, ...]
    hierarchy: HierarchyState


class Output(NamedTuple):
    """What a call gives."""

    logits: Float[Tensor, "B L V"]  # row t: the letter at position t + 1
    emissions: list[Emission]  # where each stage closed patches
    state: ModelState | None


class HyenaGLT(nn.Module):
    """The network. Causal: row t of the output depends on positions 0..t alone."""

    def __init__(self, config: ModelConfig, modality: Modality) -> None:
        super().__init__()
        self.config = config
        self.alphabet = alphabet(modality)
        self.patchers: list[Patcher] = [build_patcher(stage.patch) for stage in config.stages]
        width = config.stages[0].width
        self.embed = Embed(config.embed, self.alphabet, width)
        self.hierarchy = Hierarchy(config, 0, self.patchers)
        self.head = NextBaseHead(width, len(self.alphabet.letters))

    def begin(self, batch: int) -> ModelState:
        """Return the state of ``batch`` rows before BOS."""
        like = self.embed.symbol.weight.new_zeros(batch, self.embed.symbol.weight.shape[1])
        return ModelState(
            letters=self.embed.begin(batch, like.device),
            patchers=tuple(patcher.begin(batch, like.device) for patcher in self.patchers),
            hierarchy=self.hierarchy.begin(like),
        )

    def forward(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"] | None = None,
        state: ModelState | None = None,
    ) -> Output:
        """Return the output at every position of ``ids``.

        A row opens with BOS; with a ``state`` it goes on where the last call ended. ``length``
        counts each row's valid positions (default: all); what stands after them is padding and
        changes nothing. ``state`` None asks for no state back. Raises ValueError for a row that
        doesn't open with BOS or holds a second one.
        """
        batch, total = ids.shape
        if total == 0:
            nothing = self.embed.symbol.weight.new_zeros(batch, 0, len(self.alphabet.letters))
            return Output(nothing, [], state)
        if length is None:
            length = torch.full((batch,), total, device=ids.device)
        if state is None:
            past = self.embed.begin(batch, ids.device)
            before = tuple(patcher.begin(batch, ids.device) for patcher in self.patchers)
        else:
            past, before = state.letters, state.patchers
        index = torch.arange(total, device=ids.device)
        coordinate = before[0].position[:, None] + index
        _check_document_starts(ids, coordinate, index < length[:, None])
        emissions, patchers = self._emit(ids, length, before)
        x_BLD, letters = self.embed(ids, length, past)
        y_BLD, hierarchy = self.hierarchy(
            x_BLD, emissions, Span(coordinate, length), None if state is None else state.hierarchy
        )
        after = None if hierarchy is None else ModelState(letters, patchers, hierarchy)
        return Output(self.head(y_BLD), emissions, after)

    def _emit(
        self, ids: Int[Tensor, "B L"], length: Int[Tensor, " B"], before: tuple[PatcherState, ...]
    ) -> tuple[list[Emission], tuple[PatcherState, ...]]:
        """Return each stage's closes at base rate; an inner stage closes where its outer one does.

        Rules are evaluated at bases, whatever the stage.
        """
        emissions: list[Emission] = []
        after = []
        for patcher, patcher_state in zip(self.patchers, before, strict=True):
            emission, patcher_state = patcher.emit(ids, length, patcher_state)
            if emissions:
                emission = emission._replace(mask=emission.mask & emissions[-1].mask)
            emissions.append(emission)
            after.append(patcher_state)
        return emissions, tuple(after)


def _check_document_starts(
    ids: Int[Tensor, "B L"], coordinate: Int[Tensor, "B L"], valid: Bool[Tensor, "B L"]
) -> None:
    """One document a row: BOS at position 0 and nowhere else."""
    if torch.compiler.is_compiling():
        return
    wrong = valid & ((ids == BOS) != (coordinate == 0))
    if bool(wrong.any()):
        row, column = wrong.nonzero()[0].tolist()
        found = "a second BOS" if int(ids[row, column]) == BOS else "no BOS"
        raise ValueError(
            f"row {row} has {found} at position {int(coordinate[row, column])}; "
            "a row is one document: BOS at position 0 and nowhere else"
        )
