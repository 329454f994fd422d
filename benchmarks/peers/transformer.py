"""A causal Transformer: the library's Llama blocks with SDPA between our embedding and our head.

Its decoding with a key-value cache is a loop of our own over the library's modules: the cache is
allocated once and a step writes one place of it, so that a step costs neither a copy of the cache
nor a mask.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaModel, apply_rotary_pos_emb

from hyena_glt.nn.norm import NORM_EPS
from peers.letters import WIDTH, embed_rows, letter_embed, letter_head, start_as_ours

HEADS = 4


@dataclass
class Cache:
    """Keys and values of every layer, and how many positions of them are filled."""

    keys: Float[Tensor, "layers B H capacity K"]
    values: Float[Tensor, "layers B H capacity K"]
    letters: Int[Tensor, "B past"]  # that the next k-mers reach back to
    position: int = 0


class Transformer(nn.Module):
    """Llama: RMSNorm, rotary positions, causal SDPA, gated MLP."""

    def __init__(self, depth: int, mlp_width: int) -> None:
        super().__init__()
        self.embed = letter_embed()
        config = LlamaConfig(
            vocab_size=1,
            hidden_size=WIDTH,
            intermediate_size=mlp_width,
            num_hidden_layers=depth,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            rms_norm_eps=NORM_EPS,
            attn_implementation="sdpa",
            use_cache=False,
            pad_token_id=None,
            bos_token_id=None,
            eos_token_id=None,
        )
        self.blocks: Any = LlamaModel(config)
        # Our embedding comes before and our head, with its norm, after.
        self.blocks.embed_tokens = nn.Identity()
        self.blocks.norm = nn.Identity()
        start_as_ours(self.blocks)
        self.head = letter_head()

    def forward(self, ids: Int[Tensor, "B L"]) -> Float[Tensor, "B L V"]:
        """Return the logits of the letter after each position; rows open with BOS."""
        x_BLD = embed_rows(self.embed, ids)
        turns = self.blocks.rotary_emb(x_BLD, torch.arange(ids.shape[1], device=ids.device)[None])
        # Layer by layer, because the library makes a mask, and a slower kernel, when compiled.
        for layer in self.blocks.layers:
            x_BLD = layer(x_BLD, attention_mask=None, position_embeddings=turns)
        return torch.as_tensor(self.head(x_BLD))

    def begin(self, batch: int, capacity: int) -> Cache:
        """Return an empty cache with room for ``capacity`` positions of each row."""
        like = self.embed.symbol.weight
        layers = len(self.blocks.layers)
        shape = (layers, batch, HEADS, capacity, WIDTH // HEADS)
        letters = self.embed.begin(batch, like.device)
        return Cache(like.new_empty(shape), like.new_empty(shape), letters)

    def cache_bytes(self, positions: int) -> int:
        """Return the bytes that a row's keys and values take, by then."""
        layers = len(self.blocks.layers)
        return 2 * layers * WIDTH * positions * self.embed.symbol.weight.element_size()

    def step(self, ids: Int[Tensor, "B 1"], cache: Cache) -> Float[Tensor, "B V"]:
        """Return the logits of the next letter, and move the cache on by this one, in place."""
        one = torch.ones(len(ids), dtype=torch.long, device=ids.device)
        x_BLD, cache.letters = self.embed(ids, one, cache.letters)
        position = torch.tensor([[cache.position]], device=ids.device)
        cos, sin = self.blocks.rotary_emb(x_BLD, position)
        end = cache.position + 1
        for layer, keys, values in zip(self.blocks.layers, cache.keys, cache.values, strict=True):
            attention, h_BLD = layer.self_attn, layer.input_layernorm(x_BLD)
            query, key = apply_rotary_pos_emb(
                _heads(attention.q_proj(h_BLD)), _heads(attention.k_proj(h_BLD)), cos, sin
            )
            keys[:, :, cache.position : end] = key
            values[:, :, cache.position : end] = _heads(attention.v_proj(h_BLD))
            y = F.scaled_dot_product_attention(query, keys[:, :, :end], values[:, :, :end])
            x_BLD = x_BLD + attention.o_proj(y.transpose(1, 2).flatten(2))
            x_BLD = x_BLD + layer.mlp(layer.post_attention_layernorm(x_BLD))
        cache.position = end
        return torch.as_tensor(self.head(x_BLD)[:, -1])


def _heads(x_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B H L K"]:
    return x_BLD.view(*x_BLD.shape[:2], HEADS, -1).transpose(1, 2)
