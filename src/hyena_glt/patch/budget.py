"""Anchored entropy budget: a patch ends when so many bits have come together."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hyena_glt.config import BudgetPatchConfig
from hyena_glt.patch.anchors import anchor_past_bp, anchor_words, most_anchors
from hyena_glt.patch.rules import CalibratedPatcher, Call, Wanted, calibrated, in_units
from hyena_glt.patch.words import letter_table, letters_of
from hyena_glt.tokenize import Modality, alphabet


class BudgetPatcher(CalibratedPatcher):
    """A patch closes where the bits since the last anchor pass a multiple of the budget.

    Anchors are words of the sequence, so that boundaries come back behind an insertion, and BOS;
    where none comes for ``anchor_gap_bp``, one is put. An anchor closes a patch however short.
    Remembers the bits since the last anchor, in 1/1024, and the bases since it.
    """

    reads = "entropy"
    carried = 2

    def __init__(self, config: BudgetPatchConfig, modality: Modality) -> None:
        super().__init__(config, anchor_past_bp(config.anchor_k, config.anchor_every))
        self.budget_bits = config.budget_bits
        self.anchor_k, self.anchor_every = config.anchor_k, config.anchor_every
        self.anchor_gap_bp = config.anchor_gap_bp
        self.letters = letter_table(modality)
        self.base = len(alphabet(modality).letters)

    def _most(self, length: int) -> int:
        anchors = most_anchors(length, self.anchor_gap_bp)
        return min(length, super()._most(length) + anchors)

    def wanted(self, call: Call) -> Wanted:
        """Return where the sum passes a multiple of the budget, and anchors."""
        assert call.score is not None
        budget = max(1, in_units(calibrated(self.budget_bits, "budget_bits")))
        index = torch.arange(call.position.shape[1], dtype=torch.int32, device=call.ids.device)
        bits_before, bases_before = call.carry[:, :1], call.carry[:, 1:].int()
        words = anchor_words(
            letters_of(self.letters, call.ids), self.anchor_k, self.anchor_every, self.base
        )
        restarts = words | (call.position == 0)
        anchored = torch.where(restarts, index, -1 - bases_before).cummax(1).values
        since = (index - anchored) % self.anchor_gap_bp
        anchors = since == 0
        # The sum of a row is never below the sum at its last anchor: entropies aren't negative.
        total = call.score.cumsum(1)
        spent = total - torch.where(anchors, total, -bits_before).cummax(1).values
        # A multiple lies in (spent - score, spent].
        candidates = spent % budget < call.score
        carry = torch.stack([_last(call, spent, 0), _last(call, since, 1)], 1)
        return Wanted(candidates, anchors, carry)


def _last(call: Call, running: Int[Tensor, "B L"], carried: int) -> Int[Tensor, " B"]:
    """``running`` at each row's last position, or what the row carries if the call has none."""
    last = running.gather(1, (call.length - 1).clamp(min=0)[:, None])[:, 0]
    return torch.where(call.length > 0, last, call.carry[:, carried])


def budget_reference(
    words: Bool[Tensor, " L"], score: Int[Tensor, " L"], budget: int, gap_bp: int
) -> tuple[Bool[Tensor, " L"], Bool[Tensor, " L"]]:
    """Return (candidates, anchors) of one row from BOS on, base by base, with anchor ``words``.

    ``budget`` and ``score`` are in 1/1024 bit. Reference for :meth:`BudgetPatcher.wanted`, which
    may have further candidates where anchors are.
    """
    candidates, anchors = torch.zeros_like(words), torch.zeros_like(words)
    spent = since = 0
    for t, bits in enumerate(score.tolist()):
        since += 1
        if t == 0 or bool(words[t]) or since == gap_bp:
            anchors[t], spent, since = True, 0, 0
        else:
            before, spent = spent, spent + bits
            candidates[t] = spent // budget > before // budget
    return candidates, anchors
