"""Floors that are networks: convolutions and a Transformer, with the heads that ours have.

What differs is what makes the states: the heads, the loss, the batches, the optimiser, when to stop
and how answers are measured are the very same as for ours.
"""

import math
from collections.abc import Iterable
from typing import Final, Literal, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from hyena_glt.config.tasks import (
    PoolingConfig,
    TaskConfig,
)
from hyena_glt.model import HyenaGLT, TaskNetwork
from hyena_glt.model.task_heads import BasesHead, PairHead, Standard, build_head
from hyena_glt.model.task_network import bases_of, is_standardised
from hyena_glt.tokenize import PAD, Alphabet, BpeTokenizer, KmerTokenizer, Tokenizer

FloorKind = Literal["cnn", "transformer", "transformer_kmer", "transformer_bpe"]

_CNN_WIDTH: Final = 96
_CNN_TAPS: Final = (11, 7, 7)
_CNN_DILATIONS: Final = (1, 4, 16)  # where each base has an answer, instead of pooling
_TRANSFORMER_WIDTH: Final = 64
_TRANSFORMER_LAYERS: Final = 3
_TRANSFORMER_STEM_BP: Final = 7
_TRANSFORMER_HEADS: Final = 4
_DROPOUT: Final = 0.1
_MOST_KMERS: Final = 4096  # all 6-mers of DNA
_BPE_WORDS: Final = 512


class _Letters(nn.Module):
    """Letters as 0 and 1; what is no letter, BOS and padding too, is 0 throughout."""

    table: Tensor

    def __init__(self, letters: Alphabet) -> None:
        super().__init__()
        every = torch.arange(256, dtype=torch.uint8).numpy()
        index = torch.from_numpy(letters.letter_index(every).copy()).long()
        size = len(letters.letters)
        rows = torch.eye(size + 1)[:, :size]
        self.register_buffer("table", rows[torch.where(index < 0, size, index)], persistent=False)

    def forward(self, ids: Int[Tensor, "B L"]) -> Float[Tensor, "B L A"]:
        """Return a row of 0 and 1 for each position."""
        return self.table[ids]


