"""From the last hidden state to answers."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hyena_glt.nn import RMSNorm


class LetterHead(nn.Module):
    """Logits of a letter, over the letters of the modality: of the next base, or a masked one.

    Starts at zero, so that the first loss is ln V to the last digit.
    """

    def __init__(self, dim: int, letters: int) -> None:
        super().__init__()
        self.norm = RMSNorm(dim)
        self.out = nn.Linear(dim, letters)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L V"]:
        """Return the logits at each position."""
        return torch.as_tensor(self.out(self.norm(x_BLD)))
