"""A map is what the network does, in pieces and whole."""

import numpy as np
import pytest
import torch
from properties.tiny import Case, build, document

from hyena_glt.config import ModelConfig
from hyena_glt.errors import SequenceError
from hyena_glt.interpret import closes_of, map_contig, patch_map
from hyena_glt.interpret.patch_map import PatchMap
from hyena_glt.model import HyenaGLT
from hyena_glt.tokenize import BOS, encode


def network(patch: str, stages: int = 1) -> HyenaGLT:
    return build(Case("S", patch, stages, "S", "", "plain")).eval()


def of_rule(patch: dict[str, object], **settings: object) -> HyenaGLT:
    narrow = {"width": 2, "mlp_width": 2}
    stages = [{**narrow, "encoder": "", "decoder": "", "patch": patch}]
    data = {"stages": stages, "backbone": {**narrow, "layout": "S"}, **settings}
    return HyenaGLT(ModelConfig.model_validate(data), "dna").eval()


def codons(**settings: object) -> HyenaGLT:
    return of_rule({"kind": "fixed", "size_bp": 3}, **settings)


def letters(length_bp: int, seed: int = 0) -> np.ndarray:
    return document(length_bp, seed)[0, 1:].numpy().astype(np.uint8)


def test_patches_of_three_end_behind_every_third_base_and_the_open_one_is_last() -> None:
    (found,) = map_contig(codons(), "a", encode("ACGTACGT"), surprisal=False)
    assert found.closes.tolist() == [3, 6]
    assert found.starts.tolist() == [0, 3, 6]
    assert found.ends.tolist() == [3, 6, 8]
    assert found.boundaries.tolist() == [3, 6]
    assert (found.contig, found.length_bp, found.stage, found.overflow) == ("a", 8, 1, 0)


def test_a_patch_that_closes_at_the_end_is_no_boundary_and_leaves_none_open() -> None:
    (found,) = map_contig(codons(), "a", encode("ACGTAC"), surprisal=False)
    assert found.closes.tolist() == [3, 6]
    assert found.ends.tolist() == [3, 6]
    assert found.boundaries.tolist() == [3]


def test_a_patch_ends_with_the_base_that_closes_it() -> None:
    (found,) = map_contig(network("letters"), "a", encode("CATGGGTC"), surprisal=False)
    assert found.ends.tolist() == [2, 3, 7, 8]  # CA|T|GGGT|C


def test_surprisal_is_of_the_same_base_and_nan_where_there_is_no_letter() -> None:
    model, ids = network("letters"), encode("ACNGTTacg")
    (found,) = map_contig(model, "a", ids, surprisal=True)
    assert found.surprisal_bits is not None
    row = torch.tensor([[BOS, *ids.tolist()]])
    with torch.no_grad():
        logp = model(row[:, :-1]).logits.log_softmax(-1)[0] / np.log(2)
    expected = [
        -float(logp[i, "ACGT".find(c)]) if c != "N" else np.nan for i, c in enumerate("ACNGTTACG")
    ]
    np.testing.assert_allclose(found.surprisal_bits, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "patch", ["fixed", "syncmer", "letters", "entropy", "budget", "learned", "capped"]
)
@pytest.mark.parametrize("surprisal", [False, True])
def test_a_contig_in_pieces_is_the_contig_whole(
    monkeypatch: pytest.MonkeyPatch, patch: str, surprisal: bool
) -> None:
    model, ids = network(patch, 2), letters(300)
    whole = map_contig(model, "a", ids, surprisal=surprisal)
    emissions = model(document(300)).emissions
    monkeypatch.setattr(patch_map, "PIECE_BP", 41)
    pieces = map_contig(model, "a", ids, surprisal=surprisal)
    assert len(whole) == len(pieces) == 2
    for one, other, emission in zip(whole, pieces, emissions, strict=True):
        expected = emission.mask[0].nonzero()[1:, 0].tolist()
        assert one.closes.tolist() == other.closes.tolist() == expected
        assert one.overflow == other.overflow == int(emission.overflow[0])
        for bits, same in (
            (one.entropy_bits, other.entropy_bits),
            (one.surprisal_bits, other.surprisal_bits),
        ):
            assert (bits is None) == (same is None)
            if bits is not None and same is not None:
                np.testing.assert_allclose(bits, same, rtol=1e-6)


def test_an_inner_stages_boundaries_are_some_of_the_outer_ones() -> None:
    outer, inner = map_contig(network("letters", 2), "a", letters(200), surprisal=False)
    assert (outer.stage, inner.stage) == (1, 2)
    assert set(inner.closes.tolist()) < set(outer.closes.tolist())


def test_entropy_is_what_the_model_expects_of_the_same_base() -> None:
    model, ids = network("entropy"), letters(60)
    (found,) = map_contig(model, "a", ids, surprisal=False)
    assert found.entropy_bits is not None
    units = model.entropy_of(document(60))[0, :-1]  # after each position but the last
    assert (found.entropy_bits * 1024).tolist() == units.tolist()


def test_rows_of_several_lengths_close_as_each_alone() -> None:
    for patch in ("letters", "entropy", "learned"):
        model = network(patch)
        rows = [letters(50, 1), letters(80, 2)]
        (found,) = closes_of(model, rows)
        for row, closes in zip(rows, found, strict=True):
            (alone,) = map_contig(model, "a", row, surprisal=False)
            assert closes.tolist() == alone.closes.tolist()


def test_a_track_says_where_patches_close_base_by_base() -> None:
    track: dict[str, object] = {"kind": "track", "threshold": 0.5, "min_bp": 1, "max_bp": 8}
    score = np.array([0, 1, 0, 0, np.nan, 1, 0], np.float32)
    for surprisal in (False, True):
        (found,) = map_contig(
            of_rule(track), "a", encode("ACGTACG"), surprisal=surprisal, track=score
        )
        assert found.ends.tolist() == [2, 6, 7]


def test_a_two_sided_network_reads_a_contig_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = codons(direction="bidirectional")
    (found,) = map_contig(model, "a", encode("ACGTACGT"), surprisal=False)
    assert found.ends.tolist() == [3, 6, 8]
    monkeypatch.setattr(patch_map, "TWO_SIDED_BP", 7)
    with pytest.raises(SequenceError, match=r"'a' has 8 bp.* at most 7 bp.*cut it into windows"):
        map_contig(model, "a", encode("ACGTACGT"), surprisal=False)


def test_a_letter_of_another_modality_is_named() -> None:
    with pytest.raises(SequenceError, match="record 'a', position 2"):
        map_contig(codons(), "a", encode("ACEG"), surprisal=False)


def test_nothing_closes_on_an_empty_contig() -> None:
    empty = np.zeros(0, np.int64)
    found = PatchMap("a", 0, 1, empty, 0, None, None)
    assert found.starts.tolist() == found.ends.tolist() == []
