"""Dynamic rules in calls: any pieces, beside any rows, one stage inside another."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from properties.checks import same
from properties.tiny import Case, build, document, padded
from torch import Tensor

from hyena_glt.config import DelimiterPatchConfig, NonePatchConfig, SyncmerPatchConfig
from hyena_glt.nn import select_rows, state_bytes
from hyena_glt.patch import DynamicPatcher, Emission, Patcher, PatcherState, build_patcher
from hyena_glt.tokenize import BOS

CPU = torch.device("cpu")
SYNCMER: dict[str, Any] = {"kind": "syncmer", "k": 6, "s": 2, "min_bp": 2, "max_bp": 9}
DELIMITER: dict[str, Any] = {"kind": "delimiter", "motifs": ["CG", "TAA"], "runs": "N", "max_bp": 7}


def syncmer(**changes: int) -> Patcher:
    return build_patcher(SyncmerPatchConfig.model_validate(SYNCMER | changes), "dna")


def delimiter(**changes: int) -> Patcher:
    return build_patcher(DelimiterPatchConfig.model_validate(DELIMITER | changes), "dna")


NESTS = {
    "syncmer": (syncmer(), syncmer(k=9, min_bp=4, max_bp=20)),
    "delimiter": (delimiter(), delimiter(min_bp=3, max_bp=11)),
    "delimiter in syncmer": (syncmer(min_bp=1), delimiter(max_bp=15)),
}
Nest = tuple[Patcher, Patcher]


def emitted(
    nest: Nest, ids: Tensor, length: Tensor, states: tuple[PatcherState, PatcherState]
) -> tuple[tuple[Emission, Emission], tuple[PatcherState, PatcherState]]:
    outer, outer_state = nest[0].emit(ids, length, states[0])
    inner, inner_state = nest[1].emit(ids, length, states[1], outer)
    return (outer, inner), (outer_state, inner_state)


def begun(nest: Nest, rows: int) -> tuple[PatcherState, PatcherState]:
    return nest[0].begin(rows, CPU), nest[1].begin(rows, CPU)


@pytest.mark.slow
@pytest.mark.parametrize("nest", NESTS.values(), ids=NESTS)
@settings(max_examples=25)
@given(
    plan=st.lists(st.tuples(*[st.integers(0, 30)] * 3), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_rows_in_pieces_close_where_each_closes_whole_and_alone(
    nest: Nest, plan: list[tuple[int, ...]], seed: int
) -> None:
    """Bitwise, states too."""
    totals = [sum(lengths) for lengths in zip(*plan, strict=True)]
    rows = [document(max(1, n), seed + i)[:, :n] for i, n in enumerate(totals)]
    states, taken = begun(nest, len(rows)), [0] * len(rows)
    found: list[list[Tensor]] = [[] for _ in rows]
    for lengths in plan:
        pieces = [row[:, at : at + n] for row, at, n in zip(rows, taken, lengths, strict=True)]
        ids = torch.full((len(rows), max(1, *lengths)), ord("A"))
        for i, piece in enumerate(pieces):
            ids[i, : piece.shape[1]] = piece[0]
        emissions, states = emitted(nest, ids, torch.tensor(lengths), states)
        for i, n in enumerate(lengths):
            found[i].append(torch.stack([emission.mask[i, :n] for emission in emissions]))
            assert not any(emission.mask[i, n:].any() for emission in emissions)
        taken = [at + n for at, n in zip(taken, lengths, strict=True)]
    for i, row in enumerate(rows):
        mine = select_rows(states, torch.tensor([i]))
        if totals[i] == 0:
            alone_states = begun(nest, 1)
        else:
            alone, alone_states = emitted(nest, row, torch.tensor([totals[i]]), begun(nest, 1))
            expected = torch.cat([emission.mask for emission in alone])
            assert torch.equal(torch.cat(found[i], 1), expected)
        assert state_bytes(mine) == state_bytes(begun(nest, 1))
        for one, other in zip(mine, alone_states, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("nest", NESTS.values(), ids=NESTS)
def test_inner_patches_end_with_outer_ones_and_keep_their_own_limits(nest: Nest) -> None:
    ids = document(5000, 1)
    (outer, inner), states = emitted(nest, ids, torch.tensor([5001]), begun(nest, 1))
    assert not (inner.mask & ~outer.mask).any()
    outer_ends = outer.mask[0].nonzero()[:, 0].tolist()
    inner_ends = inner.mask[0].nonzero()[:, 0].tolist()
    assert outer_ends[0] == inner_ends[0] == 0  # BOS
    for start, end in pairwise(inner_ends):
        assert end - start >= nest[1].min_bp
        assert end <= next((t for t in outer_ends if t >= start + nest[1].max_bp), 5000)
    for start, end in pairwise(outer_ends):
        assert nest[0].min_bp <= end - start <= nest[0].max_bp
    for state, ends in zip(states, (outer_ends, inner_ends), strict=True):
        assert state.open_bp.tolist() == [5000 - ends[-1]]
        assert state.overflow.tolist() == [0]


def test_a_stage_without_a_rule_closes_where_the_outer_one_does() -> None:
    ids, length = document(300, 1), torch.tensor([301])
    outer, _ = syncmer().emit(ids, length, syncmer().begin(1, CPU))
    none = build_patcher(NonePatchConfig(kind="none"), "dna")
    inner, _ = none.emit(ids, length, none.begin(1, CPU), outer)
    assert torch.equal(inner.mask, outer.mask)


def test_a_base_behind_bos_starts_a_patch_of_its_own() -> None:
    ids = torch.tensor([[BOS, *b"GGGGGGGGGG"]])
    rule = delimiter(min_bp=1, max_bp=4)
    emission, _ = rule.emit(ids, torch.tensor([11]), rule.begin(1, CPU))
    assert emission.mask[0].nonzero()[:, 0].tolist() == [0, 4, 8]


def test_the_capacity_is_what_the_rows_need_and_at_least_one() -> None:
    rule = delimiter()
    ids, length = padded([document(60, 1), document(90, 2)])
    emission, state = rule.emit(ids, length, rule.begin(2, CPU))
    assert emission.capacity == emission.mask.sum(1).max()
    assert emission.capacity < rule.capacity(91)
    nothing, _ = rule.emit(ids[:, 1:2], torch.tensor([0, 0]), state)
    assert nothing.capacity == 1


def test_a_compiled_call_has_the_capacity_that_its_length_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = delimiter()
    ids = document(60, 1)
    eager, _ = rule.emit(ids, torch.tensor([61]), rule.begin(1, CPU))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    compiled, _ = rule.emit(ids, torch.tensor([61]), rule.begin(1, CPU))
    assert compiled.capacity == rule.capacity(61) > eager.capacity
    assert torch.equal(compiled.mask, eager.mask)


@pytest.mark.parametrize("patch", ["syncmer", "delimiter"])
@torch.no_grad()
def test_no_number_depends_on_the_capacity(patch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(Case("M", patch, 2, "SMLA", "S", "plain"))
    ids, length = padded([document(70, 1), document(31, 2)])
    found = network(ids, length, network.begin(2))
    roomy = DynamicPatcher.emit

    def emit(self: DynamicPatcher, *given: Any) -> tuple[Emission, PatcherState]:
        emission, state = roomy(self, *given)
        return emission._replace(capacity=emission.capacity + 5), state

    monkeypatch.setattr(DynamicPatcher, "emit", emit)
    expected = network(ids, length, network.begin(2))
    assert expected.emissions[0].capacity == found.emissions[0].capacity + 5
    for i, n in enumerate(length.tolist()):
        same(found.logits[i, :n], expected.logits[i, :n])
