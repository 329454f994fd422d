"""A network starts at ln V, and every part of it learns."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from hyena_glt.data import Batch
from hyena_glt.model import HyenaGLT
from hyena_glt.objective import base_loss
from hyena_glt.tokenize import BOS, Modality
from properties.checks import same_gradient
from properties.tiny import Case, build, document, pairwise_cover, with_aligned
from properties.tolerances import BF16_NATS_A_BASE

COVER = pairwise_cover()
MIXED = Case("SM", "fixed", 1, "SMLA", "LA", "hashed")


def batch_of(network: HyenaGLT, rows: int, length_bp: int, seed: int = 0) -> Batch:
    letters = network.alphabet.letters
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(len(letters), (rows, length_bp), generator=generator)
    ids = torch.tensor([ord(letter) for letter in letters])[index]
    ids = torch.cat([torch.full((rows, 1), BOS), ids[:, :-1]], 1)
    weight = torch.rand(index.shape, generator=generator)
    return Batch(ids, torch.full((rows,), length_bp), index, weight)


def mean_loss(network: HyenaGLT, batch: Batch) -> Tensor:
    loss = base_loss(network(batch.ids, batch.length).logits, batch.target, batch.weight)
    return loss.nll_nats / loss.weight


@pytest.mark.parametrize(("modality", "letters"), [("dna", 4), ("rna", 4), ("protein", 20)])
def test_the_first_loss_is_that_of_a_guess_among_the_letters(
    modality: Modality, letters: int
) -> None:
    case = Case("S", "fixed", 1, "L", "A", "plain")
    embed: dict[str, Any] = {"hashed_k": [3], "hashed_rows": 50}
    network = build(case, modality=modality, live=False, embed=embed)
    batch = batch_of(network, 2, 30)
    assert not network(batch.ids).logits.any()
    assert mean_loss(network, batch).item() == pytest.approx(math.log(letters), abs=1e-15)


@pytest.mark.parametrize("case", with_aligned(COVER), ids=str)
def test_after_three_steps_every_parameter_has_learned(case: Case) -> None:
    network = build(case, live=False)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    reached: dict[str, Tensor] = {}
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0)
    for step in range(3):
        optimiser.zero_grad()
        torch.autograd.backward(mean_loss(network, batch_of(network, 4, 40, step)))
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            reached[name] = reached.get(name, torch.tensor(False)) | (parameter.grad != 0)
        optimiser.step()
    for name, parameter in network.named_parameters():
        assert reached[name].any(), f"{name} had no gradient in three steps"
        assert (parameter != before[name]).any(), f"{name} is as it was"
        # Tables have rows that no base of these batches looks up, and rows for N and MASK.
        if "embed" not in name:
            assert reached[name].all(), f"a part of {name} had no gradient in three steps"


def rows_that_occur(network: HyenaGLT, k: int, sequence: str) -> Iterator[int]:
    letters = network.alphabet.letters
    start = sum(rows for other, rows in network.embed.rows.items() if other < k)
    for end in range(k, len(sequence) + 1):
        digits = [letters.index(letter) for letter in sequence[end - k : end]]
        yield start + sum(digit * 4**j for j, digit in enumerate(reversed(digits)))


def test_a_k_mer_table_learns_the_rows_that_occur_and_no_others() -> None:
    network = build(Case("S", "fixed", 1, "L", "S", "exact"))  # k = 2 and 3
    sequence = "ACGTTGCAAC"
    ids = torch.tensor([[BOS, *(ord(letter) for letter in sequence)]])
    torch.autograd.backward(network(ids).logits.sum())
    assert network.embed.table is not None
    assert network.embed.table.grad is not None
    found = set(network.embed.table.grad.any(1).nonzero()[:, 0].tolist())
    assert found == {row for k in (2, 3) for row in rows_that_occur(network, k, sequence)}
    assert network.embed.symbol.weight.grad is not None
    assert network.embed.symbol.weight.grad.any(1).tolist() == [True] * 4 + [False, True, False]


@pytest.mark.parametrize("sequence", ["ACN", "CNA", "NAC", "AC"])
def test_a_k_mer_that_touches_n_or_bos_adds_nothing(sequence: str) -> None:
    network = build(Case("S", "fixed", 1, "L", "S", "exact"), embed={"exact_k": [3]})
    ids = torch.tensor([[BOS, *(ord(letter) for letter in sequence)]])
    length = torch.tensor([ids.shape[1]])
    assert network.embed.table is not None
    x_BLD, _ = network.embed(ids, length, network.embed.begin(1, ids.device))
    with torch.no_grad():
        network.embed.table.add_(1)
    again, _ = network.embed(ids, length, network.embed.begin(1, ids.device))
    assert torch.equal(again, x_BLD)


def test_activation_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for recompute in (False, True):
        network = build(MIXED, activation_checkpointing=recompute)
        torch.autograd.backward(mean_loss(network, batch_of(network, 3, 25)))
        gradients.append([p.grad for p in network.parameters()])
    for found, expected in zip(*gradients, strict=True):
        assert expected is not None
        assert found is not None
        same_gradient(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("size", [1, 3])
def test_accumulation_gives_the_gradient_of_the_large_batch_under_uneven_weights(
    dtype: torch.dtype, size: int
) -> None:
    network = build(MIXED, dtype=dtype)
    batch = batch_of(network, 7, 25)
    weight = batch.weight * torch.tensor([0, 1, 0.1, 5, 1, 0, 2])[:, None]
    batch = batch._replace(weight=weight)
    torch.autograd.backward(mean_loss(network, batch))
    expected = [p.grad for p in network.parameters()]
    network.zero_grad()
    for first in range(0, 7, size):
        part = batch.rows(first, first + size)
        loss = base_loss(network(part.ids).logits, part.target, part.weight)
        torch.autograd.backward(loss.nll_nats / weight.to(dtype).sum())
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert gradient is not None
        same_gradient(parameter.grad, gradient)


@pytest.mark.parametrize(
    "case",
    [MIXED, Case("L", "letters", 2, "A", "M", "exact"), Case("A", "none", 1, "L", "S", "plain")],
    ids=str,
)
@torch.no_grad()
def test_bf16_autocast_is_within_a_hundredth_of_a_nat_a_base(case: Case) -> None:
    network = build(case, dtype=torch.float32)
    batch = batch_of(network, 8, 100)
    exact = mean_loss(network, batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = mean_loss(network, batch)
        output = network(batch.ids[:, :41], state=network.begin(8))
        rest = network(batch.ids[:, 41:], state=output.state)
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact.item(), abs=BF16_NATS_A_BASE)
    assert rounded.item() != exact.item()
    logits = torch.cat([output.logits, rest.logits], 1)
    loss = base_loss(logits, batch.target, batch.weight)
    streamed = (loss.nll_nats / loss.weight).item()
    assert streamed == pytest.approx(exact.item(), abs=BF16_NATS_A_BASE)


def test_reading_in_evaluation_mode_gives_the_numbers_of_training_mode() -> None:
    network = build(MIXED)
    ids = document(30)
    assert torch.equal(network.eval()(ids).logits, network.train()(ids).logits)
