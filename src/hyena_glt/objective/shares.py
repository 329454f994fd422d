"""What each kind of window counts in the loss."""

import math
from collections.abc import Collection, Mapping

from hyena_glt.config import JointObjectiveConfig, ObjectiveConfig
from hyena_glt.data import KINDS, Kind


def kind_shares(objective: ObjectiveConfig, kinds: Collection[Kind]) -> dict[Kind, float]:
    """Return each kind's share of the loss of a group of windows that holds ``kinds``.

    The loss is the sum over kinds of share * sum(weight * nll) / sum(weight). With
    causal_and_masked the shares are 1 - masked_share and masked_share; where a group has windows
    of one kind alone, the other's share goes to it. A single objective's kind has all.
    """
    if isinstance(objective, JointObjectiveConfig) and len(kinds) == 2:
        return {"causal": 1 - objective.masked_share, "masked": objective.masked_share}
    (kind,) = kinds
    return {kind: 1.0}


def named_bits(objective: ObjectiveConfig, bits: Mapping[Kind, float]) -> dict[str, float]:
    """Return ``bits_per_base``, the loss, and with causal_and_masked what each kind has.

    ``bits`` has each kind's weighted mean of -log2 p; a kind that is absent is nan.
    """
    shares = kind_shares(objective, bits)
    named = {"bits_per_base": sum(shares[kind] * bits[kind] for kind in bits)}
    if isinstance(objective, JointObjectiveConfig):
        for kind in KINDS:
            named[f"{kind}_bits_per_base"] = bits.get(kind, math.nan)
    return named
