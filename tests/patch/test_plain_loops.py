"""Rules of words and of scores that are no entropies: whole rows and pieces are a loop's."""

from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from hyena_glt.patch import closed_syncmers_reference
from hyena_glt.tokenize import alphabet
from patch.rows import BASES, CUTS, Loop, Scores, check_against_loop, made_up_entropy, rule

K, S = 6, 2
LIMITS: dict[str, Any] = {"min_bp": 2, "max_bp": 5}


def ending_a_syncmer(ids: Tensor, _: Tensor) -> tuple[Tensor, None]:
    letters = alphabet("dna").letter_index(ids.byte().numpy()).tolist()
    row = torch.tensor([[-1] * (K - 1) + letters])
    return closed_syncmers_reference(row, K, S)[0], None


def above_zero(_: Tensor, score: Tensor) -> tuple[Tensor, None]:
    return torch.tensor([turn > 0 for turn in score.tolist()]), None


def known_and_above_a_half(_: Tensor, score: Tensor) -> tuple[Tensor, None]:
    return torch.tensor([value == value and value > 0.5 for value in score.tolist()]), None


def turns(ids: Tensor) -> Tensor:
    """Scores of a router, in fp32; some of them are 0."""
    return (made_up_entropy(ids) % 7 - 3) / 8


def heights(ids: Tensor) -> Tensor:
    """A track, some of it at the threshold and some of it missing."""
    height = made_up_entropy(ids) % 7
    return (height / 4).masked_fill(height == 6, torch.nan)


class Rule(NamedTuple):
    settings: dict[str, Any]
    loop: Loop
    scores: Scores


RULES = {
    "syncmer": Rule({"k": K, "s": S}, ending_a_syncmer, made_up_entropy),
    "learned": Rule({"mean_bp": 3}, above_zero, turns),
    "track": Rule({"mean_bp": 3, "threshold": 0.5}, known_and_above_a_half, heights),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", RULES)
@settings(max_examples=25)
@given(
    documents=st.lists(BASES, min_size=1, max_size=3),
    cuts=CUTS,
    capped=st.booleans(),
    nested=st.booleans(),
)
@example(documents=["", "A", "N"], cuts={1}, capped=False, nested=False)
@example(documents=["N" * 60, "A" * 90], cuts=set(range(90)), capped=False, nested=True)
@example(documents=["ACGGT" * 400], cuts={1, 700, 1024, 1025, 1500}, capped=True, nested=False)
def test_rows_whole_and_in_pieces_close_as_base_by_base(
    kind: str, documents: list[str], cuts: set[int], capped: bool, nested: bool
) -> None:
    cap: dict[str, Any] = {"cap": 206} if capped else {}
    outer = rule("delimiter", motifs=["C", "AA"], max_bp=3) if nested else None
    patcher = rule(kind, **RULES[kind].settings, **LIMITS, **cap)
    check_against_loop(patcher, RULES[kind].loop, documents, cuts, outer, RULES[kind].scores)
