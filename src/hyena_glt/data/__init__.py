"""Takes genomes and their splits; gives batches of windows, in an order that can be resumed."""

from hyena_glt.data.batch import Batch, bases_in, collate, rows_of, track_rows_of, whole_rows_of
from hyena_glt.data.genome import Genome, file_sha256, open_genome
from hyena_glt.data.loader import training_loader
from hyena_glt.data.reserved import first_near
from hyena_glt.data.schedule import Leg, RunWindows, batch_sizes, legs_of
from hyena_glt.data.sources import (
    Source,
    data_checksums,
    held_windows,
    open_sources,
    renamed_contigs,
    splits_of,
    training_windows,
)
from hyena_glt.data.splits import Region, Split, split_genome
from hyena_glt.data.windows import (
    KINDS,
    Kind,
    TrainingWindows,
    Window,
    Windows,
    validation_windows,
)

__all__ = [
    "KINDS",
    "Batch",
    "Genome",
    "Kind",
    "Leg",
    "Region",
    "RunWindows",
    "Source",
    "Split",
    "TrainingWindows",
    "Window",
    "Windows",
    "bases_in",
    "batch_sizes",
    "collate",
    "data_checksums",
    "file_sha256",
    "first_near",
    "held_windows",
    "legs_of",
    "open_genome",
    "open_sources",
    "renamed_contigs",
    "rows_of",
    "split_genome",
    "splits_of",
    "track_rows_of",
    "training_loader",
    "training_windows",
    "validation_windows",
    "whole_rows_of",
]
