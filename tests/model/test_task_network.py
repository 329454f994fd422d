"""A network with a head: both strands side by side, and pooling over patches."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor, nn

from hyena_glt.checkpoint.tasks import (
    TaskCheckpoint,
    TaskProvenance,
    build_task_network,
    load_task_checkpoint,
    save_task_checkpoint,
)
from hyena_glt.config import ModelConfig, finetune_recipe_from
from hyena_glt.config.tasks import TaskConfig
from hyena_glt.data import whole_rows_of
from hyena_glt.embed.probe import Probe
from hyena_glt.errors import RecipeError
from hyena_glt.model import HyenaGLT, TaskNetwork
from hyena_glt.model.task_heads import SequenceHead
from hyena_glt.tokenize import Modality, encode

TASK: TypeAdapter[Any] = TypeAdapter(TaskConfig)
BASES = {"kind": "bases", "strands": "both"}
SIGNAL = {"kind": "signal", "bin_bp": 3, "strands": "both"}
PAIR = {"kind": "pair", "answer": {"kind": "classification"}, "strands": "both"}
LETTERS = st.text("ACGTN", min_size=1, max_size=23)
PATCHES: dict[str, list[Any]] = {
    "none": [{"kind": "none"}],
    "fixed": [{"kind": "fixed", "size_bp": 3}],
    "syncmer": [{"kind": "syncmer", "k": 3, "s": 1, "min_bp": 2, "max_bp": 4}],
    "stages": [{"kind": "fixed", "size_bp": 2}, {"kind": "fixed", "size_bp": 6, "frame": 4}],
    "learned": [{"kind": "learned", "mean_bp": 2, "min_bp": 1, "max_bp": 4}],
}


def shape(patches: str = "fixed", **settings: Any) -> ModelConfig:
    ends = {"width": 6, "mlp_width": 5, "encoder": "S", "decoder": "S"}
    data: dict[str, Any] = {
        "embed": {"exact_k": [2]},
        "stages": [{**ends, "patch": patch} for patch in PATCHES[patches]],
        "backbone": {"width": 10, "mlp_width": 5, "layout": "SM"},
        "mixers": {"M": {"width": 5, "group_size": 2}},
    }
    return ModelConfig.model_validate(data | settings)


def build(
    task: dict[str, Any], patches: str = "fixed", modality: Modality = "dna", **settings: Any
) -> TaskNetwork:
    """A network in fp64, whose numbers that start at zero don't."""
    torch.manual_seed(3)
    network = HyenaGLT(shape(patches, **settings), modality)
    built = TaskNetwork(network, TASK.validate_python(task), 2)
    for name, parameter in built.named_parameters():
        if name.startswith("head.out") or name.endswith((".gate", ".query")):
            nn.init.normal_(parameter)
    return built.double().eval()


@cache
def built_once(task: str, patches: str, direction: str = "causal") -> TaskNetwork:
    """The network of a task in JSON."""
    return build(json.loads(task), patches, direction=direction)


def asked(network: TaskNetwork, *rows: str, extra: int = 0) -> Tensor:
    """The raw outputs of rows, with ``extra`` columns of padding."""
    ids, length = whole_rows_of([encode(row) for row in rows])
    found: Tensor = network(nn.functional.pad(ids, (0, extra)), length)
    return found.detach()


def turned(letters: str) -> str:
    return letters[::-1].translate(str.maketrans("ACGT", "TGCA"))


def test_a_base_has_the_states_of_both_strands_at_itself() -> None:
    network = build(BASES, "none")
    row, other = "AACGTTGCAG", "CTGCAACGTT"
    states = [
        network.network.hidden(*whole_rows_of([encode(letters)])).states[0].detach()
        for letters in (row, other)
    ]
    found = asked(network, row)[0]
    for base in range(10):
        # Base 0 of AACG.. is the last of CTGC.., base 9 its first; BOS stands at position 0.
        both = torch.cat([states[0][1 + base], states[1][1 + 9 - base]])
        torch.testing.assert_close(found[1 + base], network.head.out(network.head.norm(both)))


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    rows=st.lists(LETTERS, min_size=1, max_size=3),
    extra=st.integers(0, 4),
    task=st.sampled_from([BASES, SIGNAL]),
    patches=st.sampled_from(["none", "fixed", "syncmer"]),
)
def test_neither_padding_nor_other_rows_change_a_base(
    rows: list[str], extra: int, task: dict[str, Any], patches: str
) -> None:
    network = built_once(json.dumps(task), patches)
    found = asked(network, *rows, extra=extra)
    for row, letters in enumerate(rows):
        alone = asked(network, letters)[0]
        torch.testing.assert_close(found[row, : len(alone)], alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("strands", "sees"), [("one", False), ("both", True)])
