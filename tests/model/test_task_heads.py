"""Heads: the first answer, what counts and what doesn't, and the precision of what comes out."""

import builtins
import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor, nn

from hyena_glt.config.tasks import TaskConfig
from hyena_glt.errors import MissingExtraError, RecipeError
from hyena_glt.model.task_heads import (
    BasesHead,
    PairHead,
    SequenceHead,
    SignalHead,
    Standard,
    build_head,
    outputs_of,
)

TASK: TypeAdapter[Any] = TypeAdapter(TaskConfig)


def live(head: nn.Module, seed: int = 0) -> Any:
    """A head with weights that are not those of the start, in fp64."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in head.parameters():
        nn.init.normal_(parameter, generator=generator)
    return head.double()


def states(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mask(lengths: list[int], total: int, before: int = 0) -> Tensor:
    index = torch.arange(total) - before
    return (index >= 0) & (index < torch.tensor(lengths)[:, None])


def test_the_first_answer_is_zero_and_a_step_from_it_moves_the_last_map() -> None:
    x_BLD, valid = states(2, 5, 4).float(), mask([5, 3], 5)
    heads: list[tuple[nn.Module, tuple[Tensor, ...]]] = [
        (SequenceHead(4, 3, "attention"), (x_BLD, valid)),
        (BasesHead(4, 3), (x_BLD,)),
        (SignalHead(4, 3, 2), (x_BLD, valid)),
        (PairHead(4, 3, "mean"), (x_BLD, valid, x_BLD + 1, valid)),
    ]
    for head, given_states in heads:
        outputs = head(*given_states)
        assert not outputs.any()
        torch.autograd.backward((outputs - 1).square().sum())
        slope = head.get_parameter("out.weight").grad
        assert slope is not None
        assert slope.any()


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 17), min_size=1, max_size=3),
    before=st.integers(0, 1),
    extra=st.integers(0, 5),
    bin_bp=st.integers(1, 6),
    seed=st.integers(0, 50),
)
def test_a_bin_is_the_mean_over_its_bases_counted_from_the_first(
    lengths: list[int], before: int, extra: int, bin_bp: int, seed: int
) -> None:
    total = before + max(lengths) + extra
    x_BLD, valid = states(len(lengths), total, 3, seed=seed), mask(lengths, total, before)
    x_BLD[~valid] = torch.nan
    x_BLD.requires_grad_()
    head = live(SignalHead(3, 2, bin_bp), seed)
    found = head(x_BLD, valid)
    assert found.shape == (len(lengths), -(-max(lengths) // bin_bp), 2)
    used = torch.zeros_like(found[..., 0])
    for row, length in enumerate(lengths):
        normed = head.norm(x_BLD[row, before : before + length].detach())
        for number, start in enumerate(range(0, length, bin_bp)):
            expected = head.out(normed[start : start + bin_bp].mean(0))
            torch.testing.assert_close(found[row, number], expected, rtol=1e-10, atol=1e-10)
            used[row, number] = 1
    (slope,) = torch.autograd.grad((found * used[..., None]).sum(), x_BLD)
    assert not slope[~valid].nan_to_num().any()
    assert slope[valid].isfinite().all()


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    kind=st.sampled_from(["mean", "max", "attention", "last"]),
    extra=st.integers(0, 5),
)
def test_a_sequence_has_the_answer_that_it_has_alone(
    lengths: list[int], kind: Any, extra: int
) -> None:
    total = max(lengths) + extra
    x_BLD, valid = states(len(lengths), total, 3), mask(lengths, total)
    head = live(SequenceHead(3, 2, kind))
    found = head(x_BLD, valid)
    for row, length in enumerate(lengths):
        alone = head(x_BLD[row : row + 1, :length], valid[row : row + 1, :length])
        torch.testing.assert_close(found[row : row + 1], alone, rtol=1e-10, atol=1e-10)


def test_a_pair_is_a_difference_of_rows_of_any_lengths() -> None:
    head = live(PairHead(3, 2, "mean"))
    one, other = states(1, 6, 3), states(1, 9, 3, seed=1)
    long, longer = mask([5], 6), mask([9], 9)
    there, back = head(one, long, other, longer), head(other, longer, one, long)
    torch.testing.assert_close(there - head.out.bias, head.out.bias - back)
    expected = head.norm(other[0]).mean(0) - head.norm(one[0, :5]).mean(0)
    torch.testing.assert_close(there[0], head.out(expected))
    torch.testing.assert_close(head(one, long, one, long)[0], head.out.bias)


def test_outputs_under_autocast_are_those_of_fp32() -> None:
    x_BLD, valid = states(2, 40, 16).float().bfloat16(), mask([40, 31], 40)
    heads: list[tuple[Any, tuple[Tensor, ...]]] = [
        (live(SequenceHead(16, 3, "attention")).float(), (x_BLD, valid)),
        (live(BasesHead(16, 3)).float(), (x_BLD,)),
        (live(SignalHead(16, 3, 4)).float(), (x_BLD, valid)),
        (live(PairHead(16, 3, "mean")).float(), (x_BLD, valid, -x_BLD, valid)),
    ]
    for head, given_states in heads:
        with torch.autocast("cpu", torch.bfloat16):
            found = head(*given_states)
        plain = head(*(x.float() if x.is_floating_point() else x for x in given_states))
        assert found.dtype == torch.float32
        assert torch.equal(found, plain)


def test_empty_rows_are_refused() -> None:
    x_BLD, valid = states(2, 4, 3), mask([4, 0], 4)
    for head in (live(SequenceHead(3, 2, "mean")), live(SignalHead(3, 2, 2))):
        with pytest.raises(ValueError, match="row 1 has no valid position"):
            head(x_BLD, valid)


def test_standardised_targets_come_back_and_are_in_the_state_dict() -> None:
    target = torch.tensor([[1.0, 100.0], [3.0, torch.nan], [5.0, 104.0]])
    standard = Standard(2)
    standard.fit(target)
    # Of 1, 3, 5: mean 3 and variance 8/3; of 100 and 104: 102 and 4.
    torch.testing.assert_close(standard.state_dict()["mean"], torch.tensor([3.0, 102.0]))
    torch.testing.assert_close(standard.state_dict()["std"], torch.tensor([(8 / 3) ** 0.5, 2.0]))
    torch.testing.assert_close(
        standard.restored(standard(target)), target, equal_nan=True, rtol=1e-6, atol=1e-5
    )
    with pytest.raises(RecipeError, match=r"number 1 \(from 0\)"):
        Standard(2).fit(torch.tensor([[1.0, 0.1], [2.0, 0.1], [3.0, 0.1]]))
    with pytest.raises(RecipeError, match="number 0"):
        Standard(1).fit(torch.tensor([[torch.nan], [torch.nan]]))


@pytest.mark.parametrize(
    ("task", "head", "outputs"),
    [
        ({"kind": "classification", "pooling": {"kind": "max"}}, SequenceHead, 3),
        ({"kind": "multilabel"}, SequenceHead, 3),
        ({"kind": "regression", "learn_variance": True}, SequenceHead, 6),
        ({"kind": "bases"}, BasesHead, 3),
        ({"kind": "signal", "bin_bp": 7}, SignalHead, 3),
        ({"kind": "pair", "answer": {"kind": "classification"}}, PairHead, 3),
        ({"kind": "pair", "answer": {"kind": "regression", "learn_variance": True}}, PairHead, 6),
    ],
)
def test_a_task_builds_its_head(task: dict[str, Any], head: type, outputs: int) -> None:
    config = TASK.validate_python(task)
    built = build_head(config, 4, 3)
    assert type(built) is head
    assert outputs_of(config, 3) == built.out.out_features == outputs
    if isinstance(built, SignalHead):
        assert built.bin_bp == 7
    if task.get("pooling"):
        assert isinstance(built, SequenceHead)
        assert built.pool.kind == "max"


def test_without_a_crf_probabilities_are_the_softmax_in_fp64() -> None:
    logits = states(2, 3, 2).float()
    found = BasesHead(4, 2).probabilities(logits, torch.tensor([3, 2]))
    assert torch.equal(found, logits.double().softmax(-1))


@pytest.mark.parametrize("lengths", [[5, 3], [1, 4], [2, 2]])
def test_with_a_crf_probabilities_are_shares_of_all_chains(lengths: list[int]) -> None:
    pytest.importorskip("torchcrf")
    head = live(BasesHead(4, 3, crf=True), seed=4)
    logits = 3 * states(2, 5, 3, seed=8)
    start, end, step = (
        head.crf.get_parameter(name).detach()
        for name in ("start_transitions", "end_transitions", "transitions")
    )
    # What stands in the padding has no part, whatever it is.
    padded = logits.masked_fill(~mask(lengths, 5)[..., None], torch.nan)
    found = head.probabilities(padded, torch.tensor(lengths))
    assert not found.requires_grad
    for row, length in enumerate(lengths):
        weights = torch.zeros(length, 3, dtype=torch.float64)
        for chain in itertools.product(range(3), repeat=length):
            score = start[chain[0]] + end[chain[-1]]
            score += sum(step[before, after] for before, after in itertools.pairwise(chain))
            score += sum(logits[row, place, code] for place, code in enumerate(chain))
            weights[torch.arange(length), list(chain)] += score.exp()
        shares = weights / weights.sum(1, keepdim=True)
        torch.testing.assert_close(found[row, :length], shares, rtol=1e-9, atol=1e-12)


def test_with_a_crf_a_long_row_of_large_scores_has_finite_probabilities() -> None:
    pytest.importorskip("torchcrf")
    head = live(BasesHead(4, 2, crf=True))
    found = head.probabilities(400 * states(1, 301, 2), torch.tensor([301]))
    torch.testing.assert_close(found.sum(-1), torch.ones(1, 301, dtype=torch.float64))
    with pytest.raises(ValueError, match="row 1 has no valid position"):
        head.probabilities(states(2, 3, 2), torch.tensor([3, 0]))


def test_a_crf_without_its_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("torchcrf"):
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r'pip install "hyena-glt\[crf\]"'):
        BasesHead(4, 3, crf=True)
