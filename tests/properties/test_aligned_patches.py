"""Patches whose positions lie side by side."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from hyena_glt.model import HyenaGLT
from hyena_glt.tokenize import BOS
from properties.checks import same
from properties.tiny import Case, build

SIZE_BP = 3


def bare(patch: str, sizes_bp: Sequence[int] = (SIZE_BP,), direction: str = "causal") -> HyenaGLT:
    """A network without encoder, decoder and k-mers: what latents know came through pooling."""
    patches = [{"kind": "fixed", "size_bp": size_bp} for size_bp in sizes_bp]
    case = Case("", patch, len(patches), "S", "", "plain")
    return build(case, patches=patches, direction=direction)


def row(letters: str) -> Tensor:
    return torch.tensor([[BOS, *letters.encode()]])


@pytest.mark.parametrize("sizes_bp", [(3,), (3, 6), (6, 6)], ids=str)
@torch.no_grad()
def test_aligned_patches_tell_places_apart_and_others_dont(sizes_bp: tuple[int, ...]) -> None:
    """The second base and the third change places, and all else stays."""
    pooled, aligned = bare("fixed", sizes_bp), bare("aligned", sizes_bp)
    one, other = row("GCTAACGGT"), row("GTCAACGGT")
    same(pooled(one).logits[0, -1], pooled(other).logits[0, -1])
    found = aligned(one).logits[0, -1]
    assert not torch.allclose(found, aligned(other).logits[0, -1])


@pytest.mark.parametrize("direction", ["causal", "bidirectional"])
@torch.no_grad()
def test_each_place_has_weights_of_its_own_on_the_way_in_and_out(direction: str) -> None:
    network = bare("aligned", direction=direction)
    level, ids = network.hierarchy, row("GCTAACGG")
    given: list[Tensor] = []
    answered: list[Tensor] = []
    level.inner.register_forward_pre_hook(lambda _, args: given.append(args[0][0]))
    level.inner.register_forward_hook(lambda _, args, found: answered.append(found[0][0]))
    logits = network(ids).logits[0]
    length = torch.tensor([ids.shape[1]])
    x_LD = network.embed(ids, length, network.embed.begin(1, ids.device))[0][0]

    # BOS is a patch of its own; the last two bases are one where the row's end closes it.
    patches = [[0], [1, 2, 3], [4, 5, 6], *([[7, 8]] if direction == "bidirectional" else [])]
    way_in = level.pool.weight.unflatten(1, (SIZE_BP, -1))
    for patch, latent in zip(patches, given[0], strict=False):
        told = [way_in[:, place] @ x_LD[at] for place, at in enumerate(patch)]
        same(latent, torch.stack(told).sum(0) + level.pool.bias)

    weight = level.up.weight.unflatten(0, (SIZE_BP, -1))
    bias = level.up.bias.unflatten(0, (SIZE_BP, -1))
    z_PE = level.inner_norm(answered[0])
    for at, x_D in enumerate(x_LD):
        own = next((n for n, patch in enumerate(patches) if at in patch), 3)
        place = at - (patches[own][0] if own < len(patches) else 7)
        closes = own < len(patches) and at == patches[own][-1]
        read = own if direction == "bidirectional" or closes else own - 1
        y_D = x_D + level.gate * (weight[place] @ z_PE[read] + bias[place])
        head = network.head if network.masked_head is None else network.masked_head
        same(logits[at], head(y_D[None, None])[0, 0])