def test_a_base_sees_what_stands_to_its_right(strands: str, sees: bool) -> None:
    network = build({"kind": "bases", "strands": strands}, "none")
    one, other = asked(network, "ACGTACGTA")[0], asked(network, "ACGTACGGA")[0]
    assert bool((one[5] - other[5]).abs().max() > 1e-9) is sees
    assert (one[8] - other[8]).abs().max() > 1e-9


def test_a_signal_of_both_strands_is_of_the_bases_of_its_bin() -> None:
    network = build(SIGNAL, "none")
    states = network._at_bases(*whole_rows_of([encode("ACGTTAC")]))[0]
    found = asked(network, "ACGTTAC")[0]
    assert found.shape == (3, 2)
    last = network.head.norm(states[7:8]).mean(0)
    torch.testing.assert_close(found[2], network.head.out(last))


@pytest.mark.parametrize("over", ["bases", "patches"])
@pytest.mark.parametrize("kind", ["mean", "max", "last", "attention"])
def test_a_sequence_and_its_other_strand_have_one_answer(kind: str, over: str) -> None:
    pooling = {"kind": kind, "over": over}
    network = build({"kind": "classification", "strands": "both", "pooling": pooling})
    one = build({"kind": "classification", "pooling": pooling})
    one.load_state_dict(network.state_dict())
    rows = ("ACGTTGCAACG", "GGTCA")
    found = asked(network, *rows)
    torch.testing.assert_close(found, asked(network, *map(turned, rows)))
    mean = (asked(one, *rows) + asked(one, *map(turned, rows))) / 2
    torch.testing.assert_close(found, mean)
    assert (asked(one, rows[0]) - found[:1]).abs().max() > 1e-6


def test_a_pair_is_read_on_both_strands() -> None:
    network = build(PAIR)

    def ask(*pair: str) -> Tensor:
        ids, length, other, other_length = (
            tensor for row in pair for tensor in whole_rows_of([encode(row)])
        )
        found: Tensor = network(ids, length, other, other_length)
        return found.detach()

    found = ask("ACGTTGCAACG", "ACGTTGAACG")
    assert found.shape == (1, 2)
    torch.testing.assert_close(found, ask(turned("ACGTTGCAACG"), turned("ACGTTGAACG")))
    torch.testing.assert_close(ask("ACGTT", "ACGTT")[0], network.head.out.bias.detach())


@pytest.mark.parametrize("task", [BASES, SIGNAL, PAIR | {"pooling": {"over": "patches"}}])
def test_gradients_reach_the_network_through_both_strands(task: dict[str, Any]) -> None:
    network = build(task).train()
    ids, length = whole_rows_of([encode("ACGTTGCAA"), encode("GGT")])
    others = (ids.flip(0), length.flip(0)) if task["kind"] == "pair" else ()
    torch.autograd.backward(network(ids, length, *others).square().sum())
    table = network.network.embed.symbol.weight.grad
    assert table is not None
    assert table.isfinite().all()
    assert table.any()
    halves = network.network.hierarchy.pool.weight.grad
    assert halves is not None
    assert halves.any()


def test_an_rna_pairs_u_with_a() -> None:
    network = build(BASES, "none", "rna")
    torch.testing.assert_close(asked(network, "ACGU"), asked(network, "ACGT"))
    found, back = asked(network, "AACG")[0], asked(network, "CGUU")[0]
    assert network.partner is not None
    assert network.partner[ord("A")] == ord("U")
    assert not torch.allclose(found[1], back[4])  # strands aren't interchangeable, but named


@pytest.mark.parametrize(
    ("direction", "modality", "message"),
    [
        ("bidirectional", "dna", "direction=bidirectional reads both sides of a base already"),
        ("both", "dna", "direction=both reads both sides"),
        ("causal", "protein", "a protein has no other strand"),
    ],
)
@pytest.mark.parametrize("task", [BASES, PAIR])
def test_other_networks_have_no_second_strand(
    task: dict[str, Any], direction: str, modality: Any, message: str
) -> None:
    network = HyenaGLT(shape(direction=direction, embed={}), modality)
    with pytest.raises(RecipeError, match=message):
        TaskNetwork(network, TASK.validate_python(task), 2)


