"""Patches whose positions lie side by side."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from hyena_glt.model import HyenaGLT
from hyena_glt.tokenize import BOS
from properties.tiny import Case, build


def bare(patch: str, patches: Sequence[dict[str, object]]) -> HyenaGLT:
    """A network without encoder, decoder and k-mers: what a latent knows came through pooling."""
    return build(Case("", patch, len(patches), "S", "", "plain"), patches=patches)


def answer(network: HyenaGLT, letters: str) -> Tensor:
    """The logits behind the last letter."""
    logits: Tensor = network(torch.tensor([[BOS, *letters.encode()]])).logits
    return logits[0, -1]


@pytest.mark.parametrize("sizes", [(3,), (3, 6), (6, 6)], ids=str)
@torch.no_grad()
def test_aligned_patches_tell_places_apart_and_others_dont(sizes: tuple[int, ...]) -> None:
    """The second base and the third change places, all else, codons of other letters too, stays."""
    patches = [{"kind": "fixed", "size_bp": size_bp} for size_bp in sizes]
    pooled, aligned = bare("fixed", patches), bare("aligned", patches)
    one, other = "GCTAACGGT", "GTCAACGGT"
    torch.testing.assert_close(answer(pooled, one), answer(pooled, other))
    assert not torch.allclose(answer(aligned, one), answer(aligned, other))


@torch.no_grad()
def test_the_latent_of_a_patch_is_that_of_its_places_by_hand() -> None:
    network = bare("aligned", [{"kind": "fixed", "size_bp": 3}])
    level = network.hierarchy
    seen: list[Tensor] = []
    level.inner.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(torch.tensor([[BOS, *b"GCTAA"]]))
    x_LD = network.embed(*_row(b"GCTAA"), network.embed.begin(1, torch.device("cpu")))[0][0]
    of_place = level.pool.weight.unflatten(1, (3, -1)).unbind(1)
    bos = of_place[0] @ x_LD[0] + level.pool.bias
    first = sum(w @ x for w, x in zip(of_place, x_LD[1:4], strict=True)) + level.pool.bias
    torch.testing.assert_close(seen[0][0, :2], torch.stack([bos, first]))


def _row(letters: bytes) -> tuple[Tensor, Tensor]:
    ids = torch.tensor([[BOS, *letters]])
    return ids, torch.tensor([ids.shape[1]])
