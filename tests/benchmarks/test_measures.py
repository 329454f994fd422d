"""What peers are measured by: products counted, positions reached, memory, plots, quality."""

import json
from pathlib import Path

import decode
import numpy as np
import plots
import pytest
import quality
import torch
import train_step
from measuring import machine as measuring_machine
from peers import build_contender, wake
from peers.decoding import PHASES, Cached, difference_of_steps, states_at
from peers.matrices import product_gflop, product_share
from peers.memory import peak_memory_mib
from peers.training import random_rows
from peers.transformer import Transformer
from properties.tolerances import LOGITS_FP32

from hyena_glt.data import Batch
from hyena_glt.model import HyenaGLT


@pytest.fixture(scope="module")
def patched() -> HyenaGLT:
    torch.manual_seed(5)
    network = build_contender("patched", 1).eval()
    assert isinstance(network, HyenaGLT)
    wake(network)
    return network


def test_products_are_those_of_forward_and_backward() -> None:
    x, w = torch.randn(7, 5), torch.randn(5, 3, requires_grad=True)
    attended = torch.randn(1, 1, 9, 4)

    def step() -> None:
        y = torch.nn.functional.scaled_dot_product_attention(attended, attended, attended)
        ((x @ w).sum() + y.sum()).backward()

    # x w, and x^T g for the weights; x wants no gradient.
    assert product_gflop(step) * 1e9 == pytest.approx(2 * 2 * 7 * 5 * 3)
    assert 0 < product_share(step) < 1


def test_rows_make_steps_of_as_many_bases() -> None:
    assert [train_step.rows_at(n, 8192) for n in (1024, 8192, 32_768)] == [8, 1, 1]
    assert train_step.contenders_at(32_768, "cpu")[-1] == "transformer"
    assert "transformer" not in train_step.contenders_at(32_769, "cpu")
    assert "transformer" in train_step.contenders_at(131_072, "cuda")
    ids, target = random_rows(3, 50)
    assert (ids[:, 0] == 1).all()
    assert torch.equal(ids[:, 1:], torch.tensor(list(b"ACGT"))[target[:, :-1]])


