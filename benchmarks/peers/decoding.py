"""Decoding from a position on: ours with carried state, the Transformer with its cache."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hyena_glt.model import HyenaGLT, ModelState
from hyena_glt.nn import select_rows, state_bytes
from hyena_glt.tokenize import alphabet, encode
from peers.training import random_rows
from peers.transformer import Transformer

PIECE_BP = 8192  # that prompts are read in
PHASES = 8  # rows end so many bases one after another, so that they close patches in turns


class Decoder(Protocol):
    """A batch of rows at a position."""

    device: torch.device

    def block(self, steps: int) -> None:
        """Decode so many bases a row, always from the same position."""

    def bytes_per_row(self) -> int:
        """Return what is remembered of a row at the position."""


class Stepped:
    """Ours: the whole state is carried from base to base."""

    def __init__(self, network: HyenaGLT, state: ModelState, logits: Float[Tensor, "B V"]) -> None:
        self.network, self.state, self.logits = network, state, logits
        self.device = logits.device

    @torch.no_grad()
    def block(self, steps: int) -> None:
        """Decode so many bases a row, always from the same position."""
        state, logits = self.state, self.logits
        for _ in range(steps):
            output = self.network(drawn(logits), state=state)
            assert output.state is not None
            state, logits = output.state, output.logits[:, -1]

    def bytes_per_row(self) -> int:
        """Return what is remembered of a row at the position."""
        return state_bytes(self.state) // len(self.logits)


class Cached:
    """The Transformer: a cache filled with random keys and values up to the position.

    What a step costs doesn't depend on what they are.
    """

    def __init__(self, network: Transformer, batch: int, position: int, steps: int) -> None:
        self.network, self.position = network, position
        self.cache = network.begin(batch, position + steps)
        self.cache.keys.normal_()
        self.cache.values.normal_()
        self.device = self.cache.keys.device
        self.logits = torch.zeros(batch, 4, device=self.device)

    @torch.no_grad()
    def block(self, steps: int) -> None:
        """Decode so many bases a row, always from the same position."""
        self.cache.position, logits = self.position, self.logits
        for _ in range(steps):
            logits = self.network.step(drawn(logits), self.cache)

    def bytes_per_row(self) -> int:
        """Return what is remembered of a row at the position."""
        return self.network.cache_bytes(self.position)


def drawn(logits: Float[Tensor, "B V"]) -> Int[Tensor, "B 1"]:
    """Return a letter of each row, drawn from its prediction."""
    letters = torch.from_numpy(encode(alphabet("dna").letters)).long().to(logits.device)
    return letters[torch.multinomial(logits.softmax(-1), 1)]


def device_of(network: nn.Module) -> torch.device:
    """Return where a network lies."""
    return next(network.parameters()).device


@torch.no_grad()
def states_at(
    network: HyenaGLT, positions: Sequence[int], batch: int
) -> Iterator[tuple[int, ModelState, Float[Tensor, "B V"]]]:
    """Yield (position, state, logits) of ``batch`` rows, their prompts read in one stream.

    Rows have the letters up to the position in common and end up to ``PHASES`` - 1 bases before it.
    """
    ids = random_rows(1, max(positions))[0].to(device_of(network))
    state, read = network.begin(1), 0
    for position in sorted(positions):
        while read < position - PHASES:
            end = min(read + PIECE_BP, position - PHASES)
            output = network(ids[:, read:end], state=state)
            assert output.state is not None
            state, read = output.state, end
        rows = select_rows(state, torch.zeros(batch, dtype=torch.long, device=ids.device))
        length = PHASES - torch.arange(batch, device=ids.device) % PHASES
        output = network(ids[:, read:position].expand(batch, -1), length, rows)
        assert output.state is not None
        last = (length - 1)[:, None, None].expand(-1, 1, output.logits.shape[2])
        yield position, output.state, output.logits.gather(1, last)[:, 0]


@torch.no_grad()
def difference_of_steps(network: HyenaGLT | Transformer, length: int) -> float:
    """Return how far logits of steps, after a prompt, are from those of one pass, at most."""
    ids = random_rows(2, length)[0].to(device_of(network))
    stepped: list[Tensor] = []
    if isinstance(network, Transformer):
        whole, cache = network(ids), network.begin(2, length)
        stepped = [network.step(ids[:, t : t + 1], cache) for t in range(length)]
        return float((torch.stack(stepped, 1) - whole).abs().max())
    whole, prompt = network(ids).logits, length // 2
    state = network(ids[:, :prompt], state=network.begin(2)).state
    for t in range(prompt, length):
        output = network(ids[:, t : t + 1], state=state)
        state = output.state
        stepped.append(output.logits[:, -1])
    return float((torch.stack(stepped, 1) - whole[:, prompt:]).abs().max())
