"""Takes a network and rows of any lengths; reads them in pieces, and gives the state after them.

A contig is read from disk in constant memory, and a job over a genome goes on after a kill.
"""

from hyena_glt.stream.genome import Job, Step, stream_genome
from hyena_glt.stream.progress import Notes, Progress, put_in_place
from hyena_glt.stream.rows import PIECE_BP, TWO_SIDED_BP, read_rows
from hyena_glt.stream.saved import load_state, network_sha256, save_state
from hyena_glt.stream.strand import (
    Bases,
    Letters,
    RowPiece,
    Strand,
    StrandScores,
    read_pieces,
)

__all__ = [
    "PIECE_BP",
    "TWO_SIDED_BP",
    "Bases",
    "Job",
    "Letters",
    "Notes",
    "Progress",
    "RowPiece",
    "Step",
    "Strand",
    "StrandScores",
    "load_state",
    "network_sha256",
    "put_in_place",
    "read_pieces",
    "read_rows",
    "save_state",
    "stream_genome",
]
