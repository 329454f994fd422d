"""Takes a network and contigs; gives where its patches lie, what they fall on, and pictures."""

from hyena_glt.interpret.annotation import (
    Annotation,
    Landmark,
    Mark,
    genes_of,
    landmarks_of,
)
from hyena_glt.interpret.codons import Against, Positions
from hyena_glt.interpret.figures import RegionView, draw_lengths, draw_profiles, draw_region
from hyena_glt.interpret.patch_map import (
    MapPiece,
    MapState,
    PatchMap,
    begin_map,
    closes_of,
    map_contig,
    stream_map,
)
from hyena_glt.interpret.profiles import FLANK_BP, Profile, Profiles
from hyena_glt.interpret.summary import Agreement, DeletionAgreement, Lengths

__all__ = [
    "FLANK_BP",
    "Against",
    "Agreement",
    "Annotation",
    "DeletionAgreement",
    "Landmark",
    "Lengths",
    "MapPiece",
    "MapState",
    "Mark",
    "PatchMap",
    "Positions",
    "Profile",
    "Profiles",
    "RegionView",
    "begin_map",
    "closes_of",
    "draw_lengths",
    "draw_profiles",
    "draw_region",
    "genes_of",
    "landmarks_of",
    "map_contig",
    "stream_map",
]
