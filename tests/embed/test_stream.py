"""A document in pieces, stopped and gone on with, has the vectors that one in memory has."""

import numpy as np
import pytest
import torch
from properties.tiny import Case, build
from properties.tolerances import OUTPUT_FP64

from hyena_glt.embed import Probe, embed_sequences, layers_of, probe
from hyena_glt.errors import DirectionError, LayerError
from hyena_glt.stream import Letters, strand
from hyena_glt.tokenize import encode

CASES = [Case("SM", "letters", 2, "LA", "A", "hashed"), Case("A", "fixed", 1, "M", "S", "plain")]
EXACT = {case: build(case) for case in CASES}
LAYERS = [(case, layer.name) for case in CASES for layer in layers_of(EXACT[case])][::2]
LETTERS = "ACGTTNGCAacgRttACGGTCAATTGC"


@pytest.fixture(params=[5, 100])
def pieces_bp(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(strand, "PIECE_BP", request.param)
    monkeypatch.setattr(probe, "PIECE_BP", request.param)
    return int(request.param)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "layer"), LAYERS, ids=str)
def test_bases_and_patches_are_those_of_one_pass(case: Case, layer: str, pieces_bp: int) -> None:
    reader, bases = Probe(EXACT[case], layer, None), Letters(encode(LETTERS))
    (expected,) = embed_sequences(EXACT[case], [LETTERS], layer, pool="base")
    pieces = list(reader.stream_bases(bases))
    assert [piece.start for piece in pieces[1:]] == [
        piece.start + len(piece.values) for piece in pieces[:-1]
    ]
    found = torch.cat([piece.values for piece in pieces]).numpy()
    np.testing.assert_array_equal(found, expected)  # the same pieces: the same bits
    middle = pieces[len(pieces) // 2]
    since = list(reader.stream_bases(bases, middle.following, middle.state))
    rest = np.concatenate([np.zeros((0, found.shape[1])), *(piece.values for piece in since)])
    np.testing.assert_array_equal(rest, expected[middle.start + len(middle.values) :])
    if not reader.layer.rate:
        with pytest.raises(LayerError, match="a vector a base, and none a patch"):
            next(reader.stream_patches(bases))
        return
    closed = list(reader.stream_patches(bases))
    ends = np.concatenate([piece.ends for piece in closed])
    assert ends[0] > 0
    vectors = torch.cat([piece.values for piece in closed]).numpy()
    # The base that closes a patch is the first that reads it.
    np.testing.assert_allclose(vectors, expected[ends - 1], atol=OUTPUT_FP64)
    assert len(np.unique(expected, axis=0)) - len(ends) in (0, 1)  # bases before the first close


def test_a_network_of_both_sides_does_not_stream() -> None:
    network = build(CASES[0], direction="bidirectional")
    with pytest.raises(DirectionError, match="can't stream"):
        next(Probe(network, "embed", None).stream_bases(Letters(encode("ACGT"))))
