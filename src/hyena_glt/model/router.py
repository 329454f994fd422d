"""H-Net's router: a patch closes where the encoder's state turns (arXiv 2507.07955).

    turn[t]  = (1 - cos(query h[t - 1], key h[t])) / 2      0: the same way on, 1: about face
    close at t where turn[t] > threshold

It closes at the first position of what is new, and the latent is the state there. How H-Net sets
the number of patches, a loss on their ratio, has no minimum where it should; here the threshold
is moved after each step of training until patches have the wanted mean, and is part of the
weights. ``confidence`` is the turn on a scale on which the threshold stands at 1/2, as H-Net's
does: latents are smoothed by it, and so the choice has a gradient.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hyena_glt.config import LearnedPatchConfig
from hyena_glt.nn import Span
from hyena_glt.ops import last_positions
from hyena_glt.patch import Emission

_UNIT = 2**20  # the threshold is an integer, which no change of the weights' type rounds
_LEAST, _MOST = 0.01, 0.99
_NORM_EPS = 1e-6


class RouterState(NamedTuple):
    """The encoder's state at the last position."""

    previous: Float[Tensor, "B D"]


class Routing(NamedTuple):
    """What the router says of each position of a call."""

    turn: Float[Tensor, "B L"]
    confidence: Float[Tensor, "B L"]  # above 1/2 where the turn is above the threshold


class Router(nn.Module):
    """Says how far the encoder's state turns at each position, in fp32 or better."""

    threshold_units: Tensor
    tally: Tensor

    def __init__(self, width: int, config: LearnedPatchConfig) -> None:
        super().__init__()
        self.mean_bp, self.gain = config.mean_bp, config.gain
        self.query = nn.Parameter(torch.eye(width))
        self.key = nn.Parameter(torch.eye(width))
        half = torch.tensor(_UNIT // 2, dtype=torch.long)
        self.register_buffer("threshold_units", half)
        # Since the last step: bases, closes, positions, sum of turns, sum of their squares.
        self.register_buffer("tally", torch.zeros(5), persistent=False)

    @property
    def threshold(self) -> Float[Tensor, ""]:
        """The turn above which a patch closes."""
        return self.threshold_units.float() / _UNIT  # exact: fp32 has 24 bits

    def begin(self, like: Float[Tensor, "B D"]) -> RouterState:
        """Return the state before the first position."""
        return RouterState(torch.zeros_like(like))

    def forward(
        self, h_BLD: Float[Tensor, "B L D"], span: Span, state: RouterState | None
    ) -> tuple[Routing, RouterState | None]:
        """Return (routing, state); BOS turns fully, so that its latent stands as it is."""
        before = torch.zeros_like(h_BLD[:, 0]) if state is None else state.previous
        seen_BLD = torch.cat([before[:, None], h_BLD], 1)
        with torch.autocast(h_BLD.device.type, enabled=False):
            exact = torch.promote_types(h_BLD.dtype, torch.float32)
            query = F.linear(seen_BLD[:, :-1].to(exact), self.query.to(exact))
            key = F.linear(h_BLD.to(exact), self.key.to(exact))
            cosine = (query * key).sum(-1) / (_norm(query) * _norm(key))
            turn = ((1 - cosine) / 2).clamp(0, 1)
        turn = torch.where(span.coordinate == 0, 1.0, turn)
        low = self.threshold.to(exact)
        confidence = torch.where(turn > low, 1 - (1 - turn) / (2 * (1 - low)), turn / (2 * low))
        if state is None:
            return Routing(turn, confidence), None
        last = last_positions(seen_BLD.transpose(1, 2), span.length, 1)[..., 0]
        return Routing(turn, confidence), RouterState(last)

    def score(self, routing: Routing) -> Float[Tensor, "B L"]:
        """Return how far each turn is above the threshold."""
        return routing.turn - self.threshold.to(routing.turn.dtype)

    @torch.no_grad()
    def count(
        self,
        routing: Routing,
        valid: Bool[Tensor, "B L"],
        emission: Emission,
        length: Int[Tensor, " B"],
        opened: Int[Tensor, ""],
    ) -> None:
        """Take a call of training into account: ``emission`` and ``length`` at base rate.

        ``opened`` rows begin in the call: BOS is no base, and its close none that was wanted.
        """
        turn = torch.where(valid, routing.turn, 0).float()
        self.tally += torch.stack(
            [
                length.sum() - opened,
                emission.mask.sum() - opened,
                valid.sum(),
                turn.sum(),
                (turn * turn).sum(),
            ]
        )

    @torch.no_grad()
    def end_step(self) -> None:
        """Move the threshold by what the calls since the last step have closed.

        An integral controller: more patches than wanted push it up. Its step is in units of the
        spread of turns, 4 of which move the share of closes by about all of the error.
        """
        bases, closes, positions, total, squares = self.tally
        mean = total / positions.clamp(min=1)
        spread = (squares / positions.clamp(min=1) - mean * mean).clamp(min=0).sqrt()
        error = closes / bases.clamp(min=1) - 1 / self.mean_bp
        moved = self.threshold + 4 * self.gain * spread * error * (bases > 0)
        moved = moved.clamp(_LEAST, _MOST)
        self.threshold_units.copy_((moved * _UNIT).round().long())
        self.tally.zero_()


def ratio_loss(
    routing: Routing, closes: Bool[Tensor, "B L"], valid: Bool[Tensor, "B L"], ratio: float
) -> Float[Tensor, ""]:
    """Return H-Net's ratio loss for one close in ``ratio`` positions (its eq. 10).

    n / (n - 1) * ((n - 1) * F * G + (1 - F) * (1 - G)), with F the share of closes and G the mean
    confidence, both of this call: split into calls, a batch has the mean of their losses, which is
    near the loss of the whole but isn't it.
    """
    count = valid.sum().clamp(min=1)
    share = (closes & valid).sum() / count
    mean = torch.where(valid, routing.confidence, 0).sum() / count
    both = (ratio - 1) * share * mean + (1 - share) * (1 - mean)
    loss: Tensor = ratio / (ratio - 1) * both
    return loss


def straight_through(
    confidence: Float[Tensor, "B L"], closes: Bool[Tensor, "B L"]
) -> Float[Tensor, "B L 1"]:
    """Return ones, with the gradient of the confidence in what was done at each position."""
    done = torch.where(closes, confidence, 1 - confidence)
    return (done - done.detach() + 1)[..., None]


def _norm(x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L"]:
    return torch.as_tensor(torch.linalg.vector_norm(x, dim=-1)).clamp(min=_NORM_EPS)
