"""Settings of every test."""

import pytest
import torch
from hypothesis import settings

# One thread: results don't depend on the machine, workers don't fight, and a fork is safe.
torch.set_num_threads(1)

# A failed assertion in the shared checks shows its values.
pytest.register_assert_rewrite("properties.checks")

# The same examples each time: a failure is a defect, not luck. Times vary on shared machines.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")
