"""Hyena-GLT: single nucleotides in and out, patches inside.

ids -> embed -> local encoder -> patcher: emit -> pool -> backbone
    -> read the last closed patch at every position -> local decoder -> next base

Two-sided, mixers see both ways, a position reads its own patch, a row's last position closes one,
and the answer is about the position's own letter, which training masks.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hyena_glt.config import ModelConfig
from hyena_glt.errors import DirectionError
from hyena_glt.model.embed import Embed
from hyena_glt.model.heads import LetterHead
from hyena_glt.model.hierarchy import Hierarchy, HierarchyState
from hyena_glt.model.strands import comes_second, join_strands, other_strand
from hyena_glt.nn import Span
from hyena_glt.patch import Emission, Patcher, PatcherState, build_patcher
from hyena_glt.tokenize import BOS, VOCABULARY_SIZE, Modality, alphabet


class ModelState(NamedTuple):
    """All that the model remembers of each row: bounded, whatever was read."""

    letters: Int[Tensor, "B past"]
    patchers: tuple[PatcherState, ...]
    hierarchy: HierarchyState


class Output(NamedTuple):
    """What a call gives."""

    logits: Float[Tensor, "B L V"]  # row t: the letter at position t + 1; two-sided, at t
    emissions: list[Emission]  # where each stage closed patches
    state: ModelState | None


class HyenaGLT(nn.Module):
    """The network. Causal: row t of the output depends on positions 0..t alone.

    A ``bidirectional`` one reads both sides of whole rows, without a state; ``both`` does either,
    call by call, with one set of weights: a causal call leaves out what reaches ahead.
    """

    partner: Tensor
    partner_letter: Tensor

    def __init__(self, config: ModelConfig, modality: Modality) -> None:
        super().__init__()
        self.config = config
        self.direction = config.direction
        self.rc = config.rc
        self.alphabet = alphabet(modality)
        self.patchers: list[Patcher] = [
            build_patcher(stage.patch, modality) for stage in config.stages
        ]
        width = config.stages[0].width
        self.embed = Embed(config.embed, self.alphabet, width)
        self.hierarchy = Hierarchy(config, 0, self.patchers)
        letters = len(self.alphabet.letters)
        self.head = LetterHead(width, letters)
        self.masked_head = LetterHead(width, letters) if self.direction == "both" else None
        if self.rc == "equivariant":
            self._know_partners()

    def begin(self, batch: int) -> ModelState:
        """Return the state of ``batch`` rows before BOS.

        Raises DirectionError for a bidirectional network, which reads whole rows.
        """
        if self.direction == "bidirectional":
            raise DirectionError(
                "a bidirectional model can't stream, step or generate: it reads whole rows, from "
                "both sides; use a causal model, or one with direction=both"
            )
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
        two_sided: bool | None = None,
    ) -> Output:
        """Return the output at every position of ``ids``.

        A row opens with BOS; with a ``state`` it goes on where the last call ended. ``length``
        counts each row's valid positions (default: all); what stands after them is padding and
        changes nothing. ``state`` None asks for no state back. ``two_sided`` None does what the
        network is for: true in a bidirectional one alone. Raises ValueError for a row that doesn't
        open with BOS or holds a second one, DirectionError for a call that the network isn't for.

        With ``rc: equivariant`` both strands are read, each with its own patches, and joined at
        base rate; the emissions are those of the strand given.
        """
        if self.rc != "equivariant":
            return self.one_strand(ids, length, state, two_sided)
        rows = len(ids)
        if length is None:
            length = torch.full((rows,), ids.shape[1], device=ids.device)
        other = other_strand(ids, length, self.partner)
        swapped = comes_second(ids, other)[:, None]
        pairs = torch.where(torch.cat([swapped, ~swapped]), other.repeat(2, 1), ids.repeat(2, 1))
        both = self.one_strand(pairs, length.repeat(2), state, two_sided)
        index = torch.arange(rows, device=ids.device)
        given = torch.where(swapped[:, 0], index + rows, index)
        turned = torch.where(swapped[:, 0], index, index + rows)
        logits = join_strands(both.logits[given], both.logits[turned], length, self.partner_letter)
        emissions = [emission._replace(mask=emission.mask[given]) for emission in both.emissions]
        return Output(logits, emissions, None)

    def one_strand(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"] | None = None,
        state: ModelState | None = None,
        two_sided: bool | None = None,
    ) -> Output:
        """Return what one strand alone says: as :meth:`forward`, whatever ``rc`` is."""
        two_sided = self._checked_direction(two_sided, state)
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
        if two_sided:
            last = index == (length - 1)[:, None]
            emissions = [Emission(mask | last, min(n + 1, total)) for mask, n in emissions]
        x_BLD, letters = self.embed(ids, length, past)
        y_BLD, hierarchy = self.hierarchy(
            x_BLD,
            emissions,
            Span(coordinate, length, two_sided),
            None if state is None else state.hierarchy,
        )
        after = None if hierarchy is None else ModelState(letters, patchers, hierarchy)
        head = self.masked_head if two_sided and self.masked_head is not None else self.head
        return Output(head(y_BLD), emissions, after)

    def _checked_direction(self, two_sided: bool | None, state: ModelState | None) -> bool:
        """Return whether the call is two-sided."""
        if two_sided is None:
            two_sided = self.direction == "bidirectional"
        if two_sided and self.direction == "causal":
            raise DirectionError(
                "a causal model can't read both sides; use one with direction=bidirectional or both"
            )
        if not two_sided and self.direction == "bidirectional":
            raise DirectionError(
                "a bidirectional model can't read causally; use one with direction=causal or both"
            )
        if two_sided and state is not None:
            raise DirectionError("a two-sided call reads whole rows; call it without a state")
        return two_sided

    def _know_partners(self) -> None:
        """Hold what pairs with each id, and with each letter of the modality."""
        ids = np.arange(VOCABULARY_SIZE, dtype=np.uint8)
        pairs = ids.copy()
        for symbol in self.alphabet.symbols + self.alphabet.symbols.lower():
            pairs[ord(symbol)] = self.alphabet.complement(ids[ord(symbol) : ord(symbol) + 1])[0]
        letters = np.frombuffer(self.alphabet.letters.encode(), np.uint8)
        of_letters = self.alphabet.letter_index(self.alphabet.complement(letters))
        self.register_buffer("partner", torch.from_numpy(pairs).long(), persistent=False)
        index = torch.from_numpy(of_letters).long()
        self.register_buffer("partner_letter", index, persistent=False)

    def _emit(
        self, ids: Int[Tensor, "B L"], length: Int[Tensor, " B"], before: tuple[PatcherState, ...]
    ) -> tuple[list[Emission], tuple[PatcherState, ...]]:
        """Return each stage's closes at base rate; an inner stage closes where its outer one does.

        Rules are evaluated at bases, whatever the stage.
        """
        emissions: list[Emission] = []
        after = []
        for patcher, patcher_state in zip(self.patchers, before, strict=True):
            outer = emissions[-1] if emissions else None
            emission, patcher_state = patcher.emit(ids, length, patcher_state, outer)
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
