"""Hyena-GLT: single nucleotides in and out, patches inside.

ids -> embed -> local encoder -> patcher: emit -> pool -> backbone
    -> read the last closed patch at every position -> local decoder -> next base

Two-sided, mixers see both ways, a position reads its own patch, a row's last position closes one,
and the answer is about the position's own letter, which training masks.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hyena_glt.config import ModelConfig, Precision
from hyena_glt.errors import DirectionError, PatcherError
from hyena_glt.model.embed import Embed
from hyena_glt.model.entropy import EntropyModel, build_entropy
from hyena_glt.model.heads import LetterHead
from hyena_glt.model.hierarchy import Hierarchy, HierarchyState, Reading
from hyena_glt.model.router import Router
from hyena_glt.model.strands import comes_second, join_strands, other_strand, turned
from hyena_glt.nn import Span
from hyena_glt.patch import Emission, Patcher, build_patcher
from hyena_glt.tokenize import BOS, PAD, VOCABULARY_SIZE, Alphabet, Modality, alphabet


class ModelState(NamedTuple):
    """All that the model remembers of each row: bounded, whatever was read."""

    letters: Int[Tensor, "B past"]
    ids: Int[Tensor, "B before"]  # that the entropy model reaches back to; PAD before BOS
    hierarchy: HierarchyState


class Output(NamedTuple):
    """What a call gives."""

    logits: Float[Tensor, "B L V"]  # row t: the letter at position t + 1; two-sided, at t
    emissions: list[Emission]  # where each stage closed patches
    state: ModelState | None
    ratio_loss: Float[Tensor, ""] | None = None  # of routers whose recipe gives it a weight


class Hidden(NamedTuple):
    """What a call knows of each position before a head answers."""

    states: Float[Tensor, "B L D"]
    emissions: list[Emission]  # where each stage closed patches
    ratio_loss: Float[Tensor, ""] | None  # of routers whose recipe gives it a weight


class PatchStates(NamedTuple):
    """What a call knows of each innermost patch, behind the backbone's last block."""

    states: Float[Tensor, "B P E"]
    valid: Bool[Tensor, "B P"]  # neither BOS's patch nor one that a row doesn't have


