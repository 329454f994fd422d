"""Patches whose positions lie side by side."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from hyena_glt.model import HyenaGLT
from hyena_glt.model.hierarchy import Hierarchy
from hyena_glt.tokenize import BOS
from properties.checks import same
from properties.tiny import NONE, Case, build

# These close at bases 0, 3, 6, 9, 12, counted from 0, and of the inner rate at 3 and 12.
OUTER = {"kind": "fixed", "size_bp": 3, "frame": 1}
INNER = {"kind": "fixed", "size_bp": 9, "frame": 4}
LETTERS = "A" + "GTC" + "CAT" + "TGG" + "ACT"


def bare(patch: str, patches: Sequence[object], direction: str = "causal") -> HyenaGLT:
    """A network without encoder, decoder and k-mers: what latents know came through pooling."""
    case = Case("", patch, len(patches), "S", "", "plain")
    return build(case, patches=patches, direction=direction)


def row(letters: str) -> Tensor:
    return torch.tensor([[BOS, *letters.encode()]])


@pytest.mark.parametrize(
    ("patches", "other"),
    [
        ([OUTER], "A" + "GTC" + "CTA" + "TGG" + "ACT"),
        ([OUTER, INNER], "A" + "GTC" + "CTA" + "TGG" + "ACT"),
        ([OUTER, INNER], "A" + "GTC" + "TGG" + "CAT" + "ACT"),
        ([OUTER, NONE, INNER], "A" + "GTC" + "TGG" + "CAT" + "ACT"),
    ],
    ids=["bases", "bases in two stages", "patches", "patches beyond a stage that cuts nothing"],
)
@torch.no_grad()
def test_aligned_patches_tell_places_apart_and_others_dont(
    patches: list[dict[str, object]], other: str
) -> None:
    """Two bases of a patch, or two patches of one, change places, and all else stays."""
    pooled, aligned = bare("fixed", patches), bare("aligned", patches)
    levels = [level for level in aligned.modules() if isinstance(level, Hierarchy)]
    assert {level.grid.places for level in levels if level.grid is not None} == {3}
    same(pooled(row(LETTERS)).logits[0, -1], pooled(row(other)).logits[0, -1])
    found = aligned(row(LETTERS)).logits[0, -1]
    assert not torch.allclose(found, aligned(row(other)).logits[0, -1])


@pytest.mark.parametrize("direction", ["causal", "bidirectional"])
@torch.no_grad()
def test_each_place_has_weights_of_its_own(direction: str) -> None:
    network = bare("aligned", [OUTER, INNER], direction)
    outer = network.hierarchy
    inner = outer.inner
    assert isinstance(inner, Hierarchy)
    given: list[Tensor] = []
    for level in (outer, inner):
        level.inner.register_forward_pre_hook(lambda _, args: given.append(args[0][0]))
    ids = row(LETTERS)
    network(ids)
    length = torch.tensor([ids.shape[1]])
    x_LD = network.embed(ids, length, network.embed.begin(1, ids.device))[0][0]

    def pooled(level: Hierarchy, x_LD: Tensor, places: dict[int, int]) -> Tensor:
        """The latent of a patch whose positions stand at these places."""
        weight = level.pool.weight.unflatten(1, (3, -1))
        told = [weight[:, place] @ x_LD[position] for position, place in places.items()]
        return torch.stack(told).sum(0) + level.pool.bias

    # BOS is a patch of its own, at the first place. The frame cuts the patch behind it short: what
    # is left are the last places.
    expected = [{0: 0}, {1: 2}, {2: 0, 3: 1, 4: 2}, {5: 0, 6: 1, 7: 2}, {8: 0, 9: 1, 10: 2}]
    for number, places in enumerate(expected):
        same(given[0][number], pooled(outer, x_LD, places))
    for number, places in enumerate([{0: 0}, {1: 1, 2: 2}, {3: 0, 4: 1, 5: 2}]):
        same(given[1][number], pooled(inner, given[0], places))
