"""One vector a row: of its valid positions, whatever stands around them."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from hyena_glt.config.tasks import PoolingConfig, PoolingKind
from hyena_glt.model.pooling import Pool

KINDS: tuple[PoolingKind, ...] = get_args(PoolingKind)


def pool(kind: PoolingKind, width: int, seed: int = 0, places: int = 23) -> Pool:
    built = Pool(kind, width, places if kind == "aligned" else None).double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    return built


def rows(lengths: list[int], width: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, width, generator=generator, dtype=torch.float64) for n in lengths]


def padded(parts: list[Tensor], before: int, extra: int, filler: float) -> tuple[Tensor, Tensor]:
    total = before + max(len(part) for part in parts) + extra
    x_BLD = torch.full((len(parts), total, parts[0].shape[1]), filler, dtype=torch.float64)
    valid = torch.zeros(len(parts), total, dtype=torch.bool)
    for row, part in enumerate(parts):
        x_BLD[row, before : before + len(part)] = part
        valid[row, before : before + len(part)] = True
    return x_BLD, valid


def by_hand(kind: PoolingKind, x_LD: Tensor, query: Tensor | None) -> Tensor:
    """``query``: of aligned pooling the weights of places."""
    if kind == "mean":
        return x_LD.mean(0)
    if kind == "max":
        return x_LD.max(0).values
    if kind == "last":
        return x_LD[-1]
    assert query is not None
    if kind == "aligned":
        return (x_LD * query[: len(x_LD)]).mean(0)
    share = (x_LD @ query / len(query) ** 0.5).exp()
    pooled: Tensor = (share / share.sum()) @ x_LD
    return pooled


def test_each_kind_by_hand() -> None:
    x_BLD = torch.tensor([[[9.0, 9.0], [1.0, -4.0], [3.0, -2.0], [9.0, 9.0]]])
    valid = torch.tensor([[False, True, True, False]])
    assert Pool("mean", 2)(x_BLD, valid).tolist() == [[2, -3]]
    assert Pool("max", 2)(x_BLD, valid).tolist() == [[3, -2]]
    assert Pool("last", 2)(x_BLD, valid).tolist() == [[3, -2]]
    attention = Pool("attention", 2)
    assert attention(x_BLD, valid).tolist() == [[2, -3]]
    assert attention.query is not None
    # Scores are x . q / sqrt(2): ln 3 apart, so that shares are 1/4 and 3/4.
    attention.query.data = torch.tensor([math.sqrt(2) * math.log(3) / 2, 0.0])
    torch.testing.assert_close(attention(x_BLD, valid), torch.tensor([[2.5, -2.5]]))
    aligned = Pool("aligned", 2, 2)
    assert aligned(x_BLD, valid).tolist() == [[2, -3]]
    assert aligned.places is not None
    aligned.places.data = torch.tensor([[1.0, 0.0], [5.0, 1.0]])  # the first valid place is 0
    assert aligned(x_BLD, valid).tolist() == [[8, -1]]


def test_a_row_with_more_bases_than_places_is_refused() -> None:
    valid = torch.tensor([[True, True, True], [True, True, False]])
    with pytest.raises(ValueError, match=r"row 0 has 3 bases, and pooling.length_bp is 2"):
        Pool("aligned", 2, 2)(torch.zeros(2, 3, 2), valid)
    assert Pool("aligned", 2, 2)(torch.zeros(1, 3, 2), valid[1:]).shape == (1, 2)


def test_places_are_for_bases_of_known_number() -> None:
    for wrong in (
        {"kind": "aligned"},
        {"length_bp": 3},
        {"kind": "aligned", "length_bp": 3, "over": "patches"},
    ):
        with pytest.raises(ValidationError):
            PoolingConfig.model_validate(wrong)


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    lengths=st.lists(st.integers(1, 23), min_size=1, max_size=4),
    before=st.integers(0, 2),
    extra=st.integers(0, 9),
    filler=st.sampled_from([0.0, 1e9, float("nan"), float("inf")]),
    seed=st.integers(0, 99),
)
def test_neither_padding_nor_other_rows_change_a_row(
    kind: PoolingKind, lengths: list[int], before: int, extra: int, filler: float, seed: int
) -> None:
    built = pool(kind, 3, seed)
    parts = rows(lengths, 3, seed)
    x_BLD, valid = padded(parts, before, extra, filler)
    x_BLD.requires_grad_()
    found = built(x_BLD, valid)
    query = next((parameter.detach() for parameter in built.parameters()), None)
    for row, part in enumerate(parts):
        expected = by_hand(kind, part, query)
        torch.testing.assert_close(found[row].detach(), expected, rtol=1e-10, atol=1e-10)
    (slope,) = torch.autograd.grad(found.square().sum(), x_BLD)
    assert slope.isfinite().all()
    assert not slope[~valid].any()
    assert slope[valid].any()


@pytest.mark.parametrize("kind", ["max", "last"])
def test_what_selects_is_bitwise_the_same(kind: PoolingKind) -> None:
    parts = rows([7, 3], 5, 1)
    whole = pool(kind, 5)(*padded(parts, 1, 6, 8.0))
    for row, part in enumerate(parts):
        assert torch.equal(whole[row], pool(kind, 5)(*padded([part], 0, 0, 0.0))[0])


@pytest.mark.parametrize("kind", KINDS)
def test_positions_in_between_may_be_left_out(kind: PoolingKind) -> None:
    x_LD = rows([5], 2, 3)[0]
    valid = torch.tensor([[True, False, True, True, False]])
    built = pool(kind, 2)
    torch.testing.assert_close(
        built(x_LD[None], valid), built(x_LD[None, [0, 2, 3]], valid[:, [0, 2, 3]])
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences(kind: PoolingKind) -> None:
    x_BLD, valid = padded(rows([4, 2], 3, 2), 1, 1, 0.5)
    built = pool(kind, 3)
    assert torch.autograd.gradcheck(lambda x: built(x, valid), x_BLD.requires_grad_())


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_padding_is_refused(kind: PoolingKind) -> None:
    valid = torch.tensor([[True, False], [False, False]])
    with pytest.raises(ValueError, match="row 1 has no valid position"):
        pool(kind, 3)(torch.zeros(2, 2, 3), valid)
    with pytest.raises(ValueError, match="row 0 has no valid position"):
        pool(kind, 3)(torch.zeros(1, 0, 3), torch.zeros(1, 0, dtype=torch.bool))


@pytest.mark.parametrize("kind", KINDS)
def test_reduced_precision_comes_out_in_fp32(kind: PoolingKind) -> None:
    x_BLD, valid = padded(rows([300], 4, 5), 0, 3, 0.0)
    rounded = x_BLD.bfloat16()
    built = pool(kind, 4, places=300).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = built(rounded, valid)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, built(rounded.float(), valid), rtol=1e-6, atol=1e-6)
