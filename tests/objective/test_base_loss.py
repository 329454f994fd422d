"""The loss is sum(weight * nll) / sum(weight) over letters, and nothing else."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.objective import base_loss


def test_the_weighted_mean_by_hand() -> None:
    # p(A) = 1/2, 1/4, 1/8 of the true letter: 1, 2 and 3 bits, weighing 1, 1/2 and 2.
    p = torch.tensor([[[0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.125, 0.5, 0.25, 0.125]]])
    loss = base_loss((p + 1e-30).log(), torch.tensor([[0, 2, 3]]), torch.tensor([[1, 0.5, 2]]))
    assert loss.nll_nats.item() == pytest.approx((1 * 1 + 0.5 * 2 + 2 * 3) * math.log(2))
    assert loss.weight.item() == 3.5


def test_n_and_padding_are_in_neither_sum_whatever_they_weigh() -> None:
    logits = torch.randn(1, 4, 4, requires_grad=True)
    target, weight = torch.tensor([[0, -1, 2, -1]]), torch.ones(1, 4)
    loss = base_loss(logits, target, weight)
    assert loss.weight.item() == 2
    torch.autograd.backward(loss.nll_nats)
    assert logits.grad is not None
    assert logits.grad.abs().sum(-1).gt(0).tolist() == [[True, False, True, False]]


def test_it_holds_a_few_numbers_a_base_so_that_chunks_would_save_nothing() -> None:
    logits = torch.randn(2, 500, 4, requires_grad=True)
    held: dict[int, int] = {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        held[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        loss = base_loss(logits, torch.ones(2, 500, dtype=torch.long), torch.ones(2, 500))
    assert loss.nll_nats.requires_grad
    # Probabilities of four letters, the target, the weight.
    assert 4 * 4 * 1000 <= sum(held.values()) <= 28 * 1000 + 100


def test_a_batch_without_a_letter_weighs_nothing_and_is_finite() -> None:
    loss = base_loss(torch.randn(1, 2, 4), torch.full((1, 2), -1), torch.ones(1, 2))
    assert (loss.nll_nats.item(), loss.weight.item()) == (0, 0)


def test_sums_are_in_single_precision_at_least() -> None:
    target, weight = torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 3)
    for dtype, expected in (
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        loss = base_loss(torch.zeros(1, 3, 4, dtype=dtype), target, weight)
        assert loss.nll_nats.dtype == expected
        assert loss.weight.dtype == expected


@given(cut=st.integers(1, 6), seed=st.integers(0, 99))
def test_the_parts_of_a_group_add_up(cut: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(7, 5, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(-1, 4, (7, 5), generator=generator)
    weight = torch.rand(7, 5, generator=generator)
    whole = base_loss(logits, target, weight)
    parts = [
        base_loss(logits[rows], target[rows], weight[rows])
        for rows in (slice(0, cut), slice(cut, 7))
    ]
    for name in ("nll_nats", "weight"):
        total = sum(getattr(part, name).item() for part in parts)
        assert total == pytest.approx(getattr(whole, name).item(), rel=1e-6)
