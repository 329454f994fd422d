"""T1: a small causal convolution, for proteins and for whatever a table of words is too short."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hyena_glt.config import ConvEntropyConfig
from hyena_glt.errors import SequenceError
from hyena_glt.model.entropy.protocol import EntropyModel
from hyena_glt.patch import UNIT
from hyena_glt.tokenize import BOS, PAD, VOCABULARY_SIZE, Alphabet

WINDOW_BP = 256
BATCH_WINDOWS = 32
TILE_BP = 2048  # positions read at once, as many as a processor's cache holds; changes no result
WARM_UP = 0.05  # share of the steps in which the rate rises to its peak; a cosine takes it to 0


class ConvEntropy(EntropyModel):
    """Layers of x + silu(causal convolution of x), each dilated twice as wide, then logits.

    Trained in fp32 and then frozen: ``weight_bits`` are the bit patterns of all weights, one after
    the other, which no cast changes. They are read in fp64 and the answer is rounded, so that it is
    the same in any piece or batch of a row. PAD has an embedding of its own: where a row begins is
    as plain to see in a piece as in the whole.
    """

    weight_bits: Tensor
    symbol_of: Tensor

    def __init__(self, config: ConvEntropyConfig, alphabet: Alphabet) -> None:
        super().__init__()
        self.config = config
        self.letters = len(alphabet.letters)
        self.has_strands = alphabet.modality != "protein"
        self.other, self.bos, self.pad = range(self.letters, self.letters + 3)
        self.dilations = tuple(2**layer for layer in range(config.layers))
        self.past_bp = (config.kernel - 1) * sum(self.dilations)
        layer = [(config.kernel * config.width, config.width), (config.width,)]
        self.shapes = [
            (self.letters + 3, config.width),
            *(layer * config.layers),
            (config.width, self.letters),
        ]
        size = sum(math.prod(shape) for shape in self.shapes)
        self.flops_per_base = 2.0 * sum(math.prod(s) for s in self.shapes[1:] if len(s) == 2)
        self.register_buffer("weight_bits", torch.zeros(size, dtype=torch.int32))
        index = alphabet.letter_index(np.arange(VOCABULARY_SIZE, dtype=np.uint8))
        symbols = np.where(index < 0, self.other, index)
        symbols[[BOS, PAD]] = self.bos, self.pad
        self.register_buffer("symbol_of", torch.from_numpy(symbols).long(), persistent=False)

    def fit(self, regions: Iterable[UInt8[np.ndarray, " _"]], seed: int = 0) -> None:
        """Train on windows drawn from ``regions``, on both strands where there are two.

        On the CPU, in fp32, by AdamW; the same ``seed`` gives the same weights on one type of CPU
        and number of threads, and the caller's random state stays as it is. All regions are held
        in memory, a byte a letter. Raises SequenceError where they hold no letter.
        """
        symbol_of = self.symbol_of.cpu().numpy().astype(np.uint8)
        held = [symbol_of[region] for region in regions]
        held = [region for region in held if (region < self.letters).any()]
        if not held:
            raise SequenceError(
                "found no letter in the training regions, so the entropy model can't be trained: "
                "check the regions of the split"
            )
        generator = torch.Generator().manual_seed(seed)
        steps = math.ceil(self.config.bases / (BATCH_WINDOWS * WINDOW_BP))
        off = torch.autocast("cpu", enabled=False)
        with torch.inference_mode(False), torch.enable_grad(), off:
            weights = self._initial_weights(generator).requires_grad_()
            optimiser = torch.optim.AdamW([weights])
            for step in range(steps):
                rate = _rate((step + 0.5) / steps)
                optimiser.param_groups[0]["lr"] = self.config.lr * rate
                optimiser.zero_grad()
                self._loss(weights, self._windows(held, generator)).backward()
                optimiser.step()
        self.weight_bits.copy_(weights.detach().view(torch.int32))

    @torch.no_grad()
    def forward(self, seen: Int[Tensor, "B S"]) -> Int[Tensor, "B S-{self.past_bp}"]:
        """Return the entropy of the letter after each position; fp64, then rounded."""
        batch, length = seen.shape[0], seen.shape[1] - self.past_bp
        entropy = seen.new_empty((batch, length), dtype=torch.long)
        weights = self.weight_bits.view(torch.float32).double()
        rows = max(1, TILE_BP // max(1, length))
        with torch.autocast(seen.device.type, enabled=False):
            for row in range(0, batch, rows):
                for start in range(0, length, TILE_BP):
                    tile = seen[row : row + rows, start : start + TILE_BP + self.past_bp]
                    log_p = self._logits(weights, self.symbol_of[tile]).log_softmax(-1)
                    bits = -(log_p.exp() * log_p).sum(-1) / math.log(2)
                    units = (bits * UNIT).round().long()
                    entropy[row : row + rows, start : start + TILE_BP] = units
        return entropy

    def _logits(
        self, weights: Float[Tensor, " N"], symbols: Int[Tensor, "B S"]
    ) -> Float[Tensor, "B S-{self.past_bp} V"]:
        sizes = [math.prod(shape) for shape in self.shapes]
        parts = [
            part.view(shape) for part, shape in zip(weights.split(sizes), self.shapes, strict=True)
        ]
        embedding, *layers, head = parts
        x_BLD = F.embedding(symbols, embedding)
        for layer, dilation in enumerate(self.dilations):
            taps, bias = layers[2 * layer : 2 * layer + 2]
            length = x_BLD.shape[1] - (self.config.kernel - 1) * dilation
            # One product for all taps: the convolution as a matrix, the oldest tap first.
            windows = [
                x_BLD[:, tap * dilation : tap * dilation + length]
                for tap in range(self.config.kernel)
            ]
            x_BLD = windows[-1] + F.silu(torch.cat(windows, -1) @ taps + bias)
        return torch.as_tensor(x_BLD @ head)

    def _initial_weights(self, generator: torch.Generator) -> Float[Tensor, " N"]:
        """Return embeddings and taps of unit gain; biases and the head start at 0."""
        weights = []
        for number, shape in enumerate(self.shapes):
            std = 0.0 if len(shape) == 1 or number == len(self.shapes) - 1 else 1.0
            if number > 0:
                std /= math.sqrt(shape[0])
            weights.append(std * torch.randn(shape, generator=generator, dtype=torch.float32))
        return torch.cat([weight.flatten() for weight in weights])

    def _windows(
        self, regions: Sequence[UInt8[np.ndarray, " _"]], generator: torch.Generator
    ) -> Int[Tensor, "B S"]:
        """Draw a batch: symbols of rows, each from before BOS to the window's last letter."""
        places = torch.tensor([max(1, len(region) - WINDOW_BP + 1) for region in regions]).cumsum(0)
        drawn = torch.randint(int(places[-1]), (BATCH_WINDOWS,), generator=generator)
        other_strand = torch.randint(2, (BATCH_WINDOWS,), generator=generator).bool()
        chosen = torch.searchsorted(places, drawn, right=True)
        rows = np.full((BATCH_WINDOWS, self.past_bp + 1 + WINDOW_BP), self.pad, dtype=np.int64)
        rows[:, self.past_bp] = self.bos
        for row, region, place, turned in zip(
            rows, chosen.tolist(), drawn.tolist(), other_strand.tolist(), strict=True
        ):
            start = place - (int(places[region - 1]) if region else 0)
            window = regions[region][start : start + WINDOW_BP].astype(np.int64)
            if turned and self.has_strands:
                known = window < self.letters
                window = np.where(known, self.letters - 1 - window, window)[::-1]
            row[self.past_bp + 1 : self.past_bp + 1 + len(window)] = window
        return torch.from_numpy(rows)

    def _loss(self, weights: Float[Tensor, " N"], rows: Int[Tensor, "B S"]) -> Float[Tensor, ""]:
        """Return the cross-entropy of the letters, in nats; nothing else is asked for."""
        logits = self._logits(weights, rows[:, :-1])
        target = rows[:, self.past_bp + 1 :]
        target = torch.where(target < self.letters, target, -100)
        total = F.cross_entropy(
            logits.flatten(0, 1), target.flatten(), ignore_index=-100, reduction="sum"
        )
        return total / (target >= 0).sum().clamp(min=1)


def _rate(done: float) -> float:
    """Return the share of the peak rate when so much of the training is done."""
    if done < WARM_UP:
        return done / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))
