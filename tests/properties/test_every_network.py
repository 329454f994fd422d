"""The properties of DESIGN.md section 2, over mixers, patchers, layouts, stages and embeddings."""

import pytest
import torch

from properties.checks import (
    check_batch_mates,
    check_causal_by_jacobian,
    check_causal_by_perturbation,
    check_fork,
    check_pieces,
    check_prefixes,
    check_ragged,
)
from properties.tiny import AXES, Case, build, document, full_product, pairwise_cover

LENGTH_BP = 12
COVER = pairwise_cover()


def every_property(case: Case) -> None:
    network = build(case)
    ids = document(LENGTH_BP)
    check_causal_by_perturbation(network, ids)
    check_causal_by_jacobian(network, ids)
    check_prefixes(network, ids)
    check_pieces(network, ids, [1] * (LENGTH_BP + 1))
    check_pieces(network, ids, [2, 1, 5, 4, 1])
    rows = [document(length, seed) for seed, length in enumerate((12, 0, 4, 11))]
    check_batch_mates(network, rows)
    check_ragged(network, rows, [(3, 1, 0, 5), (1, 0, 2, 0), (6, 0, 3, 7), (3, 0, 0, 0)])
    endings = torch.stack([document(5, seed)[0, 1:] for seed in range(3)])
    check_fork(network, torch.cat([ids[:, :8], document(7, 3)]), endings, [1, 0, 1])


def test_any_two_settings_of_two_axes_meet_in_the_cover() -> None:
    assert len(COVER) < 60
    for first in range(len(AXES)):
        for second in range(first):
            met = {(case[first], case[second]) for case in COVER}
            axes = list(AXES.values())
            assert len(met) == len(axes[first]) * len(axes[second])


@pytest.mark.parametrize("case", COVER, ids=str)
def test_properties_hold_over_a_pairwise_cover(case: Case) -> None:
    every_property(case)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", AXES["backbone"])
@pytest.mark.parametrize("patch", AXES["patch"])
def test_properties_hold_over_the_full_product(patch: str, backbone: str) -> None:
    """Encoder and decoder alike and embeddings in turn here; the pairwise cover mixes them."""
    encoders, embeds = AXES["encoder"], AXES["embed"]
    cases = [
        case
        for case in full_product()
        if case.patch == patch
        and case.backbone == backbone
        and case.encoder == case.decoder
        and case.embed == embeds[(encoders.index(case.encoder) + case.stages) % len(embeds)]
    ]
    assert len(cases) == 10
    for case in cases:
        every_property(case)


@pytest.mark.parametrize("case", COVER[::5], ids=str)
def test_properties_hold_in_single_precision(case: Case) -> None:
    network = build(case, dtype=torch.float32)
    ids = document(LENGTH_BP)
    check_prefixes(network, ids)
    check_pieces(network, ids, [1] * (LENGTH_BP + 1))
    check_batch_mates(network, [document(length, seed) for seed, length in enumerate((12, 4, 11))])
