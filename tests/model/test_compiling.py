"""What is compiled of a model that is asked: calls whose shape comes again and again."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from cli.asking import save
from properties.tolerances import LOGITS_FP32

import hyena_glt as glt
from hyena_glt.config import ModelConfig
from hyena_glt.model import HyenaGLT, compile_readings, compiling
from hyena_glt.score import likelihood, stream_bits
from hyena_glt.stream import Letters, strand
from hyena_glt.tokenize import BOS, encode

PIECE_BP = 128
FIXED = {"kind": "fixed", "size_bp": 3}
LETTERS = "".join(np.random.default_rng(0).choice(list("ACGT"), 700))

Shapes = list[tuple[int, ...]]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Shapes:
    """Return the shapes of the calls that a compiler would be given, in their order."""
    shapes: Shapes = []

    def compile_(forward: Callable[..., Any], dynamic: bool) -> Callable[..., Any]:
        assert not dynamic

        def call(ids: torch.Tensor, length: torch.Tensor, *rest: Any) -> Any:
            assert length.shape == (len(ids),)
            shapes.append(tuple(ids.shape))
            return forward(ids, length, *rest)

        return call

    monkeypatch.setenv("CXX", "true")
    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setattr(compiling, "_COMES_AGAIN", 3)
    return shapes


def network(patch: dict[str, object] = FIXED) -> HyenaGLT:
    torch.manual_seed(0)
    stage = {"width": 4, "mlp_width": 3, "encoder": "S", "decoder": "", "patch": patch}
    section = {"stages": [stage], "backbone": {"width": 4, "mlp_width": 3, "layout": "L"}}
    return HyenaGLT(ModelConfig.model_validate(section), "dna")


def rows(count: int, length: int) -> torch.Tensor:
    return torch.tensor([[BOS, *encode(LETTERS[i : i + length - 1])] for i in range(count)])


def test_whole_pieces_of_a_stream_are_compiled_and_its_last_one_never(
    compiled: Shapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was read before, so that a run that goes on after a kill has the same numbers."""
    monkeypatch.setattr(strand, "PIECE_BP", PIECE_BP)
    asked = network()
    assert compile_readings(asked, "cpu", PIECE_BP)
    for _ in range(5):
        list(stream_bits(asked, Letters(encode(LETTERS[: 2 * PIECE_BP + 90]))))
    assert compiled == [(1, PIECE_BP)] * 10


@torch.no_grad()
def test_a_shape_is_compiled_once_it_has_come_again_and_only_so_many_are(
    compiled: Shapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "_MOST_SHAPES", 2)
    asked, expected = network(), network()
    assert compile_readings(asked, "cpu", PIECE_BP)
    for length in (70, 80, 70, 80, 70, 70, 80):
        ids = rows(2, length)
        assert torch.equal(asked(ids).logits, expected(ids).logits)
    assert compiled == [(2, 70), (2, 70), (2, 80)]
    state, ids = asked.begin(2), rows(2, 70)  # with a state it is another shape, the third
    asked(ids, state=state)
    asked(ids, state=state)
    with pytest.warns(RuntimeWarning, match="2 rows of 70 positions, run as written"):
        asked(ids, state=state)
    asked(ids, state=state)
    assert len(compiled) == 3


def test_steps_and_calls_with_gradients_run_as_written(compiled: Shapes) -> None:
    asked = network()
    assert compile_readings(asked, "cpu", PIECE_BP)
    for _ in range(9):
        asked(rows(2, 70))
        with torch.no_grad():
            asked(rows(2, 1))
    assert compiled == []


@torch.no_grad()
def test_a_model_whose_patches_the_sequence_cuts_runs_as_written(compiled: Shapes) -> None:
    """Compiled, it would work with as many latents as there can be."""
    asked = network({"kind": "syncmer"})
    with pytest.warns(RuntimeWarning, match="close where the sequence says.*going on without"):
        assert not compile_readings(asked, "cpu", PIECE_BP)
    asked(rows(1, PIECE_BP), state=asked.begin(1))
    assert compiled == []


def test_a_loaded_model_says_whether_it_is_compiled(
    compiled: Shapes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = save(tmp_path / "model", "dna")
    windows = [LETTERS[i : i + 70] for i in range(2)]
    model, plain = glt.load(folder, compile=True), glt.load(folder)
    assert (model.compiled, plain.compiled) == (True, False)
    for _ in range(3):
        found = model.score(windows)
    for _ in range(4):
        model.embed(windows)  # looks inside, where a graph has no layers
    assert compiled == [(2, 70)]
    assert found == plain.score(windows)
    assert model.repatched("model.stages.0.patch={kind: fixed, size_bp: 2}").compiled
    monkeypatch.setenv("CXX", str(tmp_path / "g++"))
    with pytest.warns(RuntimeWarning, match="isn't installed; going on without"):
        assert not glt.load(folder, compile=True).compiled


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.filterwarnings("ignore:.*torch.(jit|autograd.function):DeprecationWarning")  # its own
def test_compiled_bits_are_those_of_the_network_as_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (strand, likelihood):
        monkeypatch.setattr(module, "PIECE_BP", PIECE_BP)
    asked, expected = network(), network()
    torch.nn.init.normal_(asked.head.out.weight)
    expected.load_state_dict(asked.state_dict())
    assert compile_readings(asked, "cpu", PIECE_BP)
    jaxtyping.config.update("jaxtyping_disable", True)  # its checks can't be compiled
    try:
        (found,) = likelihood.surprisal_bits(asked, [LETTERS])
        streamed = [piece.bits for piece in stream_bits(asked, Letters(encode(LETTERS)))]
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    np.testing.assert_array_equal(np.concatenate(streamed), found)
    (bits,) = likelihood.surprisal_bits(expected, [LETTERS])
    np.testing.assert_allclose(found, bits, atol=LOGITS_FP32)
    assert (found != bits).any(), "nothing was compiled"