class HyenaGLT(nn.Module):
    """The network. Causal: row t of the output depends on positions 0..t alone.

    A ``bidirectional`` one reads both sides of whole rows, without a state; ``both`` does either,
    call by call, with one set of weights: a causal call leaves out what reaches ahead.

    ``precision`` is that of a call's matrix products. bf16 rounds what they read and what they
    give; weights, states, sums, the residual stream and logits stay as they are. fp32 leaves an
    autocast around the call to the caller.
    """

    partner: Tensor
    partner_letter: Tensor

    def __init__(self, config: ModelConfig, modality: Modality) -> None:
        super().__init__()
        self.config = config
        self.direction = config.direction
        self.rc = config.rc
        self.precision: Precision = "fp32"
        self.alphabet = alphabet(modality)
        self.patchers: list[Patcher] = [
            build_patcher(stage.patch, modality) for stage in config.stages
        ]
        width = config.stages[0].width
        self.embed = Embed(config.embed, self.alphabet, width)
        self.entropy: EntropyModel | None = None
        if config.entropy is not None:
            self.entropy = build_entropy(config.entropy, self.alphabet)
        self.hierarchy = Hierarchy(config, 0, self.patchers)
        letters = len(self.alphabet.letters)
        self.head = LetterHead(width, letters)
        self.masked_head = LetterHead(width, letters) if self.direction == "both" else None
        if self.rc == "equivariant":
            self._know_partners()

    @property
    def side_information(self) -> bool:
        """Whether patches read a track: likelihoods are then conditional on it."""
        return any(patcher.reads == "track" for patcher in self.patchers)

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
            ids=self._nothing_read(batch, like.device),
            hierarchy=self.hierarchy.begin(like),
        )

    def forward(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"] | None = None,
        state: ModelState | None = None,
        two_sided: bool | None = None,
        track: Float[Tensor, "B L"] | None = None,
    ) -> Output:
        """Return the output at every position of ``ids``.

        A row opens with BOS; with a ``state`` it goes on where the last call ended. ``length``
        counts each row's valid positions (default: all); what stands after them is padding and
        changes nothing. ``state`` None asks for no state back. ``two_sided`` None does what the
        network is for: true in a bidirectional one alone. ``track`` is the score of each base, for
        patches of kind track, NaN where there is none. Raises ValueError for a row that doesn't
        open with BOS or holds a second one, DirectionError for a call that the network isn't for,
        PatcherError where a track is missing or nothing reads it, and where a rule's number hasn't
        been found yet.

        With ``rc: equivariant`` both strands are read, each with its own patches, and joined at
        base rate; the emissions are those of the strand given.
        """
        if self.rc != "equivariant":
            return self.one_strand(ids, length, state, two_sided, track)
        rows = len(ids)
        if length is None:
            length = torch.full((rows,), ids.shape[1], device=ids.device)
        other = other_strand(ids, length, self.partner)
        swapped = comes_second(ids, other)[:, None]
        pairs = torch.where(torch.cat([swapped, ~swapped]), other.repeat(2, 1), ids.repeat(2, 1))
        if track is not None:
            other_track = track.gather(1, turned(length, track.shape[1]))
            swaps = torch.cat([swapped, ~swapped])
            track = torch.where(swaps, other_track.repeat(2, 1), track.repeat(2, 1))
        both = self.one_strand(pairs, length.repeat(2), state, two_sided, track)
        index = torch.arange(rows, device=ids.device)
        given = torch.where(swapped[:, 0], index + rows, index)
        back = torch.where(swapped[:, 0], index, index + rows)
        logits = join_strands(both.logits[given], both.logits[back], length, self.partner_letter)
        emissions = [
            emission._replace(mask=emission.mask[given], overflow=emission.overflow[given])
            for emission in both.emissions
        ]
        return Output(logits, emissions, None, both.ratio_loss)

    def one_strand(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"] | None = None,
        state: ModelState | None = None,
        two_sided: bool | None = None,
        track: Float[Tensor, "B L"] | None = None,
    ) -> Output:
        """Return what one strand alone says: as :meth:`forward`, whatever ``rc`` is."""
        two_sided = self._checked_direction(two_sided, state)
        if ids.shape[1] == 0:
            letters = len(self.alphabet.letters)
            nothing = self.embed.symbol.weight.new_zeros(len(ids), 0, letters)
            return Output(nothing, [], state)
        (y_BLD, emissions, ratio_loss), after = self._think(ids, length, state, two_sided, track)
        head = self.masked_head if two_sided and self.masked_head is not None else self.head
        return Output(head(y_BLD), emissions, after, ratio_loss)

    def hidden(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"] | None = None,
        two_sided: bool | None = None,
    ) -> Hidden:
        """Return what stands before the head, of whole rows, for heads of other tasks.

        One strand is read, whatever ``rc`` is. Arguments and errors are those of :meth:`forward`;
        a row has one position at least.
        """
        return self._think(ids, length, None, self._checked_direction(two_sided, None), None)[0]

    def patch_states(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"] | None = None,
        two_sided: bool | None = None,
    ) -> PatchStates:
        """Return the backbone's states, of whole rows, for heads of other tasks.

        Arguments and errors are those of :meth:`hidden`. A patch that the end of a row leaves open
        has no state; two-sided, the end closes it.
        """
        backbone = self.hierarchy.inner
        while isinstance(backbone, Hierarchy):
            backbone = backbone.inner
        caught: list[Tensor] = []
        handle = backbone.register_forward_hook(lambda *call: caught.append(call[2][0]))
        try:
            emissions = self.hidden(ids, length, two_sided).emissions
        finally:
            handle.remove()
        # Without a state the backbone runs once, whatever closes.
        (states,) = caught
        closes = emissions[-1].mask
        if length is not None:
            closes = closes & (torch.arange(ids.shape[1], device=ids.device) < length[:, None])
        # BOS closes patch 0, and is alone in it.
        patch = torch.arange(states.shape[1], device=ids.device)
        return PatchStates(states, (patch > 0) & (patch < closes.sum(1, keepdim=True)))

    def _think(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"] | None,
        state: ModelState | None,
        two_sided: bool,
        track: Float[Tensor, "B L"] | None,
    ) -> tuple[Hidden, ModelState | None]:
        """Return all that a call computes but the head's answer."""
        batch, total = ids.shape
        full = length is None
        if length is None:
            length = torch.full((batch,), total, device=ids.device)
        if state is None:
            past = self.embed.begin(batch, ids.device)
            position = torch.zeros_like(length)
        else:
            past, position = state.letters, state.hierarchy.patcher.position
        index = torch.arange(total, device=ids.device)
        coordinate = position[:, None] + index
        _check_document_starts(ids, coordinate, index < length[:, None])
        reading, before = self._read(ids, length, state, track)
        x_BLD, letters = self.embed(ids, length, past)
        # The head isn't inside: rounded logits have three digits, and its product costs nothing.
        with self._products():
            y_BLD, trace, hierarchy = self.hierarchy(
                x_BLD,
                reading,
                None,
                None,
                Span(coordinate, length, two_sided, full),
                None if state is None else state.hierarchy,
            )
        after = None if hierarchy is None else ModelState(letters, before, hierarchy)
        return Hidden(y_BLD, trace.emissions, trace.ratio_loss), after

    def entropy_of(self, ids: Int[Tensor, "B L"]) -> Int[Tensor, "B L"]:
        """Return the entropy of the letter after each position of whole rows, in 1/1024 bit.

        Raises ValueError where the network has no entropy model.
        """
        if self.entropy is None:
            raise ValueError("this network has no entropy model; its recipe has no model.entropy")
        seen = torch.cat([self._nothing_read(len(ids), ids.device), ids], 1)
        entropy: Tensor = self.entropy(seen)
        return entropy

    def end_step(self) -> None:
        """Move the routers' thresholds; training calls it once an optimiser step."""
        for module in self.modules():
            if isinstance(module, Router):
                module.end_step()

    def _products(self) -> AbstractContextManager[object]:
        """Inside, matrix products are in the network's precision."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.embed.symbol.weight.device.type, torch.bfloat16)

    def _read(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"],
        state: ModelState | None,
        track: Float[Tensor, "B L"] | None,
    ) -> tuple[Reading, Int[Tensor, "B before"]]:
        """Return (what rules read, the ids that the next call's entropies reach back to)."""
        wanted = self.side_information
        if wanted != (track is not None):
            raise PatcherError(
                "this network's patches close where a track says, and the call has none; give a "
                "score a base: tracks=... of model.score, --track of 'hyena-glt score fasta'; "
                "variants, embeddings and samples can't have one"
                if wanted
                else "the call has a track, but none of this network's patches read one"
            )
        before = self._nothing_read(len(ids), ids.device) if state is None else state.ids
        if self.entropy is None:
            return Reading(ids, length, None, track), before
        seen = torch.cat([before, ids], 1)
        reach = length[:, None] + torch.arange(self.entropy.past_bp, device=ids.device)
        return Reading(ids, length, self.entropy(seen), track), seen.gather(1, reach)

    def _nothing_read(self, batch: int, device: torch.device) -> Int[Tensor, "B before"]:
        past_bp = 0 if self.entropy is None else self.entropy.past_bp
        return torch.full((batch, past_bp), PAD, device=device)

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
        letters = np.frombuffer(self.alphabet.letters.encode(), np.uint8)
        of_letters = self.alphabet.letter_index(self.alphabet.complement(letters))
        self.register_buffer("partner", partner_ids(self.alphabet), persistent=False)
        index = torch.from_numpy(of_letters).long()
        self.register_buffer("partner_letter", index, persistent=False)


def partner_ids(alphabet: Alphabet) -> Int[Tensor, " ids"]:
    """Return which id pairs with each; what is no symbol, BOS say, pairs with itself.

    Raises SequenceError for proteins, which have no other strand.
    """
    ids = np.arange(VOCABULARY_SIZE, dtype=np.uint8)
    pairs = ids.copy()
    for symbol in alphabet.symbols + alphabet.symbols.lower():
        pairs[ord(symbol)] = alphabet.complement(ids[ord(symbol) : ord(symbol) + 1])[0]
    return torch.from_numpy(pairs).long()


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
