"""Losses of tasks: by hand, against plain numpy, and as sums that add up."""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from hyena_glt.config.tasks import TaskConfig
from hyena_glt.errors import RecipeError
from hyena_glt.model.task_heads import BasesHead
from hyena_glt.objective.tasks import (
    TaskLoss,
    balanced_positive_weights,
    balanced_weights,
    class_loss,
    crf_loss,
    gaussian_loss,
    multilabel_loss,
    poisson_loss,
    task_loss,
    weights_of_classes,
)

TASK: TypeAdapter[Any] = TypeAdapter(TaskConfig)
NAN = float("nan")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def integers(low: int, high: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))


def class_reference(
    logits: np.ndarray, target: np.ndarray, w: np.ndarray, eps: float, gamma: float
) -> tuple[float, float]:
    total, weight = 0.0, 0.0
    classes = logits.shape[-1]
    for z, y in zip(logits.reshape(-1, classes), target.reshape(-1), strict=True):
        if y < 0:
            continue
        p = np.exp(z) / np.exp(z).sum()
        for k in range(classes):
            q = (1 - eps) * (k == y) + eps / classes
            total += w[y] * q * (1 - p[k]) ** gamma * -math.log(p[k])
        weight += w[y]
    return total, weight


def multilabel_reference(
    logits: np.ndarray, target: np.ndarray, w: np.ndarray, gamma: float
) -> tuple[float, float]:
    total, weight = 0.0, 0
    for row in range(len(logits)):
        for k in range(logits.shape[1]):
            p = 1 / (1 + math.exp(-logits[row, k]))
            if target[row, k] == 1:
                total += w[k] * (1 - p) ** gamma * -math.log(p)
            elif target[row, k] == 0:
                total += p**gamma * -math.log(1 - p)
            weight += target[row, k] >= 0
    return total, weight


def gaussian_reference(
    mean: np.ndarray, log_variance: np.ndarray, target: np.ndarray
) -> tuple[float, float]:
    total, weight = 0.0, 0
    for m, s, y in zip(mean.flat, log_variance.flat, target.flat, strict=True):
        if not math.isnan(y):
            density = math.exp(-((y - m) ** 2) / (2 * math.exp(s))) / math.sqrt(
                2 * math.pi * math.exp(s)
            )
            total += -math.log(density) - math.log(2 * math.pi) / 2
            weight += 1
    return total, weight


