"""Gradients of what joins bases and patches, against finite differences in fp64."""

import torch
from torch import Tensor

from hyena_glt.model.router import straight_through
from hyena_glt.ops import PoolState, pool_patches, smooth
from hyena_glt.patch import Emission, Patches, cut

# Two rows: patches of 1, 3, 2 and an open one of 2 bases; of 1 and 4, and then padding.
MASK = torch.tensor([[1, 0, 0, 1, 0, 1, 0, 0], [1, 0, 0, 0, 1, 0, 0, 0]]).bool()
LENGTH = torch.tensor([8, 5])


def patches() -> Patches:
    return cut(Emission(MASK, capacity=4, overflow=torch.zeros(2, dtype=torch.long)))


def numbers(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def test_pooling_of_fresh_rows_and_of_a_patch_that_was_open() -> None:
    h_BLD, total, maximum = numbers(2, 8, 3, seed=0), numbers(2, 3, seed=1), numbers(2, 3, seed=2)
    open_bp = torch.tensor([2, 3])

    def fresh(h_BLD: Tensor) -> tuple[Tensor, ...]:
        return pool_patches(h_BLD, patches(), LENGTH, None)[:2]

    def going_on(h_BLD: Tensor, total: Tensor, maximum: Tensor) -> tuple[Tensor, ...]:
        mean, most, after = pool_patches(
            h_BLD, patches(), LENGTH, PoolState(total, maximum, open_bp)
        )
        assert after is not None
        # The second row's patch that is open behind its end is empty: its maximum is -inf.
        return mean, most, after.total, after.maximum[:1]

    assert torch.autograd.gradcheck(fresh, (h_BLD,))
    assert torch.autograd.gradcheck(going_on, (h_BLD, total, maximum))


def read_back(z_BPE: Tensor, confidence: Tensor, before: Tensor, factor: Tensor) -> Tensor:
    """What routed latents, smoothed, give each base: as the hierarchy reads them."""
    found = patches()
    smoothed = smooth(z_BPE, confidence.gather(1, found.close), before)
    latents = torch.cat([before[:, None], smoothed], 1)
    index = (found.read + 1)[..., None].expand(-1, -1, latents.shape[2])
    return latents.gather(1, index) * factor


def test_the_routed_path_and_its_straight_through_factor() -> None:
    """The factor is 1, and has the slope of a factor that isn't held there: that one is checked."""
    z_BPE, before = numbers(2, 4, 3, seed=3), numbers(2, 3, seed=4)
    confidence = numbers(2, 8, seed=5).sigmoid().detach().requires_grad_()
    held = torch.where(MASK, confidence, 1 - confidence).detach()

    def free(z_BPE: Tensor, confidence: Tensor, before: Tensor) -> Tensor:
        done = torch.where(MASK, confidence, 1 - confidence)
        return read_back(z_BPE, confidence, before, (1 + done - held)[..., None])

    assert torch.autograd.gradcheck(free, (z_BPE, confidence, before))
    routed = read_back(z_BPE, confidence, before, straight_through(confidence, MASK))
    expected = free(z_BPE, confidence, before)
    torch.testing.assert_close(routed, expected)
    direction = numbers(*routed.shape, seed=6).detach()
    inputs = (z_BPE, confidence, before)
    slopes = (torch.autograd.grad((y * direction).sum(), inputs) for y in (routed, expected))
    for found, wanted in zip(*slopes, strict=True):
        torch.testing.assert_close(found, wanted)
