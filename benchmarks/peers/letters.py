"""What every network has in common with ours: k-mer tables, head and the scale of its weights."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hyena_glt.config import EmbedConfig
from hyena_glt.model.embed import Embed
from hyena_glt.model.heads import LetterHead
from hyena_glt.tokenize import alphabet

WIDTH = 256
EMBED = EmbedConfig(exact_k=(2, 3, 4, 5, 6))


def letter_embed() -> Embed:
    """Return the embedding of DNA letters with the k-mer tables, of ``WIDTH`` channels."""
    return Embed(EMBED, alphabet("dna"), WIDTH)


def letter_head() -> LetterHead:
    """Return the head: the logits of the next letter, after a norm."""
    return LetterHead(WIDTH, len(alphabet("dna").letters))


def embed_rows(embed: Embed, ids: Int[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
    """Return what whole rows look up."""
    length = torch.full((len(ids),), ids.shape[1], device=ids.device)
    x_BLD, _ = embed(ids, length, embed.begin(len(ids), ids.device))
    return torch.as_tensor(x_BLD)


def start_as_ours(module: nn.Module) -> None:
    """Draw the weights of linear layers from N(0, 1 / inputs), as our networks do; biases are 0."""
    for linear in module.modules():
        if isinstance(linear, nn.Linear):
            nn.init.normal_(linear.weight, std=1 / math.sqrt(linear.in_features))
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)