def poisson_reference(log_rate: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    total, weight = 0.0, 0
    for z, y in zip(log_rate.flat, target.flat, strict=True):
        if not math.isnan(y):
            p = math.exp(-math.exp(z)) * math.exp(z) ** y / math.factorial(int(y))
            total += -math.log(p) - math.log(math.factorial(int(y)))
            weight += 1
    return total, weight


def assert_is(loss: TaskLoss, expected: tuple[float, float], rel: float = 1e-9) -> None:
    assert loss.total.item() == pytest.approx(expected[0], rel=rel, abs=1e-12)
    assert loss.weight.item() == pytest.approx(expected[1], rel=rel)


def test_a_class_by_hand() -> None:
    # p = (1/2, 1/4, 1/4) at both: 1 bit and 2 bits, which weigh 3 and 1.
    logits = torch.tensor([[0.5, 0.25, 0.25]] * 3).log()
    target, w = torch.tensor([0, 2, -1]), torch.tensor([3.0, 9.0, 1.0])
    bit = math.log(2)
    assert_is(class_loss(logits, target), (3 * bit, 2), 1e-6)
    assert_is(class_loss(logits, target, w), ((3 * 1 + 1 * 2) * bit, 4), 1e-6)
    # Focal, gamma 2: (1/2)**2 of the bit, (3/4)**2 of the two.
    assert_is(class_loss(logits, target, focal_gamma=2.0), ((1 / 4 + 9 / 8) * bit, 2), 1e-6)
    # Smoothing 0.3: 0.7 of each, and 0.1 of every class: 0.1 * (1 + 2 + 2) bits, twice.
    smoothed = class_loss(logits, target, label_smoothing=0.3)
    assert_is(smoothed, ((0.7 * 3 + 2 * 0.5) * bit, 2), 1e-6)


@settings(max_examples=25)
@given(
    eps=st.sampled_from([0.0, 0.1, 0.6]),
    gamma=st.sampled_from([0.0, 0.5, 2.0]),
    classes=st.integers(2, 5),
    length=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_classes_of_sequences_and_of_bases_against_numpy(
    eps: float, gamma: float, classes: int, length: int, seed: int
) -> None:
    logits = 3 * normal(3, length, classes, seed=seed)
    target = integers(-1, classes, 3, length, seed=seed)
    w = normal(classes, seed=seed).exp()
    found = class_loss(logits, target, w, eps, gamma)
    assert_is(found, class_reference(logits.numpy(), target.numpy(), w.numpy(), eps, gamma))
    flat = class_loss(logits.flatten(0, 1), target.flatten(), w, eps, gamma)
    assert_is(flat, (found.total.item(), found.weight.item()))


def test_without_focal_factors_losses_are_those_of_the_library() -> None:
    logits, target, w = normal(9, 4), integers(0, 4, 9), normal(4, seed=2).exp()
    found = class_loss(logits, target, w)
    torch.testing.assert_close(
        found.total / found.weight, F.cross_entropy(logits, target, weight=w)
    )
    found = class_loss(logits, target, label_smoothing=0.2)
    expected = F.cross_entropy(logits, target, label_smoothing=0.2)
    torch.testing.assert_close(found.total / found.weight, expected)
    yes = integers(0, 2, 9, 4)
    found = multilabel_loss(logits, yes, w)
    expected = F.binary_cross_entropy_with_logits(logits, yes.double(), pos_weight=w)
    torch.testing.assert_close(found.total / found.weight, expected)
    y = normal(9, 4, seed=3).abs()
    found = poisson_loss(logits, y)
    torch.testing.assert_close(found.total / found.weight, F.poisson_nll_loss(logits, y))
    found = gaussian_loss(torch.cat([logits, logits / 2], 1), y, learn_variance=True)
    expected = F.gaussian_nll_loss(logits, y, (logits / 2).exp())
    torch.testing.assert_close(found.total / found.weight, expected)


def test_yes_and_no_by_hand() -> None:
    # p(yes) = 3/4: of a yes -ln 3/4, of a no -ln 1/4; the third isn't known.
    logits = torch.full((1, 3), math.log(3))
    target, w = torch.tensor([[1, 0, -1]]), torch.tensor([5.0, 7.0, 1.0])
    yes, no = math.log(4 / 3), math.log(4)
    assert_is(multilabel_loss(logits, target), (yes + no, 2), 1e-6)
    assert_is(multilabel_loss(logits, target, w), (5 * yes + no, 2), 1e-6)
    focal = multilabel_loss(logits, target, w, focal_gamma=1.0)
    assert_is(focal, (5 * yes / 4 + no * 3 / 4, 2), 1e-6)


@settings(max_examples=25)
@given(gamma=st.sampled_from([0.0, 0.5, 2.0]), seed=st.integers(0, 99))
def test_yes_and_no_against_numpy(gamma: float, seed: int) -> None:
    logits, target = 2 * normal(4, 3, seed=seed), integers(-1, 2, 4, 3, seed=seed)
    w = normal(3, seed=seed).exp()
    found = multilabel_loss(logits, target, w, gamma)
    assert_is(found, multilabel_reference(logits.numpy(), target.numpy(), w.numpy(), gamma))


def test_numbers_by_hand() -> None:
    target = torch.tensor([[1.0, NAN], [-2.0, 3.0]])
    mean = torch.tensor([[3.0, 5.0], [-2.0, 0.0]])
    assert_is(gaussian_loss(mean, target), ((4 + 0 + 9) / 2, 3), 1e-6)
    # Variance 4 for the first number, 9 for the second: ln 2 twice, ln 3 once.
    log_variance = torch.tensor([[4.0, 9.0], [4.0, 9.0]]).log()
    learned = gaussian_loss(torch.cat([mean, log_variance], 1), target, learn_variance=True)
    expected = (4 / 4 + 9 / 9) / 2 + 2 * math.log(2) + math.log(3)
    assert_is(learned, (expected, 3), 1e-6)


@settings(max_examples=25)
@given(seed=st.integers(0, 99), bins=st.integers(1, 7))
def test_numbers_against_numpy(seed: int, bins: int) -> None:
    mean, log_variance = normal(2, bins, 3, seed=seed), normal(2, bins, 3, seed=seed + 1)
    target = normal(2, bins, 3, seed=seed + 2)
    target[integers(0, 4, 2, bins, 3, seed=seed) == 0] = NAN
    found = gaussian_loss(torch.cat([mean, log_variance], -1), target, learn_variance=True)
    assert_is(found, gaussian_reference(mean.numpy(), log_variance.numpy(), target.numpy()))
    unit = np.zeros_like(mean.numpy())
    assert_is(gaussian_loss(mean, target), gaussian_reference(mean.numpy(), unit, target.numpy()))
    counts = (3 * target.abs()).round()
    assert_is(poisson_loss(mean, counts), poisson_reference(mean.numpy(), counts.numpy()))


def test_counts_by_hand() -> None:
    log_rate = torch.tensor([[2.0, 1.0, 5.0]]).log()
    # 2 - 3 ln 2, and 1 - 0 ln 1; the third has no target.
    loss = poisson_loss(log_rate, torch.tensor([[3.0, 0.0, NAN]]))
    assert_is(loss, (2 - 3 * math.log(2) + 1, 2), 1e-6)


def chain_reference(crf: torch.nn.Module, logits: Tensor, target: list[int]) -> float:
    """-ln p(labels), over all chains; -1 may be any class."""
    start, end, step = (
        crf.get_parameter(name).detach().numpy()
        for name in ("start_transitions", "end_transitions", "transitions")
    )
    agreeing, everything = 0.0, 0.0
    for chain in itertools.product(range(logits.shape[1]), repeat=len(target)):
        score = start[chain[0]] + end[chain[-1]]
        score += sum(step[before, after] for before, after in itertools.pairwise(chain))
        score += sum(float(logits[i, k]) for i, k in enumerate(chain))
        everything += math.exp(score)
        if all(y in (-1, k) for y, k in zip(target, chain, strict=True)):
            agreeing += math.exp(score)
    return -math.log(agreeing / everything)


def live_crf(classes: int) -> torch.nn.Module:
    pytest.importorskip("torchcrf")
    crf = BasesHead(4, classes, crf=True).double().crf
    assert crf is not None
    for seed, parameter in enumerate(crf.parameters()):
        parameter.data = normal(*parameter.shape, seed=seed)
    return crf


def test_a_chain_from_zero_is_ln_c_a_base() -> None:
    pytest.importorskip("torchcrf")
    crf = BasesHead(4, 3, crf=True).crf
    assert crf is not None
    loss = crf_loss(torch.zeros(1, 5, 3), torch.tensor([[0, 2, 1, 1, 0]]), torch.tensor([5]), crf)
    assert_is(loss, (5 * math.log(3), 5), 1e-6)


@settings(max_examples=25)
@given(lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3), seed=st.integers(0, 30))
def test_chains_against_all_chains(lengths: list[int], seed: int) -> None:
    crf = live_crf(3)
    total = max(lengths) + seed % 3
    logits = normal(len(lengths), total, 3, seed=seed)
    target = integers(-1, 3, len(lengths), total, seed=seed)
    if seed % 2:
        target = target.clamp(min=0)  # no base without a label
    found = crf_loss(logits, target, torch.tensor(lengths), crf)
    expected = [
        chain_reference(crf, logits[row, :length], target[row, :length].tolist())
        for row, length in enumerate(lengths)
    ]
    labels = sum(int((target[row, :n] >= 0).sum()) for row, n in enumerate(lengths))
    assert_is(found, (sum(expected), labels))
    # What stands behind a row changes nothing.
    behind = torch.arange(total) >= torch.tensor(lengths)[:, None]
    again = crf_loss(
        logits.masked_fill(behind[..., None], NAN),
        target.masked_fill(behind, 2),
        torch.tensor(lengths),
        crf,
    )
    assert torch.equal(again.total, found.total)


def test_a_chain_in_single_precision_with_gaps_has_the_slopes_of_double() -> None:
    crf = live_crf(3)
    logits, target = normal(2, 60, 3), integers(-1, 3, 2, 60)
    slopes = []
    for dtype in (torch.float64, torch.float32):
        given_logits = logits.to(dtype).requires_grad_()
        loss = crf_loss(given_logits, target, torch.tensor([60, 41]), crf.to(dtype))
        slopes.append(torch.autograd.grad(loss.total, given_logits)[0].double())
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-4, atol=1e-5)


