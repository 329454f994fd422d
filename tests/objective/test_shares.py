"""How causal and masked windows make one loss."""

import math

import pytest

from hyena_glt.config import CausalObjectiveConfig, JointObjectiveConfig, MaskedObjectiveConfig
from hyena_glt.data import KINDS, Kind
from hyena_glt.objective import kind_shares, named_bits

CAUSAL = CausalObjectiveConfig(kind="causal")
MASKED = MaskedObjectiveConfig(kind="masked")
JOINT = JointObjectiveConfig(kind="causal_and_masked", masked_share=0.25)


def test_both_kinds_make_the_loss_in_the_recipes_shares() -> None:
    assert kind_shares(JOINT, ["masked", "causal"]) == {"causal": 0.75, "masked": 0.25}
    bits = named_bits(JOINT, {"causal": 2.0, "masked": 1.0})
    assert bits == {
        "bits_per_base": 1.75,
        "causal_bits_per_base": 2.0,
        "masked_bits_per_base": 1.0,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_an_absent_kinds_share_goes_to_the_other(kind: Kind) -> None:
    assert kind_shares(JOINT, [kind]) == {kind: 1.0}
    named = named_bits(JOINT, {kind: 1.5})
    other = {"causal": "masked", "masked": "causal"}[kind]
    assert (named["bits_per_base"], named[f"{kind}_bits_per_base"]) == (1.5, 1.5)
    assert math.isnan(named[f"{other}_bits_per_base"])


def test_a_single_objective_has_one_number() -> None:
    assert named_bits(CAUSAL, {"causal": 1.5}) == {"bits_per_base": 1.5}
    assert named_bits(MASKED, {"masked": 1.5}) == {"bits_per_base": 1.5}
