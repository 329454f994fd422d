"""The order-2 Hyena operator (Poli et al. 2023, arXiv:2302.10866) as HyenaDNA trains it.

    u = x W_in + b            x0, x1, v = split(conv3(u) + c)
    y = (x0 * ((h + d delta) * (x1 * v))) W_out + b'

``(x1 * v)`` and ``x0 *`` are elementwise products; the filter h is as long as the row. A network
makes it: h[t] = exp(-t |decay|) * MLP(features(t)), with t from 0 to 1 over the longest row, three
layers of 64 sines and a last linear one without a bias. Written from the formulas
(arXiv:2306.15794), with these choices where publications differ or are silent:

- The window has no floor: the training code's shift of 0, not the 0.05 of the standalone file.
- One trainable set of frequencies serves the sines of all layers, as published.
- t is relative to the longest row that a network is built for, as published, so that a network
  built for other lengths has other filters. A longer row is an error, not cut off in silence.
- Positional features are constants; published ones train at a rate of their own.
- The convolution is an FFT over twice the row's length in fp32; the filter's layers follow
  autocast.
- Weights of the filter's layers start from N(0, 0.02), all others as ours.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from peers.letters import WIDTH, embed_rows, letter_embed, letter_head, start_as_ours

FILTER_WIDTH = 64
FEATURES = 5
FREQUENCY = 10.0
SHORT_WIDTH = 3
# The window falls to 0.01 at this share of the longest row, in the fastest and slowest channel.
FALLS_TO, FASTEST, SLOWEST = 1e-2, 0.3, 1.5


class Sine(nn.Module):
    """sin(frequency * x), with a frequency a channel that trains."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.full((dim,), FREQUENCY))

    def forward(self, x: Float[Tensor, "L D"]) -> Float[Tensor, "L D"]:
        """Return the sines."""
        return torch.sin(self.frequency * x)


class ImplicitFilter(nn.Module):
    """The taps of every channel, made from their positions."""

    features: Tensor
    window: Tensor

    def __init__(self, dim: int, longest: int) -> None:
        super().__init__()
        sine = Sine(FILTER_WIDTH)
        widths = [FEATURES, *3 * [FILTER_WIDTH]]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), sine]
        self.layers = nn.Sequential(*layers, nn.Linear(FILTER_WIDTH, dim, bias=False))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        t = torch.linspace(0, 1, longest)[:, None]
        bands = (FEATURES - 1) // 2
        angle = (
            torch.linspace(1e-4, bands - 1, bands) * 2 * math.pi * torch.arange(longest)[:, None]
        )
        angle = angle / longest
        features = torch.cat([t, angle.cos(), -angle.sin()], 1)
        self.register_buffer("features", features, persistent=False)
        rate = torch.linspace(math.log(FALLS_TO) / SLOWEST, math.log(FALLS_TO) / FASTEST, dim)
        self.register_buffer("window", torch.exp(-t * rate.abs()), persistent=False)

    def forward(self, length: int) -> Float[Tensor, "D {length}"]:
        """Return the first ``length`` taps, current one first.

        Raises ValueError for more than the longest row.
        """
        if length > len(self.features):
            raise ValueError(
                f"a row of {length} positions: the filter was built for {len(self.features)} at "
                "most; build the network for longer rows"
            )
        taps_LD = self.layers(self.features[:length]).float() * self.window[:length]
        return torch.as_tensor(taps_LD.T)


class Hyena2Operator(nn.Module):
    """y = W_out (x0 * ((h + d delta) * (x1 * v))) for rows of at most ``longest`` positions."""

    def __init__(self, dim: int, longest: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, 3 * dim)
        self.short = nn.Conv1d(
            3 * dim, 3 * dim, SHORT_WIDTH, groups=3 * dim, padding=SHORT_WIDTH - 1
        )
        self.out = nn.Linear(dim, dim)
        start_as_ours(self)
        self.filter = ImplicitFilter(dim, longest)
        self.skip = nn.Parameter(torch.randn(dim))

    def forward(self, x_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return y; position t of it depends on positions up to t."""
        length = x_BLD.shape[1]
        u_BDL = self.short(self.project(x_BLD).mT)[..., :length]
        x0_BDL, x1_BDL, v_BDL = u_BDL.chunk(3, 1)
        y_BDL = convolve_fft(x1_BDL * v_BDL, self.filter(length), self.skip)
        return torch.as_tensor(self.out((x0_BDL * y_BDL).mT))


def convolve_fft(
    x_BDL: Float[Tensor, "B D L"], taps_DL: Float[Tensor, "D L"], skip: Float[Tensor, " D"]
) -> Float[Tensor, "B D L"]:
    """Return h * x + skip x, in fp32 at least, padded to 2 L so that nothing wraps around."""
    length = x_BDL.shape[2]
    exact = x_BDL.to(torch.promote_types(x_BDL.dtype, torch.float32))
    spectrum = torch.fft.rfft(exact, n=2 * length) * torch.fft.rfft(taps_DL, n=2 * length)
    y_BDL: Tensor = torch.fft.irfft(spectrum, n=2 * length)[..., :length]
    return (y_BDL + skip[:, None] * exact).to(x_BDL.dtype)


def convolve_reference(
    x_BDL: Float[Tensor, "B D L"], taps_DL: Float[Tensor, "D L"], skip: Float[Tensor, " D"]
) -> Float[Tensor, "B D L"]:
    """The definition, tap by tap. Reference for :func:`convolve_fft`."""
    y_BDL = skip[:, None] * x_BDL
    for j in range(x_BDL.shape[2]):
        delayed = F.pad(x_BDL, (j, 0))[..., : x_BDL.shape[2]]
        y_BDL = y_BDL + taps_DL[:, j, None] * delayed
    return y_BDL


class Hyena2Block(nn.Module):
    """x + hyena(norm(x)), then x + mlp(norm(x)): LayerNorm, four times as wide inside, gelu."""

    def __init__(self, dim: int, longest: int) -> None:
        super().__init__()
        self.operator_norm = nn.LayerNorm(dim)
        self.operator = Hyena2Operator(dim, longest)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        start_as_ours(self.mlp)

    def forward(self, x_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return y at every position."""
        x_BLD = x_BLD + self.operator(self.operator_norm(x_BLD))
        return x_BLD + torch.as_tensor(self.mlp(self.mlp_norm(x_BLD)))


class Hyena2(nn.Module):
    """Blocks of the order-2 operator between our embedding and our head."""

    def __init__(self, depth: int, longest: int) -> None:
        super().__init__()
        self.embed = letter_embed()
        self.blocks = nn.Sequential(*(Hyena2Block(WIDTH, longest) for _ in range(depth)))
        self.head = letter_head()

    def forward(self, ids: Int[Tensor, "B L"]) -> Float[Tensor, "B L V"]:
        """Return the logits of the letter after each position; rows open with BOS."""
        return torch.as_tensor(self.head(self.blocks(embed_rows(self.embed, ids))))
