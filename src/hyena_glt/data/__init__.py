"""Takes a genome and a split; gives batches of windows, in an order that can be resumed."""

from hyena_glt.data.batch import Batch, collate, rows_of
from hyena_glt.data.genome import Genome, file_sha256, open_genome
from hyena_glt.data.loader import training_loader
from hyena_glt.data.splits import Region, Split, split_genome
from hyena_glt.data.windows import TrainingWindows, Window, validation_windows

__all__ = [
    "Batch",
    "Genome",
    "Region",
    "Split",
    "TrainingWindows",
    "Window",
    "collate",
    "file_sha256",
    "open_genome",
    "rows_of",
    "split_genome",
    "training_loader",
    "validation_windows",
]
