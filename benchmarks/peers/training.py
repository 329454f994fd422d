"""One training step of a contender: forward, backward, AdamW."""

import torch
from jaxtyping import Int
from torch import Tensor

from hyena_glt.config import Precision
from hyena_glt.objective import base_loss
from hyena_glt.tokenize import BOS, alphabet, encode
from peers.contenders import build_contender, letter_logits, wake
from peers.matrices import now_s

LR = 1e-4


class Trainee:
    """A contender that takes steps on one batch of random rows.

    ``compiled`` asks for torch.compile, which the first step waits for.
    """

    def __init__(
        self,
        name: str,
        length_bp: int,
        rows: int,
        precision: Precision,
        compiled: bool = False,
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(0)
        self.device = torch.device(device)
        self.network = build_contender(name, length_bp).to(self.device)
        wake(self.network)
        self.forward = torch.compile(self.network, dynamic=False) if compiled else self.network
        self.precision = precision
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=LR, fused=True)
        ids, target = random_rows(rows, length_bp)
        self.ids, self.target = ids.to(self.device), target.to(self.device)

    def step(self) -> None:
        """Take one step."""
        reduced = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            logits = letter_logits(self.forward, self.ids)
        loss = base_loss(logits, self.target, torch.ones_like(self.target, dtype=torch.float32))
        (loss.nll_nats / loss.weight).backward()
        self.optimiser.step()
        self.optimiser.zero_grad()

    def timed_step_s(self) -> float:
        """Take one step; return its seconds."""
        start_s = now_s(self.device)
        self.step()
        return now_s(self.device) - start_s


def random_rows(rows: int, length_bp: int) -> tuple[Int[Tensor, "B L"], Int[Tensor, "B L"]]:
    """Return (ids, target) of rows of random letters: BOS and all letters but the last."""
    generator = torch.Generator().manual_seed(0)
    letters = torch.from_numpy(encode(alphabet("dna").letters)).long()
    target = torch.randint(len(letters), (rows, length_bp), generator=generator)
    ids = torch.cat([torch.full((rows, 1), BOS), letters[target[:, :-1]]], 1)
    return ids, target