Call = Callable[[Tensor, Tensor], TaskLoss]
W = torch.tensor([0.5, 2.0, 3.0])


def calls() -> dict[str, tuple[Call, Tensor, Tensor]]:
    numbers = normal(7, 5, 3, seed=4)
    numbers[integers(0, 4, 7, 5, 3) == 0] = NAN
    classes = integers(-1, 3, 7, 5)

    def all_of_class(outputs: Tensor, target: Tensor) -> TaskLoss:
        return class_loss(outputs, target, W, 0.1, 0.5)

    return {
        "classes": (all_of_class, normal(7, 3), classes[:, 0]),
        "bases": (all_of_class, normal(7, 5, 3), classes),
        "multilabel": (
            lambda outputs, target: multilabel_loss(outputs, target, W, 0.5),
            normal(7, 3),
            integers(-1, 2, 7, 3),
        ),
        "gaussian": (gaussian_loss, normal(7, 5, 3), numbers),
        "variance": (partial(gaussian_loss, learn_variance=True), normal(7, 5, 6), numbers),
        "poisson": (poisson_loss, normal(7, 5, 3), numbers.abs()),
    }


@pytest.mark.parametrize("name", calls())
def test_slopes_are_those_of_finite_differences(name: str) -> None:
    call, outputs, target = calls()[name]
    assert torch.autograd.gradcheck(
        lambda x: call(x, target).total, outputs.clone().requires_grad_()
    )


