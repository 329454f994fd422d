"""Rows read in segments, with carried state: activations are held for one segment at a time.

``truncated``: each segment's loss has its gradient taken by itself, and none flows into the state
that the segment begins with.

``exact``: the segments are read once without gradient, and the states between them are kept. Then
they are read again, the last one first, each from its kept state; the gradient by that state goes
into the segment before. It is activation checkpointing along the row: the gradient is that of the
whole row, for one forward pass more.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from hyena_glt.config import SegmentGradient
from hyena_glt.data import Batch
from hyena_glt.errors import TrainingError
from hyena_glt.model import HyenaGLT
from hyena_glt.model.glt import ModelState, Output
from hyena_glt.nn import detached_state, state_tensors
from hyena_glt.objective import Loss, base_loss
from hyena_glt.train.patches import PatchTally


def backward_in_segments(
    network: HyenaGLT,
    batch: Batch,
    segment_bp: int,
    gradient: SegmentGradient,
    share: Float[Tensor, ""],
    tally: PatchTally,
) -> Float[Tensor, ""]:
    """Add the gradient of ``share`` * sum(weight * nll) of causal rows; return the sum.

    Routers' ratio losses are of whole rows and stay out, which a recipe makes sure of. Raises
    TrainingError where a segment that is read again closes other patches than at first.
    """
    segments = batch.segments(segment_bp)
    backward = _truncated if gradient == "truncated" else _exact
    return backward(network, segments, share, tally)


@torch.no_grad()
def loss_in_segments(network: HyenaGLT, batch: Batch, segment_bp: int) -> Loss:
    """Return the loss of causal rows, without a gradient."""
    state: ModelState | None = network.begin(len(batch.ids))
    total = Loss(batch.weight.new_zeros(()), batch.weight.new_zeros(()))
    for segment in batch.segments(segment_bp):
        output = _read(network, segment, state)
        state = output.state
        loss = base_loss(output.logits, segment.target, segment.weight)
        total = Loss(total.nll_nats + loss.nll_nats, total.weight + loss.weight)
    return total


def _truncated(
    network: HyenaGLT, segments: list[Batch], share: Float[Tensor, ""], tally: PatchTally
) -> Float[Tensor, ""]:
    state: ModelState | None = network.begin(len(segments[0].ids))
    total = share.new_zeros(())
    for number, segment in enumerate(segments):
        output = _read(network, segment, state)
        tally.count(output.emissions, segment.length, opens=number == 0)
        nll = base_loss(output.logits, segment.target, segment.weight).nll_nats
        torch.autograd.backward(share * nll)
        total = total + nll.detach()
        state = detached_state(output.state)
    return total


def _exact(
    network: HyenaGLT, segments: list[Batch], share: Float[Tensor, ""], tally: PatchTally
) -> Float[Tensor, ""]:
    states = _states_before(network, segments)
    total = share.new_zeros(())
    later: ModelState | None = None  # that the next segment began with, and what it made of it
    for number in reversed(range(len(segments))):
        segment, state = segments[number], detached_state(states.pop(), requires_grad=number > 0)
        output = _read(network, segment, state)
        tally.count(output.emissions, segment.length, opens=number == 0)
        nll = base_loss(output.logits, segment.target, segment.weight).nll_nats
        roots, slopes = [share * nll], [torch.ones_like(share * nll)]
        if later is not None:
            _check_same(output.state, later, number)
            for end, start in zip(state_tensors(output.state), state_tensors(later), strict=True):
                if end.requires_grad and start.grad is not None:
                    roots.append(end)
                    slopes.append(start.grad)
        torch.autograd.backward(roots, slopes)
        total = total + nll.detach()
        later = state
    return total


@torch.no_grad()
def _states_before(network: HyenaGLT, segments: list[Batch]) -> list[ModelState]:
    """Return the state before each segment."""
    states = [network.begin(len(segments[0].ids))]
    for segment in segments[:-1]:
        after = _read(network, segment, states[-1]).state
        assert after is not None
        states.append(after)
    return states


def _read(network: HyenaGLT, segment: Batch, state: ModelState | None) -> Output:
    output: Output = network(segment.ids, segment.length, state, track=segment.track)
    return output


def _check_same(found: ModelState | None, expected: ModelState, number: int) -> None:
    """Check that a segment left the places, counts and letters that it left at first."""
    for one, other in zip(state_tensors(found), state_tensors(expected), strict=True):
        if not one.is_floating_point() and not torch.equal(one, other):
            raise TrainingError(
                f"segment {number + 1} of a row closed other patches when it was read again: its "
                "numbers aren't the same from call to call on this device, and a learned rule "
                "stood on the edge; use train.segment_gradient=truncated, or leave out "
                "train.segment_bp"
            )
