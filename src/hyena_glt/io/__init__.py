"""Takes files of sequences; gives records and intervals of them, and writes them back.

Positions are 0-based and half-open everywhere: `fetch("chr1", 0, 3)` is the first three bases.
"""

from hyena_glt.io.atomic import fsync_path, replacing_file
from hyena_glt.io.bed import Interval, read_bed
from hyena_glt.io.fasta import read_fasta, write_fasta
from hyena_glt.io.indexed_fasta import IndexedFasta
from hyena_glt.io.record import Record
from hyena_glt.io.twobit import TwoBitGenome
from hyena_glt.io.write_twobit import write_twobit

__all__ = [
    "IndexedFasta",
    "Interval",
    "Record",
    "TwoBitGenome",
    "fsync_path",
    "read_bed",
    "read_fasta",
    "replacing_file",
    "write_fasta",
    "write_twobit",
]
