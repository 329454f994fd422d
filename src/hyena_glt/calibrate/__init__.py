"""Takes a recipe and its genomes; gives the recipe with the numbers that its patchers need.

Entropy models are counted or trained, thresholds, budgets and merges found: on training regions
alone, before the network is trained, by the command that trains it.
"""

from hyena_glt.calibrate.prepare import Prepared, prepare, refuse_seen
from hyena_glt.calibrate.repatch import prepared_alone, repatched
from hyena_glt.calibrate.sample import Sample, mean_patch_bp, sample_of, validation_sample
from hyena_glt.calibrate.saved import prepare_in
from hyena_glt.calibrate.search import Calibration, calibrate_stage

__all__ = [
    "Calibration",
    "Prepared",
    "Sample",
    "calibrate_stage",
    "mean_patch_bp",
    "prepare",
    "prepare_in",
    "prepared_alone",
    "refuse_seen",
    "repatched",
    "sample_of",
    "validation_sample",
]