def test_slopes_of_a_chain_are_those_of_finite_differences() -> None:
    crf = live_crf(3)
    target, length = torch.tensor([[0, -1, 2], [1, 1, -1]]), torch.tensor([3, 2])
    assert torch.autograd.gradcheck(
        lambda x: crf_loss(x, target, length, crf).total, normal(2, 3, 3).requires_grad_()
    )


@pytest.mark.parametrize("name", calls())
def test_parts_add_up_and_no_order_matters(name: str) -> None:
    call, outputs, target = calls()[name]
    whole = call(outputs, target)
    shuffled = torch.tensor([3, 0, 6, 5, 1, 2, 4])
    assert_is(call(outputs[shuffled], target[shuffled]), (whole.total.item(), whole.weight.item()))
    for cut in range(1, 7):
        parts = [call(outputs[rows], target[rows]) for rows in (slice(0, cut), slice(cut, 7))]
        assert_is(whole, (sum(p.total.item() for p in parts), sum(p.weight.item() for p in parts)))


@pytest.mark.parametrize("name", calls())
def test_what_has_no_target_counts_nothing_whatever_it_holds(name: str) -> None:
    call, outputs, target = calls()[name]
    outputs = outputs.clone()
    missing = target.isnan() if target.is_floating_point() else target == -1
    assert missing.any()
    per_output = missing if missing.ndim == outputs.ndim else missing[..., None].expand_as(outputs)
    if name == "variance":
        per_output = torch.cat([missing, missing], -1)
    before = call(outputs, target)
    outputs[per_output] = NAN
    outputs.requires_grad_()
    after = call(outputs, target)
    assert torch.equal(after.total, before.total)
    (slope,) = torch.autograd.grad(after.total, outputs)
    assert not slope[per_output].any()
    assert slope[~per_output].all()
    nothing = call(outputs, torch.full_like(target, NAN if target.is_floating_point() else -1))
    assert (nothing.total.item(), nothing.weight.item()) == (0, 0)