def test_what_was_saved_answers_as_it_did(tmp_path: Path) -> None:
    for task in (BASES, {"kind": "classification", "pooling": {"over": "patches"}}):
        network = build(task).float()
        data = {
            "name": "test",
            "seed": 1,
            "dataset": "none",
            "model": shape().model_dump(mode="json"),
            "task": task,
            "train": {"epochs": 1},
        }
        checkpoint = TaskCheckpoint(
            recipe=finetune_recipe_from(data, "test"),
            model=shape(),
            modality="dna",
            target="bases" if task is BASES else "class",
            answers=("one", "other"),
            weights=network.state_dict(),
            splits={},
            provenance=TaskProvenance(
                command="test",
                dataset_sha256="0" * 64,
                epochs=1,
                validation={},
                initialised_from=None,
            ),
        )
        folder = tmp_path / str(task["kind"])
        save_task_checkpoint(folder, checkpoint)
        loaded = build_task_network(load_task_checkpoint(folder))
        assert "partner" not in checkpoint.weights
        assert torch.equal(asked(loaded, "ACGTTGCAA", "GGT"), asked(network, "ACGTTGCAA", "GGT"))


def pooled(over: str, kind: str = "mean") -> dict[str, Any]:
    return {"kind": "classification", "pooling": {"kind": kind, "over": over}}


def pooled_by_hand(kind: str, states: Tensor, query: Tensor | None) -> Tensor:
    if kind == "attention":
        assert query is not None
        share = (states @ query / len(query) ** 0.5).softmax(0)
        pooled: Tensor = share @ states
        return pooled
    if kind == "max":
        return states.amax(0)
    return states[-1] if kind == "last" else states.mean(0)


def patch_vectors(network: HyenaGLT, letters: str) -> Tensor:
    """The backbone's vectors of a row's patches: what embeddings give the bases that close them."""
    row = encode(letters)
    (piece,) = Probe(network, "backbone.-1", None).read([row])
    mask = network.hidden(*whole_rows_of([row])).emissions[-1].mask[0]
    closing = [base for base in range(len(letters)) if mask[1 + base]]
    return torch.stack([piece.values[0, base] for base in closing])


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    rows=st.lists(st.text("ACGTN", min_size=6, max_size=23), min_size=1, max_size=3),
    extra=st.integers(0, 4),
    kind=st.sampled_from(["mean", "max", "last", "attention"]),
    patches=st.sampled_from(list(PATCHES)),
    direction=st.sampled_from(["causal", "bidirectional"]),
)
def test_patches_are_pooled_as_in_a_loop_over_each_row_alone(
    rows: list[str], extra: int, kind: str, patches: str, direction: str
) -> None:
    network = built_once(json.dumps(pooled("patches", kind)), patches, direction)
    found = asked(network, *rows, extra=extra)
    head = network.head
    assert isinstance(head, SequenceHead)
    for row, letters in enumerate(rows):
        normed = head.norm(patch_vectors(network.network, letters))
        expected = head.out(pooled_by_hand(kind, normed, head.pool.query))
        torch.testing.assert_close(found[row], expected.detach(), rtol=1e-9, atol=1e-9)


def test_of_bases_that_are_patches_each_counts_once_and_bos_never() -> None:
    network = build(pooled("patches"), "none").network
    states, valid = network.patch_states(*whole_rows_of([encode("ACGTA"), encode("GG")]))
    assert valid[:, :6].tolist() == [[False] + 5 * [True], [False, True, True] + 3 * [False]]
    assert not valid[:, 6:].any()
    (piece,) = Probe(network, "backbone.-1", None).read([encode("ACGTA")])
    torch.testing.assert_close(states[0, 1:6].detach(), piece.values[0])


def test_the_open_patch_at_the_end_is_closed_two_sided_alone() -> None:
    # Patches of 3 bp: ACG, TAC, and G is left.
    rows = whole_rows_of([encode("ACGTACG")])
    counts = {
        direction: int(
            build(pooled("patches"), direction=direction).network.patch_states(*rows).valid.sum()
        )
        for direction in ("causal", "bidirectional")
    }
    assert counts == {"causal": 2, "bidirectional": 3}
    network = build(pooled("patches"))
    torch.testing.assert_close(asked(network, "ACGTACG"), asked(network, "ACGTACT"))
    with pytest.raises(RecipeError, match=r"a sequence of 2 bp in which no patch closes"):
        asked(network, "ACGTACG", "AC")


def test_pooling_over_patches_is_no_pooling_over_bases() -> None:
    patches, bases = build(pooled("patches")), build(pooled("bases"))
    assert patches.head.out.in_features == 10
    assert bases.head.out.in_features == 6
    ids, length = whole_rows_of([encode("ACGTTGCAA")])
    torch.autograd.backward(patches(ids, length).square().sum())
    reached = {name for name, p in patches.network.named_parameters() if p.grad is not None}
    assert any(name.startswith("hierarchy.encoder") for name in reached)
    assert any(name.startswith("hierarchy.inner.") for name in reached)
    assert not any(name.startswith("hierarchy.decoder") for name in reached)
