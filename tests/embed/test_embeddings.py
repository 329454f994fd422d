"""Embeddings: each base's from one plain pass, whatever is read beside it, whole or in pieces."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from properties.tiny import Case, build
from properties.tolerances import LOGITS_FP32, OUTPUT_FP64
from torch import nn

from hyena_glt.embed import embed_sequences, embed_stream, layers_of, probe, stream
from hyena_glt.errors import DirectionError, LayerError, SequenceError
from hyena_glt.model import HyenaGLT
from hyena_glt.tokenize import BOS, alphabet, decode, encode

CASES = [
    Case("SM", "letters", 2, "LA", "A", "hashed"),
    Case("L", "capped", 1, "SMLA", "M", "exact"),
    Case("A", "none", 1, "M", "S", "plain"),
    Case("S", "fixed", 2, "SL", "M", "exact"),
]
EXACT = {case: build(case) for case in CASES}
SINGLE = {case: build(case, dtype=torch.float32) for case in CASES}
TWO_SIDED = {case: build(case, direction="bidirectional") for case in CASES}
LAYERS = [(case, layer.name) for case in CASES for layer in layers_of(EXACT[case])]
SEQUENCES = st.lists(st.text("ACGTNacgtnRY", min_size=1, max_size=40), max_size=5)

networks = pytest.mark.parametrize("case", CASES, ids=str)
layers = pytest.mark.parametrize(("case", "layer"), LAYERS, ids=str)


def reverse_complement(sequence: str) -> str:
    return decode(alphabet("dna").reverse_complement(encode(sequence)))


def dna(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGTacgtN"), length))


@torch.no_grad()
def plainly(network: HyenaGLT, sequence: str, layer: str, two_sided: bool = False) -> np.ndarray:
    """The layer's vector at each base: one pass, then a loop over the closes before it."""
    (place,) = [place for place in layers_of(network) if place.name == layer]
    *stage, part, number = layer.split(".") if layer != "embed" else ["embed", "0"]
    hierarchy = network.hierarchy
    while (part == "backbone" or stage) and isinstance(hierarchy.inner, type(hierarchy)):
        hierarchy = hierarchy.inner
    stack = hierarchy.inner if part == "backbone" else getattr(hierarchy, part, None)
    module: nn.Module = network.embed
    if layer != "embed":
        module = stack.blocks[-1 if number == "norm" else int(number)]  # type: ignore
    caught = []
    handle = module.register_forward_hook(lambda _m, _i, outputs: caught.append(outputs[0][0]))
    output = network(torch.tensor([[BOS, *encode(sequence).tolist()]]))
    handle.remove()
    (values,) = caught
    if number == "norm":
        scale = values.square().mean(-1, keepdim=True).add(1e-6).rsqrt()
        values = values * scale * hierarchy.inner_norm.weight
    if place.rate == 0:
        return np.asarray(values[1:])
    emit = output.emissions[place.rate - 1].mask[0].tolist()
    bases = []
    for position in range(1, len(emit)):
        closes = sum(emit[:position]) if two_sided else sum(emit[: position + 1]) - 1
        bases.append(values[closes])
    return np.asarray(torch.stack(bases))


@layers
def test_a_base_gets_the_vector_of_the_patch_closed_last(case: Case, layer: str) -> None:
    network, sequence = EXACT[case], dna(45, 3)
    (found,) = embed_sequences(network, [sequence], layer, pool="base")
    expected = plainly(network, sequence, layer)
    np.testing.assert_allclose(found, expected, atol=OUTPUT_FP64)
    for pool, value in (("mean", expected.mean(0)), ("max", expected.max(0)), ("last", found[-1])):
        (pooled,) = embed_sequences(network, [sequence], layer, pool)  # type: ignore[call-overload]
        np.testing.assert_allclose(pooled, value, atol=OUTPUT_FP64)


@layers
def test_a_two_sided_base_gets_the_vector_of_its_own_patch(case: Case, layer: str) -> None:
    network, sequences = TWO_SIDED[case], [dna(45, 3), dna(7), "A"]
    found = embed_sequences(network, sequences, layer, pool="base")
    for sequence, values in zip(sequences, found, strict=True):
        expected = plainly(network, sequence, layer, two_sided=True)
        np.testing.assert_allclose(values, expected, atol=OUTPUT_FP64)