@pytest.mark.parametrize("name", calls())
def test_sums_are_in_single_precision_at_least(name: str) -> None:
    call, outputs, target = calls()[name]
    for dtype, expected in (
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        loss = call(outputs.to(dtype), target)
        assert (loss.total.dtype, loss.weight.dtype) == (expected, expected)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_slopes_are_finite_where_nothing_is_left_to_learn(gamma: float) -> None:
    certain = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    total = class_loss(certain, torch.tensor([0, 0]), None, 0.1, gamma).total
    total = total + multilabel_loss(certain, torch.tensor([[1, 0], [0, 1]]), None, gamma).total
    (slope,) = torch.autograd.grad(total, certain)
    assert total.isfinite()
    assert slope.isfinite().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: class_loss(torch.zeros(2, 3), torch.tensor([0, 3])), r"found 3 at \[1\]"),
        (lambda: class_loss(torch.zeros(1, 3), torch.tensor([-2])), "a class from 0 to 2"),
        (lambda: multilabel_loss(torch.zeros(1, 2), torch.tensor([[0, 2]])), "expected 0 or 1"),
        (lambda: poisson_loss(torch.zeros(1), torch.tensor([-0.5])), "a count from 0"),
        (lambda: poisson_loss(torch.zeros(1), torch.tensor([math.inf])), "a count from 0"),
        (lambda: gaussian_loss(torch.zeros(1), torch.tensor([math.inf])), "a finite number"),
        (lambda: gaussian_loss(torch.zeros(4), torch.zeros(2)), "found 4 outputs for 2 numbers"),
        (lambda: gaussian_loss(torch.zeros(2), torch.zeros(2), True), "not 4"),
    ],
)
def test_targets_that_can_not_be_are_refused(call: Callable[[], TaskLoss], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@settings(max_examples=25)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_balanced_weights_are_those_of_scikit_learn(counts: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    found = balanced_weights({f"class {k}": n for k, n in enumerate(counts)})
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_weights_stand_in_the_order_of_the_classes() -> None:
    counts = {"b": 3, "a": 1}
    assert weights_of_classes(None, counts) is None
    named = weights_of_classes({"a": 5.0, "b": 7.0}, counts)
    balanced = weights_of_classes("balanced", counts)
    assert named is not None
    assert balanced is not None
    assert named.tolist() == [7, 5]
    assert balanced.tolist() == pytest.approx([4 / 6, 2])
    assert balanced_positive_weights({"b": 1, "a": 4}, {"a": 2, "b": 3}).tolist() == [3, 0.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weights_of_classes({"a": 1.0}, {"a": 1, "b": 1}), "the classes are a, b"),
        (lambda: weights_of_classes({"a": 1.0, "c": 1.0}, {"a": 1}), "names a, c"),
        (lambda: balanced_weights({"a": 1, "b": 0}), "class 'b' has no training example"),
        (lambda: balanced_positive_weights({"a": 0}, {"a": 3}), "0 training examples with it"),
        (lambda: balanced_positive_weights({"a": 3}, {"a": 0}), "and 0 without"),
    ],
)
def test_weights_that_can_not_be_say_why(call: Callable[[], object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        call()


def test_a_task_has_the_loss_that_it_asks_for() -> None:
    logits, classes, yes = normal(4, 3), integers(0, 3, 4), integers(0, 2, 4, 3)
    number, wide = normal(4, 3, seed=1).abs(), normal(4, 6)
    smoothed = {"kind": "classification", "label_smoothing": 0.2, "focal_gamma": 1.0}
    cases: list[tuple[dict[str, Any], TaskLoss, tuple[Any, ...]]] = [
        (smoothed, class_loss(logits, classes, W, 0.2, 1.0), (logits, classes, W)),
        (
            {"kind": "pair", "answer": smoothed},
            class_loss(logits, classes, W, 0.2, 1.0),
            (logits, classes, W),
        ),
        (
            {"kind": "multilabel", "focal_gamma": 2.0},
            multilabel_loss(logits, yes, W, 2.0),
            (logits, yes, W),
        ),
        ({"kind": "regression"}, gaussian_loss(logits, number), (logits, number)),
        (
            {"kind": "regression", "learn_variance": True},
            gaussian_loss(wide, number, True),
            (wide, number),
        ),
        (
            {"kind": "pair", "answer": {"kind": "regression", "likelihood": "poisson"}},
            poisson_loss(logits, number),
            (logits, number),
        ),
        ({"kind": "signal"}, poisson_loss(logits, number), (logits, number)),
        (
            {"kind": "signal", "likelihood": "gaussian"},
            gaussian_loss(logits, number),
            (logits, number),
        ),
        (
            {"kind": "bases", "label_smoothing": 0.1},
            class_loss(logits[None], classes[None], None, 0.1),
            (logits[None], classes[None]),
        ),
    ]
    for task, expected, given_tensors in cases:
        found = task_loss(TASK.validate_python(task), *given_tensors)
        assert torch.equal(found.total, expected.total), task
        assert torch.equal(found.weight, expected.weight), task
    crf, length = live_crf(3), torch.tensor([4])
    chain = TASK.validate_python({"kind": "bases", "crf": True})
    found = task_loss(chain, logits[None], classes[None], length=length, crf=crf)
    assert torch.equal(found.total, crf_loss(logits[None], classes[None], length, crf).total)
    with pytest.raises(ValueError, match="needs the rows' lengths"):
        task_loss(chain, logits[None], classes[None])
