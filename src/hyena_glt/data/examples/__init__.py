"""Takes labelled sequences; gives datasets: inspected, split, checked, memory-mapped."""

from hyena_glt.data.examples.augment import Augment, paired_swaps, strand_swaps
from hyena_glt.data.examples.dataset import Dataset, Manifest, Row, Rows, open_dataset
from hyena_glt.data.examples.guess import LabelKind, guess_dataset
from hyena_glt.data.examples.inspect import Inspection, inspect_examples
from hyena_glt.data.examples.look import inspect_dataset, inspect_sources, is_dataset
from hyena_glt.data.examples.prepare import prepare_dataset
from hyena_glt.data.examples.split import PARTS, assign_parts

__all__ = [
    "PARTS",
    "Augment",
    "Dataset",
    "Inspection",
    "LabelKind",
    "Manifest",
    "Row",
    "Rows",
    "assign_parts",
    "guess_dataset",
    "inspect_dataset",
    "inspect_examples",
    "inspect_sources",
    "is_dataset",
    "open_dataset",
    "paired_swaps",
    "prepare_dataset",
    "strand_swaps",
]
