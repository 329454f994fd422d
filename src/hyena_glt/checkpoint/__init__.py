"""A checkpoint is a folder: weights, resolved recipe, vocabulary, patchers, regions, provenance."""

from hyena_glt.checkpoint.folder import (
    FORMAT_VERSION,
    Checkpoint,
    Provenance,
    Reserved,
    build_network,
    load_checkpoint,
    save_checkpoint,
)
from hyena_glt.checkpoint.replace import finish_replacement, replacing_folder
from hyena_glt.checkpoint.tree import load_tree, save_tree

__all__ = [
    "FORMAT_VERSION",
    "Checkpoint",
    "Provenance",
    "Reserved",
    "build_network",
    "finish_replacement",
    "load_checkpoint",
    "load_tree",
    "replacing_folder",
    "save_checkpoint",
    "save_tree",
]
