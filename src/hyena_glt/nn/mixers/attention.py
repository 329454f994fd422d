"""Grouped-query attention in a window of bases (Ainslie et al. 2023, arXiv:2305.13245)."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hyena_glt.config import AttentionConfig
from hyena_glt.nn.span import Span
from hyena_glt.ops import banded_attention, last_positions


class AttentionState(NamedTuple):
    """The keys and values that the next query may still see."""

    key: Float[Tensor, "B D reach"]  # all key heads' channels
    value: Float[Tensor, "B D reach"]
    coordinate: Int[Tensor, "B 1 reach"]  # -1 where there is none


class Attention(nn.Module):
    """y = softmax(q k / sqrt(K)) v over the last ``window_bp`` bases, two-sided also the next."""

    def __init__(self, dim: int, config: AttentionConfig, spacing_bp: int) -> None:
        super().__init__()
        self.config = config
        self.width = dim // config.heads
        # Most keys in a window, the query's own included: all but BOS's neighbour lie
        # ``spacing_bp`` apart at least.
        self.reach = min(config.window_bp, math.ceil(config.window_bp / spacing_bp) + 1)
        self.query = nn.Linear(dim, dim, bias=False)
        self.keyvalue = nn.Linear(dim, 2 * config.kv_heads * self.width, bias=False)
        self.out = nn.Linear(dim, dim)
        for linear in (self.query, self.keyvalue, self.out):
            nn.init.normal_(linear.weight, std=1 / math.sqrt(dim))
        nn.init.zeros_(self.out.bias)

    def begin(self, like: Float[Tensor, "B D"]) -> AttentionState:
        """Return the state before the first position: nothing to see."""
        return self._nothing(like, self.reach)

    def _nothing(self, like: Float[Tensor, "B D"], reach: int) -> AttentionState:
        empty = like.new_zeros(like.shape[0], self.config.kv_heads * self.width, reach)
        nowhere = torch.full((like.shape[0], 1, reach), -1, device=like.device)
        return AttentionState(empty, empty, nowhere)

    def forward(
        self, x_BLD: Float[Tensor, "B L D"], span: Span, state: AttentionState | None
    ) -> tuple[Float[Tensor, "B L D"], AttentionState | None]:
        """Return (y, state); ``state`` None starts a row and asks for none back."""
        batch, length, _ = x_BLD.shape
        keyvalue = torch.matmul(self.keyvalue.weight, x_BLD.mT)
        # Two-sided, a row's last patch may be short, so that one key more fits into a window.
        reach = self.reach + span.two_sided
        past = self._nothing(keyvalue.new_empty(batch, 1), reach) if state is None else state
        key = torch.cat([past.key, keyvalue.chunk(2, 1)[0]], 2)
        value = torch.cat([past.value, keyvalue.chunk(2, 1)[1]], 2)
        index = torch.arange(length, device=x_BLD.device)
        valid = index < span.length[:, None]
        k_bp = torch.cat([past.coordinate[:, 0], torch.where(valid, span.coordinate, -1)], 1)
        query = self.query(x_BLD).view(batch, length, -1, self.width).transpose(1, 2)
        y = banded_attention(
            query,
            self._heads(key),
            self._heads(value),
            span.coordinate,
            k_bp,
            self.config.window_bp,
            reach,
            self.config.rotary_base,
            span.two_sided,
        )
        y_BLD = self.out(y.transpose(1, 2).flatten(2))
        if state is None:
            return y_BLD, None
        after = (last_positions(x, span.length, self.reach) for x in (key, value, k_bp[:, None]))
        return y_BLD, AttentionState(*after)

    def _heads(self, x: Float[Tensor, "B D S"]) -> Float[Tensor, "B J S K"]:
        return x.view(x.shape[0], -1, self.width, x.shape[2]).mT
