"""A map in pieces, stopped and gone on with, is the map of a contig in memory."""

import numpy as np
import pytest
from properties.tiny import PATCHES, Case, build

from hyena_glt.errors import DirectionError
from hyena_glt.interpret import map_contig, patch_map, stream_map
from hyena_glt.stream import Letters, strand
from hyena_glt.tokenize import encode

CASES = [Case("S", kind, 2, "L", "", "exact") for kind in PATCHES]
NETWORKS = {case: build(case) for case in CASES}
LETTERS = encode("ACGTTNGCAacgRttACGGTCAATTGCNNNNACCGGTATTCACATTAC" * 4)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("surprisal", [False, True])
def test_pieces_give_the_map_of_one_pass(
    case: Case, surprisal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, size = NETWORKS[case], 23
    whole = map_contig(network, "chr", LETTERS, surprisal=surprisal)
    monkeypatch.setattr(strand, "PIECE_BP", size)
    monkeypatch.setattr(patch_map, "PIECE_BP", size)
    pieces = list(stream_map(network, Letters(LETTERS), surprisal=surprisal))
    stopped = pieces[2]
    pieces[3:] = stream_map(
        network,
        Letters(LETTERS),
        surprisal=surprisal,
        start=stopped.following,
        state=stopped.state,
    )
    for level, expected in enumerate(whole):
        found = np.concatenate([piece.closes[level] for piece in pieces])
        np.testing.assert_array_equal(found, expected.closes)
        assert sum(piece.overflow[level] for piece in pieces) == expected.overflow
    for name in ("entropy_bits", "surprisal_bits"):
        values, bits = [getattr(piece, name) for piece in pieces], getattr(whole[0], name)
        assert (values[0] is None) == (bits is None)
        if bits is not None:
            np.testing.assert_allclose(np.concatenate(values), bits, rtol=1e-6)


def test_a_network_of_both_sides_does_not_stream() -> None:
    network = build(CASES[1], direction="bidirectional")
    with pytest.raises(DirectionError, match="can't stream"):
        next(stream_map(network, Letters(LETTERS), surprisal=False))
