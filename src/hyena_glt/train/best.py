"""Which epoch of a fine-tuning is the best so far, and whether it is time to stop."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

LOWER_IS_BETTER = ("loss", "nll_nats", "brier", "ece", "rmse", "mae")


def is_lower_better(metric: str) -> bool:
    """Return whether less of ``metric`` is better; ``rmse/NAME`` is the rmse of one number."""
    return metric.partition("/")[0] in LOWER_IS_BETTER


class BestEpoch:
    """The best of the epochs that were offered, by one metric of validation."""

    def __init__(self, metric: str, lower_is_better: bool, patience_epochs: int | None) -> None:
        self.metric, self.patience_epochs = metric, patience_epochs
        self.lower_is_better = lower_is_better
        self.done = 0  # epochs offered
        self.epoch = 0  # the best one's number, from 1
        self.metrics: dict[str, float] = {}

    def offer(self, found: Mapping[str, float]) -> bool:
        """Count an epoch; return whether it is the best so far. The first one always is."""
        self.done += 1
        if math.isnan(found[self.metric]):
            warnings.warn(
                f"validation: {self.metric} isn't defined after epoch {self.done}, so that it "
                "can't choose this epoch; name another train.metric where validation lacks a class",
                RuntimeWarning,
                stacklevel=2,
            )
        if self.metrics and not self._is_gain(found[self.metric]):
            return False
        self.epoch, self.metrics = self.done, dict(found)
        return True

    def has_waited(self) -> bool:
        """Return whether there have been as many epochs without gain as patience allows."""
        patience = self.patience_epochs
        return patience is not None and self.done - self.epoch >= patience

    def _is_gain(self, value: float) -> bool:
        """Any number is better than NaN; NaN is never a gain."""
        best = self.metrics[self.metric]
        if math.isnan(best):
            return not math.isnan(value)
        return value < best if self.lower_is_better else value > best

    def state_dict(self) -> dict[str, Any]:
        """Return what early stopping and the choice of the best depend on."""
        return {"done": self.done, "epoch": self.epoch, "metrics": self.metrics}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self.done, self.epoch, self.metrics = state["done"], state["epoch"], state["metrics"]
