"""A network asked in bf16: nearly the numbers of fp32, exact where they are carried or added."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyena_glt.embed import Probe, layers_of
from hyena_glt.model import HyenaGLT
from hyena_glt.nn import named_tensors
from hyena_glt.score import stream_bits, surprisal_bits
from hyena_glt.stream import Letters, strand
from hyena_glt.tokenize import BOS, encode
from properties.test_entropy_patches import MODELS, network_of
from properties.tiny import Case, build, document
from properties.tolerances import BF16_NATS_A_BASE

CASES = [
    Case("SM", "fixed", 2, "LA", "A", "hashed"),
    Case("L", "letters", 1, "SMLA", "M", "exact"),
    Case("S", "budget", 2, "AL", "S", "plain"),
    Case("", "none", 1, "SA", "L", "plain"),
]
DNA = "".join(map(chr, document(900, 5)[0, 1:].tolist()))
A_BASE = 0.02  # nats or bits by which single answers of so narrow a network may err, in the mean
networks = pytest.mark.parametrize("case", CASES, ids=str)


def in_bf16(case: Case) -> HyenaGLT:
    network = build(case, dtype=torch.float32)
    network.precision = "bf16"
    return network


@networks
def test_bits_are_within_a_hundredth_of_those_in_fp32(case: Case) -> None:
    (exact,) = surprisal_bits(build(case, dtype=torch.float32), [DNA])
    (rounded,) = surprisal_bits(in_bf16(case), [DNA])
    assert np.nanmean(rounded) == pytest.approx(np.nanmean(exact), abs=0.01)
    assert np.nanmean(np.abs(rounded - exact)) < A_BASE
    assert (rounded != exact).any()


@networks
@torch.no_grad()
def test_logits_and_bits_are_not_rounded(case: Case) -> None:
    network = in_bf16(case)
    ids = torch.tensor([[BOS, *encode(DNA)]])
    logits = network(ids).logits
    assert logits.dtype == torch.float32
    assert (logits != logits.bfloat16()).float().mean() > 0.9
    (bits,) = surprisal_bits(network, [DNA])
    letters = network.alphabet.letter_index(encode(DNA)).astype(np.int64)
    logp = logits[0, :-1].double().log_softmax(-1).numpy() / np.log(2)
    known = letters >= 0
    expected = -logp[np.flatnonzero(known), letters[known]]
    np.testing.assert_allclose(bits[known], expected, rtol=1e-12)


@networks
@torch.no_grad()
def test_states_and_weights_keep_their_types(case: Case) -> None:
    network = in_bf16(case)
    before = {name: tensor.dtype for name, tensor in named_tensors(network.begin(2)).items()}
    ids = torch.cat([document(40, seed, "ACGT") for seed in range(2)])
    for end in (1, 30, 31, 41):  # short and long calls take other ways
        state = network(ids[:, :end], state=network.begin(2)).state
        after = {name: tensor.dtype for name, tensor in named_tensors(state).items()}
        assert after == before
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


@pytest.mark.slow
@networks
@settings(max_examples=5)
@given(data=st.data())
@torch.no_grad()
def test_pieces_have_the_likelihood_of_one_pass(case: Case, data: st.DataObject) -> None:
    network = in_bf16(case)
    ids = document(60, letters="ACGT")
    whole = network(ids).logits.log_softmax(-1)
    state, found, start = network.begin(1), [], 0
    while start < ids.shape[1]:
        size = data.draw(st.integers(1, 25), label="size")
        output = network(ids[:, start : start + size], state=state)
        state, start = output.state, start + size
        found.append(output.logits.log_softmax(-1))
    difference = torch.cat(found, 1) - whole
    assert float(difference.mean().abs()) < BF16_NATS_A_BASE
    assert float(difference.abs().mean()) < A_BASE


@pytest.mark.parametrize("layer", ["embed", "encoder.0", "backbone.-1", "backbone.norm"])
def test_a_layer_is_near_that_in_fp32_and_what_is_carried_of_it_is_fp32(layer: str) -> None:
    case, bases = CASES[0], Letters(encode(DNA))
    found = []
    for network in (build(case, dtype=torch.float32), in_bf16(case)):
        assert layer.split(".-")[0] in " ".join(place.name for place in layers_of(network))
        probe = Probe(network, layer, None)
        begun = {name: t.dtype for name, t in named_tensors(probe.begin()).items()}
        pieces = list(probe.stream_bases(bases))
        assert {name: t.dtype for name, t in named_tensors(pieces[-1].state).items()} == begun
        found.append(torch.cat([piece.values.float() for piece in pieces]))
    exact, rounded = found
    assert float((rounded - exact).norm() / exact.norm()) < 0.05
    assert torch.equal(rounded, exact) == (layer == "embed")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["entropy", "entropy_jump", "entropy_dual", "budget"])
@torch.no_grad()
def test_no_precision_moves_a_boundary_of_entropies(kind: str, model: str) -> None:
    network = network_of(kind, model, dtype=torch.float32)
    ids = document(300, letters="ACGT")
    exact = network(ids)
    network.precision = "bf16"
    rounded = network(ids)
    assert not torch.equal(rounded.logits, exact.logits)
    assert torch.equal(rounded.emissions[0].mask, exact.emissions[0].mask)
    assert torch.equal(rounded.emissions[0].overflow, exact.emissions[0].overflow)


def test_fp32_leaves_the_autocast_of_training_to_it() -> None:
    network = build(CASES[0], dtype=torch.float32)
    ids = document(40)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(ids).logits.dtype == torch.bfloat16
    assert network(ids).logits.dtype == torch.float32


@pytest.mark.slow
@networks
def test_a_strand_gone_on_with_has_the_same_bits(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strand, "PIECE_BP", 150)
    network, bases = in_bf16(case), Letters(encode(DNA))
    pieces = list(stream_bits(network, bases))
    stopped = pieces[2]
    since = list(stream_bits(network, bases, stopped.end, stopped.state))
    for one, other in zip(since, pieces[3:], strict=True):
        np.testing.assert_array_equal(one.bits, other.bits)
