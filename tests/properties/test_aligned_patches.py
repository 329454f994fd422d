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
def test_each_place_has_weights_of_its_own(direction: str) -> None:
    network = bare("aligned", direction=direction)
    level, ids = network.hierarchy, row("GCTAACGG")
    given: list[Tensor] = []
    level.inner.register_forward_pre_hook(lambda _, args: given.append(args[0][0]))
    network(ids)
    length = torch.tensor([ids.shape[1]])
    x_LD = network.embed(ids, length, network.embed.begin(1, ids.device))[0][0]
    # BOS is a patch of its own; the last two bases are one where the row's end closes it.
    patches = [[0], [1, 2, 3], [4, 5, 6], *([[7, 8]] if direction == "bidirectional" else [])]
    weight = level.pool.weight.unflatten(1, (SIZE_BP, -1))
    for number, patch in enumerate(patches):
        told = [weight[:, place] @ x_LD[at] for place, at in enumerate(patch)]
        same(given[0][number], torch.stack(told).sum(0) + level.pool.bias)