@pytest.mark.slow
@networks
@settings(max_examples=4)
@given(sequences=SEQUENCES, both=st.booleans())
def test_an_embedding_does_not_depend_on_what_is_read_beside_it(
    case: Case, sequences: list[str], both: bool
) -> None:
    for network, tolerance in ((EXACT[case], OUTPUT_FP64), (SINGLE[case], LOGITS_FP32)):
        together = embed_sequences(network, sequences, both_strands=both)
        bases = embed_sequences(network, sequences, pool="base", both_strands=both)
        assert together.shape == (len(sequences), 8)
        for i, sequence in enumerate(sequences):
            alone = embed_sequences(network, [sequence], both_strands=both)
            (own,) = embed_sequences(network, [sequence], pool="base", both_strands=both)
            np.testing.assert_allclose(together[i], alone[0], atol=tolerance)
            np.testing.assert_allclose(bases[i], own, atol=tolerance)


@pytest.fixture(params=[5])
def pieces_bp(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Pieces so short that the sequences of a test are read in many."""
    yield request.param
    monkeypatch.undo()


@pytest.mark.slow
@pytest.mark.parametrize(("case", "layer"), LAYERS[::4], ids=str)
def test_pieces_give_the_numbers_of_one_pass(
    case: Case, layer: str, pieces_bp: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = [dna(22), "N" * 5 + dna(6, 1), "a"]
    for network, tolerance in ((EXACT[case], OUTPUT_FP64), (SINGLE[case], LOGITS_FP32)):
        both = tolerance == OUTPUT_FP64
        monkeypatch.undo()
        whole = {
            pool: embed_sequences(network, sequences, layer, pool, both)  # type: ignore[call-overload]
            for pool in ("mean", "max", "last", "base")
        }
        monkeypatch.setattr(probe, "PIECE_BP", pieces_bp)
        monkeypatch.setattr(probe, "BATCH_BP", 3 * pieces_bp)
        monkeypatch.setattr(stream, "BATCH_BP", 3 * pieces_bp)
        for pool, expected in whole.items():
            found = embed_sequences(network, sequences, layer, pool, both)  # type: ignore[call-overload]
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, other, atol=tolerance)
        streamed: list[list[np.ndarray]] = [[] for _ in sequences]
        for number, start, values in embed_stream(network, iter(sequences), layer, both):
            assert start == sum(map(len, streamed[number]))
            streamed[number].append(values)
        for parts, expected in zip(streamed, whole["base"], strict=True):
            np.testing.assert_allclose(np.concatenate(parts), expected, atol=tolerance)
        assert len(streamed[0]) >= 22 // pieces_bp


@pytest.mark.slow
@networks
@settings(max_examples=6)
@given(sequence=st.text("ACGTNacgt", min_size=1, max_size=40))
def test_both_strands_meet_at_the_same_bases(case: Case, sequence: str) -> None:
    network, other = EXACT[case], reverse_complement(sequence)
    (found,) = embed_sequences(network, [sequence], pool="base", both_strands=True)
    (turned,) = embed_sequences(network, [other], pool="base", both_strands=True)
    np.testing.assert_allclose(found, turned[::-1], atol=OUTPUT_FP64)
    forward, backward = embed_sequences(network, [sequence, other], pool="base")
    np.testing.assert_allclose(found, (forward + backward[::-1]) / 2, atol=OUTPUT_FP64)
    for pool, each in (
        ("mean", (forward.mean(0), backward.mean(0))),
        ("max", (forward.max(0), backward.max(0))),
        ("last", (forward[-1], backward[-1])),
    ):
        (pooled,) = embed_sequences(network, [sequence], "backbone.-1", pool, True)  # type: ignore[call-overload]
        np.testing.assert_allclose(pooled, sum(each) / 2, atol=OUTPUT_FP64)


@pytest.mark.slow
@pytest.mark.parametrize("rc", ["average", "equivariant"])
def test_a_network_of_both_strands_reads_both_unless_told_not_to(rc: str) -> None:
    direction = "bidirectional" if rc == "equivariant" else "causal"
    network = build(CASES[0], rc=rc, direction=direction)
    plain = build(CASES[0], direction=direction)
    sequences = ["ACGTTGCATTAACG", "GGA"]
    for asked in (None, True, False):
        found = embed_sequences(network, sequences, both_strands=asked)
        expected = embed_sequences(plain, sequences, both_strands=asked is not False)
        np.testing.assert_allclose(found, expected, atol=OUTPUT_FP64)


def test_a_network_of_either_direction_is_asked_for_one() -> None:
    network, sequences = build(CASES[3], direction="both"), ["ACGTTGCATTAACG"]
    causal = embed_sequences(network, sequences, pool="base")
    two_sided = embed_sequences(network, sequences, pool="base", two_sided=True)
    changed = embed_sequences(network, ["ACGTTGCATTAACC"], pool="base")
    np.testing.assert_array_equal(causal[0][:-1], changed[0][:-1])
    changed = embed_sequences(network, ["ACGTTGCATTAACC"], pool="base", two_sided=True)
    assert np.abs(two_sided[0][0] - changed[0][0]).max() > 1e-6
    with pytest.raises(DirectionError, match="can't read both sides"):
        embed_sequences(EXACT[CASES[0]], sequences, two_sided=True)


def test_a_two_sided_sequence_too_long_to_be_read_whole_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probe, "TWO_SIDED_BP", 9)
    network = TWO_SIDED[CASES[0]]
    assert embed_sequences(network, ["ACGTTGCAT"]).shape == (1, 8)
    with pytest.raises(SequenceError, match=r"sequence 2 has 10 bp.*cut it into windows"):
        embed_sequences(network, ["ACGT", "ACGTTGCATT"])
    assert embed_sequences(EXACT[CASES[0]], ["ACGTTGCATT"]).shape == (1, 8)


def test_numbers_are_float32_unless_the_network_is_float64() -> None:
    assert embed_sequences(EXACT[CASES[0]], ["ACG"]).dtype == np.float64
    half = build(CASES[2], dtype=torch.bfloat16)
    for network in (SINGLE[CASES[0]], half):
        for pool in ("mean", "max", "last"):
            assert embed_sequences(network, ["ACG"], "embed", pool).dtype == np.float32
    assert embed_sequences(half, ["ACG"], "embed", pool="base")[0].dtype == np.float32


def test_nothing_to_embed_is_an_empty_answer_and_an_empty_sequence_is_an_error() -> None:
    network = SINGLE[CASES[0]]
    assert embed_sequences(network, []).shape == (0, 8)
    assert embed_sequences(network, [], pool="base") == []
    assert list(embed_stream(network, [])) == []
    for both in (False, True):
        with pytest.raises(SequenceError, match="sequence 2 is empty"):
            embed_sequences(network, ["ACGT", ""], both_strands=both)
    with pytest.raises(SequenceError, match=r"sequence 2.*position 1.*'E'"):
        list(embed_stream(network, ["ACGT", "AE"]))


def test_a_protein_has_one_strand() -> None:
    network = build(Case("S", "fixed", 1, "L", "", "plain"), modality="protein")
    assert embed_sequences(network, ["MKVLAX"]).shape == (1, 8)
    with pytest.raises(SequenceError, match="protein"):
        embed_sequences(network, ["MKVLA"], both_strands=True)
    with pytest.raises(SequenceError, match="protein"):
        list(embed_stream(network, ["MKVLA"], both_strands=True))


def test_an_unknown_layer_is_an_error_that_lists_the_layers() -> None:
    for name in ("backbone.2", "backbone.-3", "decoder", "blocks.0", ""):
        with pytest.raises(LayerError, match=r"has: embed, encoder\.0, encoder\.1, .*decoder\.0$"):
            embed_sequences(EXACT[CASES[0]], ["A"], name)


def test_the_network_keeps_no_hook() -> None:
    network = EXACT[CASES[0]]
    embed_sequences(network, ["ACGT"])
    next(iter(embed_stream(network, [dna(50)])))
    with pytest.raises(DirectionError):
        embed_sequences(network, ["ACGT"], two_sided=True)
    assert not any(module._forward_hooks for module in network.modules())
