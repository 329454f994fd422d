"""Tracks: a patch ends where a score from a file, such as conservation, is high."""

from hyena_glt.config import TrackPatchConfig
from hyena_glt.patch.rules import CalibratedPatcher, Call, Wanted, calibrated


class TrackPatcher(CalibratedPatcher):
    """A patch closes where the base's score is above a threshold; never where there is none."""

    reads = "track"

    def __init__(self, config: TrackPatchConfig) -> None:
        super().__init__(config)
        self.threshold = config.threshold

    def wanted(self, call: Call) -> Wanted:
        """Return where the score is above the threshold; NaN isn't."""
        assert call.score is not None
        return Wanted(call.score > calibrated(self.threshold, "threshold"))
