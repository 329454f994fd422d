"""Entropy rules: where the next letter is hard to foresee, or harder than the last was."""

from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from hyena_glt.errors import PatcherError
from hyena_glt.patch import UNIT
from patch.rows import BASES, CPU, CUTS, Loop, check_against_loop, row, rule

LIMITS: dict[str, Any] = {"min_bp": 2, "max_bp": 5, "mean_bp": 3}
RULES: dict[str, dict[str, Any]] = {
    "entropy": {"threshold_bits": 1.6},
    "entropy_jump": {"jump_bits": 0.1},
    "entropy_dual": {"threshold_bits": 1.5, "jump_bits": 0.05},
}


def loop_of(threshold_bits: float = -1, jump_bits: float = -9) -> Loop:
    """Candidates one by one, the entropy before carried along."""

    def loop(ids: Tensor, score: Tensor) -> tuple[Tensor, None]:
        candidates, before = [], 0
        for entropy in score.tolist():
            is_high = entropy > round(threshold_bits * UNIT)
            candidates.append(is_high and entropy - before > round(jump_bits * UNIT))
            before = entropy
        return torch.tensor(candidates), None

    return loop


@pytest.mark.slow
@pytest.mark.parametrize("kind", RULES)
@settings(max_examples=40)
@given(
    documents=st.lists(BASES, min_size=1, max_size=3),
    cuts=CUTS,
    capped=st.booleans(),
    nested=st.booleans(),
)
@example(documents=["", "A"], cuts={1}, capped=False, nested=False)
@example(documents=["ACGT" * 500], cuts={1, 700, 1024, 1025, 1500}, capped=True, nested=False)
def test_rows_whole_and_in_pieces_close_as_base_by_base(
    kind: str, documents: list[str], cuts: set[int], capped: bool, nested: bool
) -> None:
    cap: dict[str, Any] = {"cap": 206} if capped else {}
    outer = rule("delimiter", motifs=["C", "AA"], max_bp=3) if nested else None
    patcher = rule(kind, **RULES[kind], **LIMITS, **cap)
    check_against_loop(patcher, loop_of(**RULES[kind]), documents, cuts, outer)


def closes(kind: str, entropies_bits: list[float], **settings_: Any) -> list[int]:
    """Positions that close a patch, for entropies of BOS and each base."""
    patcher = rule(kind, min_bp=1, max_bp=100, mean_bp=3, **settings_)
    ids = row("A" * (len(entropies_bits) - 1))
    score = torch.tensor([[round(bits * UNIT) for bits in entropies_bits]])
    length = torch.tensor([ids.shape[1]])
    emission, _ = patcher.emit(ids, length, patcher.begin(1, CPU), None, score)
    return [t for t in emission.mask[0].nonzero()[:, 0].tolist() if t]


def test_each_rule_closes_where_its_inequality_is_strict() -> None:
    bits = [1.0, 1.5, 1.5, 1.75, 1.25, 1.5, 2.0]
    assert closes("entropy", bits, threshold_bits=1.5) == [3, 6]
    assert closes("entropy_jump", bits, jump_bits=0.25) == [1, 6]
    assert closes("entropy_jump", bits, jump_bits=-0.25) == [1, 2, 3, 5, 6]
    assert closes("entropy_dual", bits, threshold_bits=1.25) == [1, 3, 5, 6]
    assert closes("entropy_dual", bits, threshold_bits=1.25, jump_bits=0.3) == [1, 6]


def test_a_threshold_is_a_whole_number_of_1024ths_of_a_bit() -> None:
    just_above = [0.0, 1.5 + 1 / UNIT]
    assert closes("entropy", just_above, threshold_bits=1.5 + 0.4 / UNIT) == [1]
    assert closes("entropy", just_above, threshold_bits=1.5 + 0.6 / UNIT) == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("entropy", "threshold_bits"),
        ("entropy_jump", "jump_bits"),
        ("entropy_dual", "threshold_bits"),
        ("budget", "budget_bits"),
        ("track", "threshold"),
        ("bpe", "merges"),
    ],
)
def test_a_rule_without_its_number_says_how_to_find_it(kind: str, name: str) -> None:
    patcher = rule(kind)
    assert patcher.mean_bp == 6
    ids = row("ACGT")
    with pytest.raises(PatcherError, match=f"{name} is None.*patch calibrate"):
        patcher.emit(ids, torch.tensor([5]), patcher.begin(1, CPU), None, torch.zeros_like(ids))


def test_a_rule_without_what_it_reads_says_so() -> None:
    patcher = rule("entropy", threshold_bits=1.0)
    with pytest.raises(PatcherError, match="expected the entropy"):
        patcher.emit(row("ACGT"), torch.tensor([5]), patcher.begin(1, CPU))
