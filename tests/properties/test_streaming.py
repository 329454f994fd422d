"""Whole = chunked = stepped, for any partition, from any prompt, at any distance."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyena_glt.model import HyenaGLT
from hyena_glt.nn.mixers import AttentionState
from hyena_glt.nn.state import state_bytes
from hyena_glt.patch import PatcherState
from hyena_glt.tokenize import BOS
from properties.checks import check_pieces, check_ragged, same
from properties.test_entropy_patches import network_of as reading_entropy
from properties.test_track_patches import network_of as reading_a_track
from properties.test_track_patches import scored
from properties.tiny import MEDIUM_WIDTH, PATCHES, Case, build, document

CASES = [
    Case("SL", "letters", 2, "MA", "AM", "hashed"),
    Case("MA", "fixed", 2, "SL", "L", "exact"),
    Case("A", "capped", 1, "A", "S", "plain"),
    Case("L", "none", 1, "AM", "M", "hashed"),
    Case("S", "syncmer", 2, "AL", "M", "plain"),
    Case("M", "delimiter", 2, "S", "A", "exact"),
]
NETWORKS = {case: build(case) for case in CASES}


@st.composite
def partitions(draw: st.DrawFn, total: int) -> list[int]:
    cuts = sorted(draw(st.sets(st.integers(1, total - 1))))
    return [end - start for start, end in zip([0, *cuts], [*cuts, total], strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_partition_gives_the_numbers_of_one_pass(case: Case, data: st.DataObject) -> None:
    length_bp = data.draw(st.integers(1, 40), label="length_bp")
    ids = document(length_bp, data.draw(st.integers(0, 99), label="seed"))
    check_pieces(NETWORKS[case], ids, data.draw(partitions(length_bp + 1), label="sizes"))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_rows_that_go_on_by_any_lengths_are_as_each_alone(case: Case, data: st.DataObject) -> None:
    plan = data.draw(
        st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=1, max_size=5), label="plan"
    )
    totals = [sum(lengths) for lengths in zip(*plan, strict=True)]
    rows = [document(max(1, total), seed) for seed, total in enumerate(totals)]
    check_ragged(NETWORKS[case], rows, plan)


@pytest.mark.slow
@pytest.mark.parametrize("letter", "SMLA")
@pytest.mark.parametrize(
    "patch",
    ["letters", "none", "fixed"],
)
def test_generation_goes_on_from_prompts_shorter_and_longer_than_a_filter(
    letter: str, patch: str
) -> None:
    network = build(Case(letter, patch, 1, letter, letter, "exact"))
    ids = document(2 * MEDIUM_WIDTH + 3 + 5)
    for prompt_bp in range(2 * MEDIUM_WIDTH + 4):
        check_pieces(network, ids, [1 + prompt_bp, 1, 1, ids.shape[1] - prompt_bp - 3])


@torch.no_grad()
def test_an_empty_prompt_may_be_a_call_of_its_own() -> None:
    network = NETWORKS[CASES[0]]
    bos = network(torch.tensor([[BOS]]), state=network.begin(1))
    assert bos.logits.shape == (1, 1, 4)
    assert [emission.mask.tolist() for emission in bos.emissions] == [[[True]], [[True]]]


def moved(state: Any, by_bp: int) -> Any:
    """The state of the same bases ``by_bp`` further into a chromosome."""
    if isinstance(state, PatcherState):
        return state._replace(position=state.position + by_bp)
    if isinstance(state, AttentionState):
        coordinate = state.coordinate
        return state._replace(
            coordinate=torch.where(coordinate >= 0, coordinate + by_bp, coordinate)
        )
    if isinstance(state, tuple):
        parts = [moved(part, by_bp) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return state


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
@torch.no_grad()
def test_a_base_far_into_a_chromosome_is_read_as_one_near_its_start(
    case: Case, dtype: torch.dtype
) -> None:
    network = build(case, dtype=dtype)
    ids = document(40)
    state = network(ids[:, :20], state=network.begin(1)).state
    far = moved(state, 1024 * 6 * 20_000)  # more than 10**8, at the same phase of every rule
    near_output = network(ids[:, 20:], state=state)
    far_output = network(ids[:, 20:], state=far)
    assert torch.equal(far_output.logits, near_output.logits)
    for one, other in zip(far_output.emissions, near_output.emissions, strict=True):
        assert torch.equal(one.mask, other.mask)
    far_again = network(ids[:, 25:30], state=network(ids[:, 20:25], state=far).state)
    same(far_again.logits, near_output.logits[:, 5:10])


@pytest.mark.parametrize("case", CASES, ids=str)
@torch.no_grad()
def test_the_state_stays_as_large_as_it_began(case: Case) -> None:
    network = NETWORKS[case]
    state = network.begin(1)
    expected = state_bytes(state)
    for piece in torch.split(document(300), 77, 1):
        state = network(piece, state=state).state
        assert state_bytes(state) == expected


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[65, 67]], "row 0 has no BOS at position 0"),
        ([[BOS, 65], [67, 65]], "row 1 has no BOS at position 0"),
        ([[BOS, 65, BOS]], "row 0 has a second BOS at position 2"),
    ],
)
def test_a_row_is_one_document(ids: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NETWORKS[CASES[0]](torch.tensor(ids))


def test_a_second_document_in_a_later_call_is_an_error_and_in_padding_it_is_not() -> None:
    network = NETWORKS[CASES[0]]
    state = network(torch.tensor([[BOS, 65]]), state=network.begin(1)).state
    with pytest.raises(ValueError, match="second BOS at position 3"):
        network(torch.tensor([[65, BOS]]), state=state)
    network(torch.tensor([[65, BOS]]), torch.tensor([1]), state)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("length_bp", [0, 1, 2, 7, 30])
def test_every_position_has_one_row_of_outputs(case: Case, length_bp: int) -> None:
    output = NETWORKS[case](document(length_bp))
    assert output.logits.shape == (1, 1 + length_bp, 4)
    assert all(emission.mask.shape == (1, 1 + length_bp) for emission in output.emissions)


def of_rule(patch: str) -> HyenaGLT:
    """A network of two stages, or of one where the rule isn't among the cover's."""
    if patch == "track":
        return scored(reading_a_track(2))
    if patch == "threshold":
        return reading_entropy("entropy", "kmer")
    if patch == "bpe":
        pytest.importorskip("tokenizers")
        rule = {"kind": "bpe", "merges": ["A C", "AC G"], "mean_bp": 2, "max_bp": 8}
        return build(CASES[0], patches=[rule], direction="bidirectional")
    return build(Case("S", patch, 2, "M", "S", "plain"))


@pytest.mark.parametrize("patch", [*PATCHES, "threshold", "track", "bpe"])
@torch.no_grad()
def test_every_rule_has_one_row_of_outputs_for_each_position(patch: str) -> None:
    network = of_rule(patch)
    for length_bp in (0, 1, 2, 7, 30):
        output = network(document(length_bp))
        assert output.logits.shape == (1, 1 + length_bp, 4)
        assert output.logits.isfinite().all()
        assert len(output.emissions) == len(network.patchers)
        assert all(emission.mask.shape == (1, 1 + length_bp) for emission in output.emissions)
