"""The learned patches: where they close, what they select, and the threshold's controller."""

import math

import pytest
import torch
from torch import Tensor

from hyena_glt.config import LearnedPatchConfig
from hyena_glt.model.router import Router, Routing, ratio_loss, straight_through
from hyena_glt.nn import Span
from hyena_glt.patch import Emission


def router(**changes: float) -> Router:
    given = {"kind": "learned", "mean_bp": 4.0, **changes}
    return Router(2, LearnedPatchConfig.model_validate(given)).double()


def span_of(rows: int, length: int) -> Span:
    return Span(torch.arange(length).expand(rows, length), torch.full((rows,), length))


def test_a_turn_is_0_straight_on_a_half_at_a_right_angle_and_1_about_face() -> None:
    h_BLD = torch.tensor([[[3.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, -5.0], [-1.0, -1.0]]]).double()
    routing, _ = router()(h_BLD, span_of(1, 5), None)
    eighth = (1 - math.cos(math.pi / 4)) / 2
    expected = torch.tensor([[1.0, 0.0, 0.5, 1.0, eighth]]).double()
    torch.testing.assert_close(routing.turn, expected)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.8])
def test_confidence_is_a_half_at_the_threshold_and_keeps_the_order(threshold: float) -> None:
    r = router()
    r.threshold_units.fill_(round(threshold * 2**20))
    low = float(r.threshold)
    found = []
    for turn in (0.0, low / 2, low, (1 + low) / 2, 1.0):
        angle = torch.tensor(1 - 2 * turn).double().acos()
        h_BLD = torch.stack(
            [torch.tensor([1.0, 0.0]).double(), torch.stack([angle.cos(), angle.sin()])]
        )
        routing, _ = r(h_BLD[None], span_of(1, 2), None)
        found.append(float(routing.confidence[0, 1].detach()))
    assert found == pytest.approx([0, 0.25, 0.5, 0.75, 1], abs=1e-6)


def test_the_state_is_the_encoders_last_valid_one() -> None:
    generator = torch.Generator().manual_seed(0)
    h_BLD = torch.randn(2, 7, 2, generator=generator).double()
    r = router()
    whole, _ = r(h_BLD, span_of(2, 7), None)
    first, state = r(
        h_BLD[:, :4], Span(span_of(2, 4).coordinate, torch.tensor([4, 3])), r.begin(h_BLD[:, 0])
    )
    assert state is not None
    torch.testing.assert_close(state.previous, torch.stack([h_BLD[0, 3], h_BLD[1, 2]]))
    rest, _ = r(
        h_BLD[:1, 4:],
        Span(span_of(1, 3).coordinate + 4, torch.tensor([3])),
        type(state)(state.previous[:1]),
    )
    torch.testing.assert_close(torch.cat([first.turn[:1], rest.turn], 1), whole.turn[:1])


def closing(r: Router, turn: Tensor) -> Emission:
    mask = turn > r.threshold
    mask[:, 0] = True
    return Emission(mask, turn.shape[1], torch.zeros(len(turn), dtype=torch.long))


@pytest.mark.parametrize("spread", [0.004, 0.3])
def test_the_threshold_settles_where_patches_have_the_wanted_mean(spread: float) -> None:
    r = router(gain=0.2)
    generator = torch.Generator().manual_seed(1)
    for _ in range(150):
        turn = (0.4 + spread * torch.randn(4, 1001, generator=generator)).clamp(0, 1)
        emission = closing(r, turn)
        valid = torch.ones_like(emission.mask)
        length = torch.full((4,), 1001)
        r.count(Routing(turn, turn), valid, emission, length, torch.tensor(4))
        r.end_step()
    turn = (0.4 + spread * torch.randn(4, 10_001, generator=generator)).clamp(0, 1)
    assert 1 / float(closing(r, turn).mask[:, 1:].float().mean()) == pytest.approx(4.0, rel=0.05)


def test_a_step_without_calls_moves_nothing() -> None:
    r = router()
    before = r.threshold_units.clone()
    r.end_step()
    assert torch.equal(r.threshold_units, before)


def test_no_change_of_type_moves_the_threshold() -> None:
    r = router()
    r.threshold_units.fill_(123_457)
    assert torch.equal(r.to(torch.bfloat16).float().threshold_units, torch.tensor(123_457))


def test_straight_through_is_one_and_passes_the_gradient_of_what_was_done() -> None:
    confidence = torch.tensor([[0.9, 0.2]], requires_grad=True)
    ones = straight_through(confidence, torch.tensor([[True, False]]))
    assert ones.flatten().tolist() == [1, 1]
    (slope,) = torch.autograd.grad(ones.sum(), confidence)
    assert slope.tolist() == [[1, -1]]


def test_the_ratio_loss_is_1_where_share_and_confidence_are_as_asked() -> None:
    closes = torch.tensor([[True, False, False, False]])
    valid = torch.ones_like(closes)
    confidence = torch.full((1, 4), 0.25)
    loss = ratio_loss(Routing(confidence, confidence), closes, valid, 4.0)
    assert float(loss) == pytest.approx(1.0)
    # All of them under 1/2 and nothing closed scores better: why the threshold is moved instead.
    half = torch.full((1, 4), 0.5)
    assert float(ratio_loss(Routing(half, half), ~valid, valid, 4.0)) == pytest.approx(2 / 3)
