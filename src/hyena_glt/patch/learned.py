"""Learned patches: the network's router says where they close."""

from hyena_glt.patch.rules import CalibratedPatcher, Call, Wanted


class LearnedPatcher(CalibratedPatcher):
    """A patch closes where the router's score is above 0."""

    reads = "router"

    def wanted(self, call: Call) -> Wanted:
        """Return where the score is above 0."""
        assert call.score is not None
        return Wanted(call.score > 0)
