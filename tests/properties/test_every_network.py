"""The properties of DESIGN.md section 2, over mixers, patchers, layouts, stages and embeddings."""

import pytest
import torch

from properties.checks import (
    check_batch_mates,
    check_causal_network,
    check_pieces,
    check_prefixes,
)
from properties.tiny import (
    AXES,
    PATCHES,
    Case,
    build,
    document,
    full_product,
    pairwise_cover,
    with_aligned,
)

LENGTH_BP = 12
COVER = pairwise_cover()


def test_any_two_settings_of_two_axes_meet_in_the_cover() -> None:
    assert len(COVER) < 60
    for first in range(len(AXES)):
        for second in range(first):
            met = {(case[first], case[second]) for case in COVER}
            axes = list(AXES.values())
            assert len(met) == len(axes[first]) * len(axes[second])


@pytest.mark.parametrize(
    "patch", [name for name in PATCHES if name not in ("none", "fixed", "aligned")]
)
@torch.no_grad()
def test_the_rules_of_the_cover_cut_another_sequence_elsewhere(patch: str) -> None:
    """Else limits alone close patches, and the properties are those of a grid."""
    network = build(Case("S", patch, 2, "M", "S", "plain"))
    one, other = (network(document(400, seed)).emissions for seed in (0, 1))
    for here, there in zip(one, other, strict=True):
        assert not torch.equal(here.mask, there.mask)


@pytest.mark.slow
@pytest.mark.parametrize("case", with_aligned(COVER), ids=str)
def test_properties_hold_over_a_pairwise_cover(case: Case) -> None:
    check_causal_network(build(case))


@pytest.mark.exhaustive
@pytest.mark.parametrize("backbone", AXES["backbone"])
@pytest.mark.parametrize("patch", PATCHES)
def test_properties_hold_over_the_full_product(patch: str, backbone: str) -> None:
    """Encoder and decoder alike and embeddings in turn here; the pairwise cover mixes them."""
    encoders, embeds = AXES["encoder"], AXES["embed"]
    cases = [
        case
        for case in with_aligned(full_product())
        if case.patch == patch
        and case.backbone == backbone
        and case.encoder == case.decoder
        and case.embed == embeds[(encoders.index(case.encoder) + case.stages) % len(embeds)]
    ]
    assert len(cases) == 10
    for case in cases:
        check_causal_network(build(case))


@pytest.mark.slow
@pytest.mark.parametrize("case", COVER[::5], ids=str)
def test_properties_hold_in_single_precision(case: Case) -> None:
    network = build(case, dtype=torch.float32)
    ids = document(LENGTH_BP)
    check_prefixes(network, ids)
    check_pieces(network, ids, [1] * (LENGTH_BP + 1))
    check_batch_mates(network, [document(length, seed) for seed, length in enumerate((12, 4, 11))])