class Convolutions(nn.Module):
    """Three convolutions, each with a ReLU and, where ``pooled``, a maximum of two neighbours."""

    width = _CNN_WIDTH

    def __init__(self, letters: Alphabet, pooled: bool) -> None:
        super().__init__()
        self.letters, self.pooled = _Letters(letters), pooled
        dilations = (1, 1, 1) if pooled else _CNN_DILATIONS
        channels = (len(letters.letters), *[_CNN_WIDTH] * (len(_CNN_TAPS) - 1))
        self.layers = nn.ModuleList(
            nn.Conv1d(inside, _CNN_WIDTH, taps, padding="same", dilation=dilation)
            for inside, taps, dilation in zip(channels, _CNN_TAPS, dilations, strict=True)
        )

    def forward(
        self, ids: Int[Tensor, "B L"], length: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B M D"], Bool[Tensor, "B M"]]:
        """Return states and which of them are of bases; a row's are the same in any batch."""
        valid = bases_of(ids, length)
        x = self.letters(ids).transpose(1, 2)
        for layer in self.layers:
            x = layer(x).relu() * valid[:, None]
            if self.pooled:
                x = nn.functional.max_pool1d(x, 2, ceil_mode=True)
                marks = valid[:, None].to(x.dtype)
                valid = nn.functional.max_pool1d(marks, 2, ceil_mode=True)[:, 0] > 0
        return x.transpose(1, 2), valid


class SmallTransformer(nn.Module):
    """A Transformer on single bases that sees both sides, with sines as places.

    Its embedding is a convolution over a few bases: from single letters alone so small a network
    learns no motif of a thousand sequences.
    """

    width = _TRANSFORMER_WIDTH

    def __init__(self, letters: Alphabet) -> None:
        super().__init__()
        self.letters = _Letters(letters)
        self.embed = nn.Conv1d(
            len(letters.letters), _TRANSFORMER_WIDTH, _TRANSFORMER_STEM_BP, padding="same"
        )
        self.encoder = _encoder()

    def forward(
        self, ids: Int[Tensor, "B L"], length: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B L D"], Bool[Tensor, "B L"]]:
        """Return states and which of them are of bases."""
        valid = bases_of(ids, length)
        x = self.embed(self.letters(ids).transpose(1, 2)).transpose(1, 2)
        x = x + _places(ids.shape[1], self.width, ids.device)
        return self.encoder(x, src_key_padding_mask=~valid), valid


class TokenTransformer(nn.Module):
    """The same Transformer on tokens of several letters; a base has the state of its token.

    Of overlapping tokens that is the last one which has begun by then.
    """

    width = _TRANSFORMER_WIDTH

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.embed = nn.Embedding(tokenizer.size, _TRANSFORMER_WIDTH)
        self.encoder = _encoder()

    def forward(
        self, ids: Int[Tensor, "B L"], length: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B L D"], Bool[Tensor, "B L"]]:
        """Return states and which of them are of bases."""
        rows = [row[1:n] for row, n in zip(ids.cpu().numpy(), length.tolist(), strict=True)]
        tokens = [torch.from_numpy(self.tokenizer.encode(row.astype(np.uint8))) for row in rows]
        token_of = torch.zeros(ids.shape, dtype=torch.long)
        for row, found in enumerate(tokens):
            starts = torch.from_numpy(self.tokenizer.spans(found.numpy())[:, 0].copy())
            bases = torch.arange(len(rows[row]))
            token_of[row, 1 : len(bases) + 1] = torch.searchsorted(starts, bases, right=True) - 1
        padded = nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=PAD)
        padding = (
            torch.arange(padded.shape[1]) >= torch.tensor([len(row) for row in tokens])[:, None]
        )
        padded, padding, token_of = (t.to(ids.device) for t in (padded.long(), padding, token_of))
        x = self.embed(padded) + _places(padded.shape[1], self.width, ids.device)
        x = self.encoder(x, src_key_padding_mask=padding)
        x = x.gather(1, token_of[..., None].expand(-1, -1, self.width))
        return x, bases_of(ids, length)


def _encoder() -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        _TRANSFORMER_WIDTH,
        _TRANSFORMER_HEADS,
        4 * _TRANSFORMER_WIDTH,
        _DROPOUT,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    return nn.TransformerEncoder(layer, _TRANSFORMER_LAYERS, enable_nested_tensor=False)


def _places(positions: int, width: int, device: torch.device) -> Float[Tensor, "L D"]:
    """Return sines and cosines of each position (Vaswani 2017, arXiv:1706.03762, 3.5)."""
    at = torch.arange(positions, device=device, dtype=torch.float32)[:, None]
    steps = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    angle = at * torch.exp(-math.log(10_000.0) / width * steps)
    return torch.stack((angle.sin(), angle.cos()), -1).flatten(1)


class FloorNetwork(TaskNetwork):
    """Answers a task as `TaskNetwork` does, from the states of another network."""

    def __init__(self, body: nn.Module, width: int, task: TaskConfig, answers: int) -> None:
        """Put a fresh head for ``answers`` classes or numbers on ``body``."""
        nn.Module.__init__(self)
        # Training asks of it what any module has; its states are asked for below.
        self.network = cast(HyenaGLT, body)
        self.task = task
        self.register_buffer("partner", None, persistent=False)  # one strand is read
        self.head = build_head(task, width, answers)
        self.standard = Standard(answers) if is_standardised(task) else None

    def forward(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"],
        alternative_ids: Int[Tensor, "B M"] | None = None,
        alternative_length: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B ..."]:
        """Return the raw outputs of each row, position or bin."""
        states, valid = self.network(ids, length)
        if isinstance(self.head, BasesHead):
            return torch.as_tensor(self.head(states))
        if not isinstance(self.head, PairHead):
            return torch.as_tensor(self.head(states, valid))
        others = self.network(alternative_ids, alternative_length)
        return torch.as_tensor(self.head(states, valid, *others))


def build_floor(
    kind: FloorKind,
    letters: Alphabet,
    task: TaskConfig,
    answers: int,
    seed: int,
    sequences: Iterable[UInt8[np.ndarray, " _"]] = (),
) -> FloorNetwork:
    """Return a fresh network of ``kind`` for ``task``, its weights drawn from ``seed``.

    Byte pairs are learned on ``sequences``. Raises MissingExtraError for them without tokenizers.

    A CNN that answers for sequences takes the maximum over all places, since a motif may stand at
    any, or weighs its own places where the task pools by place; with classes of bases, tracks and
    pairs there is nothing to choose.
    """
    torch.manual_seed(seed)
    if kind == "transformer":
        return FloorNetwork(SmallTransformer(letters), SmallTransformer.width, task, answers)
    if kind in ("transformer_kmer", "transformer_bpe"):
        body = TokenTransformer(_tokenizer(kind, letters, sequences))
        return FloorNetwork(body, TokenTransformer.width, task, answers)
    if task.kind in ("classification", "multilabel", "regression"):
        task = task.model_copy(update={"pooling": _cnn_pooling(task.pooling)})
    each_base = task.kind in ("bases", "signal")
    convolutions = Convolutions(letters, pooled=not each_base)
    return FloorNetwork(convolutions, Convolutions.width, task, answers)


def _cnn_pooling(asked: PoolingConfig) -> PoolingConfig:
    """Return what a CNN pools with where a task asks for ``asked``."""
    if asked.length_bp is None:
        return PoolingConfig(kind="max")
    places = asked.length_bp + 1  # BOS
    for _ in _CNN_TAPS:
        places = -(-places // 2)
    return PoolingConfig(kind="aligned", length_bp=places)


def _tokenizer(
    kind: FloorKind, letters: Alphabet, sequences: Iterable[UInt8[np.ndarray, " _"]]
) -> Tokenizer:
    """Return overlapping words as long as there are few enough, or byte pairs of ``sequences``."""
    if kind == "transformer_bpe":
        return BpeTokenizer.learn(sequences, _BPE_WORDS, letters.modality)
    k = int(math.log(_MOST_KMERS) / math.log(len(letters.letters)) + 1e-9)
    return KmerTokenizer(k, 1, letters.modality)