def test_states_after_a_prompt_in_pieces_are_those_of_one_pass(
    patched: HyenaGLT, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows end at every phase of a patch, and go on as if nothing had been cut."""
    monkeypatch.setattr("peers.decoding.PIECE_BP", 37)
    ids, _ = random_rows(1, 120)
    with torch.no_grad():
        whole = patched(ids).logits[0]
    found = list(states_at(patched, [120, 60], PHASES + 1))
    assert [position for position, _, _ in found] == [60, 120]
    for position, state, logits in found:
        ends = [position - row % PHASES for row in range(PHASES + 1)]
        assert state.hierarchy.patcher.position.tolist() == ends
        assert (logits - whole[[end - 1 for end in ends]]).abs().max() <= LOGITS_FP32
    _, state, _ = found[0]
    with torch.no_grad():
        ends = [60 - row % PHASES for row in range(PHASES + 1)]
        after = patched(ids[0, ends][:, None], state=state).logits[:, 0]
    assert (after - whole[ends]).abs().max() <= LOGITS_FP32


@pytest.mark.slow
def test_both_decoders_give_what_one_pass_gives(patched: HyenaGLT) -> None:
    transformer = build_contender("transformer", 1).eval()
    assert isinstance(transformer, Transformer)
    wake(transformer)
    for network in (patched, transformer):
        assert difference_of_steps(network, 33) <= decode.MOST_DIFFERENCE


def test_each_block_of_a_cache_starts_where_it_did() -> None:
    transformer = build_contender("transformer", 1).eval()
    assert isinstance(transformer, Transformer)
    decoder = Cached(transformer, batch=2, position=6, steps=3)
    before = decoder.cache.keys[..., :6, :].clone()
    for _ in range(2):
        decoder.block(3)
        assert decoder.cache.position == 9
    assert torch.equal(decoder.cache.keys[..., :6, :], before)
    assert decoder.bytes_per_row() == before.nbytes  # keys and values of one of two rows


@pytest.mark.exhaustive
def test_peak_memory_is_that_of_the_contender_alone() -> None:
    small, large = (peak_memory_mib("hyena2", n, 1, "fp32", False, 1) for n in (512, 8192))
    assert small["peak_mib"] > small["above_start_mib"] > 0
    assert large["above_start_mib"] > 2 * small["above_start_mib"]


@pytest.mark.slow
def test_a_peer_that_fails_alone_says_why() -> None:
    with pytest.raises(RuntimeError, match="no contender 'nobody'"):
        peak_memory_mib("nobody", 64, 1, "fp32", False, 1)


def batches(count: int) -> list[Batch]:
    rows = [random_rows(1, 24 + i) for i in range(count)]
    length = [torch.tensor([ids.shape[1]]) for ids, _ in rows]
    return [
        Batch(ids, n, target, torch.ones(target.shape))
        for (ids, target), n in zip(rows, length, strict=True)
    ]


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    recipe = quality.recipe_of("1e-3", 1, 4)
    steps = batches(4)
    whole = quality.Run("patched", recipe, 4, tmp_path / "whole", "cpu")
    for batch in steps:
        whole.step(batch)
    first = quality.Run("patched", recipe, 4, tmp_path / "cut", "cpu")
    for batch in steps[:2]:
        first.step(batch)
        first.keep()
    first.step(steps[2])  # lost with the kill
    assert len(list((tmp_path / "cut").iterdir())) == 2
    second = quality.Run("patched", recipe, 4, tmp_path / "cut", "cpu")
    assert second.done_steps == 2
    for batch in steps[2:]:
        second.step(batch)
    pairs = zip(whole.network.parameters(), second.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_contenders_are_compared_at_the_better_of_their_rates() -> None:
    bits: dict[str, dict[str, tuple[float, ...]]] = {
        "patched": {"1e-3": (1.95, 1.93), "3e-3": (1.92, 1.90)},
        "hyena2": {"1e-3": (1.94, 1.94), "3e-3": (1.99, 1.97)},
        "transformer": {"1e-3": (1.91,)},  # a seed is missing
    }
    done = {
        f"{name}/{rate}/{seed}": {"validation_bits_per_base": value}
        for name, of_rate in bits.items()
        for rate, values in of_rate.items()
        for seed, value in zip(quality.SEEDS, values, strict=False)
    }
    found = quality.comparison(done)
    assert set(found) == {"patched", "hyena2"}
    assert (found["patched"]["rate"], found["patched"]["bits_per_base"]) == ("3e-3", 1.91)
    assert (found["hyena2"]["rate"], found["hyena2"]["gain_bits"]) == ("1e-3", 0.03)


def test_the_plan_is_2_million_bases_of_every_contender() -> None:
    assert quality.STEPS == 2_000_000 // quality.WINDOW_BP
    assert len(quality.all_cells()) == 4 * 2 * 2
    assert quality.recipe_of("3e-3", 2, 5).train.bases == 5 * 8192


def test_a_slope_is_the_power_of_the_length() -> None:
    lengths = np.array([1e3, 1e4, 1e6])
    assert plots.slope(list(zip(lengths, 3 * lengths**1.5, strict=True))) == 1.5
    assert plots.slope([(1.0, 2.0)]) is None


@pytest.mark.slow
def test_what_is_kept_is_drawn_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    decoding = [
        {
            "batch": 1,
            "position": position,
            "patched": {"bases_per_second": 500, "bytes_per_row": 2048},
            "transformer": {"left_out": "too large", "bytes_per_row": 10 * position},
        }
        for position in (1000, 10_000)
    ]
    (tmp_path / "decode.json").write_text(json.dumps({"decoding": decoding}))
    places = [
        {"precision": "bf16", "length_bp": n, "contenders": {"flat": {"bases_per_second": 800 / n}}}
        for n in (1000, 4000)
    ]
    kept = {"steps": places, "memory": []}
    (tmp_path / "train_step.json").write_text(json.dumps(kept))
    asked = ["plots.py", "--results", str(tmp_path), "--out", str(tmp_path / "pages")]
    monkeypatch.setattr("sys.argv", asked)
    assert plots.main() == 0
    found = json.loads(capsys.readouterr().out)
    assert found["decode"]["decoding"] == {"patched, 1 rows": 0}
    assert found["decode"]["remembered of a row"] == {"patched": 0, "transformer": 1}
    assert found["train_step"] == {"training step, bf16": {"flat": 1}}
    assert not (tmp_path / "pages").exists()
    monkeypatch.setattr("sys.argv", [*asked, "draw"])
    plots.main()
    pages = sorted(path.name for path in (tmp_path / "pages").iterdir())
    assert pages == ["decode.png", "train_step.png"]


def test_bf16_is_measured_where_there_are_units_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measuring_machine, "has_bf16_units", lambda device: False)
    assert measuring_machine.precisions_of(("fp32", "bf16")) == ("fp32",)
    assert measuring_machine.precisions_of(("bf16",)) == ("fp32",)
    assert "no units for bf16" in capsys.readouterr().err
    monkeypatch.setattr(measuring_machine, "has_bf16_units", lambda device: True)
    assert measuring_machine.precisions_of(("bf16",)) == ("bf16",)
    assert not capsys.readouterr().err
